"""That the padded training step is the reference's: `PYTHONPATH=tests:weights-tools python -m train.check`.

One loss and its gradients in float32 by `reference.latent_flow` on packed voxels and by `train.padded` on padded ones, for
objects of very different sizes; and a step after a restart from a file against the step without one. Exits 1 when a gradient
differs by more than 1e-5 (relative Frobenius error), or a restarted weight by more than 1e-5.
"""

import copy
import sys
import tempfile
from pathlib import Path

import torch

from reference.model_folder import build
from reference.sparse import Geometry

from . import config
from .flow_step import FlowTrainer
from .networks import fresh
from .padded import Tables, velocity
from .times import classes

BOUND = 1e-5
R = config.STRUCTURE


def clouds(counts, slots, generator):
    """Voxels of made-up objects: `cell [B, slots]` and `exists`; boxes and scattered ones, so that neighbours are many and few."""
    cell, exists = torch.zeros(len(counts), slots, dtype=torch.long), torch.zeros(len(counts), slots, dtype=torch.bool)
    for i, count in enumerate(counts):
        side = min(R, int(count ** (1 / 3)) + 1 + 12 * (i % 2))
        pick = torch.randperm(side**3, generator=generator)[:count].sort().values
        x, y, z = pick // side**2, pick // side % side, pick % side
        cell[i, :count] = (x * R + y) * R + z + R - side
        exists[i, :count] = True
    return cell, exists


def reference_loss(flow, x, target, cell, exists, t, cond):
    item, slot = torch.nonzero(exists, as_tuple=True)
    at = cell[item, slot]
    coords = torch.stack([item, at // R**2, at // R % R, at % R], 1)
    v = flow(x[item, slot], Geometry(coords), t, cond)
    return (v - target[item, slot]).square().mean()


def padded_loss(flow, x, target, cell, exists, t, cond):
    error = velocity(flow, x, Tables(cell, exists, 640), t, cond) - target
    return (error.square().mean(-1) * exists).sum() / exists.sum()


def gradients(flow, loss):
    flow.zero_grad(set_to_none=True)
    loss.backward()
    return {name: p.grad.clone() for name, p in flow.named_parameters()}


def compare(name, changes, generator):
    described = copy.deepcopy(config.LATENT_FLOW)
    described["args"].update(changes)
    flow = build(described)
    with torch.no_grad():
        # the zero gates of a fresh network would hide most of it
        for p in flow.parameters():
            p.copy_(torch.randn(p.shape, generator=generator) * (0.3 if p.ndim < 2 else p[0].numel() ** -0.5))
    counts, slots = (1, 700, 333, 512, 640, 8), 768
    cell, exists = clouds(counts, slots, generator)
    draw = lambda *shape: torch.randn(*shape, generator=generator)
    x, target = (draw(len(counts), slots, config.LATENT_CHANNELS) for _ in range(2))
    batch = (x, target, cell, exists, 1000 * torch.rand(len(counts), generator=generator), draw(len(counts), 105, config.COND))
    want, got = reference_loss(flow, *batch), padded_loss(flow, *batch)
    expected, came = gradients(flow, want), gradients(flow, got)
    errors = {k: float((came[k] - g).norm() / g.norm().clamp_min(1e-12)) for k, g in expected.items()}
    errors["the loss"] = abs(float(got.detach() - want.detach())) / float(want.detach())
    worst = max(errors, key=errors.get)
    print(f"{name}: loss {float(want.detach()):.6f}, {len(errors) - 1} gradients, largest error {errors[worst]:.1e} ({worst})")
    return errors[worst] <= BOUND


def goes_on_from_a_file():
    """The moments are kept as bfloat16, so a rate of 1e-3 leaves differences of a few millionths."""
    device = torch.device("cpu")
    sizes = classes(device)
    trainers = [FlowTrainer(fresh("latent_flow", device), sizes, 2048) for _ in range(2)]
    for trainer in trainers:
        trainer.rate.fill_(1e-3)
    for _ in range(2):
        trainers[0].step(0)
    with tempfile.TemporaryDirectory() as folder:
        trainers[0].save(Path(folder) / "resume.pt")
        trainers[1].load(Path(folder) / "resume.pt")
    for trainer in trainers:
        torch.manual_seed(9)
        trainer.step(0)
    pairs = zip(*(t.flow.parameters() for t in trainers))
    worst = max(float((a - b).detach().abs().max()) for a, b in pairs)
    print(f"restart: after step {trainers[1].steps} the weights differ by {worst:.1e} at most")
    return worst <= BOUND and trainers[1].steps == trainers[0].steps


def main():
    torch.set_num_threads(1)
    torch.manual_seed(5)
    generator = torch.Generator().manual_seed(5)
    cases = (("as configured", {}), ("a modulation of each block's own", {"share_mod": False, "num_blocks": 2}),
             ("wider", {"model_channels": 128, "num_heads": 4, "io_block_channels": [40], "num_io_res_blocks": 3}))
    good = [compare(*case, generator) for case in cases] + [goes_on_from_a_file()]
    sys.exit(not all(good))


if __name__ == "__main__":
    main()
