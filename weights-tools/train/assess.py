"""Figures of a finished model folder on held-out objects: `python -m train.assess FOLDER OUT.json COUNT SURFACES`.

COUNT objects are judged by their structure and SURFACES of them by their surface. With the folder of shelved
objects (see `shelf`) in place of the two numbers, those are judged; that is quick enough for a CPU.

Structure IoU with right and shuffled pictures, Chamfer distance and colour error of the extracted surface, on
trained kinds and on the kinds that were never trained. Surfaces are the zero level of the decoder's corner field;
points on the true surface come from the analytic field.
"""

import json
import sys
from pathlib import Path

import torch
from PIL import Image

from reference.picture import prepare, to_tensor
from reference.pipeline import Pipeline

from . import config, evaluate, fields
from .objects import kinds_of, make_objects
from .pool import occupancy_distance

POINTS = 4096


def crossings(corners, means):
    """Points `[M, 3]` where grid edges cross the zero level, and the colours there `[M, 3]`."""
    side = 4 * config.STRUCTURE + 2
    volume = torch.full((side**3,), -1, dtype=torch.long, device=corners.device)
    key = (corners[:, 0] * side + corners[:, 1]) * side + corners[:, 2]
    volume[key] = torch.arange(len(corners), device=corners.device)
    sdf, rgb = means[:, 0], torch.sigmoid(means[:, 4:7])
    points, colours = [], []
    for axis, stride in enumerate((side**2, side, 1)):
        other = volume[(key + stride).clamp_max(side**3 - 1)]
        rows = torch.nonzero((other >= 0) & ((sdf < 0) != (sdf[other] < 0)))[:, 0]
        w = (sdf[rows] / (sdf[rows] - sdf[other[rows]]))[:, None]
        step = torch.nn.functional.one_hot(torch.tensor(axis, device=w.device), 3)
        points.append((corners[rows] + w * step) / (4 * config.STRUCTURE) - 0.5)
        colours.append(rgb[rows] + w * (rgb[other[rows]] - rgb[rows]))
    return torch.cat(points), torch.cat(colours)


def true_surface(objects, generator):
    """About `POINTS` points of one object's surface: random points walked down the field."""
    p = torch.rand(1, 4 * POINTS, 3, generator=generator).to(objects.kind.device) - 0.5
    for _ in range(6):
        d = fields.DISTANCE(p, *objects.values())
        p = p - d[..., None] * fields.normal(p, objects)
    d = fields.DISTANCE(p, *objects.values())[0]
    return p[0][d.abs() < 1e-3][:POINTS]


class SurfaceFigures:
    """Means over objects of Chamfer distance (half of both ways) and colour error of surface points."""

    def __init__(self):
        self.generator = torch.Generator().manual_seed(7)
        self.distance, self.colour, self.empty = [], [], 0

    def add(self, points, colours, objects):
        """Points `[N, 3]` with colours of the made surface, and the one true object."""
        if len(points) == 0:
            self.empty += 1
            return
        pick = torch.randperm(len(points), generator=self.generator)[:POINTS].to(points.device)
        points, colours = points[pick], colours[pick]
        truth = true_surface(objects, self.generator)
        forth = fields.DISTANCE(points[None], *objects.values()).abs().mean()
        back = torch.cdist(truth, points).amin(1).mean()
        self.distance.append(float(forth + back) / 2)
        self.colour.append(float((colours - fields.albedo(points[None], objects)[0]).abs().mean()))

    def result(self):
        mean = lambda v: round(sum(v) / max(len(v), 1), 5)
        return {"objects": len(self.distance) + self.empty, "without_surface": self.empty,
                "chamfer": mean(self.distance), "colour_error": mean(self.colour)}


@torch.no_grad()
def surface_figures(pipeline, held_out, coords_of, count):
    figures, generator, none = SurfaceFigures(), torch.Generator().manual_seed(7), torch.zeros(0, 3)
    for i in range(count):
        coords, made = coords_of[i], (none, none)
        if len(coords):
            cond = pipeline.dino.condition(evaluate.normalise_image(held_out.pictures[i:i + 1]))
            noise = torch.randn(len(coords), config.LATENT_CHANNELS, generator=generator).to(cond.device)
            made = crossings(*pipeline.mesh_corners(pipeline.latent(cond, coords, noise), coords))
        figures.add(*made, held_out.objects[i:i + 1])
    return figures.result()


@torch.no_grad()
def assess(pipeline, held_out, surfaces):
    flow, decoder = (pipeline.models.network(n) for n in ("sparse_structure_flow_model", "sparse_structure_decoder"))
    out = evaluate.structure(flow, pipeline.dino, decoder, held_out, pipeline.args["sparse_structure_sampler"]["params"])
    got = evaluate.structures(flow, pipeline.dino, decoder, held_out.pictures, out["params"])
    coords = [torch.nn.functional.pad(torch.argwhere(g[0]), (1, 0)).int() for g in got]
    out["surface"] = surface_figures(pipeline, held_out, coords, surfaces)
    return out


class Shelved:
    """The objects of a folder written by `shelf`, in the form of `evaluate.HeldOut`."""

    def __init__(self, folder):
        described = json.loads((folder / "objects.json").read_text())
        seeds = torch.tensor([d["seed"] for d in described])
        self.kinds = kinds_of(seeds).tolist()
        self.pictures = torch.stack([to_tensor(prepare(Image.open(folder / d["picture"]), config.IMAGE_SIZE))
                                     for d in described])
        self.objects, _ = make_objects(seeds)
        side = (config.STRUCTURE,) * 3
        self.occupied = (occupancy_distance(self.objects) < config.OCCUPIED_WITHIN).view(len(seeds), 1, *side)


def main():
    folder, target = sys.argv[1], Path(sys.argv[2])
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    pipeline = Pipeline(folder, device)
    if len(sys.argv) == 4:
        held_out = Shelved(Path(sys.argv[3]))
        results = {"shelved": assess(pipeline, held_out, len(held_out.kinds))}
    else:
        count, surfaces = int(sys.argv[3]), int(sys.argv[4])
        results = {name: assess(pipeline, evaluate.HeldOut(count, device, unseen), surfaces)
                   for name, unseen in (("trained_kinds", False), ("unseen_kinds", True))}
    target.write_text(json.dumps(results, indent=1) + "\n")
    print(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
