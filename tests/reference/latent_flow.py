"""Structured-latent flow model: a sparse diffusion transformer (spec 6)."""

import math

import torch
from torch import nn

from .blocks import ModulatedCrossBlock, TimestepEmbedder, absolute_position_embedding, plain_layer_norm
from .sparse import SparseResBlock3d


class SLatFlowModel(nn.Module):
    """Velocity for packed `feats [N, in]` on a `Geometry`, at `t [B]` (times 1000), `cond [B, L, cond]`."""

    def __init__(self, resolution, in_channels, out_channels, model_channels, cond_channels, num_blocks,
                 num_heads=None, num_head_channels=64, mlp_ratio=4, patch_size=2, num_io_res_blocks=2,
                 io_block_channels=None, pe_mode="ape", use_skip_connection=True, qk_rms_norm=False,
                 qk_rms_norm_cross=False, share_mod=False, use_fp16=False):
        super().__init__()
        if pe_mode != "ape":
            raise ValueError("only pe_mode 'ape' is specified")
        width, heads = model_channels, num_heads or model_channels // num_head_channels
        io = list(io_block_channels or [])
        if len(io) != int(math.log2(patch_size)):
            raise ValueError("io_block_channels needs log2(patch_size) entries")
        self.width, self.share_mod, self.skips = width, share_mod, use_skip_connection
        self.t_embedder = TimestepEmbedder(width)
        if share_mod:
            self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, 6 * width))
        self.input_layer = nn.Linear(in_channels, io[0] if io else width)
        inputs, outputs = [], []
        for c, below in zip(io, io[1:] + [width]):
            inputs += [SparseResBlock3d(c, width, c) for _ in range(num_io_res_blocks - 1)]
            inputs.append(SparseResBlock3d(c, width, below, "down"))
        twice = 2 if use_skip_connection else 1
        for c, below in zip(reversed(io), [width] + io[:0:-1]):
            outputs.append(SparseResBlock3d(below * twice, width, c, "up"))
            outputs += [SparseResBlock3d(c * twice, width, c) for _ in range(num_io_res_blocks - 1)]
        self.input_blocks, self.out_blocks = nn.ModuleList(inputs), nn.ModuleList(outputs)
        self.blocks = nn.ModuleList(
            ModulatedCrossBlock(width, cond_channels, heads, mlp_ratio, qk_rms_norm, share_mod, qk_rms_norm_cross)
            for _ in range(num_blocks))
        self.out_layer = nn.Linear(io[0] if io else width, out_channels)

    def forward(self, feats, geometry, t, cond, taps=None):
        """`taps`, if a dict, receives intermediate features by name."""
        h, emb = self.input_layer(feats), self.t_embedder(t)
        record = taps.__setitem__ if taps is not None else lambda *_: None
        record("h_input_layer", h)
        fine, skips = [], []
        for block in self.input_blocks:
            if block.resample:
                fine.append(geometry)
            h, geometry = block(h, geometry, emb)
            skips.append(h)
        record("h_down", h)
        h = h + absolute_position_embedding(geometry.coords[:, 1:], self.width).to(h.dtype)
        modulation = self.adaLN_modulation(emb) if self.share_mod else emb
        for i, block in enumerate(self.blocks):
            h = block(h, modulation, cond, geometry.items(), geometry.batch)
            record(f"h_tf{i}", h)
        for i, block in enumerate(self.out_blocks):
            skip = skips.pop()
            if self.skips:
                h = torch.cat([h, skip], dim=1)
            if block.resample:
                geometry = fine.pop()
            h, geometry = block(h, geometry, emb)
            record(f"h_out{i}", h)
        return self.out_layer(plain_layer_norm(h.float()))
