"""The kinds of objects: each function assembles a batch of one kind from random proportions and colours."""

import math

import torch

from .parts import grey, paint, spin, tone

QUARTER = math.pi / 2


def _legs(b, c, x, y, top, colour, thin=(0.02, 0.06)):
    """Four legs from the floor to `top`, round or square, sometimes splayed inwards at the top."""
    r, round_ = c.between(*thin), c.flag(0.5)
    for sx in (-1, 1):
        for sy in (-1, 1):
            at = (sx * (x - r), sy * (y - r), top / 2)
            b.box(at, (r, r, top / 2), colour, live=~round_)
            b.cylinder(at, r, top / 2, colour, live=round_)


def table(b, c):
    x, y, h = c.between(0.3, 0.55), c.between(0.25, 0.45), c.between(0.35, 0.8)
    wood, leg = paint(c, dull=True), paint(c, dull=True)
    t, disc, column = c.between(0.02, 0.05), c.flag(0.35), c.flag(0.25)
    pattern = (c.pick(3).float(), c.between(15, 40))
    second = paint(c, dull=True)
    b.box((0, 0, h), (x, y, t), wood, live=~disc, second=second, pattern=pattern)
    b.cylinder((0, 0, h), x, t, wood, live=disc, second=second, pattern=pattern)
    reach = torch.where(disc, x * 0.7, x)
    r, round_ = c.between(0.025, 0.06), c.flag(0.5)
    depth = torch.where(disc, x * 0.7, y)
    for sx in (-1, 1):
        for sy in (-1, 1):
            at = (sx * (reach - r), sy * (depth - r), h / 2)
            b.box(at, (r, r, h / 2), leg, live=~round_ & ~column)
            b.cylinder(at, r, h / 2, leg, live=round_ & ~column)
    b.cylinder((0, 0, h / 2), r * 1.6, h / 2, leg, live=column)
    b.cylinder((0, 0, 0.03), depth * 0.7, 0.03, leg, live=column)
    b.box((0, 0, h * 0.35), (reach * 0.95, depth * 0.95, 0.018), wood, live=~column & c.flag(0.3))


def chair(b, c):
    w, d, h, back = c.between(0.22, 0.32), c.between(0.22, 0.3), c.between(0.35, 0.5), c.between(0.3, 0.55)
    seat, frame = paint(c), paint(c, dull=True)
    t = c.between(0.02, 0.05)
    b.box((0, 0, h), (w, d, t), seat, round=0.015)
    _legs(b, c, w, d, h, frame)
    slats = c.flag(0.5)
    b.box((0, d - 0.02, h + back / 2), (w, 0.025, back / 2), seat, round=0.02, live=~slats)
    for s in (-1, 1):
        b.box((s * (w - 0.025), d - 0.02, h + back / 2), (0.025, 0.025, back / 2), frame, live=slats)
    for k in (0.45, 0.9):
        b.box((0, d - 0.02, h + back * k), (w, 0.02, back * 0.1), seat, live=slats)
    arms = c.flag(0.25)
    for s in (-1, 1):
        b.box((s * w, 0, h + 0.2), (0.025, d, 0.02), frame, live=arms)
        b.box((s * w, -d + 0.03, h + 0.1), (0.02, 0.02, 0.1), frame, live=arms)


def stool(b, c):
    r, h, t = c.between(0.18, 0.32), c.between(0.4, 0.9), c.between(0.03, 0.07)
    seat, frame = paint(c), paint(c, dull=True)
    b.cylinder((0, 0, h), r, t, seat, round=0.01)
    pillar, thin, lean = c.flag(0.35), c.between(0.02, 0.045), c.between(0.0, 0.25)
    b.cylinder((0, 0, h / 2), thin * 1.5, h / 2, frame, live=pillar)
    b.cylinder((0, 0, 0.03), r * 0.9, 0.03, frame, live=pillar)
    for k in range(4):
        angle = torch.full_like(r, math.pi / 4 + k * QUARTER)
        turn = spin("z", angle) @ spin("y", -lean)
        out = r * 0.75 + h / 2 * torch.tan(lean) * 0.5
        b.cylinder((out * math.cos(math.pi / 4 + k * QUARTER), out * math.sin(math.pi / 4 + k * QUARTER), h / 2),
                   thin, h / 2, frame, turn=turn, live=~pillar)
    b.ring((0, 0, h * 0.35), r * 0.75 + h * 0.1 * torch.tan(lean), thin * 0.7, frame, live=~pillar & c.flag(0.5))


