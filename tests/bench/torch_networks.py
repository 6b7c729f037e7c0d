"""PyTorch's times for the networks of `maquette bench networks`: `python torch_networks.py [MODEL]`, first CUDA device.

MODEL is a model folder; without one the published sizes are taken from the manifests of `maquette-weights`. Weights are random.

The networks are those of `tests/reference` with the published sizes in f16 (norms in f32, as there), random inputs, PyTorch's own
choice of attention back end, eager and with `torch.compile`. Device time of a call by CUDA events around many; `host` is how long
enqueueing takes. Sparse convolution is a gather, one product and no scatter: the sum over taps is inside the product.
"""
import argparse
import json
import sys
import time
from pathlib import Path

import torch
import torch.nn.functional as F

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from reference import sparse  # noqa: E402
from reference.dinov2 import DinoVisionTransformer  # noqa: E402
from reference.full_size import load_encoder, shell  # noqa: E402
from reference.model_folder import build  # noqa: E402
from reference.sparse import Geometry  # noqa: E402

MANIFESTS = Path(__file__).resolve().parents[2] / "crates/maquette-weights/manifests/trellis"
PUBLISHED = {
    "sparse_structure_flow_model": "ss_flow_img_dit_L_16l8_fp16",
    "sparse_structure_decoder": "ss_dec_conv3d_16l8_fp16",
    "slat_flow_model": "slat_flow_img_dit_L_64l8p2_fp16",
    "slat_decoder_gs": "slat_dec_gs_swin8_B_64l8gs32_fp16",
    "slat_decoder_mesh": "slat_dec_mesh_swin8_B_64l8m256c_fp16",
}

CUDA = torch.cuda.is_available()
DEVICE, DTYPE = ("cuda", torch.float16) if CUDA else ("cpu", torch.float32)


def wait():
    if CUDA:
        torch.cuda.synchronize()


def measure(name, call, budget=0.4):
    try:
        call()
        wait()
        start = time.perf_counter()
        call()
        wait()
        calls = max(1, min(50, int(budget / (time.perf_counter() - start + 1e-9))))
        begin = time.perf_counter()
        if CUDA:
            first, last = torch.cuda.Event(True), torch.cuda.Event(True)
            first.record()
        for _ in range(calls):
            call()
        host = (time.perf_counter() - begin) / calls
        if CUDA:
            last.record()
        wait()
        device = first.elapsed_time(last) / 1e3 / calls if CUDA else (time.perf_counter() - begin) / calls
        print(f"torch {name:<54} {device * 1e3:>10.3f} ms   host {host * 1e3:>9.3f} ms", flush=True)
    except Exception as error:  # a compiler that fails must not take the other rows with it
        print(f"torch {name:<54} failed: {type(error).__name__}: {str(error)[:100]}", flush=True)


def both(name, call):
    measure(f"{name}, eager", call)
    if CUDA:
        measure(f"{name}, compiled", torch.compile(call, dynamic=False))


def normal(*shape, scale=1.0):
    return torch.randn(*shape, device=DEVICE, dtype=DTYPE) * scale


def network(model, args, key):
    """Random weights from the description alone: times do not depend on values."""
    stem = model / args["models"][key]
    net = build(json.loads(stem.with_name(stem.name + ".json").read_text()))
    return net.to(DEVICE, DTYPE).eval().requires_grad_(False)


