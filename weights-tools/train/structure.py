"""Training of the structure stage: occupancy autoencoder, then flow and picture encoder together.

`python -m train.structure --vae-seconds 90 --flow-seconds 400 --span 0 0.5 --load DIR --out DIR`
"""

import argparse
import json
import time
from pathlib import Path

import torch
import torch.nn.functional as F

from reference.dinov2 import normalise_image

from . import config, evaluate, fields
from .networks import Average, Schedule, fresh, optimiser, restore, store
from .pool import Pool


def overlap(logits, occupied):
    """Mean intersection over union of `logits > 0` and the truth."""
    a, b = logits.flatten(1) > 0, occupied.flatten(1) > 0.5
    return ((a & b).sum(1) / (a | b).sum(1).clamp_min(1)).mean()


def train_vae(encoder, decoder, pool, seconds, batch, log):
    """BCE and dice on the occupancy, a little KL, noise on the latent so that the decoder forgives the flow."""
    opt = optimiser([encoder, decoder], 2e-3)
    schedule = Schedule(opt, 2e-3, seconds)
    while not schedule.over:
        occupied = pool.take_occupancy(batch)
        with torch.autocast(occupied.device.type, torch.bfloat16):
            mean, logvar = encoder(occupied)
            mean, logvar = mean.float(), logvar.float().clamp(-12, 4)
            z = mean + torch.randn_like(mean) * (torch.exp(0.5 * logvar) + 0.1)
            logits = decoder(z).float()
        p = torch.sigmoid(logits).flatten(1)
        truth = occupied.flatten(1)
        dice = 1 - ((2 * (p * truth).sum(1) + 1) / (p.sum(1) + truth.sum(1) + 1)).mean()
        bce = F.binary_cross_entropy_with_logits(logits, occupied)
        kl = 0.5 * (mean.square() + logvar.exp() - 1 - logvar).mean()
        loss = bce * 5 + dice + 1e-3 * kl
        opt.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(list(encoder.parameters()) + list(decoder.parameters()), 1.0)
        schedule.step()
        opt.step()
        if schedule.step_count % log.every == 1:
            log("vae", schedule, bce=bce, dice=dice, kl=kl, iou=overlap(logits, occupied), spread=mean.std())
    fold_scale(encoder, decoder, pool)


@torch.no_grad()
def fold_scale(encoder, decoder, pool):
    """Give every latent channel unit variance by moving its scale into the neighbouring weights."""
    z = torch.cat([encoder(pool.take_occupancy(256))[0] for _ in range(8)])
    scale = z.square().mean((0, 2, 3, 4)).sqrt().clamp_min(1e-4)
    out = encoder.out_layer[2]
    n = len(scale)
    out.weight[:n] /= scale.view(-1, 1, 1, 1, 1)
    out.bias[:n] /= scale
    decoder.input_layer.weight *= scale.view(1, -1, 1, 1, 1)
    print("latent scale folded:", [round(v, 3) for v in scale.tolist()])


