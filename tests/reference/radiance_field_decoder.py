"""Latents to a tri-vector radiance field (spec 7.7); the field's rendering is not part of it."""

from torch import nn

from .blocks import plain_layer_norm
from .latent_trunk import SparseTrunk


class SLatRadianceFieldDecoder(SparseTrunk):
    """`forward` gives the raw `[N, rank*(3*dim + 4)]`."""

    def __init__(self, resolution, model_channels, latent_channels, num_blocks, representation_config, **trunk):
        super().__init__(latent_channels, resolution, model_channels, num_blocks, **trunk)
        self.rank, self.dim = representation_config["rank"], representation_config["dim"]
        self.out_layer = nn.Linear(model_channels, self.rank * (3 * self.dim + 4))

    def forward(self, slat, geometry):
        return self.out_layer(plain_layer_norm(self.trunk(slat, geometry).float()))

    def field(self, raw, coords):
        """Voxel centres in 0..1, tri-vectors, densities and colours of every voxel."""
        rank, dim = self.rank, self.dim
        trivec = raw[:, :3 * rank * dim].unflatten(1, (rank, 3, dim)) + 1
        density = raw[:, 3 * rank * dim:][:, :rank]
        colour = raw[:, 3 * rank * dim + rank:].unflatten(1, (rank, 1, 3))
        return {"position": (coords[:, 1:].float() + 0.5) / self.resolution, "trivec": trivec,
                "density": density, "features_dc": colour}