def mug(b, c):
    r, h, wall = c.between(0.25, 0.4), c.between(0.3, 0.5), c.between(0.03, 0.06)
    colour, second = paint(c), paint(c)
    pattern = (c.pick(3).float(), c.between(10, 30))
    taper = c.between(0.75, 1.05)
    b.cone((0, 0, h), r * taper, r, h, colour, second=second, pattern=pattern)
    b.cone((0, 0, h + wall * 2), (r - wall) * taper, r - wall * 0.9, h, colour, cut=True)
    side = torch.where(c.flag(0.5), 1.0, -1.0)
    ring, tube = h * c.between(0.4, 0.6), c.between(0.03, 0.06)
    b.ring((side * (r * (0.5 + taper / 2) + ring * 0.25), 0, h), ring, tube, colour, turn=spin("x", torch.full_like(r, QUARTER)))


def bottle(b, c):
    r, h, neck = c.between(0.15, 0.28), c.between(0.25, 0.45), c.between(0.05, 0.09)
    shoulder, tall = c.between(0.06, 0.15), c.between(0.06, 0.16)
    glass, cap, label = paint(c), paint(c), paint(c)
    square = c.flag(0.2)
    b.cylinder((0, 0, h), r - 0.02, h - 0.02, glass, round=0.02, live=~square)
    b.box((0, 0, h), (r, r, h), glass, round=0.03, live=square)
    b.cone((0, 0, 2 * h + shoulder - 0.01), r * 0.98, neck, shoulder, glass)
    b.cylinder((0, 0, 2 * h + 2 * shoulder + tall / 2), neck, tall, glass)
    b.cylinder((0, 0, 2 * h + 2 * shoulder + 1.5 * tall), neck * 1.2, 0.04, cap)
    b.cylinder((0, 0, h * c.between(0.8, 1.1)), r + 0.006, h * c.between(0.25, 0.5), label, live=~square & c.flag(0.8),
               second=paint(c), pattern=(c.pick(2).float(), c.between(15, 50)))


def lamp(b, c):
    base, h, shade = c.between(0.15, 0.28), c.between(0.3, 0.6), c.between(0.2, 0.38)
    metal, cloth = paint(c, dull=True), paint(c)
    tall = c.between(0.12, 0.25)
    b.cylinder((0, 0, 0.03), base, 0.03, metal, round=0.01)
    b.cylinder((0, 0, h), c.between(0.018, 0.04), h, metal)
    b.ball((0, 0, h * 0.6), (base * 0.55, base * 0.55, h * 0.4), metal, live=c.flag(0.4))
    b.cone((0, 0, 2 * h), shade, shade * c.between(0.35, 0.9), tall, cloth, second=tone(cloth, 0.6),
           pattern=(c.pick(2).float(), c.between(20, 50)))


def house(b, c):
    w, d, h = c.between(0.25, 0.4), c.between(0.25, 0.45), c.between(0.22, 0.35)
    wall, roof, door, glass = paint(c, dull=True), paint(c), paint(c), grey(c, 0.1, 0.9)
    b.box((0, 0, h), (w, d, h), wall, round=0.0)
    half = (w + c.between(0.03, 0.08)) / math.sqrt(2)
    b.box((0, 0, 2 * h), (half, d + 0.04, half), roof, round=0.0, turn=spin("y", torch.full_like(w, math.pi / 4)))
    b.box((0, -d, h * 0.5), (w * 0.2, 0.02, h * 0.5), door)
    windows = c.flag(0.8)
    for s in (-1, 1):
        b.box((s * w * 0.6, -d, h * 1.1), (w * 0.18, 0.015, h * 0.25), glass, live=windows)
        b.box((s * w, -d * 0.1, h * 1.1), (0.015, d * 0.3, h * 0.25), glass, live=windows)
    side = torch.where(c.flag(0.5), 0.5, -0.5)
    b.box((side * w, d * 0.3, 2 * h + w * 0.6), (0.05, 0.05, w * 0.45), tone(door, 0.6), live=c.flag(0.6))


