"""Compare this implementation with the published reference's numbers: `python -m reference.check [goldens]`.

Run from `tests/`. The folder defaults to $MAQUETTE_GOLDENS/trellis, then `shared/goldens/trellis` beside the
workspace. Floats pass at a relative Frobenius error of 1e-5 (1e-4 end to end and where a sampler accumulates it),
integers must be equal. Exits 1 if anything fails.
"""

import json
import os
import sys
from pathlib import Path

import torch
from safetensors import safe_open

from . import blocks, sampler, sparse, structure_flow, structure_vae
from .dinov2 import DinoVisionTransformer, normalise_image
from .gaussian_decoder import SLatGaussianDecoder
from .mesh_decoder import corner_means
from .model_folder import ModelFolder, load_network
from .sparse import Geometry

ROOT = Path(__file__).resolve().parents[2]


def tensors(path):
    with safe_open(path, "pt") as f:
        return {k: f.get_tensor(k) for k in f.keys()}


class Report:
    def __init__(self):
        self.failed = self.passed = 0

    def check(self, case, name, got, want, bound=1e-5, absolute=None):
        got, want = got.reshape(want.shape) if got.numel() == want.numel() else got, want
        if got.shape != want.shape:
            error, ok = float("nan"), False
        elif not want.is_floating_point():
            error = float((got.long() != want.long()).sum())
            ok = error == 0
        elif absolute is not None:
            error = float((got.double() - want.double()).abs().max())
            ok, bound = error <= absolute, absolute
        else:
            error = float((got.double() - want.double()).norm() / want.double().norm().clamp_min(1e-30))
            ok = error <= bound
        self.passed, self.failed = self.passed + ok, self.failed + (not ok)
        print(f"{'ok  ' if ok else 'FAIL'} {case:22} {name:28} {error:.2e} (bound {bound:.0e})")


def goldens_folder():
    if len(sys.argv) > 1:
        return Path(sys.argv[1])
    if "MAQUETTE_GOLDENS" in os.environ:
        return Path(os.environ["MAQUETTE_GOLDENS"]) / "trellis"
    return ROOT.parent / "shared" / "goldens" / "trellis"


def check_dense(report, load, models, folder):
    flow, decoder = models.network("sparse_structure_flow_model"), models.network("sparse_structure_decoder")
    c = load("timestep_embedding")
    report.check("timestep_embedding", "freq", flow.t_embedder.frequencies(c["in.t"]), c["out.freq"], absolute=5e-5)
    report.check("timestep_embedding", "emb", flow.t_embedder(c["in.t"]), c["out.emb"], absolute=5e-5)
    c = load("abs_pos_embedding")
    for width in (64, 96, 128, 768, 1024):
        got = blocks.absolute_position_embedding(c["in.coords"], width)
        report.check("abs_pos_embedding", f"ch{width}", got, c[f"out.ch{width}"])
    c = load("spatial_ops")
    p = structure_flow.patchify(c["in.x"], 2)
    report.check("spatial_ops", "patchify2", p, c["out.patchify2"])
    report.check("spatial_ops", "unpatchify2", structure_flow.unpatchify(p, 2), c["out.unpatchify2"])
    report.check("spatial_ops", "pixel_shuffle2", structure_vae.pixel_shuffle_3d(c["in.y"]), c["out.pixel_shuffle2"])
    c = load("norms")
    block = flow.blocks[0]
    report.check("norms", "rms", block.self_attn.q_rms_norm(c["in.qk"]), c["out.rms"])
    report.check("norms", "ln_noaffine", block.norm1(c["in.x"]), c["out.ln_noaffine"])
    report.check("norms", "ln_affine", block.norm2(c["in.x"]), c["out.ln_affine"])
    report.check("norms", "channel_ln", decoder.middle_block[0].norm1(c["in.vol"]), c["out.channel_ln"])
    norm = models.network("slat_decoder_mesh").upsample[0].act_layers[0]
    report.check("norms", "sparse_group_norm", norm(c["in.sp_feats"], Geometry(c["in.sp_coords"])), c["out.sparse_group_norm"])
    c = load("block_dense")
    block = flow.blocks[1]
    report.check("block_dense", "modulation", block.adaLN_modulation(c["in.mod"]), c["out.modulation"])
    report.check("block_dense", "y", block(c["in.x"], c["in.mod"], c["in.context"]), c["out.y"])
    c = load("ss_flow")
    for t in ("t0", "t1"):
        report.check("ss_flow", f"y_{t}", flow(c["in.x"], c[f"in.{t}"], c["in.cond"]), c[f"out.y_{t}"])
    report.check("ss_flow", "h_blocklast_t0", flow.tokens_after_blocks(c["in.x"], c["in.t0"], c["in.cond"]), c["out.h_blocklast_t0"])
    zeros = torch.zeros_like(c["in.cond"])
    report.check("ss_flow", "y_t0_uncond", flow(c["in.x"], c["in.t0"], zeros), c["out.y_t0_uncond"])
    report.check("ss_flow", "y_b2", flow(c["in.x_b2"], c["in.t_b2"], c["in.cond_b2"]), c["out.y_b2"])
    c = load("ss_flow_alt_patch")
    alt = load_network(folder / "cases" / "ss_flow_alt_patch.model")
    report.check("ss_flow_alt_patch", "y", alt(c["in.x"], c["in.t"], c["in.cond"]), c["out.y"])
    c = load("ss_decoder")
    logits = decoder(c["in.z"])
    report.check("ss_decoder", "h_middle", decoder.middle_block(decoder.input_layer(c["in.z"])), c["out.h_middle"])
    report.check("ss_decoder", "logits", logits, c["out.logits"])
    report.check("ss_decoder", "coords", structure_vae.occupied(logits), c["out.coords"])


