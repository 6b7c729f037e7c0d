"""Picture preparation (spec 2.2, 2.3) for pictures that bring their alpha."""

import numpy as np
import torch
from PIL import Image


def prepare(image, size):
    """RGBA picture to a `size`-square RGB on black, cropped around the alpha with a margin of a fifth."""
    alpha = np.array(image)[:, :, 3]
    rows, cols = np.nonzero(alpha > 0.8 * 255)
    if len(rows) == 0:
        raise ValueError("the picture's alpha has no pixel above 204: nothing to model")
    x0, x1, y0, y1 = cols.min(), cols.max(), rows.min(), rows.max()
    centre = (x0 + x1) / 2, (y0 + y1) / 2
    half = int(max(x1 - x0, y1 - y0) * 1.2) // 2
    image = image.crop((centre[0] - half, centre[1] - half, centre[0] + half, centre[1] + half))
    image = image.resize((size, size), Image.Resampling.LANCZOS)
    data = np.array(image).astype(np.float32) / 255
    return Image.fromarray((data[:, :, :3] * data[:, :, 3:4] * 255).astype(np.uint8))


def to_tensor(image):
    """RGB picture to `[3, H, W]` float32 in 0..1."""
    return torch.from_numpy(np.array(image.convert("RGB")).astype(np.float32) / 255).permute(2, 0, 1)
