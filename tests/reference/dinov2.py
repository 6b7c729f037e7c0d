"""DINOv2 vision transformer with register tokens (spec 2.5)."""

import torch
import torch.nn.functional as F
from torch import nn

from .blocks import plain_layer_norm

IMAGE_MEAN = (0.485, 0.456, 0.406)
IMAGE_STD = (0.229, 0.224, 0.225)


class LayerScale(nn.Module):
    def __init__(self, width, value):
        super().__init__()
        self.gamma = nn.Parameter(torch.full((width,), float(value)))

    def forward(self, x):
        return x * self.gamma


class Attention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x):
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        return self.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(-2))


class Mlp(nn.Module):
    def __init__(self, width, hidden):
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, x):
        return self.fc2(F.gelu(self.fc1(x)))


class SwiGlu(nn.Module):
    """The giant form's perceptron: `w3(silu(a) * b)` for the halves of `w12(x)`; the hidden width is rounded up to eights."""

    def __init__(self, width, hidden):
        super().__init__()
        hidden = (int(hidden * 2 / 3) + 7) // 8 * 8
        self.w12 = nn.Linear(width, 2 * hidden)
        self.w3 = nn.Linear(hidden, width)

    def forward(self, x):
        a, b = self.w12(x).chunk(2, dim=-1)
        return self.w3(F.silu(a) * b)


class Block(nn.Module):
    def __init__(self, width, heads, mlp_ratio, init_values, ffn_layer):
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.attn = Attention(width, heads)
        self.ls1 = LayerScale(width, init_values)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.mlp = (Mlp if ffn_layer == "mlp" else SwiGlu)(width, int(width * mlp_ratio))
        self.ls2 = LayerScale(width, init_values)

    def forward(self, x):
        x = x + self.ls1(self.attn(self.norm1(x)))
        return x + self.ls2(self.mlp(self.norm2(x)))


class PatchEmbed(nn.Module):
    def __init__(self, patch_size, width):
        super().__init__()
        self.proj = nn.Conv2d(3, width, patch_size, patch_size)

    def forward(self, x):
        return self.proj(x).flatten(2).transpose(1, 2)


class DinoVisionTransformer(nn.Module):
    """Image `[B, 3, H, W]` (normalised) to tokens: class, registers, patches rows first."""

    def __init__(self, embed_dim, depth, num_heads, img_size=518, patch_size=14, mlp_ratio=4,
                 num_register_tokens=4, init_values=1.0, ffn_layer="mlp", **_):
        super().__init__()
        self.patch_size = patch_size
        self.grid = img_size // patch_size
        self.patch_embed = PatchEmbed(patch_size, embed_dim)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, embed_dim))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + self.grid**2, embed_dim))
        if num_register_tokens:
            self.register_tokens = nn.Parameter(torch.zeros(1, num_register_tokens, embed_dim))
        self.mask_token = nn.Parameter(torch.zeros(1, embed_dim))
        self.blocks = nn.ModuleList(Block(embed_dim, num_heads, mlp_ratio, init_values, ffn_layer) for _ in range(depth))
        self.norm = nn.LayerNorm(embed_dim, eps=1e-6)

    def position_embedding(self, rows, cols):
        """`[1, 1 + rows*cols, C]`; the stored table verbatim at its own size, else bicubic with antialias."""
        if rows == cols == self.grid:
            return self.pos_embed
        table = self.pos_embed[:, 1:].unflatten(1, (self.grid, self.grid)).permute(0, 3, 1, 2)
        table = F.interpolate(table, size=(rows, cols), mode="bicubic", antialias=True)
        return torch.cat([self.pos_embed[:, :1], table.flatten(2).transpose(1, 2)], dim=1)

    def tokens(self, image):
        rows, cols = image.shape[-2] // self.patch_size, image.shape[-1] // self.patch_size
        x = self.patch_embed(image)
        x = torch.cat([self.cls_token.expand(x.shape[0], -1, -1).to(x.dtype), x], dim=1)
        x = x + self.position_embedding(rows, cols).to(x.dtype)
        if not hasattr(self, "register_tokens"):
            return x
        registers = self.register_tokens.expand(x.shape[0], -1, -1).to(x.dtype)
        return torch.cat([x[:, :1], registers, x[:, 1:]], dim=1)

    def forward(self, image):
        """The tokens before the final norm."""
        x = self.tokens(image)
        for block in self.blocks:
            x = block(x)
        return x

    def condition(self, image):
        """What TRELLIS conditions on: a parameter-free layer norm of the un-normalised tokens."""
        return plain_layer_norm(self(image).float())


def normalise_image(rgb):
    """`[B, 3, H, W]` in 0..1 to the network's input."""
    mean = torch.tensor(IMAGE_MEAN, device=rgb.device)[:, None, None]
    std = torch.tensor(IMAGE_STD, device=rgb.device)[:, None, None]
    return (rgb - mean) / std
