"""The reference's texture optimisation (2,500 steps of Adam, one random view a step) in PyTorch, on observations written by
`cargo run --release -p maquette --example asset -- texture out=FOLDER`.

    python tests/bench/torch_bake.py FOLDER SIZE [steps=2500]

Prints loss (mean absolute difference over views + 0.01 x total variation), PSNR over views that were not observed, and time,
for Adam and for the texture that our solver found on the same data (ours.bin). Where the samples lie in the texture's levels
is worked out before the clock starts.
"""
import math
import pathlib
import sys
import time

import numpy
import torch

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def taps(uv, level, size):
    """Indices [N, 8] into the chain of all levels, finest first, and weights [N, 8] of trilinear samples that wrap around."""
    top = int(math.log2(size))
    starts = torch.tensor([(4 * (size * size - (size >> l) ** 2)) // 3 for l in range(top + 1)], device=uv.device)
    low = level.floor()
    indices, weights = [], []
    for lod, share in ((low, 1 - (level - low)), (low + 1, level - low)):
        lod = lod.long().clamp(max=top)
        side = (size >> lod)
        place = (uv - uv.floor()) * side[:, None] - 0.5
        corner = place.floor()
        part = place - corner
        a = corner.long() % side[:, None]
        b = (a + 1) % side[:, None]
        for x, wx in ((a[:, 0], 1 - part[:, 0]), (b[:, 0], part[:, 0])):
            for y, wy in ((a[:, 1], 1 - part[:, 1]), (b[:, 1], part[:, 1])):
                indices.append(starts[lod] + y * side + x)
                weights.append(share * wx * wy)
    return torch.stack(indices, 1), torch.stack(weights, 1)


class Sample(torch.autograd.Function):
    """Weighted rows of the chain; the transpose adds with atomics instead of sorting."""

    @staticmethod
    def forward(context, chain, index, weight):
        context.save_for_backward(index, weight)
        context.rows = chain.shape[0]
        return (chain[index.reshape(-1)].reshape(*index.shape, 3) * weight[..., None]).sum(1)

    @staticmethod
    def backward(context, gradient):
        index, weight = context.saved_tensors
        rows = torch.zeros(context.rows, 3, device=gradient.device)
        rows.index_add_(0, index.reshape(-1), (weight[..., None] * gradient[:, None]).reshape(-1, 3))
        return rows, None, None


def chain_of(texture):
    levels, level = [], texture.permute(2, 0, 1)[None]
    while True:
        levels.append(level[0].permute(1, 2, 0).reshape(-1, 3))
        if level.shape[-1] == 1:
            return torch.cat(levels)
        level = torch.nn.functional.avg_pool2d(level, 2)


def variation(x):
    return (x[:-1] - x[1:]).abs().mean() + (x[:, :-1] - x[:, 1:]).abs().mean()


def views_of(folder, name, size):
    read = lambda part, kind: torch.from_numpy(numpy.fromfile(folder / f"{name}_{part}.bin", kind)).to(DEVICE)
    uv, level, color = read("uv", "float32").reshape(-1, 2), read("level", "float32"), read("color", "float32").reshape(-1, 3)
    ends = numpy.fromfile(folder / f"{name}_starts.bin", "uint32")
    spans = [(int(a), int(b)) for a, b in zip(ends, ends[1:]) if b > a]
    return [(*taps(uv[a:b], level[a:b], size), color[a:b]) for a, b in spans]


def wait():
    if DEVICE == "cuda":
        torch.cuda.synchronize()


def adam(seen, size, steps):
    generator = numpy.random.default_rng(0)
    texture = torch.zeros(size, size, 3, device=DEVICE, requires_grad=True)
    optimiser = torch.optim.Adam([texture], lr=1e-2, betas=(0.5, 0.9), eps=1e-8)
    for step in range(steps):
        index, weight, color = seen[generator.integers(len(seen))]
        optimiser.zero_grad(set_to_none=True)
        loss = (Sample.apply(chain_of(texture), index, weight) - color).abs().mean() + 0.01 * variation(texture)
        loss.backward()
        optimiser.step()
        for group in optimiser.param_groups:
            group["lr"] = 1e-5 + 0.5 * (1e-2 - 1e-5) * (1 + math.cos(math.pi * step / steps))
    return texture.detach()


@torch.no_grad()
def judge(name, texture, seen, apart, seconds=None):
    chain = chain_of(texture)
    sample = lambda view: Sample.apply(chain, view[0], view[1])
    fit = sum((sample(view) - view[2]).abs().mean().item() for view in seen) / len(seen)
    smooth = variation(texture).item()
    chosen = [((sample(view).clamp(0, 1) - view[2]) ** 2).sum().double().item() for view in apart]
    psnr = -10 * math.log10(sum(chosen) / sum(view[2].numel() for view in apart))
    timed = "" if seconds is None else f", {seconds:.3f} s"
    print(f"{name}: loss {fit + 0.01 * smooth:.5f} ({fit:.5f} + 0.01 x {smooth:.5f}), PSNR {psnr:.2f} dB{timed}", flush=True)


def main():
    folder, size = pathlib.Path(sys.argv[1]), int(sys.argv[2])
    steps = int(sys.argv[3]) if len(sys.argv) > 3 else 2500
    seen, apart = views_of(folder, "seen", size), views_of(folder, "apart", size)
    ours = torch.from_numpy(numpy.fromfile(folder / "ours.bin", "float32").reshape(size, size, 3)).to(DEVICE)
    judge("ours ", ours, seen, apart)
    adam(seen, size, 20)
    wait()
    begun = time.perf_counter()
    texture = adam(seen, size, steps)
    wait()
    judge(f"Adam, {steps} steps, {DEVICE}", texture, seen, apart, time.perf_counter() - begun)


main()
