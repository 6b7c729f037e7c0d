"""Training of picture encoder, structure flow and latent flow together.

The encoder was trained for shapes alone; here colours reach it too, while the structure flow keeps it from forgetting
shapes: `python -m train.joint --load DIR --out DIR --seconds 400`
"""

import argparse
import json
import time
from pathlib import Path

import torch
import torch.nn.functional as F

from reference.sparse import Geometry

from . import config, fields
from .latent import Chunk
from .networks import Average, Schedule, optimiser, restore, store
from .pool import Pool, soften
from .structure import Log, encode_pictures
from .structure import flow_loss as structure_loss
from .voxels import Store

NAMES = ("dino", "structure_flow", "latent_flow")
FROZEN = ("structure_encoder", "structure_decoder", "latent_encoder", "mesh_decoder", "gaussian_decoder")


class Encoded(Chunk):
    """A chunk that keeps its geometry, so that neighbours and segments are worked out once."""

    def __init__(self, voxels, latent, rows):
        super().__init__(voxels.geometry.coords, latent, rows)
        self.geometry = Geometry(self.coords)


@torch.no_grad()
def encode_chunk(encoder, store_, norm, args):
    """An `Encoded` chunk of standardised latents, and its voxels' colours `[V, 3]` (0 where none is near)."""
    voxels, rows = store_.draw(args.objects, args.voxels)
    features = voxels.features(voxels.distances())
    with torch.autocast(rows.device.type, torch.bfloat16):
        mean, _ = encoder(features, voxels.geometry)
    return Encoded(voxels, (mean.float() - norm[0]) / norm[1], rows), features[:, 125:].unflatten(1, (27, 3)).sum(1)


def colour_directions(latents, colours):
    """Orthonormal `[channels, 3]` basis of the latent's directions from which colours can be read (ridge regression)."""
    x = torch.cat([latents, torch.ones_like(latents[:, :1])], 1).double()
    y = colours.double()
    weights = torch.linalg.solve(x.T @ x + torch.eye(x.shape[1], device=x.device), x.T @ y)
    left = (y - x @ weights).square().sum() / (y - y.mean(0)).square().sum()
    print(f"colours are linear in the latents but for {float(left):.3f} of their variance", flush=True)
    return torch.linalg.qr(weights[:-1])[0].float()


def latent_loss(flow, cond, chunk, colour, weight):
    """Rectified-flow loss; errors along the colour directions count `weight` times more. Its minimum is the same field."""
    z, geometry, device = chunk.latent, chunk.geometry, chunk.latent.device
    items = len(chunk.rows)
    t = torch.sigmoid(torch.randn(items, device=device) + 1)
    noise = torch.randn_like(z)
    at = t[geometry.batch][:, None]
    keep = (torch.rand(items, device=device) >= 0.1)[:, None, None]
    with torch.autocast(device.type, torch.bfloat16):
        v = flow((1 - at) * z + at * noise, geometry, 1000 * t, cond * keep)
    error = v.float() - (noise - z)
    colours = (error @ colour).square().mean()
    return error.square().mean() + weight * colours, colours


