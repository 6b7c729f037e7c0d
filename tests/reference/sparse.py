"""Sparse voxel tensors: convolution, resampling and norms (spec 6.1, 6.3, 6.4, 7.3)."""

import torch
import torch.nn.functional as F
from torch import nn

from .blocks import LayerNorm32, Segments, collect, spread


class Geometry:
    """A coordinate set `[N, 4]` (batch, x, y, z) with everything derived from it, computed once on demand."""

    def __init__(self, coords):
        self.coords = coords
        self.batch = coords[:, 0].long()
        self.batch_size = int(self.batch.max()) + 1 if len(coords) else 0
        self._cache = {}

    def __len__(self):
        return self.coords.shape[0]

    def _once(self, key, make):
        if key not in self._cache:
            self._cache[key] = make()
        return self._cache[key]

    def items(self):
        """Segments that are the batch items."""
        return self._once("items", lambda: Segments(self.batch))

    def windows(self, size, shift):
        """Segments that are the cubic windows `floor((coord + shift) / size)`."""
        def make():
            index = torch.div(self.coords[:, 1:].long() + shift, size, rounding_mode="floor")
            base = int(index.max()) + 1
            key = ((self.batch * base + index[:, 0]) * base + index[:, 1]) * base + index[:, 2]
            return Segments(key)
        return self._once(("windows", size, shift), make)

    def neighbours(self):
        """`[27, N]` row of `coord + (i-1, j-1, k-1)`, tap index `9i + 3j + k`; N where there is none."""
        def make():
            xyz = self.coords[:, 1:].long() + 1
            side = int(xyz.max()) + 2
            volume = torch.full((self.batch_size * side**3,), len(self), dtype=torch.long, device=xyz.device)
            flat = ((self.batch * side + xyz[:, 0]) * side + xyz[:, 1]) * side + xyz[:, 2]
            volume[flat] = torch.arange(len(self), device=xyz.device)
            offsets = [(i * side + j) * side + k for i in (-1, 0, 1) for j in (-1, 0, 1) for k in (-1, 0, 1)]
            return torch.stack([volume[flat + o] for o in offsets])
        return self._once("neighbours", make)

    def downsampled(self):
        """(coarse geometry sorted lexicographically, row of the parent of each voxel)."""
        def make():
            coarse = torch.cat([self.coords[:, :1], torch.div(self.coords[:, 1:], 2, rounding_mode="floor")], dim=1)
            rows, parent = torch.unique(coarse, dim=0, return_inverse=True)
            return Geometry(rows.int()), parent
        return self._once("down", make)

    def subdivided(self):
        """Eight children a voxel, grouped by parent, z fastest."""
        def make():
            axis = torch.arange(2, device=self.coords.device, dtype=self.coords.dtype)
            child = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), dim=-1).reshape(1, 8, 3)
            xyz = (self.coords[:, None, 1:] * 2 + child).reshape(-1, 3)
            return Geometry(torch.cat([self.coords[:, :1].repeat_interleave(8, 0), xyz], dim=1))
        return self._once("subdivided", make)


def downsample(feats, geometry):
    """Sum of the children over (their number + 1): the reference's mean counts its zero start row."""
    coarse, parent = geometry.downsampled()
    total = feats.new_zeros(len(coarse), feats.shape[1]).index_add(0, parent, feats)
    count = torch.bincount(parent, minlength=len(coarse)) + 1
    return total / count[:, None].to(feats.dtype)


def upsample(feats, geometry):
    """Each voxel of `geometry` takes the feature of its parent row."""
    return feats[geometry.downsampled()[1]]


