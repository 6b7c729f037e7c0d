"""What the latent stage learns from: per occupied voxel, the analytic field on a 5x5x5 lattice and colours."""

import torch

from reference.mesh_decoder import CORNERS
from reference.sparse import Geometry

from . import config, fields
from .objects import make_objects
from .pool import occupancy_distance

R, FINE = config.STRUCTURE, 4 * config.STRUCTURE
# distances are learned in units of half a voxel, clamped to -1..1
STEEPNESS = 2.0 * R / 4


def lattice(count):
    """`[count^3, 3]` offsets in 0..1, x slowest."""
    axis = torch.linspace(0, 1, count)
    return torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), -1).reshape(-1, 3)


def fine_corner_index():
    """`[64, 8]` lattice index of corner m of the fine cube in the row order that two subdivisions give."""
    child = [(i, j, k) for i in (0, 1) for j in (0, 1) for k in (0, 1)]
    rows = []
    for a in child:
        for b in child:
            rows.append([sum((2 * a[i] + b[i] + m[i]) * (25, 5, 1)[i] for i in range(3)) for m in CORNERS])
    return torch.tensor(rows)


class Voxels:
    """The occupied voxels of a few objects: geometry, which object each belongs to, and the objects per voxel."""

    def __init__(self, objects, occupied, limit):
        """Keeps as many leading objects as fit `limit` voxels; `occupied` is `[B, R^3]` bool."""
        total = occupied.sum(1).cumsum(0)
        self.kept = max(1, int((total <= limit).sum()))
        rows, flat = torch.nonzero(occupied[:self.kept], as_tuple=True)
        rows, flat = rows[:limit], flat[:limit]
        self.owner = rows
        xyz = torch.stack([flat // R**2, flat // R % R, flat % R], -1)
        self.geometry = Geometry(torch.cat([rows[:, None], xyz], 1).int())
        self.count, self.limit = len(rows), limit
        pad = torch.zeros(limit - self.count, dtype=torch.long, device=rows.device)
        self.objects = objects[torch.cat([rows, pad])]
        self.corner = torch.cat([xyz, xyz[:1].expand(len(pad), 3)]).float() / R - 0.5

    def points(self, offsets, rows=slice(None)):
        """World points `[V, n, 3]` at offsets `[n, 3]` or `[V, n, 3]` (in voxels) from the voxels' low corners."""
        return self.corner[rows][:, None] + offsets.to(self.corner.device) / R

    def distances(self):
        """`[count, 125]` on the 5x5x5 lattice that the fine cubes' corners form."""
        return fields.DISTANCE(self.points(lattice(5)).contiguous(), *self.objects.values())[:self.count]

    def features(self, d):
        """Encoder input `[count, 206]`: clamped distances and the colours near the surface on a 3x3x3 lattice."""
        colours = fields.albedo(self.points(lattice(3)).contiguous(), self.objects)[:self.count]
        near = d.view(-1, 5, 5, 5)[:, ::2, ::2, ::2].reshape(-1, 27, 1).abs() < 2.0 / R
        return torch.cat([(d * STEEPNESS).clamp(-1, 1), ((colours - 0.5) * near).flatten(1)], 1)


class Store:
    """Objects to draw from: parameters and occupancy."""

    def __init__(self, seeds, device):
        parts = [make_objects(s)[0] for s in seeds.to(device).split(2048)]
        self.objects = fields.Objects.cat(parts)
        self.occupied = torch.cat([occupancy_distance(p) < config.OCCUPIED_WITHIN for p in parts])

    def draw(self, count, limit):
        """Random objects' voxels."""
        rows = torch.randint(len(self.objects), (count,), device=self.occupied.device)
        return Voxels(self.objects[rows], self.occupied[rows], limit)