def tree(b, c):
    h, r, crown = c.between(0.15, 0.4), c.between(0.04, 0.09), c.between(0.2, 0.38)
    bark, leaf = paint(c, dull=True), paint(c)
    pine, tall = c.flag(0.45), c.between(0.8, 1.4)
    b.cone((0, 0, h), r * 1.3, r, h, bark)
    for k in range(3):
        b.cone((0, 0, 2 * h + k * 0.5 * crown), crown * (1 - 0.25 * k), 0.01, crown * 0.45, tone(leaf, 0.85 + 0.1 * k), live=pine)
    b.ball((0, 0, 2 * h + crown * 0.6 * tall), (crown, crown, crown * tall), leaf, live=~pine)
    for k in range(3):
        x, y, z = c.between(-0.6, 0.6), c.between(-0.6, 0.3), c.between(0.0, 0.9)
        lump = crown * c.between(0.45, 0.7)
        b.ball((x * crown, y * crown, 2 * h + z * crown * tall), (lump, lump, lump), tone(leaf, 0.9), live=~pine & c.flag(0.6))


def mushroom(b, c):
    h, r, cap = c.between(0.2, 0.45), c.between(0.07, 0.16), c.between(0.28, 0.45)
    stem, top, spot = paint(c, dull=True), paint(c), grey(c, 0.8, 1.0)
    flat = c.between(0.4, 0.8)
    b.cone((0, 0, h), r * c.between(0.9, 1.4), r * 0.9, h, stem)
    b.ball((0, 0, 2 * h), (cap, cap, cap * flat), top)
    b.cylinder((0, 0, 2 * h), cap * 0.97, 0.012, tone(stem, 0.9), live=c.flag(0.5))
    dots = c.flag(0.7)
    for k in range(6):
        angle, lift = c.between(-3.0, 0.0) + 0.3, c.between(0.25, 1.2)
        x, y, z = torch.cos(angle) * torch.cos(lift), torch.sin(angle) * torch.cos(lift), torch.sin(lift)
        size = cap * c.between(0.1, 0.2)
        b.ball((x * cap, y * cap, 2 * h + z * cap * flat), (size, size, size * 0.7), spot, live=dots)


def snowman(b, c):
    low, mid, top = c.between(0.25, 0.35), c.between(0.18, 0.25), c.between(0.12, 0.17)
    snow, nose, hat = grey(c, 0.8, 1.0), paint(c), paint(c)
    black = grey(c, 0.05, 0.2)
    z1, z2 = low + mid * 1.5, low + mid * 2.3 + top * 0.8
    b.ball((0, 0, low * 0.9), (low, low, low), snow)
    b.ball((0, 0, z1), (mid, mid, mid), snow)
    b.ball((0, 0, z2), (top, top, top), snow)
    b.cone((0, -top - 0.06, z2), 0.03, 0.004, 0.08, nose, turn=spin("x", torch.full_like(low, QUARTER)))
    for s in (-1, 1):
        b.ball((s * top * 0.4, -top * 0.85, z2 + top * 0.35), (0.022, 0.022, 0.022), black)
        b.cylinder((s * (mid + 0.1), 0, z1 + 0.05), 0.016, 0.14, tone(hat, 0.4), turn=spin("y", torch.full_like(low, s * 1.1)), live=c.flag(0.8))
    wear = c.flag(0.7)
    b.cylinder((0, 0, z2 + top * 0.75), top * 1.2, 0.018, hat, live=wear)
    b.cylinder((0, 0, z2 + top * 0.75 + 0.08), top * 0.75, 0.09, hat, live=wear)
    b.ring((0, 0, (z1 + z2) / 2 + 0.01), mid * 0.62, 0.035, nose, live=c.flag(0.6))


