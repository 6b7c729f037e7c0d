"""Layers shared by the dense and the sparse networks."""

import math

import torch
import torch.nn.functional as F
from torch import nn


class LayerNorm32(nn.LayerNorm):
    """Layer norm that always computes in float32 and returns the input's dtype."""

    def forward(self, x):
        weight = None if self.weight is None else self.weight.float()
        bias = None if self.bias is None else self.bias.float()
        return F.layer_norm(x.float(), self.normalized_shape, weight, bias, self.eps).to(x.dtype)


def plain_layer_norm(x, eps=1e-5):
    """Parameter-free layer norm over the last axis."""
    return F.layer_norm(x, x.shape[-1:], eps=eps)


class MultiHeadRMSNorm(nn.Module):
    """L2-normalise each head vector, then scale by gamma and sqrt(head dim). Input `[..., heads, head_dim]`."""

    def __init__(self, head_dim, heads):
        super().__init__()
        self.scale = head_dim**0.5
        self.gamma = nn.Parameter(torch.ones(heads, head_dim))

    def forward(self, x):
        return (F.normalize(x.float(), dim=-1, eps=1e-12) * self.gamma.float() * self.scale).to(x.dtype)


class TimestepEmbedder(nn.Module):
    """`[B]` times (already multiplied by 1000) to `[B, width]`."""

    def __init__(self, width, frequency_size=256):
        super().__init__()
        self.frequency_size = frequency_size
        self.mlp = nn.Sequential(nn.Linear(frequency_size, width), nn.SiLU(), nn.Linear(width, width))

    def frequencies(self, t):
        half = self.frequency_size // 2
        freqs = torch.exp(-math.log(10000.0) * torch.arange(half, dtype=torch.float32, device=t.device) / half)
        angles = t.float()[:, None] * freqs[None]
        return torch.cat([angles.cos(), angles.sin()], dim=-1)

    def forward(self, t):
        return self.mlp(self.frequencies(t))


def absolute_position_embedding(coords, width):
    """`[N, 3]` integer coordinates to `[N, width]`: per axis sines then cosines, zero padded at the end."""
    count = width // 3 // 2
    freqs = 1.0 / 10000.0 ** (torch.arange(count, dtype=torch.float32, device=coords.device) / count)
    angles = coords.float()[..., None] * freqs
    embedding = torch.cat([angles.sin(), angles.cos()], dim=-1).flatten(-2)
    return F.pad(embedding, (0, width - embedding.shape[-1]))


class FeedForward(nn.Module):
    """Linear, tanh-GELU, Linear; keys `mlp.0` and `mlp.2`."""

    def __init__(self, width, ratio):
        super().__init__()
        hidden = int(width * ratio)
        self.mlp = nn.Sequential(nn.Linear(width, hidden), nn.GELU(approximate="tanh"), nn.Linear(hidden, width))

    def forward(self, x):
        return self.mlp(x)


def attend(q, k, v, mask=None):
    """Scaled dot-product attention on `[B, L, H, D]`; `mask` is `[B, L_k]`, true where a key exists."""
    q, k, v = (x.transpose(1, 2) for x in (q, k, v))
    if mask is not None:
        mask = mask[:, None, None, :]
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask).transpose(1, 2)


class Segments:
    """Rows of a packed `[N, ...]` tensor grouped into segments that attend only within themselves."""

    def __init__(self, segment_of_row):
        self.rows = segment_of_row.shape[0]
        values, inverse, lengths = torch.unique(segment_of_row, return_inverse=True, return_counts=True)
        order = torch.argsort(inverse, stable=True)
        starts = torch.cumsum(lengths, 0) - lengths
        ranked = inverse[order]
        place = torch.arange(self.rows, device=order.device) - starts[ranked]
        self.lengths = lengths
        self.longest = int(lengths.max()) if self.rows else 0
        self.slot = torch.empty_like(order)
        self.slot[order] = ranked * self.longest + place
        self.count = values.shape[0]
        self.mask = torch.arange(self.longest, device=order.device)[None] < lengths[:, None]
        self.segment_rank = inverse

    def pad(self, x):
        padded = x.new_zeros((self.count * self.longest, *x.shape[1:]))
        return padded.index_copy(0, self.slot, x).view(self.count, self.longest, *x.shape[1:])

    def pack(self, x):
        return x.flatten(0, 1)[self.slot]

    def attend(self, q, k, v):
        return self.pack(attend(self.pad(q), self.pad(k), self.pad(v), self.mask))


class _Spread(torch.autograd.Function):
    """`values[batch]`, whose gradient is a product: summing by index is slow where few rows take many addends."""

    @staticmethod
    def forward(ctx, values, batch):
        ctx.save_for_backward(batch)
        ctx.items = values.shape[0]
        return values[batch]

    @staticmethod
    def backward(ctx, grad):
        return _total(grad, ctx.saved_tensors[0], ctx.items).to(grad.dtype), None


class _Collect(torch.autograd.Function):
    """The transpose of `_Spread`: float32 sums of the rows of each batch item."""

    @staticmethod
    def forward(ctx, rows, batch, items):
        ctx.save_for_backward(batch)
        ctx.dtype = rows.dtype
        return _total(rows, batch, items)

    @staticmethod
    def backward(ctx, grad):
        return grad[ctx.saved_tensors[0]].to(ctx.dtype), None, None


