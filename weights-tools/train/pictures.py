"""Pictures of objects: random camera and light, soft shading, alpha; framed by the rule of TRELLIS."""

import math

import torch

from . import fields
from .chance import Chance
from .extents import support

STEPS = 36


class Views:
    """Cameras and lights for a batch: eye, axes [B,3] (right, down, forward), tan of half the field of view, light."""

    def __init__(self, seeds, stream=3):
        c = Chance(seeds, stream)
        yaw, pitch = c.between(-40, 40) * math.pi / 180, c.between(5, 40) * math.pi / 180
        fov = c.between(15, 50) * math.pi / 180
        radius = 0.88 / torch.sin(fov / 2)
        self.tan = torch.tan(fov / 2)
        toward = torch.stack([torch.sin(yaw) * torch.cos(pitch), -torch.cos(yaw) * torch.cos(pitch), torch.sin(pitch)], -1)
        self.eye = radius[:, None] * toward
        self.forward = -toward
        up = torch.tensor([0.0, 0.0, 1.0], device=seeds.device)
        self.right = torch.nn.functional.normalize(torch.linalg.cross(self.forward, up.expand_as(toward)), dim=-1)
        self.down = torch.linalg.cross(self.forward, self.right)
        light_yaw, light_pitch = c.between(-1.2, 1.2), c.between(0.3, 1.3)
        self.light = torch.stack([torch.sin(light_yaw) * torch.cos(light_pitch),
                                  -torch.cos(light_yaw) * torch.cos(light_pitch), torch.sin(light_pitch)], -1)
        self.ambient, self.diffuse, self.gloss = c.between(0.45, 0.7), c.between(0.35, 0.6), c.between(0.0, 0.15)
        self.jitter = torch.stack([c.between(-0.012, 0.012), c.between(-0.012, 0.012), c.between(0.985, 1.025)], -1)


def frame(objects, views):
    """Crop centre and half side `[B, 3]` in image coordinates -1..1: the box around the object, a fifth larger.

    A side of the box is the plane through the eye that touches the object; it is found by tilting the direction
    towards the current estimate, which converges in a few rounds.
    """
    bounds = []
    for axis, sign in ((views.right, -1.0), (views.right, 1.0), (views.down, -1.0), (views.down, 1.0)):
        at = torch.zeros(len(objects), device=axis.device)
        for _ in range(4):
            direction = sign * (axis - (at * views.tan)[:, None] * views.forward)
            d = support(objects, direction) - views.eye[:, None]
            seen = (d * axis[:, None]).sum(-1) / ((d * views.forward[:, None]).sum(-1) * views.tan[:, None])
            at = sign * torch.where(objects.live > 0, sign * seen, -1e3).amax(1)
        bounds.append(at)
    left, right, top, bottom = bounds
    side = torch.maximum(right - left, bottom - top) / 2 * 1.2
    return torch.stack([(left + right) / 2, (top + bottom) / 2, side], -1)


def render(objects, views, window, size):
    """RGB (not premultiplied) and alpha `[B, 4, size, size]` of the window (centre, half side) of the image."""
    b, device = len(objects), objects.kind.device
    axis = (torch.arange(size, device=device) + 0.5) / size * 2 - 1
    v, u = torch.meshgrid(axis, axis, indexing="ij")
    u = window[:, 0, None] + window[:, 2, None] * u.reshape(1, -1)
    v = window[:, 1, None] + window[:, 2, None] * v.reshape(1, -1)
    tan = views.tan[:, None]
    rays = views.forward[:, None] + (u * tan)[..., None] * views.right[:, None] + (v * tan)[..., None] * views.down[:, None]
    rays = torch.nn.functional.normalize(rays, dim=-1)
    eye, values = views.eye[:, None], objects.values()
    # start and stop at the ball around the cube
    middle = -(eye * rays).sum(-1)
    t, end = middle - 0.87, middle + 0.87
    pixel = window[:, 2, None] * tan * 2 / size
    closest = torch.full_like(t, 1e3)
    caution = torch.where(objects.bend.abs().sum(-1) > 0, 0.8, 0.95)[:, None]
    for _ in range(STEPS):
        d = fields.DISTANCE(eye + t[..., None] * rays, *values)
        closest = torch.minimum(closest, d / (t * pixel))
        t = torch.minimum(t + d * caution, end)
    hit = eye + t[..., None] * rays
    # half a pixel inside the outline is fully covered, half a pixel outside not at all
    alpha = (1 - closest.clamp_min(0) / 0.7).clamp(0, 1)
    n = fields.normal(hit, objects)
    colour = fields.albedo(hit, objects)
    lambert = (n * views.light[:, None]).sum(-1).clamp_min(0)
    sky = 0.5 + 0.5 * n[..., 2]
    half = torch.nn.functional.normalize(views.light[:, None] - rays, dim=-1)
    gloss = (n * half).sum(-1).clamp_min(0) ** 24
    shade = views.ambient[:, None] * (0.7 + 0.3 * sky) + views.diffuse[:, None] * lambert
    rgb = (colour * shade[..., None] + (views.gloss[:, None] * gloss)[..., None]).clamp(0, 1)
    return torch.cat([rgb, alpha[..., None]], -1).transpose(1, 2).unflatten(2, (size, size))
