"""Training of the latent stage: voxel autoencoder with mesh and Gaussian decoders, then the latent flow.

`python -m train.latent --autoencoder-seconds 240 --flow-seconds 200 --load DIR --out DIR`
"""

import argparse
import json
import time
from pathlib import Path

import torch
import torch.nn.functional as F

from reference.dinov2 import normalise_image
from reference.sparse import Geometry

from . import config, fields
from .networks import Average, Schedule, optimiser, restore, store
from .pool import make_samples, soften
from .structure import Log
from .voxels import R, STEEPNESS, Store, fine_corner_index, lattice

SUBSET = 16_384


def near_surface_rows(d, count, device):
    """`count` random voxel rows, those that the surface passes."""
    rows = torch.nonzero(d.abs().amin(1) < 0.5 / R)[:, 0]
    return rows[torch.randint(len(rows), (count,), device=device)]


def mesh_loss(raw, d, voxels, subset):
    """Distances at all fine corners; colours and normals at random corners close to the surface."""
    device = raw.device
    index = fine_corner_index().to(device)
    truth = d[:, index].flatten(0, 1)
    target = (truth * STEEPNESS).clamp(-1, 1) + 1.0 / (4 * R)
    weight = 1 + 4 * (truth.abs() < 0.5 / R)
    sdf = (weight * (raw[:, :8] - target).abs()).sum() / weight.sum()
    rows = near_surface_rows(d, subset, device)
    fine, corner = (torch.randint(n, (subset, 16), device=device) for n in (64, 8))
    place = index[fine, corner]
    near = d[rows].gather(1, place).abs() < 1.0 / R
    points = voxels.points(lattice(5).to(device)[place], rows)
    few = voxels.objects[rows]
    colour, normal = fields.albedo(points, few), fields.normal(points, few)
    picked = raw[rows[:, None] * 64 + fine, 53:].unflatten(-1, (8, 6))
    picked = torch.sigmoid(picked.gather(2, corner[..., None, None].expand(-1, -1, 1, 6))[:, :, 0])
    mask = near[..., None]
    scale = mask.sum().clamp_min(1) * 3
    colours = ((picked[..., :3] - colour).abs() * mask).sum() / scale
    normals = ((picked[..., 3:] - (normal + 1) / 2).abs() * mask).sum() / scale
    return sdf, colours, normals


def gaussian_loss(decoder, raw, d, voxels, subset):
    """Each Gaussian goes to the surface point nearest to its resting place; those with none in reach fade out."""
    device, count = raw.device, decoder.count
    rows = torch.randint(voxels.count, (subset,), device=device)
    rest = torch.tanh(decoder.offset_perturbation) * 0.75
    few = voxels.objects[rows]
    points = voxels.points((rest + 0.5).expand(subset, -1, -1), rows)
    values = few.values()
    start = fields.DISTANCE(points.contiguous(), *values)
    goal = points - start[..., None] * fields.normal(points.contiguous(), few)
    centre = voxels.points(torch.full((1, 3), 0.5), rows)
    offset = ((goal - centre) * R).clamp(-0.7, 0.7)
    goal = (centre + offset / R).contiguous()
    visible = fields.DISTANCE(goal, *values).abs() < 0.2 / R
    colour = fields.albedo(goal, few)
    out = decoder.gaussians(raw[rows], voxels.geometry.coords[rows])
    shape = (subset, count)
    position = ((out["xyz"].view(*shape, 3) - goal).abs() * R).mean(-1)
    rgb = out["_features_dc"].view(*shape, 3) * 0.28209479177387814 + 0.5
    size = (out["scaling"].view(*shape, 3) * R - 0.3).abs().mean(-1)
    shown = visible.float()
    opacity = F.binary_cross_entropy(out["opacity"].view(shape).clamp(1e-4, 1 - 1e-4), shown * 0.96 + 0.01)
    scale = shown.sum().clamp_min(1)
    still = out["_rotation"].square().mean()
    return ((position + (rgb - colour).abs().mean(-1) * 2) * shown).sum() / scale + size.mean() + 0.2 * opacity + still


