"""Training objects of the latent flow, encoded once: voxels, standardised latents and picture tokens, sorted by size.

Both encoders are frozen while the flow learns, so all that a step needs of an object is made once and stays on the device.
Objects of like size share a class, whose batches are padded to one shape.
"""

import time

import torch

from reference.dinov2 import normalise_image

from . import config
from .pool import make_samples, soften
from .voxels import Voxels

R = config.STRUCTURE
# (voxels, coarse voxels) that an object of the class has at most; what fits none is left out
CLASSES = ((2048, 448), (3072, 576), (4096, 704), (6144, 1024), (8192, 1408), (16_384, 2560))


class SizeClass:
    """Objects padded to one size, up to `capacity` of them; the oldest give way."""

    def __init__(self, slots, coarse_slots, capacity, tokens, device):
        self.slots, self.coarse_slots, self.capacity = slots, coarse_slots, capacity
        self.made = 0
        empty = lambda *shape, dtype: torch.zeros(capacity, *shape, dtype=dtype, device=device)
        self.cell = empty(slots, dtype=torch.int16)
        self.count = empty(dtype=torch.int32)
        self.latent = empty(slots, config.LATENT_CHANNELS, dtype=torch.bfloat16)
        self.cond = empty(*tokens, dtype=torch.bfloat16)
        # a tensor, since recorded steps draw from as many objects as there are when they run
        self.filled = torch.zeros((), device=device)

    def add(self, cell, count, latent, cond):
        rows = (self.made + torch.arange(len(cell), device=cell.device)) % self.capacity
        self.cell[rows], self.count[rows] = cell.to(torch.int16), count.int()
        self.latent[rows], self.cond[rows] = latent.bfloat16(), cond.bfloat16()
        self.made += len(cell)
        self.filled.fill_(min(self.made, self.capacity))

    def draw(self, count):
        """`cell [B, M]`, `exists [B, M]`, `latent [B, M, C]`, `cond [B, L, D]` of random objects."""
        device = self.cell.device
        rows = torch.minimum(torch.rand(count, device=device) * self.filled, self.filled - 1).long()
        exists = torch.arange(self.slots, device=device) < self.count[rows, None]
        return self.cell[rows].long(), exists, self.latent[rows].float(), self.cond[rows].float()


class LatentCache:
    """`grow()` makes and encodes the objects of the next seeds; `classes` are drawn from."""

    def __init__(self, encoder, dino, norm, first_seed, capacity, device, batch=64, voxels=262_144):
        self.encoder, self.dino, self.norm, self.next_seed = encoder, dino, norm, first_seed
        self.batch, self.voxels, self.device = batch, voxels, device
        self.seconds, self.made, self.left_out = 0.0, 0, 0
        tokens = (1 + config.DINO["args"]["num_register_tokens"] + (config.IMAGE_SIZE // config.PATCH) ** 2, config.COND)
        self.classes = [SizeClass(*limits, capacity, tokens, device) for limits in CLASSES]

    @torch.no_grad()
    def encode(self, objects, occupied):
        """Latents `[B, R^3, C]` (not standardised; zero where nothing is) by slices that fit `voxels`."""
        out = torch.zeros(*occupied.shape, config.LATENT_CHANNELS, device=self.device)
        start, total = 0, occupied.sum(1).cumsum(0).tolist()
        while start < len(total):
            base = total[start - 1] if start else 0
            stop = start + max(1, sum(t - base <= self.voxels for t in total[start:]))
            voxels = Voxels(objects[start:stop], occupied[start:stop], self.voxels)
            with torch.autocast(self.device.type, torch.bfloat16):
                mean, _ = self.encoder(voxels.features(voxels.distances()), voxels.geometry)
            x, y, z = voxels.geometry.coords[:, 1:].long().unbind(-1)
            out[start + voxels.owner, (x * R + y) * R + z] = mean.float()
            start = stop
        return out

    @torch.no_grad()
    def measure_norm(self, count):
        """(mean, std) a channel over the voxels of the next `count` objects, which are not kept."""
        total, squares, voxels = 0, 0, 0
        for _ in range(-(-count // self.batch)):
            objects, _, _, occupied = make_samples(self._seeds())
            latent = self.encode(objects, occupied).double()
            total, squares = total + latent.sum((0, 1)), squares + latent.square().sum((0, 1))
            voxels += int(occupied.sum())
        mean = total / voxels
        self.norm = (mean.float(), (squares / voxels - mean.square()).sqrt().float())

    def _seeds(self):
        seeds = torch.arange(self.next_seed, self.next_seed + self.batch, device=self.device)
        self.next_seed += self.batch
        return seeds

    @torch.no_grad()
    def grow(self):
        begun = time.time()
        objects, _, pictures, occupied = make_samples(self._seeds())
        latent = self.encode(objects, occupied)
        latent = (latent - self.norm[0]) / self.norm[1]
        with torch.autocast(self.device.type, torch.bfloat16):
            cond = self.dino.condition(normalise_image(soften(pictures.float() / 255))).float()
        count = occupied.sum(1)
        half = occupied.view(-1, *(R // 2, 2) * 3).permute(0, 1, 3, 5, 2, 4, 6).flatten(4).any(4).flatten(1).sum(1)
        # occupied cells first, in their order
        order = torch.argsort((~occupied).byte(), dim=1, stable=True)
        waiting = torch.ones_like(count, dtype=torch.bool)
        for size in self.classes:
            fits = waiting & (count <= size.slots) & (half <= size.coarse_slots)
            waiting &= ~fits
            rows = torch.nonzero(fits)[:, 0]
            cell = order[rows, :size.slots]
            spare = torch.arange(size.slots, device=self.device) >= count[rows, None]
            kept = latent[rows].gather(1, cell[..., None].expand(-1, -1, latent.shape[2]))
            size.add(cell.masked_fill(spare, 0), count[rows], kept.masked_fill(spare[..., None], 0), cond[rows])
        self.made += len(count)
        self.left_out += int(waiting.sum())
        self.seconds += time.time() - begun
