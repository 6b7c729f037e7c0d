"""How far objects reach in a direction: exact for every primitive, however thin."""

import torch

from .fields import BOX, CONE, TORUS


def support(objects, direction):
    """The farthest point of every united primitive in `direction [B, 3]`, as world points `[B, P, 3]`.

    Bends are applied to the found points, which is close for the mild ones that the grammars use.
    """
    q = torch.einsum("bpij,bj->bpi", objects.turn, direction)
    a, b, c, r = objects.size.unbind(-1)
    kind = objects.kind[..., None]
    unit = torch.nn.functional.normalize(q, dim=-1)
    flat = torch.nn.functional.normalize(q[..., :2], dim=-1, eps=1e-9)

    box = torch.sign(q) * objects.size[..., :3]
    discs = [torch.cat([flat * radius[..., None], (h * c)[..., None]], -1) for radius, h in ((a, -1), (b, 1))]
    top_wins = (discs[1] * q).sum(-1, keepdim=True) > (discs[0] * q).sum(-1, keepdim=True)
    cone = torch.where(top_wins, discs[1], discs[0]) + r[..., None] * unit
    torus = torch.cat([flat * a[..., None], (torch.sign(q[..., 2]) * c)[..., None]], -1) + b[..., None] * unit
    radii = objects.size[..., :3]
    scaled = q * radii
    ellipsoid = scaled * radii / scaled.norm(dim=-1, keepdim=True).clamp_min(1e-9)

    local = torch.where(kind == BOX, box, torch.where(kind == CONE, cone, torch.where(kind == TORUS, torus, ellipsoid)))
    point = torch.einsum("bpji,bpj->bpi", objects.turn, local) + objects.centre
    point = torch.cat([point[..., :2] + objects.bend[:, None] * point[..., 2:] ** 2, point[..., 2:]], -1)
    return (point - objects.middle[:, None]) * objects.scale[:, None, None]


def reach(objects, direction):
    """Largest coordinate along `direction`, `[B]`."""
    along = (support(objects, direction) * direction[:, None]).sum(-1)
    return torch.where(objects.live > 0, along, -1e3).amax(1)