def check_sparse(report, load, models):
    flow, gs = models.network("slat_flow_model"), models.network("slat_decoder_gs")
    c = load("sparse_updown")
    g = Geometry(c["in.coords"])
    coarse, parent = g.downsampled()
    report.check("sparse_updown", "down_coords", coarse.coords, c["out.down_coords"])
    report.check("sparse_updown", "down_feats", sparse.downsample(c["in.feats"], g), c["out.down_feats"])
    report.check("sparse_updown", "idx", parent, c["out.idx"])
    report.check("sparse_updown", "up_feats", sparse.upsample(c["in.coarse_feats"], g), c["out.up_feats"])
    report.check("sparse_updown", "subdivide_coords", g.subdivided().coords, c["out.subdivide_coords"])
    c = load("submanifold_conv")
    for name, kernel in (("3", 3), ("1", 1), ("1_sq", 1)):
        weight = c[f"in.weight{name}"]
        conv = sparse.SubmanifoldConv3d(weight.shape[-1], weight.shape[0], kernel)
        conv.conv.weight.data = weight
        conv.conv.bias.data = c.get(f"in.bias{name}", torch.zeros(weight.shape[0]))
        report.check("submanifold_conv", f"y{name}", conv(c["in.feats"], Geometry(c["in.coords"])), c[f"out.y{name}"])
    c = load("slat_resblocks")
    g = Geometry(c["in.coords"])
    x0, _ = flow.input_blocks[0](c["in.feats"], g, c["in.emb"])
    x1, down = flow.input_blocks[1](x0, g, c["in.emb"])
    report.check("slat_resblocks", "in0", x0, c["out.in0"])
    report.check("slat_resblocks", "in1", x1, c["out.in1"])
    report.check("slat_resblocks", "coarse_coords", down.coords, c["out.coarse_coords"])
    y0, _ = flow.out_blocks[0](torch.cat([c["in.mid"], x1], 1), g, c["in.emb"])
    y1, _ = flow.out_blocks[1](torch.cat([y0, x0], 1), g, c["in.emb"])
    report.check("slat_resblocks", "out0", y0, c["out.out0"])
    report.check("slat_resblocks", "out1", y1, c["out.out1"])
    c = load("block_sparse")
    g = Geometry(c["in.coords"])
    y = flow.blocks[0](c["in.feats"], c["in.mod"], c["in.context"], g.items(), g.batch)
    report.check("block_sparse", "y", y, c["out.y"])
    c = load("windowed_attention")
    g, qkv = Geometry(c["in.coords"]), c["in.qkv"]
    for shift in (0, 4):
        w = g.windows(8, shift)
        report.check("windowed_attention", f"window_shift{shift}", w.segment_rank, c[f"out.window_of_voxel_shift{shift}"])
        report.check("windowed_attention", f"y_shift{shift}", w.attend(*qkv.unbind(1)), c[f"out.y_shift{shift}"])
    c = load("swin_blocks")
    g = Geometry(c["in.coords"])
    report.check("swin_blocks", "block0", gs.blocks[0](c["in.feats"], g.windows(8, 0)), c["out.block0"])
    report.check("swin_blocks", "block1", gs.blocks[1](c["in.feats"], g.windows(8, 4)), c["out.block1"])
    c = load("slat_flow")
    g, taps = Geometry(c["in.coords"]), {}
    report.check("slat_flow", "y_t0", flow(c["in.feats"], g, c["in.t0"], c["in.cond"], taps), c["out.y_t0"])
    for name in ("h_input_layer", "h_down", "h_tf0", "h_out0"):
        report.check("slat_flow", name, taps[name], c[f"out.{name}"])
    report.check("slat_flow", "y_t1", flow(c["in.feats"], g, c["in.t1"], c["in.cond"]), c["out.y_t1"])
    y = flow(c["in.feats"], g, c["in.t0"], torch.zeros_like(c["in.cond"]))
    report.check("slat_flow", "y_t0_uncond", y, c["out.y_t0_uncond"])
    y = flow(c["in.feats_b2"], Geometry(c["in.coords_b2"]), c["in.t_b2"], c["in.cond_b2"])
    report.check("slat_flow", "y_b2", y, c["out.y_b2"])


