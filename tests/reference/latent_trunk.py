"""The windowed sparse transformer shared by the latent encoder and decoders (spec 7.1)."""

import torch
from torch import nn

from .blocks import WindowBlock, absolute_position_embedding, plain_layer_norm


class SparseTrunk(nn.Module):
    """`feats [N, in]` on a `Geometry` to `[N, model_channels]`; odd blocks use windows shifted by half."""

    def __init__(self, in_channels, resolution, model_channels, num_blocks, num_heads=None, num_head_channels=64,
                 mlp_ratio=4, attn_mode="swin", window_size=8, pe_mode="ape", use_fp16=False):
        super().__init__()
        if attn_mode != "swin" or pe_mode != "ape":
            raise ValueError("only attn_mode 'swin' with pe_mode 'ape' is specified")
        self.resolution, self.window, self.width = resolution, window_size, model_channels
        heads = num_heads or model_channels // num_head_channels
        self.input_layer = nn.Linear(in_channels, model_channels)
        self.blocks = nn.ModuleList(WindowBlock(model_channels, heads, mlp_ratio) for _ in range(num_blocks))

    def trunk(self, feats, geometry):
        h = self.input_layer(feats)
        h = h + absolute_position_embedding(geometry.coords[:, 1:], self.width).to(h.dtype)
        for i, block in enumerate(self.blocks):
            h = block(h, geometry.windows(self.window, (i % 2) * self.window // 2))
        return h


class SLatEncoder(SparseTrunk):
    """Voxel features to the mean and log-variance of the latent, each `[N, latent]`."""

    def __init__(self, resolution, in_channels, model_channels, latent_channels, num_blocks, **trunk):
        super().__init__(in_channels, resolution, model_channels, num_blocks, **trunk)
        self.out_layer = nn.Linear(model_channels, 2 * latent_channels)

    def forward(self, feats, geometry):
        h = self.out_layer(plain_layer_norm(self.trunk(feats, geometry).float()))
        return h.chunk(2, dim=-1)
