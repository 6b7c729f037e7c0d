"""Sparse-structure flow model: a dense diffusion transformer over a latent cube (spec 3)."""

import torch
from torch import nn

from .blocks import ModulatedCrossBlock, TimestepEmbedder, absolute_position_embedding, plain_layer_norm


def patchify(x, p):
    """`[B, C, X, Y, Z]` to `[B, C*p^3, X/p, Y/p, Z/p]`, channel index `c*p^3 + i*p^2 + j*p + k`."""
    b, c, *size = x.shape
    x = x.reshape(b, c, size[0] // p, p, size[1] // p, p, size[2] // p, p)
    return x.permute(0, 1, 3, 5, 7, 2, 4, 6).reshape(b, c * p**3, *(s // p for s in size))


def unpatchify(x, p):
    """The inverse of `patchify`."""
    b, c, *size = x.shape
    x = x.reshape(b, c // p**3, p, p, p, *size).permute(0, 1, 5, 2, 6, 3, 7, 4)
    return x.reshape(b, c // p**3, *(s * p for s in size))


class SparseStructureFlowModel(nn.Module):
    """Velocity for `x [B, C, R, R, R]` at time `t [B]` (times 1000) given `cond [B, L, cond_channels]`."""

    def __init__(self, resolution, in_channels, out_channels, model_channels, cond_channels, num_blocks,
                 num_heads=None, num_head_channels=64, mlp_ratio=4, patch_size=2, pe_mode="ape",
                 qk_rms_norm=False, qk_rms_norm_cross=False, share_mod=False, use_fp16=False):
        super().__init__()
        if pe_mode != "ape":
            raise ValueError("only pe_mode 'ape' is specified")
        self.patch_size, self.share_mod = patch_size, share_mod
        self.grid = resolution // patch_size
        width, heads = model_channels, num_heads or model_channels // num_head_channels
        self.t_embedder = TimestepEmbedder(width)
        if share_mod:
            self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, 6 * width))
        axis = torch.arange(self.grid)
        coords = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), dim=-1).reshape(-1, 3)
        self.register_buffer("pos_emb", absolute_position_embedding(coords, width))
        self.input_layer = nn.Linear(in_channels * patch_size**3, width)
        self.blocks = nn.ModuleList(
            ModulatedCrossBlock(width, cond_channels, heads, mlp_ratio, qk_rms_norm, share_mod, qk_rms_norm_cross)
            for _ in range(num_blocks))
        self.out_layer = nn.Linear(width, out_channels * patch_size**3)

    def tokens_after_blocks(self, x, t, cond):
        h = patchify(x, self.patch_size).flatten(2).transpose(1, 2)
        h = self.input_layer(h) + self.pos_emb[None]
        modulation = self.t_embedder(t)
        if self.share_mod:
            modulation = self.adaLN_modulation(modulation)
        for block in self.blocks:
            h = block(h, modulation, cond)
        return h

    def forward(self, x, t, cond):
        h = plain_layer_norm(self.tokens_after_blocks(x, t, cond).float())
        h = self.out_layer(h).transpose(1, 2).unflatten(2, (self.grid,) * 3)
        return unpatchify(h, self.patch_size)
