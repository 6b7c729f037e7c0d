"""The latent autoencoder's training: voxel encoder with mesh and Gaussian decoders, by the analytic field."""

import torch
import torch.nn.functional as F

from . import fields
from .networks import Average, Schedule, optimiser
from .voxels import R, STEEPNESS, fine_corner_index, lattice


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
            voxels = store_.draw(args.objects, args.voxels)
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