def published_encoder():
    manifest = json.loads((MANIFESTS / "dinov2_vitl14_reg.json").read_text())
    width = manifest["tensors"]["cls_token"]["shape"][-1]
    depth = 1 + max(int(name.split(".")[1]) for name in manifest["tensors"] if name.startswith("blocks."))
    sizes = {"embed_dim": width, "depth": depth, "num_heads": width // 64}
    return DinoVisionTransformer(**sizes | manifest["args"]).to(DEVICE).eval().requires_grad_(False)


def half_inputs(net):
    """Casts what the f32 ends of a network hand to its f16 layers; the reference keeps those ends in f32."""
    for module in net.modules():
        if isinstance(module, torch.nn.Linear):
            module.register_forward_pre_hook(lambda m, inputs: (inputs[0].to(m.weight.dtype),))
    return net


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("model", nargs="?")
    parser.add_argument("--tokens", type=int, default=5000)
    parser.add_argument("--voxels", type=int, default=20000)
    a = parser.parse_args()
    if a.model:
        model = Path(a.model)
        args = json.loads((model / "pipeline.json").read_text())["args"]
    else:
        model, args = MANIFESTS, {"models": PUBLISHED}
    print("torch", torch.__version__, torch.cuda.get_device_name() if CUDA else "cpu", flush=True)
    torch.manual_seed(0)
    flow = half_inputs(network(model, args, "sparse_structure_flow_model"))
    width, tokens = flow.pos_emb.shape[1], len(flow.pos_emb)
    cond_width = flow.blocks[0].cross_attn.to_kv.in_features
    x, mod, cond = normal(1, tokens, width), normal(1, width), normal(1, 1374, cond_width)
    block = flow.blocks[0]
    both(f"dense block {tokens}x{width}, 1374 condition tokens", lambda: block(x, mod, cond))
    edge = flow.grid * flow.patch_size
    volume = normal(1, flow.input_layer.in_features // flow.patch_size**3, edge, edge, edge)
    t = torch.full((1,), 500.0, device=DEVICE)
    both(f"structure flow, {len(flow.blocks)} blocks", lambda: flow(volume, t, cond))
    channels = volume.shape[1]
    del flow, block
    decoder = network(model, args, "sparse_structure_decoder")
    z = normal(1, channels, edge, edge, edge)
    both("structure decoder", lambda: decoder(z))
    del decoder
    latent = half_inputs(network(model, args, "slat_flow_model"))
    decoders = {key: half_inputs(network(model, args, key)) for key in args["models"] if key.startswith("slat_decoder")}
    resolution = decoders["slat_decoder_gs"].resolution
    some = Geometry(shell(resolution, a.tokens, DEVICE))
    feats, m = normal(len(some), latent.width), normal(1, latent.width)
    segments = some.items()
    sblock = latent.blocks[0]
    both(f"sparse block {len(some)} tokens", lambda: sblock(feats, m, cond, segments, some.batch))
    many = Geometry(shell(resolution, a.voxels, DEVICE))
    many.neighbours()
    for inputs, outputs in ((128, 1024), (1024, 1024)) if CUDA else ((8, 16),):
        conv = sparse.SubmanifoldConv3d(inputs, outputs, 3).to(DEVICE, DTYPE).requires_grad_(False)
        h = normal(len(many), inputs)
        both(f"submanifold conv {len(many)} voxels {inputs}->{outputs}", lambda: conv(h, many))
    windows = many.windows(8, 0)
    heads = 16
    q, k, v = (normal(len(many), heads, 64) for _ in range(3))
    both(f"windowed attention {len(many)} voxels, {heads}x64", lambda: windows.attend(q, k, v))
    code = normal(len(many), latent.input_layer.in_features)
    measure(f"latent flow {len(many)} voxels, eager", lambda: latent(code, many, t, cond))
    del latent
    for key, net in decoders.items():
        measure(f"{key} {len(many)} voxels, eager", lambda: net(code, many))
    encoder = None
    if not a.model:
        encoder = published_encoder()
    elif "image_cond_checkpoint" in args or "/" in args["image_cond_model"]:
        encoder = load_encoder(model / args.get("image_cond_checkpoint", args["image_cond_model"]), DEVICE)
    if encoder is not None:
        encoder = encoder.to(DTYPE)
        side = encoder.grid * encoder.patch_size
        image = normal(1, 3, side, side)
        both(f"picture encoder {side}x{side}", lambda: encoder(image))


with torch.no_grad():
    main()
