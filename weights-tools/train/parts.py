"""The bench on which grammars assemble objects, a whole batch of the same kind at a time."""

import torch

from .fields import BOX, CONE, ELLIPSOID, SLOTS, TORUS, Objects


def spin(axis, angle):
    """Local-to-world rotation about x, y or z: `[B, 3, 3]`."""
    c, s = torch.cos(angle), torch.sin(angle)
    one, zero = torch.ones_like(c), torch.zeros_like(c)
    rows = {"x": (one, zero, zero, zero, c, -s, zero, s, c),
            "y": (c, zero, s, zero, one, zero, -s, zero, c),
            "z": (c, -s, zero, s, c, zero, zero, zero, one)}[axis]
    return torch.stack(rows, -1).view(-1, 3, 3)


class Bench:
    """Collects primitives; every argument is a number or a `[B]` tensor."""

    def __init__(self, count, device):
        self.count, self.device = count, device
        self.slots = []

    def _column(self, value, dtype=torch.float32):
        return torch.as_tensor(value, device=self.device).to(dtype).expand(self.count)

    def add(self, kind, at, size, colour, turn=None, live=True, cut=False, second=None, pattern=None):
        """`at` three, `size` up to four values, `colour` `[B, 3]`, `live` `[B]` bool; `pattern` is (class, frequency)."""
        eye = torch.eye(3, device=self.device).expand(self.count, 3, 3)
        size = list(size) + [0.0] * (4 - len(size))
        sign = self._column(live) * (-1.0 if cut else 1.0)
        pattern = pattern or (0.0, 1.0)
        self.slots.append((
            self._column(kind, torch.int64), sign, torch.stack([self._column(v) for v in at], -1),
            (eye if turn is None else turn).transpose(1, 2), torch.stack([self._column(v) for v in size], -1),
            colour, colour if second is None else second, torch.stack([self._column(v) for v in pattern], -1)))

    def box(self, at, half, colour, round=0.01, **more):
        self.add(BOX, at, (*half, round), colour, **more)

    def cylinder(self, at, radius, half, colour, round=0.0, **more):
        self.add(CONE, at, (radius, radius, half, round), colour, **more)

    def cone(self, at, bottom, top, half, colour, round=0.0, **more):
        self.add(CONE, at, (bottom, top, half, round), colour, **more)

    def ball(self, at, radii, colour, **more):
        self.add(ELLIPSOID, at, radii, colour, **more)

    def ring(self, at, radius, tube, colour, stretch=0.0, **more):
        self.add(TORUS, at, (radius, tube, stretch), colour, **more)

    def finish(self, bend):
        if len(self.slots) > SLOTS:
            raise ValueError(f"a grammar used {len(self.slots)} primitives, at most {SLOTS} fit")
        columns = [torch.stack(c, 1) for c in zip(*self.slots)]
        fill = SLOTS - len(self.slots)
        padded = [torch.cat([c, c[:, :1].expand(-1, fill, *c.shape[2:])], 1) for c in columns]
        padded[1] = torch.cat([columns[1], columns[1].new_zeros(self.count, fill)], 1)
        ones = torch.ones(self.count, device=self.device)
        return Objects(**dict(zip(Objects.FIELDS, padded)), bend=bend, scale=ones,
                       middle=torch.zeros(self.count, 3, device=self.device))


def paint(c, dull=False):
    """A random colour `[B, 3]`; `dull` for wood, stone and the like."""
    hue, low, high = c.unit() * 6, (0.05 if dull else 0.25), (0.45 if dull else 0.95)
    saturation, value = c.between(low, high), c.between(0.25 if dull else 0.45, 0.95)
    k = (torch.tensor([5.0, 3.0, 1.0], device=hue.device)[None] + hue[:, None]) % 6
    shape = torch.minimum(k, 4 - k).clamp(0, 1)
    return value[:, None] * (1 - saturation[:, None] * shape)


def tone(base, factor):
    """A darker or lighter version of a colour."""
    return (base * factor).clamp(0, 1)


def grey(c, low, high):
    return c.between(low, high)[:, None].expand(-1, 3)
