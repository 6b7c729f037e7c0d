"""Training of the latent stage: voxel autoencoder with mesh and Gaussian decoders, then the latent flow.

`python -m train.latent --autoencoder-seconds 240 --flow-seconds 200 --load DIR --out DIR`
"""

import argparse
import json
import random
import time
from pathlib import Path

import torch

from . import fields
from .autoencoder import train_autoencoder
from .flow_step import FlowTrainer
from .latent_cache import LatentCache
from .networks import Schedule, restore, store
from .structure import Log
from .voxels import Store

NAMES = ("latent_encoder", "mesh_decoder", "gaussian_decoder")
# everything needed to go on: weights, their average, moments
RESUME = "latent_flow.resume.pt"
# the host runs this many steps ahead of the device at most, so that time is what it seems
STEPS_AHEAD = 16


def latent_norm(cache, args):
    """The latents' (mean, std): the checkpoint's, unless its encoder has just been trained on."""
    kept = Path(args.load or "/nonexistent") / "latent_norm.json"
    if kept.exists() and not args.autoencoder_seconds:
        values = json.loads(kept.read_text())
        cache.norm = tuple(torch.tensor(values[k], device=cache.device) for k in ("mean", "std"))
    else:
        cache.measure_norm(args.norm_objects)


def settle(device):
    if device.type == "cuda":
        torch.cuda.synchronize()


def train_flow(flow, cache, args, log):
    """Latent flow on cached objects, growing their number for a share of the time; returns the trainer."""
    while cache.made < args.fill:
        cache.grow()
    settle(cache.device)
    print(f"encoded {cache.made} objects ({cache.left_out} left out) in {cache.seconds:.1f} s", flush=True)
    cache.seconds = 0.0
    trainer = FlowTrainer(flow, cache.classes, args.rows, graphs=not args.eager)
    resume = Path(args.load or "/nonexistent") / RESUME
    if resume.exists() and not args.fresh_flow:
        trainer.load(resume)
        print(f"goes on after {trainer.steps} steps", flush=True)
    schedule = Schedule(trainer.opt, args.rate, args.flow_seconds, args.span)
    pick = random.Random(args.first_seed)
    first, total, count = trainer.samples, torch.zeros((), device=cache.device), 0
    stored = time.time()
    while not schedule.over:
        # every object is as likely as any other
        weights = [c.made and min(c.made, c.capacity) / b for c, b in zip(cache.classes, trainer.batches)]
        rate = schedule.step()
        total += trainer.step(pick.choices(range(len(weights)), weights)[0])
        count += 1
        if schedule.step_count % STEPS_AHEAD == 0:
            settle(cache.device)
        if schedule.step_count % log.every == 0:
            log("latent_flow", schedule, loss=total / count, rate=rate, objects=cache.made, samples=trainer.samples - first)
            total.zero_()
            count = 0
        if cache.seconds < args.grow_share * schedule.elapsed:
            cache.grow()
            settle(cache.device)
        if time.time() - stored > args.store_every:
            trainer.save(Path(args.out) / RESUME)
            stored = time.time()
    settle(cache.device)
    return trainer


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--load")
    p.add_argument("--out", required=True)
    p.add_argument("--autoencoder-seconds", type=float, default=0)
    p.add_argument("--flow-seconds", type=float, default=0)
    p.add_argument("--span", type=float, nargs=2, default=(0.0, 1.0))
    p.add_argument("--rate", type=float, default=1e-3)
    p.add_argument("--first-seed", type=int, default=500_000_000)
    p.add_argument("--log-every", type=int, default=50)
    p.add_argument("--compile", action="store_true")
    a = p.add_argument_group("autoencoder")
    a.add_argument("--objects", type=int, default=16)
    a.add_argument("--voxels", type=int, default=32_768)
    a.add_argument("--subset", type=int, default=16_384)
    a.add_argument("--store", type=int, default=16_384)
    f = p.add_argument_group("flow")
    f.add_argument("--fresh-flow", action="store_true", help="begin the latent flow anew, whatever the checkpoint holds")
    f.add_argument("--rows", type=int, default=262_144, help="voxels a step, spare ones included")
    f.add_argument("--fill", type=int, default=16_384, help="objects encoded before the first step")
    f.add_argument("--capacity", type=int, default=32_768, help="objects kept of each size class")
    f.add_argument("--encode-batch", type=int, default=64)
    f.add_argument("--encode-voxels", type=int, default=262_144)
    f.add_argument("--norm-objects", type=int, default=512)
    f.add_argument("--grow-share", type=float, default=0.2)
    f.add_argument("--store-every", type=float, default=120)
    f.add_argument("--eager", action="store_true", help="no CUDA graphs")
    args = p.parse_args()
    begun = time.time()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    torch.manual_seed(args.first_seed + 1)
    if args.compile:
        fields.compile_fields()
    log = Log(args.log_every)
    trio = [restore(n, args.load, device) for n in NAMES]
    # deformations and extraction weights keep their defaults: never trained, exactly zero
    with torch.no_grad():
        trio[1].out_layer.weight[8:53] = 0
        trio[1].out_layer.bias[8:53] = 0
    if args.autoencoder_seconds:
        seeds = torch.arange(args.first_seed, args.first_seed + args.store, device=device)
        trio = train_autoencoder(*trio, Store(seeds, device), args, log)
    for network, name in zip(trio, NAMES):
        store(network, name, args.out)
    if args.flow_seconds:
        dino = restore("dino", args.load, device).eval()
        flow = restore("latent_flow", None if args.fresh_flow else args.load, device)
        first = args.first_seed + (args.store if args.autoencoder_seconds else 0)
        cache = LatentCache(trio[0].eval(), dino, None, first, args.capacity, device, args.encode_batch, args.encode_voxels)
        latent_norm(cache, args)
        trainer = train_flow(flow, cache, args, log)
        trainer.save(Path(args.out) / RESUME)
        store(trainer.average.copy, "latent_flow", args.out)
        norm = {k: v.tolist() for k, v in zip(("mean", "std"), cache.norm)}
        (Path(args.out) / "latent_norm.json").write_text(json.dumps(norm))
    record = {"args": vars(args), "seconds": time.time() - begun, "log": log.lines}
    (Path(args.out) / f"latent-{args.first_seed}.json").write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