def check_decoders(report, load, models):
    gs, mesh = models.network("slat_decoder_gs"), models.network("slat_decoder_mesh")
    c = load("gs_decoder")
    raw = gs(c["in.slat"], Geometry(c["in.coords"]))
    report.check("gs_decoder", "raw", raw, c["out.raw"])
    fresh = SLatGaussianDecoder(**json.loads((models.folder / (models.args["models"]["slat_decoder_gs"] + ".json")).read_text())["args"])
    report.check("gs_decoder", "perturbation", fresh.offset_perturbation, c["out.perturbation"], 1e-6)
    fields = gs.gaussians(raw, c["in.coords"])
    for got, want in (("_xyz", "xyz_raw"), ("_features_dc", "features_dc"), ("_scaling", "scaling_raw"),
                      ("_rotation", "rotation_raw"), ("_opacity", "opacity_raw"), ("xyz", "xyz"),
                      ("scaling", "scaling"), ("rotation", "rotation"), ("opacity", "opacity")):
        report.check("gs_decoder", want, fields[got], c[f"out.{want}"])
    if "slat_decoder_rf" in models.args["models"]:
        c, rf = load("rf_decoder"), models.network("slat_decoder_rf")
        raw = rf(c["in.slat"], Geometry(c["in.coords"]))
        report.check("rf_decoder", "raw", raw, c["out.raw"])
        for name, value in rf.field(raw, c["in.coords"]).items():
            report.check("rf_decoder", name, value, c[f"out.{name}"])
    c, taps = load("mesh_decoder"), {}
    raw, fine = mesh(c["in.slat"], Geometry(c["in.coords"]), taps)
    report.check("mesh_decoder", "h_tf", taps["h_tf"], c["out.h_tf"])
    report.check("mesh_decoder", "h_up0", taps["h_up0"], c["out.h_up0"])
    report.check("mesh_decoder", "up1_coords", fine.coords, c["out.up1_coords"])
    report.check("mesh_decoder", "raw", raw, c["out.raw"])
    positions, means = corner_means(raw, fine.coords, 4 * mesh.resolution)
    report.check("mesh_decoder", "v_pos", positions, c["out.v_pos"])
    report.check("mesh_decoder", "v_attrs", means, c["out.v_attrs"])


def check_samplers(report, load, models):
    flow, slat = models.network("sparse_structure_flow_model"), models.network("slat_flow_model")
    c = load("sampler_ss")
    alternative = dict(steps=5, cfg_strength=2.5, cfg_interval=[0.3, 0.8], rescale_t=1.0)
    for name, params in (("cfg", models.args["sparse_structure_sampler"]["params"]), ("alt", alternative)):
        trace = []
        times = torch.from_numpy(sampler.time_sequence(params["steps"], params["rescale_t"]))
        report.check("sampler_ss", f"{name}_t_seq", times, c[f"out.{name}_t_seq"], 1e-15)
        y = sampler.sample(flow, c["in.noise"], c["in.cond"], **params, trace=trace)
        report.check("sampler_ss", f"{name}_samples", y, c[f"out.{name}_samples"], 1e-4)
        for i, key in ((0, "v"), (2, "x0")):
            report.check("sampler_ss", f"{name}_{key}", torch.stack([s[i] for s in trace]), c[f"out.{name}_{key}"], 1e-4)
    c, trace = load("sampler_slat"), []
    g = Geometry(c["in.coords"])
    y = sampler.sample(lambda x, t, cond: slat(x, g, t, cond), c["in.noise"], c["in.cond"],
                       **models.args["slat_sampler"]["params"], trace=trace)
    report.check("sampler_slat", "samples", y, c["out.samples"], 1e-4)
    report.check("sampler_slat", "v", torch.stack([s[0] for s in trace]), c["out.v"], 1e-4)