def rocket(b, c):
    r, h, nose = c.between(0.12, 0.2), c.between(0.3, 0.5), c.between(0.1, 0.22)
    hull, tip, fin = paint(c), paint(c), paint(c)
    b.cylinder((0, 0, h + 0.1), r, h, hull, second=tip, pattern=(c.pick(2).float(), c.between(8, 20)))
    b.cone((0, 0, 2 * h + 0.1 + nose), r, 0.01, nose, tip)
    b.cone((0, 0, 0.07), r * 0.8, r * 0.5, 0.06, grey(c, 0.2, 0.5))
    out, tall = c.between(0.08, 0.18), c.between(0.12, 0.25)
    for k in range(4):
        angle = torch.full_like(r, k * QUARTER)
        at = ((r + out * 0.5) * math.cos(k * QUARTER), (r + out * 0.5) * math.sin(k * QUARTER), tall * 0.7)
        b.box(at, (out, 0.018, tall), fin, round=0.005, turn=spin("z", angle))
    b.ball((0, -r, h * c.between(1.2, 1.7) + 0.1), (r * 0.5, 0.03, r * 0.5), grey(c, 0.6, 1.0), live=c.flag(0.8))


def car(b, c):
    l, w, h = c.between(0.42, 0.55), c.between(0.18, 0.26), c.between(0.07, 0.12)
    paintwork, glass = paint(c), grey(c, 0.1, 0.6)
    wheel, tyre = c.between(0.075, 0.12), grey(c, 0.05, 0.25)
    z = wheel + h * 0.7
    b.box((0, 0, z), (l, w, h), paintwork, round=0.03)
    shift, cabin, tall = c.between(-0.3, 0.3), c.between(0.4, 0.65), c.between(0.07, 0.14)
    b.box((shift * l, 0, z + h + tall * 0.8), (l * cabin, w * 0.9, tall), paintwork, round=0.04)
    b.box((shift * l, 0, z + h + tall * 0.75), (l * cabin * 1.01, w * 0.75, tall * 0.55), glass, round=0.01)
    b.box((shift * l, 0, z + h + tall * 0.75), (l * cabin * 0.8, w * 0.92, tall * 0.55), glass, round=0.01)
    turn = spin("x", torch.full_like(l, QUARTER))
    for sx in (-1, 1):
        for sy in (-1, 1):
            b.cylinder((sx * l * 0.62, sy * w * 0.95, wheel), wheel, 0.04, tyre, turn=turn)
    b.box((l * 0.98, 0, z), (0.02, w * 0.8, h * 0.3), grey(c, 0.7, 1.0), live=c.flag(0.7))


def boat(b, c):
    l, w, h = c.between(0.32, 0.45), c.between(0.14, 0.22), c.between(0.07, 0.13)
    hull, deck, sail = paint(c), paint(c, dull=True), paint(c)
    b.box((0, 0, h), (l, w, h), hull, round=0.03)
    b.box((l, 0, h), (w / math.sqrt(2), w / math.sqrt(2), h), hull, round=0.01, turn=spin("z", torch.full_like(l, math.pi / 4)))
    b.box((0, 0, 2 * h), (l * 0.9, w * 0.8, 0.015), deck)
    sails = c.flag(0.55)
    mast = c.between(0.3, 0.5)
    b.cylinder((0.05, 0, 2 * h + mast), 0.022, mast, deck, live=sails)
    b.box((0.05 - l * 0.35, 0, 2 * h + mast * 1.1), (l * 0.33, 0.016, mast * 0.75), sail, live=sails,
          second=paint(c), pattern=(c.pick(2).float(), c.between(10, 25)))
    tall = c.between(0.08, 0.15)
    b.box((-l * 0.2, 0, 2 * h + tall), (l * 0.4, w * 0.65, tall), sail, live=~sails)
    b.box((-l * 0.2, 0, 2 * h + tall * 1.2), (l * 0.36, w * 0.68, tall * 0.3), grey(c, 0.1, 0.6), live=~sails)
    b.cylinder((-l * 0.25, 0, 2 * h + tall * 2.4), 0.05, tall * 0.9, deck, live=~sails & c.flag(0.7))


