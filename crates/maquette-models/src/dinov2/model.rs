//! The network.

use burn::tensor::{DType, Device, FloatDType, Tensor, TensorData};
use maquette_kernels::{Activation, Linear, RowGroups, activate, layer_norm, linear, linear_residual};
use maquette_weights::TensorSource;
use serde::Deserialize;

use super::position::{PositionResize, resized};
use crate::{
    Error, Precision, Result,
    loading::{Affine, Loading, Scope, description},
    nn::{BLOCK_NORM_EPS, DEFAULT_NORM_EPS, Mlp, SelfAttention, Span},
};

const MODEL: &str = "DINOv2";
/// Width of a head in every published DINOv2.
const HEAD_CHANNELS: usize = 64;

/// What the weights alone do not tell. All members may be absent: then the published models' values are taken.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub struct DinoConfig {
    /// Attention heads; absent: width / 64.
    pub num_heads: Option<usize>,
    /// Low-pass filter when positions are resized; absent: if there are register tokens.
    pub interpolate_antialias: Option<bool>,
    /// Offset when positions are resized; absent: 0 with register tokens, 0.1 without.
    pub interpolate_offset: Option<f64>,
}

impl DinoConfig {
    /// Reads a json object.
    ///
    /// # Errors
    /// [`Error::Description`].
    pub fn from_args(args: &serde_json::Value) -> Result<Self> {
        description(MODEL, args)
    }
}

/// A DINOv2 of any size, with or without register tokens. Sizes come from the weights.
#[derive(Debug)]
pub struct DinoV2 {
    channels: usize,
    patch_size: usize,
    patch_embed: Linear,
    cls_token: Tensor<2>,
    register_tokens: Option<Tensor<2>>,
    /// `[1 + grid², C]` on the host: another grid needs a resized one.
    pos_embed: Vec<f32>,
    grid: usize,
    resize: PositionResize,
    blocks: Vec<Block>,
    norm: Affine,
}

#[derive(Debug)]
struct Block {
    norm1: Affine,
    attn: SelfAttention,
    ls1: Option<Tensor<2>>,
    norm2: Affine,
    ffn: Ffn,
    ls2: Option<Tensor<2>>,
}

#[derive(Debug)]
enum Ffn {
    Mlp(Mlp),
    /// The giant model's gated perceptron: `w3(silu(a)·b)` with `[a | b] = w12(x)`.
    SwiGlu {
        w12: Linear,
        w3: Linear,
    },
}

/// Tokens of pictures: class token, register tokens, then patches with columns fastest.
#[derive(Clone, Debug)]
pub struct DinoOutput {
    /// `[B, 1 + registers + patches, C]`, before the final norm.
    pub x_prenorm: Tensor<3>,
    /// Register tokens among them.
    pub registers: usize,
}

impl DinoOutput {
    /// TRELLIS' condition: all tokens, layer norm without parameters, eps 1e-5.
    pub fn condition(&self) -> Tensor<3> {
        let [b, l, c] = self.x_prenorm.dims();
        layer_norm(self.x_prenorm.clone().reshape([b * l, c]), None, DEFAULT_NORM_EPS).reshape([b, l, c])
    }
}