def check_pictures(report, load, folder):
    config = json.loads((folder / "dinov2" / "config.json").read_text())
    dino = DinoVisionTransformer(**config).eval().requires_grad_(False)
    dino.load_state_dict(tensors(next((folder / "dinov2").glob("*.safetensors"))))
    c = load("dinov2_small")
    image = c["in.image"]
    rows, cols = image.shape[2] // 14, image.shape[3] // 14
    report.check("dinov2_small", "pos_embed", dino.position_embedding(rows, cols), c["out.pos_embed"])
    report.check("dinov2_small", "tokens0", dino.tokens(image), c["out.tokens0"])
    report.check("dinov2_small", "x_prenorm", dino(image), c["out.x_prenorm"])
    report.check("dinov2_small", "cond", dino.condition(image), c["out.cond"])
    return dino


def check_end_to_end(report, models, folder, dino):
    from PIL import Image
    from .picture import prepare, to_tensor
    c = tensors(folder / "e2e" / "e2e.safetensors")
    for source in sorted((folder / "preprocess").glob("p*.in.png")) + [folder / "e2e" / "input.png"]:
        want = folder / "e2e" / "preprocessed.png" if source.name == "input.png" else Path(str(source).replace(".in.", ".out."))
        got = to_tensor(prepare(Image.open(source), 518))
        report.check("preprocess", source.stem, (got * 255).round().int(), (to_tensor(Image.open(want)) * 255).round().int())
    cond = dino.condition(normalise_image(got[None]))
    report.check("e2e", "cond", cond, c["cond"])
    flow, decoder = models.network("sparse_structure_flow_model"), models.network("sparse_structure_decoder")
    z = sampler.sample(flow, c["ss_noise"], cond, **models.args["sparse_structure_sampler"]["params"])
    report.check("e2e", "z_s", z, c["z_s"], 1e-4)
    logits = decoder(z)
    report.check("e2e", "ss_logits", logits, c["ss_logits"], 1e-4)
    coords = structure_vae.occupied(logits)
    report.check("e2e", "coords", coords, c["coords"])
    g, slat_flow = Geometry(coords), models.network("slat_flow_model")
    slat = sampler.sample(lambda x, t, k: slat_flow(x, g, t, k), c["slat_noise"], cond, **models.args["slat_sampler"]["params"])
    norm = models.args["slat_normalization"]
    slat = slat * torch.tensor(norm["std"]) + torch.tensor(norm["mean"])
    report.check("e2e", "slat", slat, c["slat"], 1e-4)
    gs, mesh = models.network("slat_decoder_gs"), models.network("slat_decoder_mesh")
    fields = gs.gaussians(gs(slat, g), coords)
    for got, want in (("_features_dc", "features_dc"), ("xyz", "xyz"), ("scaling", "scaling"),
                      ("rotation", "rotation"), ("opacity", "opacity")):
        report.check("e2e", f"gs.{want}", fields[got], c[f"gs.{want}"], 1e-4)
    raw, fine = mesh(slat, g)
    positions, means = corner_means(raw, fine.coords, 4 * mesh.resolution)
    report.check("e2e", "mesh.v_pos", positions, c["mesh.v_pos"])
    report.check("e2e", "mesh.v_sdf", means[:, 0], c["mesh.v_sdf"], 1e-4)


@torch.no_grad()
def main():
    torch.set_num_threads(1)
    folder, report = goldens_folder(), Report()
    models = ModelFolder(folder / "model")
    load = lambda name: tensors(folder / "cases" / f"{name}.safetensors")
    check_dense(report, load, models, folder)
    check_sparse(report, load, models)
    check_decoders(report, load, models)
    check_samplers(report, load, models)
    check_end_to_end(report, models, folder, check_pictures(report, load, folder))
    print(f"{report.passed} passed, {report.failed} failed")
    sys.exit(report.failed > 0)


if __name__ == "__main__":
    main()
