"""Checkpoints to go on from, made of the shipped model and the kept encoders: `python -m train.resume MODEL CKPT`.

`python -m train.resume --keep CKPT` stores the two encoders that are not shipped, as float16, beside this file.
"""

import json
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from .export import FILES

KEPT = Path(__file__).parent / "encoders"
ENCODERS = ("structure_encoder", "latent_encoder")


def convert(source, target, dtype):
    save_file({k: v.to(dtype).contiguous() for k, v in load_file(source).items()}, target)


def main():
    if sys.argv[1] == "--keep":
        KEPT.mkdir(exist_ok=True)
        for name in ENCODERS:
            convert(Path(sys.argv[2]) / f"{name}.safetensors", KEPT / f"{name}.safetensors", torch.float16)
        return
    model, folder = Path(sys.argv[1]), Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    for name, stem in FILES.items():
        convert(model / "ckpts" / f"{stem}.safetensors", folder / f"{name}.safetensors", torch.float32)
    for name in ENCODERS:
        convert(KEPT / f"{name}.safetensors", folder / f"{name}.safetensors", torch.float32)
    norm = json.loads((model / "pipeline.json").read_text())["args"]["slat_normalization"]
    (folder / "latent_norm.json").write_text(json.dumps(norm))


if __name__ == "__main__":
    main()
