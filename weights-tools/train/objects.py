"""Objects by seed: a kind, its proportions and colours, mirrored or bent at times, scaled to fill the cube."""

import torch

from .chance import Chance
from .extents import reach
from .fields import Objects
from .grammars import TRAINED, UNSEEN
from .parts import Bench

# half the side that the longest extent fills: a hair under the cube's, so that the surface closes inside the grid
EXTENT = 0.47
HELD_OUT_SEEDS = 1 << 40
NAMES = [g.__name__ for g in TRAINED + UNSEEN]


def grid(resolution, half, device):
    """Cell centres `[1, R^3, 3]` of the cube of the given half side, x slowest."""
    axis = (torch.arange(resolution, device=device) + 0.5) / resolution * 2 * half - half
    return torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), -1).reshape(1, -1, 3)


def kinds_of(seeds, unseen=False):
    """Index into `NAMES` for each seed."""
    chance = Chance(seeds, stream=1)
    return len(TRAINED) + chance.pick(len(UNSEEN)) if unseen else chance.pick(len(TRAINED))


def _mirror(objects, flip):
    """Reflect the flagged objects in x; primitives are symmetric in their own axes, so turning them suffices."""
    sign = torch.where(flip, -1.0, 1.0)[:, None]
    objects.centre = torch.cat([objects.centre[..., :1] * sign[..., None], objects.centre[..., 1:]], -1)
    reflect = torch.diag(torch.tensor([-1.0, 1, 1], device=flip.device))
    objects.turn = torch.where(flip[:, None, None, None], objects.turn @ reflect, objects.turn)
    return objects


def _fit(objects):
    """Centre the objects and scale their longest extent to the cube."""
    axes = torch.eye(3, device=objects.kind.device)
    along = lambda d: reach(objects, d.expand(len(objects), 3))
    high = torch.stack([along(d) for d in axes], -1)
    low = torch.stack([-along(-d) for d in axes], -1)
    objects.middle = (high + low) / 2
    objects.scale = 2 * EXTENT / (high - low).amax(-1)
    return objects


def make_objects(seeds, unseen=False):
    """Objects of the given seeds, normalised. Also returns their kinds (index into `NAMES`)."""
    kinds = kinds_of(seeds, unseen)
    parts, orders = [], []
    for k in (range(len(TRAINED), len(NAMES)) if unseen else range(len(TRAINED))):
        rows = torch.nonzero(kinds == k)[:, 0]
        if len(rows) == 0:
            continue
        chance, bench = Chance(seeds[rows], stream=2), Bench(len(rows), seeds.device)
        (TRAINED + UNSEEN)[k](bench, chance)
        bent = chance.flag(0.2)
        bend = torch.stack([chance.between(-0.25, 0.25), chance.between(-0.15, 0.15)], -1) * bent[:, None]
        parts.append(_mirror(bench.finish(bend), chance.flag(0.5)))
        orders.append(rows)
    order = torch.cat(orders)
    return _fit(Objects.cat(parts)[torch.argsort(order)]), kinds
