"""Latents to 3-D Gaussians (spec 7.2)."""

import math

import torch
import torch.nn.functional as F
from torch import nn

from .blocks import plain_layer_norm
from .latent_trunk import SparseTrunk

FIELDS = (("_xyz", 3), ("_features_dc", 3), ("_scaling", 3), ("_rotation", 4), ("_opacity", 1))


def radical_inverse(n, base):
    value, scale = 0.0, 1.0 / base
    while n:
        n, digit = divmod(n, base)
        value, scale = value + digit * scale, scale / base
    return value


def offset_perturbation(count, voxel_size):
    """`[count, 3]` atanh of a Hammersley set: where a voxel's Gaussians sit when the network says nothing."""
    points = torch.tensor([[n / count, radical_inverse(n, 2), radical_inverse(n, 3)] for n in range(count)])
    return torch.atanh((2 * points - 1) / voxel_size)


class SLatGaussianDecoder(SparseTrunk):
    """`forward` gives the raw `[N, G*14]`; `gaussians` turns it into the stored and the activated fields."""

    def __init__(self, resolution, model_channels, latent_channels, num_blocks, representation_config, **trunk):
        super().__init__(latent_channels, resolution, model_channels, num_blocks, **trunk)
        self.config = representation_config
        self.count = representation_config["num_gaussians"]
        self.out_layer = nn.Linear(model_channels, 14 * self.count)
        self.register_buffer("offset_perturbation",
                             offset_perturbation(self.count, representation_config["voxel_size"]))

    def forward(self, slat, geometry):
        return self.out_layer(plain_layer_norm(self.trunk(slat, geometry).float()))

    def gaussians(self, raw, coords):
        """Fields of all Gaussians, voxel-major: stored ones with a leading underscore, activated ones without."""
        cfg, out, start = self.config, {}, 0
        for name, size in FIELDS:
            block = raw[:, start:start + self.count * size].unflatten(1, (self.count, size))
            start += self.count * size
            out[name] = block * cfg["lr"][name]
        centre = (coords[:, None, 1:].float() + 0.5) / self.resolution
        offset = torch.tanh(out["_xyz"] + self.offset_perturbation) / self.resolution * 0.5 * cfg["voxel_size"]
        out["_xyz"] = centre + offset
        out = {name: value.flatten(0, 1) for name, value in out.items()}
        scale_bias = cfg["scaling_bias"] + math.log(-math.expm1(-cfg["scaling_bias"]))
        kernel = cfg["3d_filter_kernel_size"]
        out["xyz"] = out["_xyz"] - 0.5
        out["scaling"] = torch.sqrt(F.softplus(out["_scaling"] + scale_bias).square() + kernel**2)
        identity = torch.tensor([1.0, 0, 0, 0], device=raw.device)
        out["rotation"] = F.normalize(out["_rotation"] + identity, dim=-1, eps=1e-12)
        opacity_bias = math.log(cfg["opacity_bias"] / (1 - cfg["opacity_bias"]))
        out["opacity"] = torch.sigmoid(out["_opacity"] + opacity_bias)
        return out
