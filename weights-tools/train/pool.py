"""A pool of training samples on the device, made by seed and replaced oldest first."""

import time

import torch
import torch.nn.functional as F

from . import config, fields
from .objects import grid, make_objects
from .pictures import Views, frame, render

RENDER_CHUNK = 256


def _slices(count, size):
    return [slice(i, min(i + size, count)) for i in range(0, count, size)]


def occupancy_distance(objects):
    """Distance at the structure's voxel centres, `[B, 32^3]`."""
    points = grid(config.STRUCTURE, 0.5, objects.kind.device)
    parts = [fields.DISTANCE(points.expand(s.stop - s.start, -1, -1), *objects[s].values())
             for s in _slices(len(objects), RENDER_CHUNK)]
    return torch.cat(parts)


def sub_views(views, part):
    out = object.__new__(Views)
    for key, value in vars(views).items():
        setattr(out, key, value[part])
    return out


@torch.no_grad()
def make_samples(seeds, unseen=False, stream=3):
    """Objects, kinds, pictures `[B, 3, S, S]` uint8 (premultiplied on black) and occupancy `[B, 32^3]` bool."""
    objects, kinds = make_objects(seeds, unseen)
    d = occupancy_distance(objects)
    views = Views(seeds, stream)
    pictures = []
    for s in _slices(len(objects), RENDER_CHUNK):
        v = sub_views(views, s)
        window = frame(objects[s], v)
        window = torch.cat([window[:, :2] + v.jitter[:, :2] * window[:, 2:], window[:, 2:] * v.jitter[:, 2:]], 1)
        rgba = render(objects[s], v, window, config.IMAGE_SIZE)
        pictures.append((rgba[:, :3] * rgba[:, 3:] * 255).byte())
    return objects, kinds, torch.cat(pictures), d < config.OCCUPIED_WITHIN


@torch.no_grad()
def portraits(seeds, size, unseen=False, stream=3):
    """The whole picture, RGBA uint8 `[B, size, size, 4]`, as a user would bring it."""
    objects, _ = make_objects(seeds, unseen)
    views, out = Views(seeds, stream), []
    for s in _slices(len(objects), 16 if seeds.is_cuda else 1):
        whole = torch.tensor([[0.0, 0.0, 1.0]], device=seeds.device).expand(s.stop - s.start, -1)
        rgba = render(objects[s], sub_views(views, s), whole, size)
        out.append((rgba * 255).round().byte().permute(0, 2, 3, 1).cpu())
    return torch.cat(out)


class Pool:
    """`take(n)` draws random samples; `grow(n)` makes n new ones from the next seeds."""

    def __init__(self, capacity, first_seed, device, pictures=True):
        side = config.IMAGE_SIZE
        self.capacity, self.next_seed, self.device = capacity, first_seed, device
        self.pictures = torch.zeros(capacity, 3, side, side, dtype=torch.uint8, device=device) if pictures else None
        self.occupancy = torch.zeros(capacity, config.STRUCTURE**3 // 8, dtype=torch.uint8, device=device)
        self.latent, self.encoder = None, None
        self.bits = 2 ** torch.arange(8, device=device, dtype=torch.uint8)
        self.filled = self.made = 0
        self.seconds = 0.0

    def grow(self, count):
        start = time.time()
        seeds = torch.arange(self.next_seed, self.next_seed + count, device=self.device)
        self.next_seed += count
        _, _, pictures, occupied = make_samples(seeds)
        rows = (self.made + torch.arange(count, device=self.device)) % self.capacity
        self.pictures[rows] = pictures
        self.occupancy[rows] = (occupied.unflatten(1, (-1, 8)) * self.bits).sum(-1).byte()
        if self.encoder is not None:
            self._encode(rows)
        self.made += count
        self.filled = min(self.capacity, self.made)
        if self.pictures.is_cuda:
            torch.cuda.synchronize()
        self.seconds += time.time() - start

    def use_encoder(self, encoder):
        """From now on every sample also keeps its structure latent."""
        a = config.STRUCTURE_FLOW["args"]
        shape = (self.capacity, a["in_channels"], *(a["resolution"],) * 3)
        self.encoder, self.latent = encoder, torch.zeros(shape, dtype=torch.bfloat16, device=self.device)
        for rows in torch.arange(self.filled, device=self.device).split(1024):
            self._encode(rows)

    @torch.no_grad()
    def _encode(self, rows):
        for part in rows.split(1024):
            with torch.autocast(self.device.type, torch.bfloat16):
                self.latent[part] = self.encoder(self._occupied(part))[0].bfloat16()

    def _occupied(self, rows):
        bits = (self.occupancy[rows][:, :, None] & self.bits) > 0
        return bits.view(len(rows), 1, *(config.STRUCTURE,) * 3).float()

    def draw(self, count):
        return torch.randint(self.filled, (count,), device=self.device)

    def take_occupancy(self, count):
        """`[n, 1, 32, 32, 32]` float."""
        return self._occupied(self.draw(count))

    def take(self, count, occupied):
        """Pictures `[n, 3, S, S]` float in 0..1, structure latents, and the occupancy of the first `occupied`."""
        rows = self.draw(count)
        return soften(self.pictures[rows].float() / 255), self.latent[rows].float(), self._occupied(rows[:occupied])


def soften(pictures):
    """Blur each picture by a random amount: resampled photographs are softer than direct renderings."""
    amount = torch.rand(len(pictures), 1, 1, 1, device=pictures.device) * 0.6
    return pictures + amount * (F.avg_pool2d(pictures, 3, 1, 1, count_include_pad=False) - pictures)
