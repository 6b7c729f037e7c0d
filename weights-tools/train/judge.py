"""Figures of what the runtime made: `python -m train.judge OBJECTS STAGES [OUT.json]`.

OBJECTS is a folder that `shelf` wrote, STAGES what `mini figures` made of its pictures: structures of all and surfaces of some.
The measures are those of `train.assess`, so that both can be compared; points are the mesh's vertices before it is reduced.
"""

import json
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file

from . import config
from .assess import SurfaceFigures
from .evaluate import ratio
from .objects import make_objects
from .pool import occupancy_distance


@torch.no_grad()
def main():
    folder, stages = Path(sys.argv[1]), Path(sys.argv[2])
    described = json.loads((folder / "objects.json").read_text())
    found = [stages / f"object_{i}.structure.safetensors" for i in range(len(described))]
    count = next((i for i, path in enumerate(found) if not path.exists()), len(found))
    if not count:
        sys.exit(f"{found[0]} is not there: STAGES is the folder that `mini figures` wrote")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    objects = make_objects(torch.tensor([d["seed"] for d in described[:count]], device=device))[0]
    truth = torch.cat([occupancy_distance(objects[i:i + 1]) < config.OCCUPIED_WITHIN for i in range(count)])
    came, surface = torch.zeros_like(truth), SurfaceFigures()
    for i in range(count):
        x, y, z = load_file(found[i], device=str(device))["coords"][:, 1:].long().unbind(-1)
        came[i, (x * config.STRUCTURE + y) * config.STRUCTURE + z] = True
        mesh = stages / f"object_{i}.mesh.safetensors"
        if mesh.exists():
            mesh = load_file(mesh, device=str(device))
            surface.add(mesh["mesh.vertices"], mesh["mesh.vertex_attrs"][:, :3], objects[i:i + 1])
    results = {"objects": count, "iou": float(ratio(came, truth).mean()),
               "shuffled_iou": float(ratio(came.roll(1, 0), truth).mean()), "surface": surface.result()}
    print(json.dumps(results, indent=1))
    if len(sys.argv) > 3:
        Path(sys.argv[3]).write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
