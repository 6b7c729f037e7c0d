"""U²-Net's full form (Qin et al. 2020, figures 2 and 5) in plain torch, with weights that both sides can make: the numbers in
`tests/goldens/u2net/full_random.safetensors`.

    python -m tests.reference.u2net OUT.safetensors

The published weights of the full form (176 MB) are not at hand. This shows that the wider graph, its key names, its odd sizes
and its unfolded batch norms are right; the trained small form is compared on photographs.
"""

import sys

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.numpy import save_file

# name: levels, dilated, inputs, inner width, outputs
STAGES = {
    "stage1": (7, False, 3, 32, 64),
    "stage2": (6, False, 64, 32, 128),
    "stage3": (5, False, 128, 64, 256),
    "stage4": (4, False, 256, 128, 512),
    "stage5": (4, True, 512, 256, 512),
    "stage6": (4, True, 512, 256, 512),
    "stage5d": (4, True, 1024, 256, 512),
    "stage4d": (4, False, 1024, 128, 256),
    "stage3d": (5, False, 512, 64, 128),
    "stage2d": (6, False, 256, 32, 64),
    "stage1d": (7, False, 128, 16, 64),
}
SIDES = {"side1": 64, "side2": 64, "side3": 128, "side4": 256, "side5": 512, "side6": 512}


def numbers(name, count):
    """`count` values in [-1, 1) that only depend on the name: FNV-1a seeds a counter, murmur's finaliser mixes it."""
    seed = 2166136261
    for byte in name.encode():
        seed = ((seed ^ byte) * 16777619) & 0xFFFFFFFF
    x = (np.arange(count, dtype=np.uint64) * 0x9E3779B1 + seed).astype(np.uint32)
    x ^= x >> np.uint32(16)
    x *= np.uint32(0x85EBCA6B)
    x ^= x >> np.uint32(13)
    x *= np.uint32(0xC2B2AE35)
    x ^= x >> np.uint32(16)
    return (x >> np.uint32(8)).astype(np.float32) / np.float32(2**23) - np.float32(1)


def weight(name, shape):
    fan = shape[1] * shape[2] * shape[3]
    # The last layer is weak, so that the sigmoid after it hides nothing.
    scale = np.float32(np.sqrt(6.0 / fan) * (0.25 if name.startswith("outconv") else 1.0))
    return torch.from_numpy((numbers(name, int(np.prod(shape))) * scale).reshape(shape))


def vector(name, count, centre, spread):
    return torch.from_numpy(np.float32(centre) + numbers(name, count) * np.float32(spread))


def conv(x, name, inputs, outputs, kernel, dilation=1):
    w = weight(f"{name}.weight", (outputs, inputs, kernel, kernel))
    b = vector(f"{name}.bias", outputs, 0, 0.125)
    return F.conv2d(x, w, b, padding=kernel // 2 * dilation, dilation=dilation)


def layer(x, name, inputs, outputs, dilation):
    x = conv(x, f"{name}.conv_s1", inputs, outputs, 3, dilation)
    bn = f"{name}.bn_s1"
    mean, var = vector(f"{bn}.running_mean", outputs, 0, 0.25), vector(f"{bn}.running_var", outputs, 1.5, 0.5)
    scale, shift = vector(f"{bn}.weight", outputs, 1, 0.25), vector(f"{bn}.bias", outputs, 0, 0.25)
    return F.relu(F.batch_norm(x, mean, var, scale, shift, eps=1e-5))


def like(x, other):
    return F.interpolate(x, size=other.shape[2:], mode="bilinear", align_corners=False)


def pool(x):
    return F.max_pool2d(x, 2, stride=2, ceil_mode=True)


def stage(x, name):
    levels, dilated, inputs, inner, outputs = STAGES[name]
    x = layer(x, f"{name}.rebnconvin", inputs, outputs, 1)
    h, skips = x, []
    for k in range(1, levels + 1):
        if not dilated and 1 < k < levels:
            h = pool(h)
        dilation = 2 ** (k - 1) if dilated else (2 if k == levels else 1)
        h = layer(h, f"{name}.rebnconv{k}", outputs if k == 1 else inner, inner, dilation)
        skips.append(h)
    for k in range(levels - 1, 0, -1):
        skip = skips[k - 1]
        dilation = 2 ** (k - 1) if dilated else 1
        h = torch.cat([like(h, skip), skip], 1)
        h = layer(h, f"{name}.rebnconv{k}d", 2 * inner, outputs if k == 1 else inner, dilation)
    return h + x


@torch.no_grad()
def network(x):
    down, h = [], x
    for k in range(1, 7):
        h = stage(pool(h) if k > 1 else h, f"stage{k}")
        down.append(h)
    maps = [conv(h, "side6", 512, 1, 3)]
    for k in range(5, 0, -1):
        h = stage(torch.cat([like(h, down[k - 1]), down[k - 1]], 1), f"stage{k}d")
        maps.append(conv(h, f"side{k}", SIDES[f"side{k}"], 1, 3))
    maps = [like(m, maps[-1]) for m in reversed(maps)]
    logits = conv(torch.cat(maps, 1), "outconv", 6, 1, 1)
    return logits, torch.sigmoid(logits)


if __name__ == "__main__":
    # Odd sizes: halving rounds up at several levels.
    height, width = 70, 90
    pixels = torch.from_numpy(numbers("pictures", 3 * height * width).reshape(1, 3, height, width)) * 2
    logits, mask = network(pixels)
    print("logits", logits.min().item(), logits.max().item(), "mask", mask.min().item(), mask.max().item(), mask.mean().item())
    save_file({"mask": mask[0, 0].numpy()}, sys.argv[1])
