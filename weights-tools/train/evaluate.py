"""Figures on held-out objects, from pictures that went the user's way: PNG, crop, Lanczos, premultiply."""

import torch
from PIL import Image

from reference.dinov2 import normalise_image
from reference.picture import prepare, to_tensor
from reference.sampler import sample

from . import config
from .objects import HELD_OUT_SEEDS, NAMES, kinds_of, make_objects
from .pool import occupancy_distance, portraits

PORTRAIT = 320
SAMPLER = {"steps": 12, "cfg_strength": 1.0, "cfg_interval": [0.0, 1.0], "rescale_t": 3.0}


class HeldOut:
    """Objects of the held-out seeds with their prepared pictures and true occupancy."""

    def __init__(self, count, device, unseen=False):
        self.seeds = torch.arange(HELD_OUT_SEEDS, HELD_OUT_SEEDS + count, device=device)
        self.unseen = unseen
        self.kinds = kinds_of(self.seeds, unseen).tolist()
        self.portraits = portraits(self.seeds, PORTRAIT, unseen)
        pictures = [to_tensor(prepare(Image.fromarray(p.numpy(), "RGBA"), config.IMAGE_SIZE)) for p in self.portraits]
        self.pictures = torch.stack(pictures).to(device)
        self.objects, _ = make_objects(self.seeds, unseen)
        d = occupancy_distance(self.objects)
        self.occupied = (d < config.OCCUPIED_WITHIN).view(count, 1, *(config.STRUCTURE,) * 3)


def ratio(a, b):
    a, b = a.flatten(1), b.flatten(1)
    return (a & b).sum(1) / (a | b).sum(1).clamp_min(1)


def surface(occupied):
    """Occupied voxels with an empty face neighbour."""
    empty = torch.nn.functional.pad(~occupied, (1,) * 6, value=True)
    near = torch.zeros_like(occupied)
    for axis in (2, 3, 4):
        for shift in (-1, 1):
            near |= empty.roll(shift, axis)[:, :, 1:-1, 1:-1, 1:-1]
    return occupied & near


@torch.no_grad()
def structures(flow, dino, decoder, pictures, params, seed=0):
    """Generated occupancy for a batch of prepared pictures."""
    generator = torch.Generator().manual_seed(seed)
    a = config.STRUCTURE_FLOW["args"]
    noise = torch.randn(len(pictures), a["in_channels"], *(a["resolution"],) * 3, generator=generator).to(pictures.device)
    with torch.autocast(pictures.device.type, torch.bfloat16, enabled=pictures.is_cuda):
        cond = dino.condition(normalise_image(pictures)).float()
        z = sample(lambda x, t, c: flow(x, t, c).float(), noise, cond, **params)
        return decoder(z).float() > 0


@torch.no_grad()
def autoencoder(encoder, decoder, held_out):
    return float(ratio(decoder(encoder(held_out.occupied.float())[0]) > 0, held_out.occupied).mean())


def structure(flow, dino, decoder, held_out, params=None, sweep=False):
    """IoU on the held-out objects, with right and with shuffled pictures, by kind; a sweep over guidance if asked."""
    params = params or SAMPLER
    truth, out = held_out.occupied, {}
    if sweep:
        for steps, rescale, w in ((12, 3.0, 0.0), (12, 3.0, 0.5), (12, 3.0, 1.0), (12, 3.0, 2.0), (12, 3.0, 4.0),
                                  (12, 1.0, 1.0), (12, 5.0, 1.0), (6, 3.0, 1.0), (25, 3.0, 1.0), (25, 3.0, 2.0)):
            trial = dict(params, steps=steps, rescale_t=rescale, cfg_strength=w)
            got = structures(flow, dino, decoder, held_out.pictures, trial)
            out[f"sweep steps {steps} rescale {rescale} cfg {w}"] = round(float(ratio(got, truth).mean()), 4)
        best = max(out, key=out.get).split()
        params = dict(params, steps=int(best[2]), rescale_t=float(best[4]), cfg_strength=float(best[6]))
    got = structures(flow, dino, decoder, held_out.pictures, params)
    scores = ratio(got, truth)
    out["params"] = params
    out["iou"] = float(scores.mean())
    out["surface_iou"] = float(ratio(surface(got), surface(truth)).mean())
    shuffled = structures(flow, dino, decoder, held_out.pictures.roll(1, 0), params)
    out["shuffled_iou"] = float(ratio(shuffled, truth).mean())
    by_kind = {}
    for kind, score in zip(held_out.kinds, scores.tolist()):
        by_kind.setdefault(NAMES[kind], []).append(score)
    out["by_kind"] = {k: round(sum(v) / len(v), 3) for k, v in sorted(by_kind.items())}
    return out
