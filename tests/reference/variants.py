"""Small reference numbers for forms that the original's set lacks: `python -m reference.variants OUT`.

Run from `tests/`; `tests/goldens/variants` holds the result. Both encoders, latent flows of several levels, with and without the
connection across, shared modulation, normalised queries and keys of cross-attention, group norms, DINOv2 with the gated perceptron.
They are this independent implementation's numbers, not the original's. `variants.json` describes every case's network with its
tensors' shapes, `variants.safetensors` has inputs and outputs; weights follow from their names (`weight_of`).
"""

import argparse
import json
import math
from pathlib import Path

import torch
from safetensors.torch import save_file

from .model_folder import build
from .sparse import Geometry
from .u2net import numbers

FLOW = {"in_channels": 3, "out_channels": 3, "model_channels": 48, "cond_channels": 20, "num_blocks": 2, "num_heads": 3, "mlp_ratio": 2}
TRUNK = {"resolution": 16, "model_channels": 48, "num_blocks": 2, "num_heads": 3, "mlp_ratio": 2, "attn_mode": "swin", "window_size": 4}
DINO = {"embed_dim": 32, "depth": 3, "num_heads": 2, "img_size": 20, "patch_size": 4, "ffn_layer": "swiglufused", "init_values": 0.7}


def weight_of(name, shape):
    """Scaled so that activations keep their size; norms' factors lie around one."""
    values = torch.from_numpy(numbers(name, math.prod(shape))).reshape(shape)
    if len(shape) > 1 and name.endswith("weight"):
        inputs = math.prod(shape) // shape[0]
        return values * torch.tensor(math.sqrt(3 / inputs), dtype=torch.float32)
    around = 1.0 if name.endswith(("weight", "gamma")) else 0.0
    return around + values * 0.25


class Cases:
    def __init__(self):
        self.descriptions, self.tensors = {}, {}

    def network(self, case, kind, args):
        network = build({"name": kind, "args": args}).eval().requires_grad_(False)
        shapes = {key: list(tensor.shape) for key, tensor in network.state_dict().items()}
        network.load_state_dict({key: weight_of(key, shape) for key, shape in shapes.items()})
        self.descriptions[case] = {"name": kind, "args": args, "weights": shapes}
        return network

    def write(self, case, **tensors):
        self.tensors |= {f"{case}.{k.replace('_', '.', 1)}": v.contiguous() for k, v in tensors.items()}

    def structure(self):
        for norm in ("layer", "group"):
            args = {"in_channels": 1, "latent_channels": 4, "num_res_blocks": 1, "num_res_blocks_middle": 1,
                    "channels": [6, 32], "norm_type": norm}
            name = f"structure_encoder_{norm}"
            encoder = self.network(name, "SparseStructureEncoder", args)
            x = (torch.rand(2, 1, 8, 6, 4) < 0.3).float()
            mean, logvar = encoder(x)
            self.write(name, in_x=x, out_mean=mean, out_logvar=logvar)
        args = {"out_channels": 1, "latent_channels": 4, "num_res_blocks": 1, "num_res_blocks_middle": 1, "channels": [6, 32],
                "norm_type": "group"}
        decoder = self.network("structure_decoder_group", "SparseStructureDecoder", args)
        z = torch.randn(2, 4, 3, 4, 2)
        self.write("structure_decoder_group", in_x=z, out_y=decoder(z))
        args = FLOW | {"resolution": 4, "patch_size": 2, "share_mod": True, "qk_rms_norm": True, "qk_rms_norm_cross": True}
        flow = self.network("structure_flow_shared", "SparseStructureFlowModel", args)
        x, t, cond = torch.randn(2, 3, 4, 4, 4), torch.tensor([700.0, 12.5]), torch.randn(2, 9, 20)
        self.write("structure_flow_shared", in_x=x, in_t=t, in_cond=cond, out_y=flow(x, t, cond))

    def coords(self, resolution, count):
        cells = torch.cat([torch.full((count,), b) * resolution**3 + torch.randperm(resolution**3)[:count] for b in range(2)])
        cells = cells.sort().values
        return torch.stack([cells // resolution**3] + [cells // resolution**k % resolution for k in (2, 1, 0)], dim=1).int()

    def latent(self):
        args = TRUNK | {"in_channels": 7, "latent_channels": 5}
        encoder = self.network("latent_encoder", "SLatEncoder", args)
        coords = self.coords(16, 60)
        x = torch.randn(len(coords), 7)
        mean, logvar = encoder(x, Geometry(coords))
        self.write("latent_encoder", in_coords=coords, in_x=x, out_mean=mean, out_logvar=logvar)
        forms = {
            "latent_flow_levels": {"patch_size": 4, "num_io_res_blocks": 2, "io_block_channels": [8, 12], "qk_rms_norm": True},
            "latent_flow_plain": {"patch_size": 4, "num_io_res_blocks": 1, "io_block_channels": [8, 12],
                                  "use_skip_connection": False, "share_mod": True, "qk_rms_norm_cross": True},
        }
        for name, form in forms.items():
            flow = self.network(name, "SLatFlowModel", FLOW | {"resolution": 16} | form)
            coords = self.coords(16, 70)
            x, t, cond = torch.randn(len(coords), 3), torch.tensor([880.0, 40.0]), torch.randn(2, 9, 20)
            self.write(name, in_coords=coords, in_x=x, in_t=t, in_cond=cond, out_y=flow(x, Geometry(coords), t, cond))

    def pictures(self):
        for name, registers, size in (("dinov2_gated", 0, (20, 20)), ("dinov2_gated_registers", 3, (12, 28))):
            dino = self.network(name, "DinoVisionTransformer", DINO | {"num_register_tokens": registers})
            image = torch.randn(2, 3, *size)
            x, layers = dino.tokens(image), []
            for block in dino.blocks:
                x = block(x)
                layers.append(dino.norm(x))
            self.write(name, in_x=image, out_x_prenorm=dino(image), out_cond=dino.condition(image), out_layers=torch.stack(layers[1:]))


@torch.no_grad()
def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("out")
    out = Path(parser.parse_args().out)
    torch.set_num_threads(1)
    torch.manual_seed(5)
    cases = Cases()
    cases.structure()
    cases.latent()
    cases.pictures()
    out.mkdir(parents=True, exist_ok=True)
    lines = [f"{json.dumps(case)}: {json.dumps(description)}" for case, description in cases.descriptions.items()]
    (out / "variants.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")
    save_file(cases.tensors, out / "variants.safetensors")


if __name__ == "__main__":
    main()
