"""Random numbers that depend only on (seed, draw number): the same on every device and in every batch."""

import torch

MASK = 0xFFFFFFFF


def _mix(x):
    x = ((x ^ (x >> 16)) * 0x7FEB352D) & MASK
    x = ((x ^ (x >> 15)) * 0x846CA68B) & MASK
    return x ^ (x >> 16)


class Chance:
    """Draws for a batch of seeds `[B]` (int64); each call takes the next draw number."""

    def __init__(self, seeds, stream=0):
        self.seeds = _mix(_mix(seeds & MASK) ^ ((seeds >> 32) & MASK) ^ (stream * 0x9E3779B9 & MASK))
        self.draw = 0

    def unit(self):
        """Uniform in [0, 1), `[B]` float32."""
        self.draw += 1
        bits = _mix(_mix((self.seeds + self.draw * 0x9E3779B9) & MASK) ^ self.seeds)
        return (bits >> 8).float() * 2.0**-24

    def between(self, low, high):
        return low + (high - low) * self.unit()

    def flag(self, probability):
        return self.unit() < probability

    def pick(self, count):
        return (self.unit() * count).long().clamp_max(count - 1)