def robot(b, c):
    w, d, h = c.between(0.16, 0.26), c.between(0.1, 0.16), c.between(0.16, 0.25)
    body, limb, eye = paint(c), paint(c, dull=True), paint(c)
    leg, head = c.between(0.1, 0.2), c.between(0.1, 0.15)
    base = 2 * leg
    b.box((0, 0, base + h), (w, d, h), body, round=0.03)
    top = base + 2 * h + head + 0.04
    ball = c.flag(0.3)
    b.box((0, 0, top), (head * 1.2, head, head), body, round=0.02, live=~ball)
    b.ball((0, 0, top), (head * 1.1, head * 1.1, head * 1.1), body, live=ball)
    b.cylinder((0, 0, base + 2 * h), 0.05, 0.06, limb)
    for s in (-1, 1):
        b.ball((s * head * 0.5, -head, top + head * 0.2), (0.035, 0.03, 0.035), eye)
        b.cylinder((s * w * 0.5, 0, leg), c.between(0.04, 0.07), leg, limb)
        b.box((s * w * 0.5, -0.03, 0.03), (0.07, 0.1, 0.03), body)
    arm, swing = c.between(0.03, 0.055), c.between(0.0, 0.5)
    for s in (-1, 1):
        b.cylinder((s * (w + arm + h * 0.5 * torch.sin(swing)), 0, base + h * 1.15), arm, h * 0.8, limb, turn=spin("y", -s * swing), round=0.0)
    b.cylinder((0, 0, top + head + 0.05), 0.016, 0.06, limb, live=c.flag(0.6))
    b.box((0, -d, base + h * 1.2), (w * 0.6, 0.015, h * 0.35), eye, live=c.flag(0.6), second=limb, pattern=(c.pick(3).float(), 40.0))


def key(b, c):
    ring, tube, shaft = c.between(0.13, 0.2), c.between(0.035, 0.06), c.between(0.3, 0.42)
    metal, bow = paint(c), paint(c)
    upright = spin("x", torch.full_like(ring, QUARTER))
    disc = c.flag(0.3)
    b.ring((0, 0, 2 * shaft + ring), ring, tube, bow, turn=upright, live=~disc)
    b.cylinder((0, 0, 2 * shaft + ring), ring, tube * 0.8, bow, turn=upright, live=disc)
    b.cylinder((0, 0, 2 * shaft + ring * 1.2), ring * 0.35, 0.2, bow, turn=upright, live=disc, cut=True)
    b.cylinder((0, 0, shaft), tube * 0.9, shaft, metal)
    side = torch.where(c.flag(0.5), 1.0, -1.0)
    for k in range(3):
        reach = c.between(0.05, 0.11)
        b.box((side * reach, 0, 0.05 + k * 0.12), (reach, tube * 0.7, c.between(0.025, 0.045)), metal,
              live=torch.ones_like(disc) if k < 2 else c.flag(0.5))


def dumbbell(b, c):
    half, bar = c.between(0.25, 0.45), c.between(0.03, 0.055)
    metal, plate = grey(c, 0.3, 0.8), paint(c)
    turn = spin("y", torch.full_like(half, QUARTER))
    big, thick, round_ = c.between(0.14, 0.28), c.between(0.04, 0.09), c.flag(0.3)
    b.cylinder((0, 0, 0), bar, half, metal, turn=turn)
    for s in (-1, 1):
        b.cylinder((s * half, 0, 0), big, thick, plate, turn=turn, live=~round_)
        b.ball((s * half, 0, 0), (big, big, big), plate, live=round_)
        b.cylinder((s * (half + thick * 1.6), 0, 0), big * 0.7, thick * 0.8, tone(plate, 0.7), turn=turn, live=~round_ & (bar > 0.04))


def castle(b, c):
    w, d, h = c.between(0.3, 0.4), c.between(0.25, 0.4), c.between(0.12, 0.22)
    stone, roof, gate = paint(c, dull=True), paint(c), paint(c, dull=True)
    r, tall, tip = c.between(0.07, 0.11), c.between(0.2, 0.36), c.between(0.08, 0.15)
    for s in (-1, 1):
        b.box((0, s * d, h), (w, 0.035, h), stone)
        b.box((s * w, 0, h), (0.035, d, h), stone)
    for sx in (-1, 1):
        for sy in (-1, 1):
            b.cylinder((sx * w, sy * d, tall), r, tall, stone)
            b.cone((sx * w, sy * d, 2 * tall + tip * 0.99), r * 1.2, 0.005, tip, roof)
    keep, high = c.flag(0.7), c.between(1.0, 1.4)
    b.box((0, 0.02, tall * high), (w * 0.4, d * 0.4, tall * high), tone(stone, 0.85), live=keep)
    b.cone((0, 0.02, 2 * tall * high + tip), w * 0.5, 0.01, tip, roof, live=keep)
    b.box((0, -d - 0.01, h * 0.5), (w * 0.22, 0.04, h * 0.55), gate)
    b.box((0, 0, 0.015), (w, d, 0.015), tone(stone, 0.7))