def train(networks, frozen, pool, store_, norm, args, log):
    dino, structure, latent = networks
    begun = time.time()
    cache, colours = [], []
    for _ in range(args.first_chunks):
        chunk, colour = encode_chunk(frozen["latent_encoder"], store_, norm, args)
        cache.append(chunk)
        if len(colours) < 32:
            colours.append(colour)
    directions = colour_directions(torch.cat([c.latent for c in cache[:len(colours)]]), torch.cat(colours))
    print(f"encoded {len(cache)} chunks in {time.time() - begun:.1f} s", flush=True)
    pool.use_encoder(frozen["structure_encoder"])
    averages = [Average(n) for n in networks]
    parameters = [p for n in networks for p in n.parameters()]
    opt = optimiser(networks, args.rate)
    if args.compile:
        for block in list(structure.blocks) + list(dino.blocks):
            block.compile(dynamic=False)
    schedule = Schedule(opt, args.rate, args.seconds, args.span)
    pool.seconds = spent = 0.0
    none = torch.zeros(0)
    while not schedule.over:
        chunk = cache[int(torch.randint(len(cache), ()))]
        items = len(chunk.rows)
        pictures, z, _ = pool.take(args.batch, 0)
        own = soften(store_.pictures[chunk.rows].float() / 255)
        # one batch of one size for both: compiled once
        spare = own.new_zeros(args.objects - items, *own.shape[1:])
        cond = encode_pictures(dino, torch.cat([pictures, own, spare]))
        shape, _ = structure_loss(structure, cond[:args.batch], None, z, none)
        surface, colour = latent_loss(latent, cond[args.batch:args.batch + items], chunk, directions, args.colour_weight)
        opt.zero_grad(set_to_none=True)
        (shape + surface).backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        rate = schedule.step()
        opt.step()
        for a in averages:
            a.update()
        if schedule.step_count % log.every == 1:
            log("joint", schedule, shape=shape, latent=surface, colour=colour, rate=rate, made=pool.made, chunks=len(cache))
        if pool.seconds < args.grow_share * schedule.elapsed:
            pool.grow(args.grow)
        if spent < args.grow_share * schedule.elapsed and len(cache) < args.most_chunks:
            start = time.time()
            cache.append(encode_chunk(frozen["latent_encoder"], store_, norm, args)[0])
            if z.is_cuda:
                torch.cuda.synchronize()
            spent += time.time() - start
    return [a.copy for a in averages]


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--load", required=True)
    p.add_argument("--out", required=True)
    p.add_argument("--seconds", type=float, default=400)
    p.add_argument("--span", type=float, nargs=2, default=(0.0, 1.0))
    p.add_argument("--rate", type=float, default=8e-4)
    p.add_argument("--batch", type=int, default=256)
    p.add_argument("--objects", type=int, default=32)
    p.add_argument("--voxels", type=int, default=65_536)
    p.add_argument("--fill", type=int, default=24_576)
    p.add_argument("--pool", type=int, default=160_000)
    p.add_argument("--grow", type=int, default=1024)
    p.add_argument("--grow-share", type=float, default=0.12)
    p.add_argument("--first-chunks", type=int, default=250)
    p.add_argument("--most-chunks", type=int, default=2000)
    p.add_argument("--colour-weight", type=float, default=4.0)
    p.add_argument("--first-seed", type=int, default=700_000_000)
    p.add_argument("--log-every", type=int, default=100)
    p.add_argument("--compile", action="store_true")
    args = p.parse_args()
    begun = time.time()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    torch.manual_seed(args.first_seed + 1)
    if args.compile:
        fields.compile_fields()
    pool = Pool(args.pool, args.first_seed, device)
    while pool.made < args.fill:
        pool.grow(min(args.grow, args.fill))
    seeds = torch.arange(args.first_seed, args.first_seed + args.fill, device=device)
    # the pool keeps its first rows until it is full: they are the store's pictures
    store_ = Store(seeds, device, pool.pictures)
    print(f"pool and store ready after {time.time() - begun:.1f} s", flush=True)
    kept = json.loads((Path(args.load) / "latent_norm.json").read_text())
    norm = [torch.tensor(kept[k], device=device) for k in ("mean", "std")]
    frozen = {n: restore(n, args.load, device).eval().requires_grad_(False) for n in FROZEN}
    networks = [restore(n, args.load, device) for n in NAMES]
    log = Log(args.log_every)
    networks = train(networks, frozen, pool, store_, norm, args, log)
    for name, network in list(frozen.items()) + list(zip(NAMES, networks)):
        store(network, name, args.out)
    (Path(args.out) / "latent_norm.json").write_text(json.dumps(kept))
    record = {"run": f"joint-{args.first_seed}", "args": vars(args), "made": pool.made, "seconds": time.time() - begun,
              "log": log.lines}
    (Path(args.out) / f"joint-{args.first_seed}.json").write_text(json.dumps(record))


if __name__ == "__main__":
    main()
