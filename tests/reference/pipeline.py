"""The whole way from a picture to structure, latents, Gaussians and mesh features, for a model folder.

The picture encoder is the checkpoint that `image_cond_model` names inside the folder, as the small model has it.
"""

import torch

from .dinov2 import normalise_image
from .mesh_decoder import corner_means
from .model_folder import ModelFolder, load_network
from .picture import prepare, to_tensor
from .sampler import sample
from .sparse import Geometry
from .structure_vae import occupied


class Pipeline:
    """Noise is given, so that results can be compared number by number."""

    def __init__(self, folder, device="cpu"):
        self.models = ModelFolder(folder, device)
        self.args, self.device = self.models.args, device
        self.dino = load_network(self.models.folder / self.args["image_cond_model"], device)

    def condition(self, image):
        """From an RGBA picture."""
        prepared = to_tensor(prepare(image, self.args.get("image_size", 518)))
        return self.dino.condition(normalise_image(prepared[None].to(self.device)))

    def structure(self, cond, noise):
        """Latent, logits and coordinates."""
        flow = self.models.network("sparse_structure_flow_model")
        z = sample(flow, noise, cond, **self.args["sparse_structure_sampler"]["params"])
        logits = self.models.network("sparse_structure_decoder")(z)
        return z, logits, occupied(logits)

    def latent(self, cond, coords, noise):
        """The structured latent on `coords`, de-normalised."""
        flow, geometry = self.models.network("slat_flow_model"), Geometry(coords)
        z = sample(lambda x, t, c: flow(x, geometry, t, c), noise, cond, **self.args["slat_sampler"]["params"])
        mean, std = (torch.tensor(self.args["slat_normalization"][k], device=z.device) for k in ("mean", "std"))
        return z * std + mean

    def gaussians(self, slat, coords):
        decoder = self.models.network("slat_decoder_gs")
        return decoder.gaussians(decoder(slat, Geometry(coords)), coords)

    def mesh_corners(self, slat, coords):
        """Unique corners of the fine cubes and their mean attributes (sdf, deform, colour), see `corner_means`."""
        decoder = self.models.network("slat_decoder_mesh")
        raw, fine = decoder(slat, Geometry(coords))
        return corner_means(raw.float(), fine.coords, 4 * decoder.resolution)