def train_autoencoder(encoder, mesh, gaussians, store_, args, log):
    networks = [encoder, mesh, gaussians]
    averages = [Average(n, 0.998) for n in networks]
    opt = optimiser(networks, 1.5e-3)
    schedule = Schedule(opt, 1.5e-3, args.autoencoder_seconds, args.span)
    parameters = [p for n in networks for p in n.parameters()]
    while not schedule.over:
        with torch.no_grad():
            voxels, _ = store_.draw(args.objects, args.voxels)
            d = voxels.distances()
            features = voxels.features(d)
        with torch.autocast(d.device.type, torch.bfloat16):
            mean, logvar = encoder(features, voxels.geometry)
            mean, logvar = mean.float(), logvar.float().clamp(-12, 4)
            z = mean + torch.randn_like(mean) * (torch.exp(0.5 * logvar) + 0.05)
            raw, _ = mesh(z, voxels.geometry)
            splats = gaussians(z, voxels.geometry).float()
        kl = 0.5 * (mean.square() + logvar.exp() - 1 - logvar).mean()
        sdf, colours, normals = mesh_loss(raw.float(), d, voxels, args.subset)
        splat = gaussian_loss(gaussians, splats, d, voxels, args.subset)
        loss = 4 * sdf + 2 * colours + 0.5 * normals + splat + 1e-3 * kl
        opt.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        schedule.step()
        opt.step()
        for a in averages:
            a.update()
        if schedule.step_count % log.every == 1:
            log("autoencoder", schedule, sdf=sdf, colour=colours, normal=normals, splat=splat, kl=kl,
                spread=mean.std(), voxels=voxels.count)
    return [a.copy for a in averages]


class Chunk:
    """A few objects' voxels with their latents and the rows of their pictures."""

    def __init__(self, coords, latent, rows):
        self.coords, self.latent, self.rows = coords, latent, rows


@torch.no_grad()
def encode_chunk(encoder, store_, args):
    voxels, rows = store_.draw(args.objects, args.voxels)
    with torch.autocast(rows.device.type, torch.bfloat16):
        mean, _ = encoder(voxels.features(voxels.distances()), voxels.geometry)
    return Chunk(voxels.geometry.coords, mean.float(), rows)


def merge(chunks):
    coords, base = [], 0
    for c in chunks:
        shift = torch.tensor([base, 0, 0, 0], device=c.coords.device, dtype=c.coords.dtype)
        coords.append(c.coords + shift)
        base += len(c.rows)
    return Chunk(torch.cat(coords), torch.cat([c.latent for c in chunks]), torch.cat([c.rows for c in chunks]))