impl DinoV2 {
    /// Builds the network from its weights.
    ///
    /// # Errors
    /// [`Error::Weights`], [`Error::Config`] when sizes contradict each other, [`Error::UnexpectedTensors`].
    pub fn load(config: DinoConfig, source: &dyn TensorSource, device: &Device, precision: Precision) -> Result<Self> {
        let loading = Loading::new(MODEL, source, device, precision);
        let scope = loading.root();
        let torso = scope.torso();
        let stored = |name: &'static str, rank: usize| match scope.shape(name) {
            Some(shape) if shape.len() == rank && !shape.contains(&0) => Ok(shape),
            found => Err(Error::config(MODEL, name, format!("{found:?}"), format!("a tensor of rank {rank}"))),
        };
        let patch = stored("patch_embed.proj.weight", 4)?;
        let (channels, patch_size) = (patch[0], patch[3]);
        // The authors' file, or timm's of the same weights: there the class position is part of the class token.
        let class_position = !scope.has("reg_token");
        let positions = stored("pos_embed", 3)?[1];
        let grid = (positions - usize::from(class_position)).isqrt();
        if grid == 0 || grid * grid + usize::from(class_position) != positions {
            return Err(Error::config(
                MODEL,
                "pos_embed",
                positions,
                "a square of positions and one for the class token",
            ));
        }
        let heads = config.num_heads.unwrap_or(channels / HEAD_CHANNELS);
        if heads == 0 || !channels.is_multiple_of(heads) {
            return Err(Error::config(MODEL, "num_heads", heads, format!("a divisor of the width {channels}")));
        }
        let register_tokens = if class_position { "register_tokens" } else { "reg_token" };
        let registers = scope.shape(register_tokens).and_then(|shape| shape.get(1).copied()).unwrap_or(0);
        let resize = PositionResize {
            antialias: config.interpolate_antialias.unwrap_or(registers > 0),
            offset: config.interpolate_offset.unwrap_or(if registers > 0 { 0.0 } else { 0.1 }),
        };
        let mut blocks = Vec::new();
        while scope.at("blocks").at(blocks.len()).has("norm1.weight") {
            blocks.push(Block::load(&scope.at("blocks").at(blocks.len()), channels, heads, torso)?);
        }
        let pixels = 3 * patch_size * patch_size;
        let mut pos_embed = if class_position { Vec::new() } else { vec![0.0; channels] };
        pos_embed.extend(scope.values("pos_embed", &[1, positions, channels])?);
        let network = Self {
            channels,
            patch_size,
            patch_embed: Linear {
                weight: scope.reshaped(
                    "patch_embed.proj.weight",
                    &[channels, 3, patch_size, patch_size],
                    [channels, pixels],
                    FloatDType::F32,
                )?,
                bias: Some(scope.tensor("patch_embed.proj.bias", [channels], FloatDType::F32)?),
            },
            cls_token: scope.reshaped("cls_token", &[1, 1, channels], [1, channels], FloatDType::F32)?,
            register_tokens: (registers > 0)
                .then(|| {
                    scope.reshaped(register_tokens, &[1, registers, channels], [registers, channels], FloatDType::F32)
                })
                .transpose()?,
            pos_embed,
            grid,
            resize,
            blocks,
            norm: scope.affine("norm", channels)?,
        };
        loading.finish(&["mask_token"])?;
        Ok(network)
    }

    /// Token width.
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// Edge of a patch, pixels.
    pub fn patch_size(&self) -> usize {
        self.patch_size
    }

    /// Edge of the picture that the stored positions fit, pixels.
    pub fn picture_size(&self) -> usize {
        self.grid * self.patch_size
    }

    /// Blocks.
    pub fn depth(&self) -> usize {
        self.blocks.len()
    }

    /// Position embedding of a picture of `rows` × `columns` patches, `[1 + rows·columns, C]`, f32, class position first.
    pub fn position_embedding(&self, rows: usize, columns: usize) -> Tensor<2> {
        let device = self.cls_token.device();
        let c = self.channels;
        let values = if rows == self.grid && columns == self.grid {
            self.pos_embed.clone()
        } else {
            let mut values = self.pos_embed[..c].to_vec();
            values.extend(resized(&self.pos_embed[c..], c, self.grid, [rows, columns], self.resize));
            values
        };
        Tensor::from_data(TensorData::new(values, [1 + rows * columns, c]), (&device, DType::F32))
    }

    /// Tokens entering the first block, `[B, 1 + registers + patches, C]`, f32, of normalised pictures `[B, 3, h, w]`.
    ///
    /// # Errors
    /// [`Error::Input`] unless both edges are multiples of the patch.
    pub fn embed(&self, pictures: Tensor<4>) -> Result<Tensor<3>> {
        let dims = pictures.dims();
        let [batch, _, height, width] = dims;
        let (p, c) = (self.patch_size, self.channels);
        if dims.contains(&0) || dims[1] != 3 || !height.is_multiple_of(p) || !width.is_multiple_of(p) {
            let expected = format!("[batch, 3, height, width] with edges that {p} divides");
            return Err(Error::Input { model: MODEL, input: "pictures", found: dims.to_vec(), expected });
        }
        let (rows, columns) = (height / p, width / p);
        let patches = pictures.reshape([batch * 3 * rows, p, columns, p]).swap_dims(1, 2);
        let patches = patches.reshape([batch, 3, rows * columns, p * p]).swap_dims(1, 2);
        let patches = linear(patches.reshape([batch * rows * columns, 3 * p * p]), &self.patch_embed, Activation::None);

        let positions = self.position_embedding(rows, columns);
        let count = rows * columns;
        // Positions go to the class token and the patches; registers are put between them afterwards and get none.
        let patches =
            patches.reshape([batch, count, c]) + positions.clone().slice([1..count + 1, 0..c]).unsqueeze::<3>();
        let class = (self.cls_token.clone() + positions.slice([0..1, 0..c])).reshape([1, 1, c]).expand([batch, 1, c]);
        let mut parts = vec![class];
        if let Some(registers) = &self.register_tokens {
            let [n, _] = registers.dims();
            parts.push(registers.clone().reshape([1, n, c]).expand([batch, n, c]));
        }
        parts.push(patches);
        Ok(Tensor::cat(parts, 1))
    }

    /// Tokens of normalised pictures `[B, 3, h, w]`, f32.
    ///
    /// # Errors
    /// [`Error::Input`] unless both edges are multiples of the patch.
    pub fn forward(&self, pictures: Tensor<4>) -> Result<DinoOutput> {
        self.forward_watched(pictures, |_, _| {})
    }

    /// As [`DinoV2::forward`]; `watch` sees the tokens after each block.
    fn forward_watched(&self, pictures: Tensor<4>, mut watch: impl FnMut(usize, &Tensor<3>)) -> Result<DinoOutput> {
        let x = self.embed(pictures)?;
        let [b, l, c] = x.dims();
        let groups = RowGroups::uniform(b, l);
        let mut x = x.reshape([b * l, c]);
        let torso = self.blocks.first().map_or(FloatDType::F32, Block::torso);
        x = x.cast(torso);
        for (i, block) in self.blocks.iter().enumerate() {
            x = block.forward(x, &groups);
            watch(i, &x.clone().cast(FloatDType::F32).reshape([b, l, c]));
        }
        let registers = self.register_tokens.as_ref().map_or(0, |r| r.dims()[0]);
        Ok(DinoOutput { x_prenorm: x.cast(FloatDType::F32).reshape([b, l, c]), registers })
    }

    /// Tokens after the blocks `wanted` (ascending numbers from 0), each `[B, 1 + registers + patches, C]`, f32; with `normed`
    /// after the final norm.
    ///
    /// # Errors
    /// [`Error::Input`] unless both edges are multiples of the patch and every wanted block exists.
    pub fn intermediate_layers(&self, pictures: Tensor<4>, wanted: &[usize], normed: bool) -> Result<Vec<Tensor<3>>> {
        if wanted.iter().any(|i| *i >= self.blocks.len()) || wanted.windows(2).any(|w| w[0] >= w[1]) {
            let expected = format!("ascending block numbers below {}", self.blocks.len());
            return Err(Error::Input { model: MODEL, input: "wanted", found: wanted.to_vec(), expected });
        }
        let mut found = Vec::with_capacity(wanted.len());
        self.forward_watched(pictures, |i, x| {
            if wanted.contains(&i) {
                found.push(if normed { self.normed(x.clone()) } else { x.clone() });
            }
        })?;
        Ok(found)
    }

    /// The final norm, `[B, L, C]` → the same. TRELLIS does not use it.
    pub fn normed(&self, x: Tensor<3>) -> Tensor<3> {
        let [b, l, c] = x.dims();
        layer_norm(x.reshape([b * l, c]), Some(self.norm.pair()), BLOCK_NORM_EPS).reshape([b, l, c])
    }
}