def sofa(b, c):
    w, d, h = c.between(0.36, 0.55), c.between(0.2, 0.28), c.between(0.1, 0.15)
    cloth, pillow = paint(c), paint(c)
    back, arm = c.between(0.18, 0.3), c.between(0.04, 0.08)
    b.box((0, 0, h), (w, d, h), cloth, round=0.03)
    b.box((0, d - 0.05, h + back), (w, 0.07, back), cloth, round=0.04)
    for s in (-1, 1):
        b.box((s * (w - arm), 0, h * 1.6), (arm, d, h * 1.2), tone(cloth, 0.85), round=0.03)
    seats = c.flag(0.7)
    for s in (-1, 1):
        b.box((s * (w - 2 * arm) * 0.5, -0.03, 2 * h + 0.03), ((w - 2 * arm) * 0.49, d - 0.05, 0.04), pillow, round=0.03, live=seats,
              second=paint(c), pattern=(c.pick(3).float(), c.between(15, 35)))


def goblet(b, c):
    foot, stem, bowl = c.between(0.14, 0.24), c.between(0.12, 0.3), c.between(0.18, 0.3)
    metal, band = paint(c), paint(c)
    deep = c.between(0.15, 0.3)
    b.cone((0, 0, 0.04), foot, foot * 0.3, 0.04, metal)
    b.cylinder((0, 0, stem), c.between(0.025, 0.05), stem, metal)
    b.ball((0, 0, stem * 1.1), (0.06, 0.06, 0.05), band, live=c.flag(0.5))
    b.cone((0, 0, 2 * stem + deep), bowl * c.between(0.35, 0.8), bowl, deep, metal, second=band,
           pattern=(c.pick(2).float(), c.between(12, 30)))
    b.cone((0, 0, 2 * stem + deep + 0.08), bowl * 0.3, bowl - 0.035, deep, metal, cut=True)


def teapot(b, c):
    r, flat = c.between(0.25, 0.35), c.between(0.7, 1.0)
    glaze, lid = paint(c), paint(c)
    side = torch.where(c.flag(0.5), 1.0, -1.0)
    z = r * flat
    b.ball((0, 0, z), (r, r, r * flat), glaze, second=lid, pattern=(c.pick(3).float(), c.between(10, 30)))
    b.cylinder((0, 0, 0.02), r * 0.6, 0.025, glaze)
    b.cylinder((0, 0, 2 * z - 0.02), r * 0.5, 0.03, lid)
    b.ball((0, 0, 2 * z + 0.04), (0.05, 0.05, 0.05), lid)
    b.cone((side * (r + 0.08), 0, z * 1.2), 0.075, 0.04, 0.17, glaze, turn=spin("y", side * 0.8))
    b.ring((-side * (r + 0.04), 0, z), r * 0.5, 0.035, glaze, turn=spin("x", torch.full_like(r, QUARTER)))


def aeroplane(b, c):
    r, l = c.between(0.06, 0.1), c.between(0.35, 0.5)
    hull, wing = paint(c), paint(c)
    along = spin("y", torch.full_like(r, QUARTER))
    b.ball((0, 0, 0.2), (l, r, r * 1.1), hull)
    b.box((c.between(-0.02, 0.08), 0, 0.2), (c.between(0.06, 0.1), c.between(0.35, 0.5), 0.018), wing, round=0.01)
    b.box((-l * 0.85, 0, 0.22), (0.05, 0.16, 0.016), wing, round=0.01)
    b.box((-l * 0.85, 0, 0.2 + r * 1.6), (0.06, 0.016, r * 1.3), wing, round=0.01)
    for s in (-1, 1):
        b.cylinder((0.08, s * 0.2, 0.17), 0.04, 0.08, tone(hull, 0.6), turn=along, live=c.flag(0.7))


TRAINED = (table, chair, stool, mug, bottle, lamp, house, tree, mushroom, snowman, rocket, car, boat, robot, key,
           dumbbell, castle, sofa, goblet)
UNSEEN = (teapot, aeroplane)