def train_flow(flow, dino, encoder, store_, args, log):
    """Latent flow on cached latents; returns its averaged weights and the latents' (mean, std)."""
    begun = time.time()
    cache = [encode_chunk(encoder, store_, args) for _ in range(args.first_chunks)]
    if store_.occupied.is_cuda:
        torch.cuda.synchronize()
    print(f"encoded {len(cache)} chunks in {time.time() - begun:.1f} s", flush=True)
    known = torch.cat([c.latent for c in cache])
    norm_path = Path(args.load or "/nonexistent") / "latent_norm.json"
    if norm_path.exists() and not args.autoencoder_seconds:
        kept = json.loads(norm_path.read_text())
        mean, std = (torch.tensor(kept[k], device=known.device) for k in ("mean", "std"))
    else:
        mean, std = known.mean(0), known.std(0)
    average = Average(flow)
    opt = optimiser([flow], args.rate)
    schedule = Schedule(opt, args.rate, args.flow_seconds, args.span)
    spent = 0.0
    while not schedule.over:
        pick = torch.randint(len(cache), (2,)).tolist()
        batch = merge([cache[i] for i in pick])
        geometry, device = Geometry(batch.coords), batch.coords.device
        z = (batch.latent - mean) / std
        items = len(batch.rows)
        t = torch.sigmoid(torch.randn(items, device=device) + 1)
        noise = torch.randn_like(z)
        at = t[geometry.batch][:, None]
        keep = (torch.rand(items, device=device) >= 0.1)[:, None, None]
        with torch.autocast(device.type, torch.bfloat16):
            with torch.no_grad():
                cond = dino.condition(normalise_image(soften(store_.pictures[batch.rows].float() / 255)))
            v = flow((1 - at) * z + at * noise, geometry, 1000 * t, cond * keep)
        loss = F.mse_loss(v.float(), noise - z)
        opt.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(flow.parameters(), 1.0)
        rate = schedule.step()
        opt.step()
        average.update()
        if schedule.step_count % log.every == 1:
            log("latent_flow", schedule, loss=loss, rate=rate, chunks=len(cache), items=items)
        if spent < args.grow_share * schedule.elapsed:
            start = time.time()
            cache.append(encode_chunk(encoder, store_, args))
            if device.type == "cuda":
                torch.cuda.synchronize()
            spent += time.time() - start
    return average.copy, {"mean": mean.tolist(), "std": std.tolist()}


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--load")
    p.add_argument("--out", required=True)
    p.add_argument("--autoencoder-seconds", type=float, default=0)
    p.add_argument("--flow-seconds", type=float, default=0)
    p.add_argument("--span", type=float, nargs=2, default=(0.0, 1.0))
    p.add_argument("--rate", type=float, default=1e-3)
    p.add_argument("--objects", type=int, default=16)
    p.add_argument("--voxels", type=int, default=32_768)
    p.add_argument("--subset", type=int, default=SUBSET)
    p.add_argument("--store", type=int, default=16_384)
    p.add_argument("--first-chunks", type=int, default=400)
    p.add_argument("--grow-share", type=float, default=0.25)
    p.add_argument("--first-seed", type=int, default=500_000_000)
    p.add_argument("--log-every", type=int, default=50)
    p.add_argument("--held-out", type=int, default=32)
    p.add_argument("--compile", action="store_true")
    args = p.parse_args()
    begun = time.time()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    torch.manual_seed(args.first_seed + 1)
    if args.compile:
        fields.compile_fields()
    seeds = torch.arange(args.first_seed, args.first_seed + args.store, device=device)
    pictures = None
    if args.flow_seconds:
        pictures = torch.cat([make_samples(s)[2] for s in seeds.split(2048)])
    store_ = Store(seeds, device, pictures)
    print(f"store ready after {time.time() - begun:.1f} s", flush=True)
    log = Log(args.log_every)
    names = ("latent_encoder", "mesh_decoder", "gaussian_decoder")
    trio = [restore(n, args.load, device) for n in names]
    # deformations and extraction weights keep their defaults: never trained, exactly zero
    with torch.no_grad():
        trio[1].out_layer.weight[8:53] = 0
        trio[1].out_layer.bias[8:53] = 0
    if args.autoencoder_seconds:
        trio = train_autoencoder(*trio, store_, args, log)
    for network, name in zip(trio, names):
        store(network, name, args.out)
    if args.flow_seconds:
        dino, flow = restore("dino", args.load, device).eval(), restore("latent_flow", args.load, device)
        flow, norm = train_flow(flow, dino, trio[0], store_, args, log)
        store(flow, "latent_flow", args.out)
        (Path(args.out) / "latent_norm.json").write_text(json.dumps(norm))
    record = {"args": vars(args), "seconds": time.time() - begun, "log": log.lines}
    (Path(args.out) / f"latent-{args.first_seed}.json").write_text(json.dumps(record))


if __name__ == "__main__":
    main()
