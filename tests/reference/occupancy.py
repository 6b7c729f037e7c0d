"""Give a random structure decoder a wanted number of voxels: `python -m reference.occupancy MODEL PICTURE COUNT [--seed 42]`.

Run from `tests/`. Samples the structure of PICTURE (RGBA) as the program does with that seed and moves the bias of the decoder's
last layer, in the folder's own file, so that COUNT logits are above zero: about half of them are with random weights.
"""

import argparse

import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from .dinov2 import normalise_image
from .full_size import load_encoder
from .model_folder import ModelFolder
from .picture import prepare, to_tensor
from .sampler import sample


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("picture")
    parser.add_argument("count", type=int)
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    a = parser.parse_args()
    models = ModelFolder(a.model, a.device)
    encoder = load_encoder(models.folder / models.args.get("image_cond_checkpoint", models.args["image_cond_model"]), a.device)
    flow = models.network("sparse_structure_flow_model")
    edge = flow.grid * flow.patch_size
    channels = flow.input_layer.in_features // flow.patch_size**3
    params = dict(models.args["sparse_structure_sampler"]["params"])
    params["steps"] = a.steps or params["steps"]
    with torch.no_grad():
        picture = to_tensor(prepare(Image.open(a.picture), models.args.get("image_size", 518)))
        cond = encoder.condition(normalise_image(picture[None].to(a.device)))
        noise = torch.randn(1, channels, edge, edge, edge, generator=torch.Generator().manual_seed(a.seed)).to(a.device)
        logits = models.network("sparse_structure_decoder")(sample(flow, noise, cond, **params)).flatten()
    threshold = float(logits.sort(descending=True).values[min(a.count, len(logits) - 1)])
    path = models.folder / (models.args["models"]["sparse_structure_decoder"] + ".safetensors")
    with safe_open(path, "pt") as f:
        metadata = f.metadata()
    weights = load_file(path)
    weights["out_layer.2.bias"] = weights["out_layer.2.bias"] - threshold
    save_file(weights, path, metadata)
    print(f"{int((logits > 0).sum())} of {len(logits)} voxels before, {int((logits > threshold).sum())} now")


if __name__ == "__main__":
    main()