def colour_target(pictures):
    """`[B, patches, 12]` of pictures in 0..1: the mean colours of each patch's quarters."""
    small = F.avg_pool2d(pictures, config.PATCH // 2)
    side = small.shape[-1] // 2
    return small.unflatten(-1, (side, 2)).unflatten(-3, (side, 2)).permute(0, 2, 4, 3, 5, 1).flatten(1, 2).flatten(2)


def flow_loss(flow, dino, decoder, colours, pictures, z, occupied):
    """Rectified-flow loss, what the decoder says of its predicted end, and what `colours` reads of the tokens.

    Occupancy came along for the first of the batch: these are decoded and compared. `colours` is a linear layer that tells
    every patch's colours from its token: a shape can be told without them, so they would not survive the encoder.
    """
    device, batch = z.device, len(z)
    t = torch.sigmoid(torch.randn(batch, device=device) + 1)
    noise = torch.randn_like(z)
    at = t[:, None, None, None, None]
    x = (1 - at) * z + at * noise
    keep = (torch.rand(batch, device=device) >= 0.1)[:, None, None]
    with torch.autocast(device.type, torch.bfloat16):
        cond = dino.condition(normalise_image(pictures))
        v = flow(x, 1000 * t, cond * keep)
        seen = colours(cond[:, -(config.IMAGE_SIZE // config.PATCH) ** 2:])
    colour = F.mse_loss(seen.float(), colour_target(pictures))
    loss = F.mse_loss(v.float(), noise - z)
    extra = torch.zeros((), device=device)
    n = len(occupied)
    if n:
        with torch.autocast(device.type, torch.bfloat16):
            logits = decoder(x[:n] - at[:n] * v[:n].float())
        extra = F.binary_cross_entropy_with_logits(logits.float(), occupied)
    return loss, extra, colour


def train_flow(flow, dino, encoder, decoder, pool, args, log):
    """Flow and picture encoder together; returns their averaged weights."""
    pool.use_encoder(encoder)
    averages = [Average(flow), Average(dino)]
    colours = torch.nn.Linear(config.COND, 12).to(next(dino.parameters()).device)
    opt = optimiser([flow, dino, colours], args.rate)
    decoder.requires_grad_(False)
    if args.compile:
        for block in list(flow.blocks) + list(dino.blocks):
            block.compile(dynamic=False)
    schedule = Schedule(opt, args.rate, args.flow_seconds, args.span)
    grown = pool.seconds
    while not schedule.over:
        pictures, z, occupied = pool.take(args.batch, int(args.batch * args.decode_share))
        loss, extra, colour = flow_loss(flow, dino, decoder, colours, pictures, z, occupied)
        opt.zero_grad(set_to_none=True)
        (loss + args.decode_weight * extra + args.colour_weight * colour).backward()
        torch.nn.utils.clip_grad_norm_(list(flow.parameters()) + list(dino.parameters()), 1.0)
        rate = schedule.step()
        opt.step()
        for a in averages:
            a.update()
        if schedule.step_count % log.every == 1:
            log("flow", schedule, loss=loss, decoded=extra, colour=colour, rate=rate, made=pool.made)
        # new samples for a fixed share of the time, after the first pictures have been seen a few times
        if pool.seconds - grown < args.grow_share * schedule.elapsed:
            pool.grow(args.grow)
    return [a.copy for a in averages]


class Log:
    """Prints now and then and keeps every line for the record."""

    def __init__(self, every):
        self.every, self.lines = every, []

    def __call__(self, stage, schedule, **values):
        line = {"stage": stage, "step": schedule.step_count, "seconds": round(schedule.elapsed, 1)}
        line.update({k: round(float(torch.as_tensor(v).detach()), 6) for k, v in values.items()})
        self.lines.append(line)
        print(" ".join(f"{k}={v}" for k, v in line.items()), flush=True)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--load")
    p.add_argument("--out", required=True)
    p.add_argument("--vae-seconds", type=float, default=0)
    p.add_argument("--flow-seconds", type=float, default=0)
    p.add_argument("--span", type=float, nargs=2, default=(0.0, 1.0))
    p.add_argument("--rate", type=float, default=1e-3)
    p.add_argument("--batch", type=int, default=512)
    p.add_argument("--vae-batch", type=int, default=256)
    p.add_argument("--pool", type=int, default=160_000)
    p.add_argument("--fill", type=int, default=32_768)
    p.add_argument("--grow", type=int, default=2048)
    p.add_argument("--grow-share", type=float, default=0.3)
    p.add_argument("--decode-share", type=float, default=0.0)
    p.add_argument("--decode-weight", type=float, default=1.0)
    p.add_argument("--colour-weight", type=float, default=2.0)
    p.add_argument("--first-seed", type=int, default=0)
    p.add_argument("--held-out", type=int, default=200)
    p.add_argument("--log-every", type=int, default=200)
    p.add_argument("--compile", action="store_true")
    p.add_argument("--sweep", action="store_true")
    args = p.parse_args()
    begun = time.time()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    torch.backends.cudnn.benchmark = True
    torch.manual_seed(args.first_seed + 1)
    if device.type == "cuda" and args.compile:
        fields.compile_fields()
    pool = Pool(args.pool, args.first_seed, device)
    while pool.made < args.fill:
        pool.grow(min(args.grow, args.fill))
    print(f"pool: {pool.made} in {pool.seconds:.1f} s", flush=True)
    pool.seconds = 0.0
    log = Log(args.log_every)
    names = ("structure_encoder", "structure_decoder", "structure_flow", "dino")
    encoder, decoder, flow, dino = (restore(n, args.load, device) for n in names)
    encoder.to(memory_format=torch.channels_last_3d)
    decoder.to(memory_format=torch.channels_last_3d)
    if args.vae_seconds:
        train_vae(encoder, decoder, pool, args.vae_seconds, args.vae_batch, log)
        store(encoder, names[0], args.out)
        store(decoder, names[1], args.out)
    if args.flow_seconds:
        flow, dino = train_flow(flow, dino, encoder, decoder, pool, args, log)
    for network, name in zip((encoder, decoder, flow, dino), names):
        store(network, name, args.out)
    held_out = evaluate.HeldOut(args.held_out, device)
    results = evaluate.structure(flow, dino, decoder, held_out, sweep=args.sweep)
    results["autoencoder_iou"] = evaluate.autoencoder(encoder, decoder, held_out)
    record = {"args": vars(args), "made": pool.made, "seconds": time.time() - begun, "log": log.lines, "results": results}
    (Path(args.out) / f"structure-{args.first_seed}.json").write_text(json.dumps(record))
    print(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