impl Block {
    fn load(scope: &Scope<'_>, channels: usize, heads: usize, torso: FloatDType) -> Result<Self> {
        let gamma = |name: &str| -> Result<Option<Tensor<2>>> {
            let scope = scope.at(name);
            if !scope.has("gamma") {
                return Ok(None);
            }
            Ok(Some(scope.reshaped("gamma", &[channels], [1, channels], torso)?))
        };
        let mlp = scope.at("mlp");
        let hidden = |name| mlp.shape(name).and_then(|shape: Vec<usize>| shape.first().copied()).unwrap_or(0);
        let ffn = if mlp.has("w12.weight") {
            let hidden = hidden("w12.weight") / 2;
            let w12 = mlp.linear("w12", channels, 2 * hidden, torso)?;
            Ffn::SwiGlu { w12, w3: mlp.linear("w3", hidden, channels, torso)? }
        } else {
            Ffn::Mlp(Mlp::load(&mlp, ["fc1", "fc2"], channels, hidden("fc1.weight"), Activation::GeluErf, torso)?)
        };
        Ok(Self {
            norm1: scope.affine("norm1", channels)?,
            attn: SelfAttention::load(&scope.at("attn"), ["qkv", "proj"], channels, heads, false, torso)?,
            ls1: gamma("ls1")?,
            norm2: scope.affine("norm2", channels)?,
            ffn,
            ls2: gamma("ls2")?,
        })
    }

    fn torso(&self) -> FloatDType {
        match &self.ffn {
            Ffn::Mlp(mlp) => mlp.dtype(),
            Ffn::SwiGlu { w3, .. } => w3.weight.dtype().into(),
        }
    }

    fn forward(&self, x: Tensor<2>, groups: &RowGroups) -> Tensor<2> {
        // Layer scale is a gate with one row for all tokens.
        let whole = RowGroups::single(groups.rows());
        let ls1 = self.ls1.as_ref().map(|gamma| (gamma, &whole));
        let ls2 = self.ls2.as_ref().map(|gamma| (gamma, &whole));
        let u = layer_norm(x.clone(), Some(self.norm1.pair()), BLOCK_NORM_EPS);
        let x = self.attn.forward_residual(u, Span::Full(groups), x, ls1);
        let u = layer_norm(x.clone(), Some(self.norm2.pair()), BLOCK_NORM_EPS);
        match &self.ffn {
            Ffn::Mlp(mlp) => mlp.forward_residual(u, x, ls2),
            Ffn::SwiGlu { w12, w3 } => {
                let h = linear(u, w12, Activation::None);
                let [rows, both] = h.dims();
                let gate = activate(h.clone().slice([0..rows, 0..both / 2]), Activation::Silu);
                linear_residual(gate * h.slice([0..rows, both / 2..both]), w3, x, ls2)
            }
        }
    }
}
