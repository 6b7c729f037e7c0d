"""Reference numbers for networks of any size: `python -m reference.full_size MODEL OUT [--device cuda] [--voxels 6000]`.

Run from `tests/`. MODEL is a folder in the published layout whose picture encoder lies in it (`maquette-weights synthesize
trellis` makes one of the published sizes with random values); OUT gets the layout that `maquette verify --goldens` reads. All is
computed in float32 without TF32. One case a network, the parts that full size could break, and a two-step sampling of both flows.
"""

import argparse
import json
import os
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from . import sampler, sparse
from .dinov2 import DinoVisionTransformer
from .mesh_decoder import corner_means
from .model_folder import load_network
from .sparse import Geometry
from .structure_vae import occupied


def shell(resolution, count, device):
    """About `count` voxels of a sphere's surface, `[N, 4]` int32, sorted."""
    axis = torch.arange(resolution)
    xyz = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), dim=-1).reshape(-1, 3)
    distance = ((xyz.float() - (resolution - 1) / 2).norm(dim=1) - 0.42 * resolution).abs()
    keep = distance.argsort(stable=True)[:count].sort().values
    return torch.cat([torch.zeros(len(keep), 1, dtype=torch.long), xyz[keep]], dim=1).int().to(device)


class Writer:
    def __init__(self, model, out, device, voxels):
        self.model, self.out, self.device, self.voxels = Path(model), Path(out), device, voxels
        self.args = json.loads((self.model / "pipeline.json").read_text())["args"]
        self.generator = torch.Generator().manual_seed(7)
        (self.out / "cases").mkdir(parents=True, exist_ok=True)

    def normal(self, *shape):
        return torch.randn(*shape, generator=self.generator).to(self.device)

    def network(self, key):
        return load_network(self.model / self.args["models"][key], self.device)

    def write(self, name, **tensors):
        tensors = {k.replace("__", "."): v.detach().cpu().contiguous() for k, v in tensors.items()}
        scales = [f"{k} {v.float().std():.2g}" for k, v in tensors.items() if k.startswith("out") and v.is_floating_point()]
        save_file(tensors, self.out / "cases" / f"{name}.safetensors")
        print(f"{name:20} {sum(v.nbytes for v in tensors.values()) / 2**20:7.1f} MiB  std: {', '.join(scales)}", flush=True)

    def folder(self, steps):
        """`model/` and `dinov2/`: links to the weights, and a pipeline of a few steps."""
        target = self.out / "model"
        target.mkdir(exist_ok=True)
        pipeline = json.loads((self.model / "pipeline.json").read_text())
        for key in ("sparse_structure_sampler", "slat_sampler"):
            pipeline["args"][key]["params"]["steps"] = steps
        self.args = pipeline["args"]
        (target / "pipeline.json").write_text(json.dumps(pipeline, indent=1))
        link(self.model / "ckpts", target / "ckpts")
        stem = self.model / self.args.get("image_cond_checkpoint", self.args["image_cond_model"])
        (self.out / "dinov2").mkdir(exist_ok=True)
        config = json.loads(stem.with_name(stem.name + ".json").read_text())["args"]
        (self.out / "dinov2" / "config.json").write_text(json.dumps(config))
        link(stem.with_name(stem.name + ".safetensors"), self.out / "dinov2" / "encoder.safetensors")
        self.encoder = stem

    def dinov2(self):
        network = load_encoder(self.encoder, self.device)
        side = network.grid * network.patch_size
        image = self.normal(1, 3, side, side)
        x = network(image)
        self.write("dinov2", in__image=image, out__pos_embed=network.position_embedding(network.grid, network.grid),
                   out__tokens0=network.tokens(image), out__x_prenorm=x, out__cond=network.condition(image),
                   out__x_norm_clstoken=network.norm(x)[:, 0])
        self.cond = network.condition(image)

    def structure_flow(self):
        flow = self.network("sparse_structure_flow_model")
        width, edge = flow.pos_emb.shape[1], flow.grid * flow.patch_size
        channels = flow.input_layer.in_features // flow.patch_size**3
        block, parts = flow.blocks[min(1, len(flow.blocks) - 1)], {}
        hooks = [getattr(block, n).register_forward_hook(lambda _, __, y, n=n: parts.__setitem__(f"out__{n}", y))
                 for n in ("self_attn", "cross_attn", "mlp")]
        x, mod = self.normal(1, len(flow.pos_emb), width), self.normal(1, width)
        y = block(x, mod, self.cond)
        self.write("block_dense", in__x=x, in__mod=mod, in__context=self.cond, out__y=y,
                   out__modulation=block.adaLN_modulation(mod), **parts)
        for hook in hooks:
            hook.remove()
        x, t = self.normal(1, channels, edge, edge, edge), torch.tensor([512.5], device=self.device)
        self.write("ss_flow", in__x=x, in__t0=t, in__cond=self.cond, out__y_t0=flow(x, t, self.cond),
                   out__y_t0_uncond=flow(x, t, torch.zeros_like(self.cond)))
        noise, trace = self.normal(1, channels, edge, edge, edge), []
        params = self.args["sparse_structure_sampler"]["params"]
        z = sampler.sample(flow, noise, self.cond, **params, trace=trace)
        self.sampled("sampler_ss", params, noise, z, trace, prefix="cfg_")
        self.z = z

    def sampled(self, name, params, noise, y, trace, prefix="", **more):
        out = {"t_seq": torch.from_numpy(sampler.time_sequence(params["steps"], params["rescale_t"])), "samples": y,
               "v": torch.stack([s[0] for s in trace]), "x": torch.stack([noise] + [s[1] for s in trace]),
               "x0": torch.stack([s[2] for s in trace])}
        self.write(name, in__noise=noise, in__cond=self.cond, **{f"out__{prefix}{k}": v for k, v in out.items()}, **more)

    def structure_decoder(self):
        decoder = self.network("sparse_structure_decoder")
        logits = decoder(self.z)
        # Signs near zero are rounding's: inputs whose logits leave a gap there cannot be asked for at random.
        near = int((logits.abs() < 1e-4).sum())
        print(f"{'':20} {near} of {logits.numel()} logits are within 1e-4 of zero", flush=True)
        self.write("ss_decoder", in__z=self.z, out__logits=logits, out__coords=occupied(logits))

    def latent_flow(self):
        flow = self.network("slat_flow_model")
        decoder = self.args["models"]["slat_decoder_gs"] + ".json"
        self.resolution = json.loads((self.model / decoder).read_text())["args"]["resolution"]
        self.coords = shell(self.resolution, self.voxels, self.device)
        g = Geometry(self.coords)
        coarse = g.downsampled()[0]
        x, mod = self.normal(len(coarse), flow.width), self.normal(1, flow.width)
        y = flow.blocks[0](x, mod, self.cond, coarse.items(), coarse.batch)
        self.write("block_sparse", in__coords=coarse.coords, in__feats=x, in__mod=mod, in__context=self.cond, out__y=y)
        x, t = self.normal(len(g), flow.input_layer.in_features), torch.tensor([512.5], device=self.device)
        taps = {}
        y = flow(x, g, t, self.cond, taps)
        keep = {f"out__{k}": taps[k] for k in ("h_input_layer", "h_down", "h_tf0") if k in taps}
        self.write("slat_flow", in__coords=self.coords, in__feats=x, in__t0=t, in__cond=self.cond, out__y_t0=y,
                   out__coarse_coords=coarse.coords, out__y_t0_uncond=flow(x, g, t, torch.zeros_like(self.cond)), **keep)
        noise, trace = self.normal(len(g), flow.input_layer.in_features), []
        params = self.args["slat_sampler"]["params"]
        y = sampler.sample(lambda x, t, c: flow(x, g, t, c), noise, self.cond, **params, trace=trace)
        self.sampled("sampler_slat", params, noise, y, trace, in__coords=self.coords)
        statistics = self.args["slat_normalization"]
        mean, std = (torch.tensor(statistics[k], device=self.device) for k in ("mean", "std"))
        self.slat = y / y.std() * std + mean

    def decoders(self):
        g = Geometry(self.coords)
        gs = self.network("slat_decoder_gs")
        raw = gs(self.slat, g)
        hidden = gs.trunk(self.slat, g)
        fields = gs.gaussians(raw, self.coords)
        names = {"_xyz": "xyz_raw", "_features_dc": "features_dc", "_scaling": "scaling_raw", "_rotation": "rotation_raw",
                 "_opacity": "opacity_raw", "xyz": "xyz", "scaling": "scaling", "rotation": "rotation", "opacity": "opacity"}
        self.write("gs_decoder", in__coords=self.coords, in__slat=self.slat, out__raw=raw, out__h_last=hidden,
                   out__perturbation=gs.offset_perturbation, **{f"out__{v}": fields[k] for k, v in names.items()})
        heads = gs.blocks[0].attn.heads
        qkv, out = self.normal(len(g), 3, heads, gs.width // heads), {}
        for shift in (0, gs.window // 2):
            w = g.windows(gs.window, shift)
            out |= {f"out__window_of_voxel_shift{shift}": w.segment_rank.int(), f"out__seq_lens_shift{shift}": w.lengths.int(),
                    f"out__y_shift{shift}": w.attend(*qkv.unbind(1))}
        self.write("windowed_attention", in__coords=self.coords, in__qkv=qkv, **out)
        del gs
        if "slat_decoder_rf" in self.args["models"]:
            rf = self.network("slat_decoder_rf")
            raw = rf(self.slat, g)
            self.write("rf_decoder", in__coords=self.coords, in__slat=self.slat, out__raw=raw,
                       **{f"out__{k}": v for k, v in rf.field(raw, self.coords).items()})
        mesh = self.network("slat_decoder_mesh")
        few = shell(self.resolution, max(1, self.voxels // 3), self.device)
        slat, taps = self.slat[:len(few)], {}
        raw, fine = mesh(slat, Geometry(few), taps)
        up0 = Geometry(few).subdivided().coords
        positions, means = corner_means(raw, fine.coords, 4 * mesh.resolution)
        self.write("mesh_decoder", in__coords=few, in__slat=slat, out__h_tf=taps["h_tf"], out__h_up0=taps["h_up0"], out__raw=raw,
                   out__up0_coords=up0, out__v_pos=positions.int(), out__v_attrs=means)

    def convolution(self, inputs, outputs):
        g = Geometry(self.coords)
        conv = sparse.SubmanifoldConv3d(inputs, outputs, 3).to(self.device)
        weight = self.normal(outputs, 3, 3, 3, inputs) * (27 * inputs) ** -0.5
        conv.conv.weight.data, conv.conv.bias.data = weight, self.normal(outputs)
        x = self.normal(len(g), inputs)
        self.write("submanifold_conv", in__coords=self.coords, in__feats=x, in__weight3=weight, in__bias3=conv.conv.bias,
                   out__y3=conv(x, g))


def load_encoder(stem, device):
    """The picture encoder; the published description leaves its sizes to the weights."""
    weights = load_file(stem.with_name(stem.name + ".safetensors"))
    width = weights["cls_token"].shape[-1]
    depth = 1 + max(int(name.split(".")[1]) for name in weights if name.startswith("blocks."))
    args = json.loads(stem.with_name(stem.name + ".json").read_text())["args"]
    network = DinoVisionTransformer(**{"embed_dim": width, "depth": depth, "num_heads": width // 64} | args)
    network.load_state_dict({k: v.float() for k, v in weights.items()})
    return network.to(device).eval().requires_grad_(False)


def link(source, target):
    if not os.path.lexists(target):
        target.symlink_to(source.resolve())


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("out")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--voxels", type=int, default=6000)
    parser.add_argument("--conv", type=int, nargs=2, default=[128, 1024])
    a = parser.parse_args()
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    writer = Writer(a.model, a.out, a.device, a.voxels)
    with torch.no_grad():
        writer.folder(steps=2)
        writer.dinov2()
        writer.structure_flow()
        writer.structure_decoder()
        writer.latent_flow()
        writer.decoders()
        writer.convolution(*a.conv)


if __name__ == "__main__":
    main()
