"""What a training step of the latent flow takes: `PYTHONPATH=tests:weights-tools python -m train.times [SECONDS_EACH] [ROWS]`.

Made-up objects of the training objects' sizes; the packed reference step, as the trainer once ran it, against the padded one,
launch by launch and recorded. One JSON line each.
"""

import json
import sys
import time

import torch

from reference.sparse import Geometry

from . import config
from .flow_step import FlowTrainer
from .latent_cache import CLASSES, SizeClass
from .networks import fresh, optimiser

# voxels of training objects, every eighth of 96 in order of size
COUNTS = (605, 1914, 2360, 2884, 3374, 3692, 4112, 4780, 5736, 6492, 8830, 14_433)
TOKENS = (105, config.COND)
R = config.STRUCTURE


def solid(count, device):
    """Cells of a ball of `count` voxels: as dense as the training objects, and few coarse voxels."""
    cell = torch.arange(R**3, device=device)
    xyz = torch.stack([cell // R**2, cell // R % R, cell % R], 1)
    far = (xyz - R / 2 + 0.37).float().square().sum(1)
    return torch.argsort(far)[:count].sort().values


def classes(device):
    out = [SizeClass(*limits, 16, TOKENS, device) for limits in CLASSES]
    for count in COUNTS:
        size = next(c for c in out if count <= c.slots)
        cell = torch.zeros(1, size.slots, dtype=torch.long, device=device)
        cell[0, :count] = solid(count, device)
        latent = torch.randn(1, size.slots, config.LATENT_CHANNELS, device=device)
        size.add(cell, torch.tensor([count], device=device), latent, torch.randn(1, *TOKENS, device=device))
    return out


def measure(name, items, step, device, seconds):
    settle = torch.cuda.synchronize if device.type == "cuda" else lambda: None
    for _ in range(3):
        step()
    settle()
    begun, count = time.time(), 0
    while time.time() - begun < seconds:
        step()
        count += 1
        if count % 8 == 0:
            settle()
    settle()
    each = (time.time() - begun) / count
    print(json.dumps({"step": name, "objects": items, "ms": round(each * 1e3, 2), "objects_per_s": round(items / each)}), flush=True)
    return each / items


def packed_step(device, objects):
    """The step before: geometry anew each time, packed voxels, gradients launch by launch. The picture encoder not counted."""
    flow = fresh("latent_flow", device)
    opt = optimiser([flow], 1e-4)
    counts = [COUNTS[i % len(COUNTS)] for i in range(objects)]
    cells = [solid(c, device) for c in counts]
    item = torch.cat([torch.full_like(c, i) for i, c in enumerate(cells)])
    cell = torch.cat(cells)
    coords = torch.stack([item, cell // R**2, cell // R % R, cell % R], 1).int()
    z = torch.randn(len(coords), config.LATENT_CHANNELS, device=device)
    cond = torch.randn(objects, *TOKENS, device=device)

    def step():
        geometry = Geometry(coords)
        t = torch.sigmoid(torch.randn(objects, device=device) + 1)
        noise, at = torch.randn_like(z), t[geometry.batch][:, None]
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            v = flow((1 - at) * z + at * noise, geometry, 1000 * t, cond)
        loss = torch.nn.functional.mse_loss(v.float(), noise - z)
        opt.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(flow.parameters(), 1.0)
        opt.step()
    return step


def main():
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 2.0
    rows = int(sys.argv[2]) if len(sys.argv) > 2 else 262_144
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.backends.cuda.matmul.allow_tf32 = True
    objects = max(1, 28 * rows // 262_144)
    measure("packed", objects, packed_step(device, objects), device, seconds)
    for graphs in (False, True) if device.type == "cuda" else (False,):
        trainer = FlowTrainer(fresh("latent_flow", device), classes(device), rows, graphs=graphs)
        trainer.rate.fill_(1e-4)
        cost = 0.0
        for index, size in enumerate(trainer.classes):
            name = f"padded, {size.slots} voxels, {'recorded' if graphs else 'launch by launch'}"
            cost += size.made * measure(name, trainer.batches[index], lambda: trainer.step(index), device, seconds / 6)
        rate = round(sum(c.made for c in trainer.classes) / cost)
        print(json.dumps({"step": "padded, all sizes", "recorded": graphs, "objects_per_s": rate}), flush=True)


if __name__ == "__main__":
    main()