def _total(rows, batch, items):
    with torch.autocast(rows.device.type, enabled=False):
        return F.one_hot(batch, items).float().t() @ rows.float()


def spread(values, batch):
    """`[B, C]` to `[N, C]`: each packed row takes its batch item's values."""
    return _Spread.apply(values, batch)


def collect(rows, batch, items):
    """`[N, C]` to `[B, C]` float32: sums over the rows of each batch item."""
    return _Collect.apply(rows, batch, items)


class SelfAttention(nn.Module):
    """`to_qkv` viewed `[L, 3, H, D]`, optional q/k RMS norm, `to_out`. `segments` selects the packed form."""

    def __init__(self, width, heads, qk_rms_norm=False):
        super().__init__()
        self.heads = heads
        self.to_qkv = nn.Linear(width, 3 * width)
        if qk_rms_norm:
            self.q_rms_norm = MultiHeadRMSNorm(width // heads, heads)
            self.k_rms_norm = MultiHeadRMSNorm(width // heads, heads)
        self.qk_rms_norm = qk_rms_norm
        self.to_out = nn.Linear(width, width)

    def forward(self, x, segments=None, mask=None):
        q, k, v = self.to_qkv(x).unflatten(-1, (3, self.heads, -1)).unbind(-3)
        if self.qk_rms_norm:
            q, k = self.q_rms_norm(q), self.k_rms_norm(k)
        y = attend(q, k, v, mask) if segments is None else segments.attend(q, k, v)
        return self.to_out(y.flatten(-2))


class CrossAttention(nn.Module):
    """Queries from tokens, keys and values from the condition `[B, M, cond]`."""

    def __init__(self, width, cond_width, heads, qk_rms_norm=False):
        super().__init__()
        self.heads = heads
        self.to_q = nn.Linear(width, width)
        self.to_kv = nn.Linear(cond_width, 2 * width)
        if qk_rms_norm:
            self.q_rms_norm = MultiHeadRMSNorm(width // heads, heads)
            self.k_rms_norm = MultiHeadRMSNorm(width // heads, heads)
        self.qk_rms_norm = qk_rms_norm
        self.to_out = nn.Linear(width, width)

    def forward(self, x, context, segments=None):
        q = self.to_q(x).unflatten(-1, (self.heads, -1))
        k, v = self.to_kv(context).unflatten(-1, (2, self.heads, -1)).unbind(-3)
        if self.qk_rms_norm:
            q, k = self.q_rms_norm(q), self.k_rms_norm(k)
        y = attend(q, k, v) if segments is None else segments.pack(attend(segments.pad(q), k, v))
        return self.to_out(y.flatten(-2))


class ModulatedCrossBlock(nn.Module):
    """adaLN self-attention, cross-attention, adaLN MLP.

    Dense: `x [B, L, C]`, with `mask [B, L]` where some rows are spare. Packed: `x [N, C]` with `segments` (one a batch item)
    and `batch [N]`.
    `modulation` is the time embedding `[B, C]`, or `[B, 6C]` when the model shares its modulation.
    """

    def __init__(self, width, cond_width, heads, mlp_ratio, qk_rms_norm=True, share_mod=False,
                 qk_rms_norm_cross=False):
        super().__init__()
        self.share_mod = share_mod
        self.norm1 = LayerNorm32(width, eps=1e-6, elementwise_affine=False)
        self.norm2 = LayerNorm32(width, eps=1e-6)
        self.norm3 = LayerNorm32(width, eps=1e-6, elementwise_affine=False)
        self.self_attn = SelfAttention(width, heads, qk_rms_norm)
        self.cross_attn = CrossAttention(width, cond_width, heads, qk_rms_norm_cross)
        self.mlp = FeedForward(width, mlp_ratio)
        if not share_mod:
            self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, 6 * width))

    def forward(self, x, modulation, context, segments=None, batch=None, mask=None):
        m = modulation if self.share_mod else self.adaLN_modulation(modulation)
        m = m[:, None] if segments is None else spread(m, batch)
        shift_a, scale_a, gate_a, shift_m, scale_m, gate_m = m.chunk(6, dim=-1)
        x = x + self.self_attn(self.norm1(x) * (1 + scale_a) + shift_a, segments, mask) * gate_a
        x = x + self.cross_attn(self.norm2(x), context, segments)
        return x + self.mlp(self.norm3(x) * (1 + scale_m) + shift_m) * gate_m


class WindowBlock(nn.Module):
    """The latent decoders' block: parameter-free norms, windowed attention, MLP."""

    def __init__(self, width, heads, mlp_ratio):
        super().__init__()
        self.norm1 = LayerNorm32(width, eps=1e-6, elementwise_affine=False)
        self.norm2 = LayerNorm32(width, eps=1e-6, elementwise_affine=False)
        self.attn = SelfAttention(width, heads)
        self.mlp = FeedForward(width, mlp_ratio)

    def forward(self, x, segments):
        x = x + self.attn(self.norm1(x), segments)
        return x + self.mlp(self.norm2(x))
