"""Building, initialising, averaging and storing the networks under training."""

import copy
import math
import time
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from reference.blocks import MultiHeadRMSNorm
from reference.model_folder import build

from . import config


def fresh(name, device):
    """A network with the originals' initialisation: Xavier weights, zero gates and output layers."""
    network = build(config.NETWORKS[name])
    for module in network.modules():
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    for key, module in network.named_modules():
        if key.endswith("adaLN_modulation.1") or (key == "out_layer" and name.endswith("flow")):
            nn.init.zeros_(module.weight)
            nn.init.zeros_(module.bias)
        if key.endswith("conv2") and hasattr(module, "weight"):
            nn.init.zeros_(module.weight)
    if hasattr(network, "t_embedder"):
        for i in (0, 2):
            nn.init.normal_(network.t_embedder.mlp[i].weight, std=0.02)
    if name == "dino":
        for p in (network.cls_token, network.pos_embed, network.register_tokens):
            nn.init.normal_(p, std=0.02)
        for block in network.blocks:
            nn.init.constant_(block.ls1.gamma, 0.5)
            nn.init.constant_(block.ls2.gamma, 0.5)
    return network.to(device)


def restore(name, folder, device):
    """The network from a checkpoint folder, or a fresh one where the folder has none."""
    network = fresh(name, device)
    path = Path(folder) / f"{name}.safetensors" if folder else None
    if path and path.exists():
        network.load_state_dict(load_file(path, device=str(device)))
        print(f"{name}: restored")
    return network


def store(network, name, folder):
    Path(folder).mkdir(parents=True, exist_ok=True)
    state = {k: v.detach().float().contiguous().cpu() for k, v in network.state_dict().items()}
    save_file(state, Path(folder) / f"{name}.safetensors")


class Average:
    """Exponential moving average of a network's weights, with a warm-up."""

    def __init__(self, network, decay=0.999):
        self.network, self.decay, self.updates = network, decay, 0
        self.copy = copy.deepcopy(network).eval().requires_grad_(False)

    @torch.no_grad()
    def update(self):
        self.updates += 1
        keep = min(self.decay, (1 + self.updates) / (10 + self.updates))
        torch._foreach_lerp_(list(self.copy.parameters()), list(self.network.parameters()), 1 - keep)


class Schedule:
    """Warm-up, then a cosine over a span of progress that may be one piece of a longer training."""

    def __init__(self, optimiser, peak, seconds, span=(0.0, 1.0), warm_up=200):
        self.optimiser, self.peak, self.seconds, self.span, self.warm_up = optimiser, peak, seconds, span, warm_up
        self.start, self.step_count = time.time(), 0

    @property
    def elapsed(self):
        return time.time() - self.start

    @property
    def over(self):
        return self.elapsed >= self.seconds

    def step(self):
        self.step_count += 1
        progress = self.span[0] + (self.span[1] - self.span[0]) * min(1.0, self.elapsed / self.seconds)
        rate = self.peak * min(1.0, self.step_count / self.warm_up) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * progress)))
        for group in self.optimiser.param_groups:
            if torch.is_tensor(group["lr"]):
                group["lr"].fill_(rate)
            else:
                group["lr"] = rate
        return rate


def optimiser(networks, rate, decay=0.01, capturable=False):
    """AdamW; matrices decay, vectors, gains and embeddings do not. `capturable` (with a tensor for `rate`) for CUDA graphs."""
    matrices, rest = [], []
    for network in networks:
        for module in network.modules():
            for p in module.parameters(recurse=False):
                (matrices if p.ndim >= 2 and not isinstance(module, MultiHeadRMSNorm) else rest).append(p)
    groups = [{"params": [p for p in matrices if p.requires_grad], "weight_decay": decay},
              {"params": [p for p in rest if p.requires_grad], "weight_decay": 0.0}]
    fused = matrices[0].is_cuda
    return torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.98), fused=fused, capturable=capturable)
