"""Rectified-flow Euler sampling with classifier-free guidance in a time interval (spec 5)."""

import numpy as np
import torch


def time_sequence(steps, rescale_t):
    """The `steps + 1` times from 1 to 0, float64."""
    s = np.linspace(1, 0, steps + 1)
    return rescale_t * s / (1 + (rescale_t - 1) * s)


def sample(velocity, noise, cond, steps, cfg_strength=3.0, cfg_interval=(0.0, 1.0), rescale_t=1.0, trace=None):
    """Integrate `velocity(x, t1000 [B], cond)` from noise. The negative condition is all zeros.

    `noise` is a tensor whose first axis is the batch (or the packed rows, with cond of batch 1). `trace`, if
    given, receives (velocity, x after the step, predicted x0) of every step.
    """
    x = noise
    batch = cond.shape[0]
    zeros = torch.zeros_like(cond)
    times = time_sequence(steps, rescale_t)
    for t, t_next in zip(times[:-1], times[1:]):
        t1000 = torch.full((batch,), 1000 * t, dtype=torch.float32, device=x.device)
        v = velocity(x, t1000, cond)
        if cfg_interval[0] <= t <= cfg_interval[1] and cfg_strength != 0:
            v = (1 + cfg_strength) * v - cfg_strength * velocity(x, t1000, zeros)
        before = x
        x = x - float(np.float32(t - t_next)) * v
        if trace is not None:
            sigma = 1e-5
            x0 = (1 - sigma) * before - (sigma + (1 - sigma) * t) * v
            trace.append((v, x, x0))
    return x
