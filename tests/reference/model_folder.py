"""Reading a model folder in the published layout (spec 1)."""

import json
from pathlib import Path

from safetensors.torch import load_file

from .dinov2 import DinoVisionTransformer
from .gaussian_decoder import SLatGaussianDecoder
from .latent_flow import SLatFlowModel
from .latent_trunk import SLatEncoder
from .mesh_decoder import SLatMeshDecoder
from .radiance_field_decoder import SLatRadianceFieldDecoder
from .structure_flow import SparseStructureFlowModel
from .structure_vae import SparseStructureDecoder, SparseStructureEncoder

CLASSES = {c.__name__: c for c in (
    DinoVisionTransformer, SLatEncoder, SLatFlowModel, SLatGaussianDecoder, SLatMeshDecoder,
    SLatRadianceFieldDecoder, SparseStructureDecoder, SparseStructureEncoder, SparseStructureFlowModel)}


def build(description):
    """A network from `{"name", "args"}`; an `Elastic` prefix changes nothing."""
    return CLASSES[description["name"].removeprefix("Elastic")](**description["args"])


def load_network(stem, device="cpu"):
    """The network of `<stem>.json` and `<stem>.safetensors`, in float32, ready for inference."""
    stem = Path(stem)
    network = build(json.loads(stem.with_name(stem.name + ".json").read_text()))
    weights = load_file(stem.with_name(stem.name + ".safetensors"))
    network.load_state_dict({k: v.float() for k, v in weights.items()}, strict=True)
    return network.to(device).eval().requires_grad_(False)


class ModelFolder:
    """Lazily loaded networks of a folder with a `pipeline.json`."""

    def __init__(self, folder, device="cpu"):
        self.folder, self.device = Path(folder), device
        self.args = json.loads((self.folder / "pipeline.json").read_text())["args"]
        self._loaded = {}

    def network(self, name):
        if name not in self._loaded:
            self._loaded[name] = load_network(self.folder / self.args["models"][name], self.device)
        return self._loaded[name]
