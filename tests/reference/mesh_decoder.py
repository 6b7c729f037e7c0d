"""Latents to the cube features of dual mesh extraction (spec 7.3, 7.4)."""

import torch
from torch import nn

from .latent_trunk import SparseTrunk
from .sparse import SparseSubdivideBlock3d

# corner m of a cube, x fastest
CORNERS = [(m & 1, m >> 1 & 1, m >> 2 & 1) for m in range(8)]


class SLatMeshDecoder(SparseTrunk):
    """`forward` gives `[64 N, 101]` per fine cube and the fine geometry, at four times the resolution."""

    def __init__(self, resolution, model_channels, latent_channels, num_blocks, representation_config, **trunk):
        super().__init__(latent_channels, resolution, model_channels, num_blocks, **trunk)
        c = model_channels
        self.upsample = nn.ModuleList([SparseSubdivideBlock3d(c, c // 4), SparseSubdivideBlock3d(c // 4, c // 8)])
        colour = 6 if representation_config.get("use_color") else 0
        self.out_layer = nn.Linear(c // 8, 8 + 24 + 21 + 8 * colour)

    def forward(self, slat, geometry, taps=None):
        h = self.trunk(slat, geometry)
        if taps is not None:
            taps["h_tf"] = h
        for i, block in enumerate(self.upsample):
            h, geometry = block(h, geometry)
            if taps is not None:
                taps[f"h_up{i}"] = h
        return self.out_layer(h.float()), geometry


def corner_means(raw, coords, resolution):
    """Unique corners `[V, 3]` in lexicographic order and their mean (sdf with its bias, deform, colour) `[V, 10]`.

    `resolution` is that of the fine grid. `raw` belongs to one batch item.
    """
    corners = torch.tensor(CORNERS, device=coords.device, dtype=torch.long)
    positions = (coords[:, None, 1:].long() + corners).reshape(-1, 3)
    sdf = (raw[:, 0:8] - 1.0 / resolution).reshape(-1, 1)
    attributes = torch.cat([sdf, raw[:, 8:32].reshape(-1, 3), raw[:, 53:101].reshape(-1, 6)], dim=1)
    side = resolution + 1
    key = (positions[:, 0] * side + positions[:, 1]) * side + positions[:, 2]
    keys, inverse = torch.unique(key, return_inverse=True)
    total = attributes.new_zeros(len(keys), attributes.shape[1]).index_add(0, inverse, attributes)
    mean = total / torch.bincount(inverse)[:, None]
    unique = torch.stack([keys // side**2, keys // side % side, keys % side], dim=1)
    return unique, mean
