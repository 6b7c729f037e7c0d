"""Sparse-structure decoder and encoder: 3-D convolutions over an occupancy cube (spec 4)."""

import torch
import torch.nn.functional as F
from torch import nn


class ChannelLayerNorm32(nn.LayerNorm):
    """Layer norm over the channel axis of `[B, C, X, Y, Z]`, in float32."""

    def forward(self, x):
        y = F.layer_norm(x.movedim(1, -1).float(), self.normalized_shape, self.weight.float(), self.bias.float(), self.eps)
        return y.movedim(-1, 1).to(x.dtype)


class ResBlock3d(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.norm1 = ChannelLayerNorm32(channels, eps=1e-5)
        self.norm2 = ChannelLayerNorm32(channels, eps=1e-5)
        self.conv1 = nn.Conv3d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv3d(channels, channels, 3, padding=1)

    def forward(self, x):
        h = self.conv1(F.silu(self.norm1(x)))
        return self.conv2(F.silu(self.norm2(h))) + x


def pixel_shuffle_3d(x, r=2):
    """`[B, 8C, X, Y, Z]` to `[B, C, 2X, 2Y, 2Z]`: `out[c, 2X+i, 2Y+j, 2Z+k] = in[8c + 4i + 2j + k, X, Y, Z]`."""
    b, c, *size = x.shape
    x = x.reshape(b, c // r**3, r, r, r, *size).permute(0, 1, 5, 2, 6, 3, 7, 4)
    return x.reshape(b, c // r**3, *(s * r for s in size))


class Upsample(nn.Module):
    def __init__(self, cin, cout):
        super().__init__()
        self.conv = nn.Conv3d(cin, cout * 8, 3, padding=1)

    def forward(self, x):
        return pixel_shuffle_3d(self.conv(x))


class Downsample(nn.Module):
    def __init__(self, cin, cout):
        super().__init__()
        self.conv = nn.Conv3d(cin, cout, 2, stride=2)

    def forward(self, x):
        return self.conv(x)


def output_norm(kind, channels):
    if kind == "layer":
        return ChannelLayerNorm32(channels, eps=1e-5)
    return nn.GroupNorm(32, channels, eps=1e-5)


class SparseStructureDecoder(nn.Module):
    """Latent `[B, latent, R, R, R]` to occupancy logits at `R * 2^(len(channels)-1)`."""

    def __init__(self, out_channels, latent_channels, num_res_blocks, channels, num_res_blocks_middle=2,
                 norm_type="layer", use_fp16=False):
        super().__init__()
        self.input_layer = nn.Conv3d(latent_channels, channels[0], 3, padding=1)
        self.middle_block = nn.Sequential(*(ResBlock3d(channels[0]) for _ in range(num_res_blocks_middle)))
        blocks = []
        for i, c in enumerate(channels):
            blocks += [ResBlock3d(c) for _ in range(num_res_blocks)]
            if i + 1 < len(channels):
                blocks.append(Upsample(c, channels[i + 1]))
        self.blocks = nn.ModuleList(blocks)
        self.out_layer = nn.Sequential(output_norm(norm_type, channels[-1]), nn.SiLU(),
                                       nn.Conv3d(channels[-1], out_channels, 3, padding=1))

    def forward(self, z):
        h = self.middle_block(self.input_layer(z))
        for block in self.blocks:
            h = block(h)
        return self.out_layer(h)


class SparseStructureEncoder(nn.Module):
    """Occupancy `[B, 1, R, R, R]` to mean and log-variance, each `[B, latent, R', R', R']`."""

    def __init__(self, in_channels, latent_channels, num_res_blocks, channels, num_res_blocks_middle=2,
                 norm_type="layer", use_fp16=False):
        super().__init__()
        self.input_layer = nn.Conv3d(in_channels, channels[0], 3, padding=1)
        blocks = []
        for i, c in enumerate(channels):
            blocks += [ResBlock3d(c) for _ in range(num_res_blocks)]
            if i + 1 < len(channels):
                blocks.append(Downsample(c, channels[i + 1]))
        self.blocks = nn.ModuleList(blocks)
        self.middle_block = nn.Sequential(*(ResBlock3d(channels[-1]) for _ in range(num_res_blocks_middle)))
        self.out_layer = nn.Sequential(output_norm(norm_type, channels[-1]), nn.SiLU(),
                                       nn.Conv3d(channels[-1], 2 * latent_channels, 3, padding=1))

    def forward(self, x):
        h = self.input_layer(x)
        for block in self.blocks:
            h = block(h)
        return self.out_layer(self.middle_block(h)).chunk(2, dim=1)


def occupied(logits):
    """Rows (batch, x, y, z) int32 with logit above zero, in lexicographic order."""
    return torch.argwhere(logits > 0)[:, [0, 2, 3, 4]].int()
