"""Held-out objects as files: pictures, their truth, and the reference's numbers for one of them.

`python -m train.shelf MODEL GOLDENS EXAMPLES`: writes `GOLDENS/object_*.png` with `objects.safetensors` and
`objects.json`, `GOLDENS/numbers.safetensors`, and the same pictures under their kinds' names in EXAMPLES.

`python -m train.shelf --held-out FOLDER COUNT`: the first COUNT held-out objects in the same form, for `train.assess`,
`train.judge` and the runtime's own figures (`cargo run -p maquette --example mini`).
"""

import json
import sys
from pathlib import Path

import torch
from PIL import Image
from safetensors.torch import save_file

from reference.pipeline import Pipeline

from . import config, fields
from .assess import true_surface
from .evaluate import HeldOut
from .fields import Objects
from .objects import HELD_OUT_SEEDS, NAMES, kinds_of, make_objects
from .pictures import Views, render
from .pool import occupancy_distance

SHOWN = ("mug", "chair", "house", "rocket", "mushroom", "car", "snowman", "castle")
NUMBERS_OF = "rocket"
SIDE = 320


def without_spares(objects):
    """One object with its unused primitive slots dropped: the same object, quicker on a CPU."""
    keep = objects.live[0] != 0
    per_slot = {"kind", "live", "centre", "turn", "size", "colour", "second", "pattern"}
    return Objects(**{n: getattr(objects, n)[:, keep] if n in per_slot else getattr(objects, n) for n in Objects.FIELDS})


def portrait(objects, seed):
    whole = torch.tensor([[0.0, 0.0, 1.0]])
    rgba = render(objects, Views(seed), whole, SIDE)[0]
    return Image.fromarray((rgba * 255).round().byte().permute(1, 2, 0).numpy(), "RGBA")


def choose():
    """The first held-out seed of every shown kind."""
    seeds = torch.arange(HELD_OUT_SEEDS, HELD_OUT_SEEDS + 200)
    kinds = kinds_of(seeds)
    return [seeds[int(torch.nonzero(kinds == NAMES.index(name))[0, 0])] for name in SHOWN]


def bits(occupied):
    """Eight voxels a byte, the first lowest."""
    return (occupied.view(-1, 8).cpu() * 2 ** torch.arange(8)).sum(-1).byte()


def write_objects(folder, described, truths):
    save_file(truths, folder / "objects.safetensors")
    (folder / "objects.json").write_text(json.dumps(described, indent=1) + "\n")


@torch.no_grad()
def shelve(goldens, examples):
    generator, truths, described = torch.Generator().manual_seed(3), {}, []
    for i, (name, seed) in enumerate(zip(SHOWN, choose())):
        objects = without_spares(make_objects(seed[None])[0])
        picture = portrait(objects, seed[None])
        picture.save(goldens / f"object_{i}.png", optimize=True)
        picture.save(examples / f"{name}.png", optimize=True)
        occupied = occupancy_distance(objects)[0] < config.OCCUPIED_WITHIN
        truths[f"occupied.{i}"] = bits(occupied)
        surface = true_surface(objects, generator)
        colour = fields.albedo(surface[None], objects)[0].mean(0)
        described.append({"picture": f"object_{i}.png", "kind": name, "seed": int(seed), "voxels": int(occupied.sum()),
                          "mean_colour": [round(float(c), 4) for c in colour]})
        print(described[-1], flush=True)
    write_objects(goldens, described, truths)


@torch.no_grad()
def shelve_held_out(folder, count):
    held_out = HeldOut(count, torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    truths, described = {}, []
    for i, (seed, kind, occupied) in enumerate(zip(held_out.seeds.tolist(), held_out.kinds, held_out.occupied)):
        Image.fromarray(held_out.portraits[i].numpy(), "RGBA").save(folder / f"object_{i}.png", optimize=True)
        truths[f"occupied.{i}"] = bits(occupied)
        described.append({"picture": f"object_{i}.png", "kind": NAMES[kind], "seed": seed, "voxels": int(occupied.sum())})
    write_objects(folder, described, truths)


@torch.no_grad()
def numbers(model, goldens):
    """Every stage's result in float32 for one picture, with its noise."""
    pipeline, generator = Pipeline(model), torch.Generator().manual_seed(42)
    image = Image.open(goldens / f"object_{SHOWN.index(NUMBERS_OF)}.png")
    out = {"cond": pipeline.condition(image)}
    a = config.STRUCTURE_FLOW["args"]
    out["ss_noise"] = torch.randn(1, a["in_channels"], *(a["resolution"],) * 3, generator=generator)
    out["z_s"], out["ss_logits"], out["coords"] = pipeline.structure(out["cond"], out["ss_noise"])
    out["slat_noise"] = torch.randn(len(out["coords"]), config.LATENT_CHANNELS, generator=generator)
    out["slat"] = pipeline.latent(out["cond"], out["coords"], out["slat_noise"])
    fields_ = pipeline.gaussians(out["slat"], out["coords"])
    for name in ("xyz", "_features_dc", "scaling", "opacity"):
        out[f"gs.{name.lstrip('_')}"] = fields_[name][:8192]
    margin = float(out["ss_logits"].abs().min())
    print(f"{len(out['coords'])} voxels, smallest |logit| {margin:.4f}")
    save_file({k: v.contiguous() for k, v in out.items()}, goldens / "numbers.safetensors")


def main():
    if sys.argv[1] == "--held-out":
        folder = Path(sys.argv[2])
        folder.mkdir(parents=True, exist_ok=True)
        shelve_held_out(folder, int(sys.argv[3]))
        return
    model, goldens, examples = (Path(p) for p in sys.argv[1:4])
    for folder in (goldens, examples):
        folder.mkdir(parents=True, exist_ok=True)
    if not (goldens / "objects.json").exists():
        shelve(goldens, examples)
    numbers(model, goldens)


if __name__ == "__main__":
    main()
