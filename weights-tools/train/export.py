"""Write the shipped model folder from a training checkpoint: `python -m train.export CHECKPOINTS FOLDER`.

Every floating tensor becomes float16. The folder follows the published layout; `image_cond_model` names a
checkpoint of the folder and `image_size` the side of the prepared picture.
"""

import json
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from . import config

FILES = {"dino": "dinov2_mini_reg4", "structure_flow": "ss_flow_img_dit_mini_8l8_fp16",
         "structure_decoder": "ss_dec_conv3d_mini_8l8_fp16", "latent_flow": "slat_flow_img_dit_mini_32l8p2_fp16",
         "gaussian_decoder": "slat_dec_gs_swin8_mini_32l8gs8_fp16",
         "mesh_decoder": "slat_dec_mesh_swin8_mini_32l8m128c_fp16"}
MODELS = {"sparse_structure_decoder": "structure_decoder", "sparse_structure_flow_model": "structure_flow",
          "slat_decoder_gs": "gaussian_decoder", "slat_decoder_mesh": "mesh_decoder", "slat_flow_model": "latent_flow"}
STRUCTURE_PARAMS = {"steps": 12, "cfg_strength": 1.0, "cfg_interval": [0.0, 1.0], "rescale_t": 3.0}
LATENT_PARAMS = {"steps": 12, "cfg_strength": 1.0, "cfg_interval": [0.0, 1.0], "rescale_t": 3.0}


def sampler(params):
    return {"name": "FlowEulerGuidanceIntervalSampler", "args": {"sigma_min": 1e-5}, "params": params}


def main():
    source, folder = Path(sys.argv[1]), Path(sys.argv[2])
    (folder / "ckpts").mkdir(parents=True, exist_ok=True)
    for name in config.SHIPPED:
        weights = load_file(source / f"{name}.safetensors")
        for key, value in weights.items():
            if not torch.isfinite(value.half()).all():
                raise ValueError(f"{name}: {key} does not fit float16")
        stem = folder / "ckpts" / FILES[name]
        save_file({k: v.half().contiguous() for k, v in weights.items()}, stem.with_suffix(".safetensors"))
        stem.with_suffix(".json").write_text(json.dumps(config.NETWORKS[name], indent=1) + "\n")
    norm = json.loads((source / "latent_norm.json").read_text())
    pipeline = {"name": "TrellisImageTo3DPipeline", "args": {
        "models": {k: f"ckpts/{FILES[v]}" for k, v in MODELS.items()},
        "sparse_structure_sampler": sampler(STRUCTURE_PARAMS), "slat_sampler": sampler(LATENT_PARAMS),
        "slat_normalization": {k: [round(v, 6) for v in norm[k]] for k in ("mean", "std")},
        "image_cond_model": f"ckpts/{FILES['dino']}", "image_size": config.IMAGE_SIZE}}
    (folder / "pipeline.json").write_text(json.dumps(pipeline, indent=1) + "\n")
    total = sum(f.stat().st_size for f in folder.rglob("*") if f.is_file())
    print(f"{total} bytes in {folder}")


if __name__ == "__main__":
    main()