def _gather_product(x, neighbours, matrix):
    """`[x of the 27 neighbours] @ matrix` for `matrix [27*C, out]`, in slices that bound the memory."""
    padded = torch.cat([x, x.new_zeros(1, x.shape[1])])
    step = max(1, 2**28 // matrix.shape[0])
    return torch.cat([padded[n.t()].flatten(1) @ matrix for n in neighbours.split(step, dim=1)])


class _Gathered(torch.autograd.Function):
    """`sum_t x[neighbour_t] @ weight_t`, gathering again in the backward pass to spare memory."""

    @staticmethod
    def forward(ctx, x, weight, neighbours):
        ctx.save_for_backward(x, weight, neighbours)
        return _gather_product(x, neighbours, weight.flatten(0, 1))

    @staticmethod
    def backward(ctx, grad):
        x, weight, neighbours = ctx.saved_tensors
        # the neighbour relation is symmetric: p is a neighbour of q by the opposite tap
        grad_x = _gather_product(grad, neighbours, weight.flip(0).transpose(1, 2).reshape(-1, weight.shape[1]))
        padded = torch.cat([x, x.new_zeros(1, x.shape[1])])
        grad_weight = torch.zeros(weight.shape[0] * weight.shape[1], weight.shape[2], device=x.device)
        step = max(1, 2**28 // grad_weight.shape[0])
        for n, g in zip(neighbours.split(step, dim=1), grad.split(step)):
            grad_weight += (padded[n.t()].flatten(1).t() @ g).float()
        return grad_x, grad_weight.view_as(weight).to(weight.dtype), None


class SubmanifoldConv3d(nn.Module):
    """spconv layer, keys `conv.weight [out, k, k, k, in]` and `conv.bias`; k is 3 or 1."""

    def __init__(self, cin, cout, kernel):
        super().__init__()
        self.kernel = kernel
        self.conv = nn.Module()
        self.conv.weight = nn.Parameter(torch.empty(cout, kernel, kernel, kernel, cin))
        self.conv.bias = nn.Parameter(torch.zeros(cout))
        nn.init.normal_(self.conv.weight, std=(cin * kernel**3) ** -0.5)

    def forward(self, feats, geometry):
        weight, bias = self.conv.weight, self.conv.bias
        if torch.is_autocast_enabled(feats.device.type):
            dtype = torch.get_autocast_dtype(feats.device.type)
            feats, weight, bias = feats.to(dtype), weight.to(dtype), bias.to(dtype)
        if self.kernel == 1:
            # spconv views the stored buffer as [in, out]; it does not transpose it
            return feats @ weight.reshape(weight.shape[-1], weight.shape[0]) + bias
        taps = weight.permute(1, 2, 3, 4, 0).reshape(27, weight.shape[-1], weight.shape[0])
        return _Gathered.apply(feats, taps.contiguous(), geometry.neighbours()) + bias


class SparseGroupNorm32(nn.GroupNorm):
    """Group norm with statistics over all voxels of a batch item and the group's channels, in float32."""

    def forward(self, feats, geometry):
        groups, batch = self.num_groups, geometry.batch
        x = feats.float().unflatten(1, (groups, -1))
        size = torch.bincount(batch, minlength=geometry.batch_size)[:, None] * x.shape[2]
        items = geometry.batch_size
        mean = collect(x.sum(2), batch, items) / size
        centred = x - spread(mean, batch)[:, :, None]
        var = collect(centred.square().sum(2), batch, items) / size
        y = (centred * spread(torch.rsqrt(var + self.eps), batch)[:, :, None]).flatten(1)
        return (y * self.weight.float() + self.bias.float()).to(feats.dtype)


class SparseResBlock3d(nn.Module):
    """Modulated residual block of the latent flow; `resample` is None, 'down' or 'up'."""

    def __init__(self, cin, emb, cout, resample=None):
        super().__init__()
        self.resample = resample
        self.norm1 = LayerNorm32(cin, eps=1e-6)
        self.norm2 = LayerNorm32(cout, eps=1e-6, elementwise_affine=False)
        self.conv1 = SubmanifoldConv3d(cin, cout, 3)
        self.conv2 = SubmanifoldConv3d(cout, cout, 3)
        self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(emb, 2 * cout))
        self.skip_connection = nn.Linear(cin, cout) if cin != cout else nn.Identity()

    def forward(self, feats, geometry, emb):
        """`geometry` is the input's; for 'up' it is the fine geometry to return to. Returns (feats, geometry)."""
        if self.resample == "down":
            feats, geometry = downsample(feats, geometry), geometry.downsampled()[0]
        elif self.resample == "up":
            feats = upsample(feats, geometry)
        scale, shift = spread(self.emb_layers(emb), geometry.batch).chunk(2, dim=-1)
        h = self.conv1(F.silu(self.norm1(feats)), geometry)
        h = self.conv2(F.silu(self.norm2(h) * (1 + scale) + shift), geometry)
        return h + self.skip_connection(feats), geometry


class SparseSubdivideBlock3d(nn.Module):
    """Doubles the resolution of the mesh decoder's voxels."""

    def __init__(self, cin, cout):
        super().__init__()
        self.act_layers = nn.Sequential(SparseGroupNorm32(32, cin), nn.SiLU())
        self.out_layers = nn.ModuleList([SubmanifoldConv3d(cin, cout, 3), SparseGroupNorm32(32, cout), nn.SiLU(),
                                         SubmanifoldConv3d(cout, cout, 3)])
        self.skip_connection = SubmanifoldConv3d(cin, cout, 1) if cin != cout else None

    def forward(self, feats, geometry):
        fine = geometry.subdivided()
        a = F.silu(self.act_layers[0](feats, geometry)).repeat_interleave(8, 0)
        a = self.out_layers[0](a, fine)
        a = self.out_layers[3](F.silu(self.out_layers[1](a, fine)), fine)
        shortcut = feats if self.skip_connection is None else self.skip_connection(feats, geometry)
        return a + shortcut.repeat_interleave(8, 0), fine
