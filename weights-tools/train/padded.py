"""The latent flow on padded batches of fixed shape: the weights and numbers of `reference.latent_flow`, made for training.

The reference packs the voxels of a batch, so that every batch has shapes of its own, and its gradients sum by index. Here a
batch is `[B, M]` voxels with spare rows, everything that follows from coordinates is worked out with fixed shapes and without
waiting for the device, and each gather's gradient is a gather by the opposite table. So a whole training step can be
recorded once as a CUDA graph. `train.check` holds both against each other.
"""

import torch
import torch.nn.functional as F

from reference.blocks import absolute_position_embedding, plain_layer_norm

from .config import STRUCTURE


def gather_rows(x, index):
    """Rows `[*index.shape, C]` of `x [N, C]`; index N is a row of zeros."""
    return F.pad(x, (0, 0, 0, 1)).index_select(0, index.flatten()).view(*index.shape, x.shape[1])


def _add_up(x):
    """Sum over dim 1 of `x [N, T, C]` in x's type, added up in float32; the type is named since autocast would copy x into float32."""
    return x.sum(1, dtype=torch.float32).to(x.dtype)


class Level:
    """Voxels of one resolution: `cell [B, M]` flat index (x slowest) and `exists [B, M]`; rows are numbered through the batch."""

    def __init__(self, cell, exists, side):
        self.cell, self.exists, self.side = cell, exists, side
        self.batch, self.slots = cell.shape
        self.none = cell.numel()
        self.xyz = torch.stack([cell // side**2, cell // side % side, cell % side], -1)
        wide = side + 2
        x, y, z = (self.xyz + 1).unbind(-1)
        self._spare = wide**3
        place = torch.where(exists, (x * wide + y) * wide + z, self._spare)
        rows = torch.arange(self.none, device=cell.device, dtype=torch.int32).view_as(cell)
        # spare voxels all write "none" to the spare cell
        self.volume = torch.full((self.batch, self._spare + 1), self.none, dtype=torch.int32, device=cell.device)
        self.volume.scatter_(1, place, torch.where(exists, rows, self.none))
        tap = torch.arange(27, device=cell.device)
        steps = ((tap // 9 - 1) * wide + tap // 3 % 3 - 1) * wide + tap % 3 - 1
        index = torch.where(exists[..., None], place[..., None] + steps, self._spare)
        # [rows, 27]: row of the neighbour at each tap, `none` where there is none
        self.neighbours = self.volume.gather(1, index.flatten(1)).view(self.none, 27)

    def at(self, xyz, exists):
        """Rows `[...]` of the voxels at `xyz [B, ..., 3]`, `none` where `exists` is false or nothing is there."""
        wide = self.side + 2
        x, y, z = (xyz + 1).unbind(-1)
        index = torch.where(exists, (x * wide + y) * wide + z, self._spare)
        return self.volume.gather(1, index.flatten(1)).view(index.shape)


class Tables:
    """Both levels of the flow and the ways between them. `coarse_slots` must hold every object's coarse voxels."""

    def __init__(self, cell, exists, coarse_slots):
        device, batch = cell.device, len(cell)
        self.fine = Level(cell, exists, STRUCTURE)
        half = STRUCTURE // 2
        cells = half**3
        x, y, z = (self.fine.xyz // 2).unbind(-1)
        above = torch.where(exists, (x * half + y) * half + z, cells)
        occupied = torch.zeros(batch, cells + 1, dtype=torch.int32, device=device).scatter_(1, above, 1)
        occupied[:, cells:] = 0
        rank = occupied.cumsum(1) - 1
        place = torch.where(occupied > 0, rank, coarse_slots)
        ids = torch.arange(cells + 1, device=device).expand(batch, -1)
        cell = torch.zeros(batch, coarse_slots + 1, dtype=torch.long, device=device).scatter_(1, place, ids)[:, :-1]
        there = torch.arange(coarse_slots, device=device) < occupied.sum(1, keepdim=True)
        self.coarse = Level(torch.where(there, cell, 0), there, half)
        first = torch.arange(batch, device=device)[:, None] * coarse_slots
        # [fine rows]: the coarse row above
        self.parent = torch.where(exists, rank.gather(1, above) + first, self.coarse.none).flatten().int()
        corner = torch.stack(torch.meshgrid(*[torch.arange(2, device=device)] * 3, indexing="ij"), -1).view(8, 3)
        below = self.coarse.xyz[:, :, None] * 2 + corner
        # [coarse rows, 8]
        self.children = self.fine.at(below, there[..., None].expand(-1, -1, 8)).view(-1, 8)
        # the reference's mean counts one row of zeros
        self.share = 1 / ((self.children < self.fine.none).sum(1, keepdim=True) + 1)
        above = F.pad(self.parent, (0, 1), value=self.coarse.none)
        self.parent_of_neighbours = above.index_select(0, self.fine.neighbours.flatten()).view(-1, 27)


def _gather_sum(products, index):
    """`sum_t products[index[:, t], t]` for `products [N, 27, C]`; index N adds nothing."""
    count, taps, width = products.shape
    flat = (index * taps + torch.arange(taps, device=index.device, dtype=index.dtype)).clamp_max(count * taps)
    return _add_up(gather_rows(products.view(-1, width), flat))


class _Convolution(torch.autograd.Function):
    """`y[q] = sum_t x[neighbour_t(q)] @ weight[t]` for `weight [27, in, out]`."""

    @staticmethod
    def forward(ctx, x, weight, neighbours):
        ctx.save_for_backward(x, weight, neighbours)
        if x.shape[1] <= weight.shape[2]:
            return gather_rows(x, neighbours).flatten(1) @ weight.flatten(0, 1)
        products = x @ weight.transpose(0, 1).flatten(1)
        return _gather_sum(products.unflatten(1, (27, -1)), neighbours)

    @staticmethod
    def backward(ctx, grad):
        x, weight, neighbours = ctx.saved_tensors
        # p is q's neighbour at tap t where q is p's at the opposite one
        come = gather_rows(grad, neighbours.flip(1)).flatten(1)
        grad_weight = (x.t() @ come).unflatten(1, (27, -1)).transpose(0, 1)
        return come @ weight.transpose(1, 2).flatten(0, 1), grad_weight, None


class _RaisedConvolution(torch.autograd.Function):
    """The convolution of coarse features carried to the fine voxels; the products are taken once a coarse voxel."""

    @staticmethod
    def forward(ctx, x, weight, tables):
        ctx.save_for_backward(x, weight)
        ctx.tables = tables
        products = x @ weight.transpose(0, 1).flatten(1)
        return _gather_sum(products.unflatten(1, (27, -1)), tables.parent_of_neighbours)

    @staticmethod
    def backward(ctx, grad):
        (x, weight), tables = ctx.saved_tensors, ctx.tables
        come = gather_rows(grad, tables.fine.neighbours.flip(1)).flatten(1)
        fine = come @ weight.transpose(1, 2).flatten(0, 1)
        grad_weight = (gather_rows(x, tables.parent).t() @ come).unflatten(1, (27, -1)).transpose(0, 1)
        return _add_up(gather_rows(fine, tables.children)), grad_weight, None


class _Raise(torch.autograd.Function):
    """Each fine voxel takes its parent's row."""

    @staticmethod
    def forward(ctx, x, tables):
        ctx.tables = tables
        return gather_rows(x, tables.parent)

    @staticmethod
    def backward(ctx, grad):
        return _add_up(gather_rows(grad, ctx.tables.children)), None


class _Lower(torch.autograd.Function):
    """Each coarse voxel takes the reference's mean of its children."""

    @staticmethod
    def forward(ctx, x, tables):
        ctx.tables = tables
        return _add_up(gather_rows(x, tables.children)) * tables.share.to(x.dtype)

    @staticmethod
    def backward(ctx, grad):
        return gather_rows(grad * ctx.tables.share.to(grad.dtype), ctx.tables.parent), None


def _convolve(layer, x, apply):
    """A `SubmanifoldConv3d` of kernel 3 on `x [B, M, C]`, in the autocast type; `apply(rows, taps)` does the sum."""
    kind = x.device.type
    dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x.dtype
    weight = layer.conv.weight.to(dtype)
    taps = weight.permute(1, 2, 3, 4, 0).reshape(27, weight.shape[-1], weight.shape[0])
    return apply(x.to(dtype).flatten(0, 1), taps).unflatten(0, (len(x), -1)) + layer.conv.bias.to(dtype)


def _on(level):
    return lambda rows, taps: _Convolution.apply(rows, taps, level.neighbours)


def _residual(block, x, tables, level, emb):
    """`SparseResBlock3d` on `x [B, M, C]` of its input's level; `level` is the level that it ends on."""
    each = lambda function, y: function.apply(y.flatten(0, 1), tables).unflatten(0, (len(y), -1))
    scale, shift = block.emb_layers(emb)[:, None].chunk(2, dim=-1)
    if block.resample == "up":
        # norm, activation and the skip's product act on single rows: done before the rows are multiplied
        h = F.silu(block.norm1(x))
        h = _convolve(block.conv1, h, lambda rows, taps: _RaisedConvolution.apply(rows, taps, tables))
        skip = each(_Raise, block.skip_connection(x))
    else:
        if block.resample == "down":
            x = each(_Lower, x)
        h = _convolve(block.conv1, F.silu(block.norm1(x)), _on(level))
        skip = block.skip_connection(x)
    h = _convolve(block.conv2, F.silu(block.norm2(h) * (1 + scale) + shift), _on(level))
    return h + skip


def velocity(flow, x, tables, t, cond):
    """What `flow` (a `SLatFlowModel` of one level) gives: `[B, M, out]` for `x [B, M, in]`, `t [B]` (times 1000), `cond [B, L, C]`.

    Spare rows of the result mean nothing.
    """
    h, emb = flow.input_layer(x), flow.t_embedder(t)
    skips = []
    for block in flow.input_blocks:
        h = _residual(block, h, tables, tables.coarse if block.resample else tables.fine, emb)
        skips.append(h)
    h = h + absolute_position_embedding(tables.coarse.xyz, flow.width).to(h.dtype)
    modulation = flow.adaLN_modulation(emb) if flow.share_mod else emb
    for block in flow.blocks:
        h = block(h, modulation, cond, mask=tables.coarse.exists)
    for block in flow.out_blocks:
        h = torch.cat([h, skips.pop()], -1) if flow.skips else h
        h = _residual(block, h, tables, tables.fine, emb)
    return flow.out_layer(plain_layer_norm(h.float()))
