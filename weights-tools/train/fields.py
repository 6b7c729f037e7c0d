"""Signed distance fields of coloured objects, evaluated for whole batches of objects at once.

An object is up to `SLOTS` primitives and one bend. Primitives are united; those marked as cuts are carved out of
the union. World frame: cube [-0.5, 0.5]^3, z up, the object's front towards -y.
"""

import torch

SLOTS = 24
BOX, CONE, TORUS, ELLIPSOID = range(4)
FAR = 4.0


class Objects:
    """A batch of objects.

    kind [B,P] (primitive class), live [B,P] (0 none, 1 union, -1 cut), centre [B,P,3], turn [B,P,3,3] (world to
    local), size [B,P,4], colour [B,P,3], second [B,P,3], pattern [B,P,2] (class, frequency), bend [B,2],
    scale [B], middle [B,3] (object = world / scale + middle).
    """

    FIELDS = ("kind", "live", "centre", "turn", "size", "colour", "second", "pattern", "bend", "scale", "middle")

    def __init__(self, **fields):
        for name in self.FIELDS:
            setattr(self, name, fields[name])

    def __len__(self):
        return self.kind.shape[0]

    def __getitem__(self, rows):
        return Objects(**{n: getattr(self, n)[rows] for n in self.FIELDS})

    def to(self, device):
        return Objects(**{n: getattr(self, n).to(device) for n in self.FIELDS})

    @staticmethod
    def cat(parts):
        return Objects(**{n: torch.cat([getattr(p, n) for p in parts]) for n in Objects.FIELDS})

    def values(self):
        return tuple(getattr(self, n) for n in self.FIELDS)


def _length(*parts):
    return torch.sqrt(sum(p * p for p in parts) + 1e-12)


def local_points(points, centre, turn, bend, scale, middle):
    """World points `[B, N, 3]` to each primitive's frame: three `[B, N, P]` tensors."""
    x, y, z = (points / scale[:, None, None] + middle[:, None]).unbind(-1)
    x = x - bend[:, None, 0] * z * z
    y = y - bend[:, None, 1] * z * z
    d = [p[:, :, None] - centre[:, None, :, i] for i, p in enumerate((x, y, z))]
    return [sum(d[j] * turn[:, None, :, i, j] for j in range(3)) for i in range(3)]


def primitive_distances(points, kind, live, centre, turn, size, colour, second, pattern, bend, scale, middle):
    """Distance to every primitive, `[B, N, P]`, in world units; unused slots are far away."""
    x, y, z = local_points(points, centre, turn, bend, scale, middle)
    a, b, c, r = (size[:, None, :, i] for i in range(4))
    kind, live = kind[:, None], live[:, None]

    bx, by, bz = x.abs() - (a - r), y.abs() - (b - r), z.abs() - (c - r)
    box = _length(bx.clamp_min(0), by.clamp_min(0), bz.clamp_min(0)) \
        + torch.maximum(bx, torch.maximum(by, bz)).clamp_max(0) - r

    # capped cone: radius a at the bottom, b at the top, half height c
    radial = _length(x, y)
    edge = torch.where(z < 0, a, b)
    cap_x, cap_z = radial - torch.minimum(radial, edge), z.abs() - c
    slope_x, slope_z = b - a, 2 * c
    along = ((b - radial) * slope_x + (c - z) * slope_z) / (slope_x * slope_x + slope_z * slope_z + 1e-9)
    along = along.clamp(0, 1)
    side_x, side_z = radial - b + slope_x * along, z - c + slope_z * along
    inside = (side_x < 0) & (cap_z < 0)
    cone = torch.sqrt(torch.minimum(cap_x * cap_x + cap_z * cap_z, side_x * side_x + side_z * side_z) + 1e-12)
    cone = torch.where(inside, -cone, cone) - r

    # torus: ring radius a, tube radius b, stretched by c along z
    torus = _length(radial - a, z - torch.minimum(torch.maximum(z, -c), c)) - b

    ea, eb, ec = a.clamp_min(1e-3), b.clamp_min(1e-3), c.clamp_min(1e-3)
    k0 = _length(x / ea, y / eb, z / ec)
    k1 = _length(x / (ea * ea), y / (eb * eb), z / (ec * ec))
    ellipsoid = k0 * (k0 - 1) / k1

    d = torch.where(kind == BOX, box, torch.where(kind == CONE, cone, torch.where(kind == TORUS, torus, ellipsoid)))
    return d * scale[:, None, None]


def distance(points, *fields):
    """Signed distance `[B, N]` (a bound, where the object is bent or has ellipsoids)."""
    d = primitive_distances(points, *fields)
    live = fields[1][:, None]
    union = torch.where(live > 0, d, FAR).amin(-1)
    carve = torch.where(live < 0, -d, -FAR).amax(-1)
    return torch.maximum(union, carve)


def nearest(points, *fields):
    """Index of the nearest united primitive, `[B, N]`."""
    d = primitive_distances(points, *fields)
    return torch.where(fields[1][:, None] > 0, d, FAR).argmin(-1)


def albedo(points, objects):
    """Colour `[B, N, 3]` of the nearest primitive: plain, or a pattern of two colours in its own frame."""
    index = NEAREST(points, *objects.values())
    rows = torch.arange(len(objects), device=points.device)[:, None]
    pick = lambda field: field[rows, index]
    o = points / objects.scale[:, None, None] + objects.middle[:, None]
    bent = objects.bend[:, None] * o[..., 2:] ** 2
    o = torch.cat([o[..., :2] - bent, o[..., 2:]], -1) - pick(objects.centre)
    q = torch.einsum("bnij,bnj->bni", pick(objects.turn), o)
    pattern = pick(objects.pattern)
    f = pattern[..., 1:]
    wave = torch.sin(q * f + 0.7)
    stripes, checks = wave[..., 2], wave.prod(-1)
    second = torch.where(pattern[..., 0] == 1, stripes > 0, (pattern[..., 0] == 2) & (checks > 0))
    return torch.where(second[..., None], pick(objects.second), pick(objects.colour))


_TETRAHEDRON = torch.tensor([[1.0, -1, -1], [-1, -1, 1], [-1, 1, -1], [1, 1, 1]])


def normal(points, objects, step=2e-3):
    """Unit gradient of the distance, `[B, N, 3]`."""
    total = 0
    for k in _TETRAHEDRON.to(points.device):
        total = total + k * DISTANCE(points + step * k, *objects.values())[..., None]
    return torch.nn.functional.normalize(total, dim=-1)


DISTANCE, NEAREST = distance, nearest


def compile_fields():
    """Fuse the field evaluation for the GPU; the results are the same up to rounding."""
    global DISTANCE, NEAREST
    torch._dynamo.config.recompile_limit = 64
    DISTANCE = torch.compile(distance, dynamic=False)
    NEAREST = torch.compile(nearest, dynamic=False)
