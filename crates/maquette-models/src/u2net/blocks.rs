//! What the network is made of: convolution with folded norm, and the residual U-block.

use burn::tensor::module::{interpolate, max_pool2d};
use burn::tensor::ops::{InterpolateMode, InterpolateOptions, MaxPoolOptions};
use burn::tensor::{FloatDType, Tensor};
use maquette_kernels::{Conv2, conv2d};

use super::model::MODEL;
use crate::loading::Scope;
use crate::{Error, Result};

/// Of every batch norm in the network.
const NORM_EPS: f64 = 1e-5;

/// `name.weight [outputs, inputs, k, k]` and `name.bias`.
fn parameters(
    scope: &Scope<'_>,
    name: &str,
    inputs: usize,
    outputs: usize,
    kernel: usize,
) -> Result<(Tensor<4>, Tensor<1>)> {
    let scope = scope.at(name);
    let weight = scope.tensor("weight", [outputs, inputs, kernel, kernel], FloatDType::F32)?;
    Ok((weight, scope.tensor("bias", [outputs], FloatDType::F32)?))
}

/// A convolution that keeps the size, without a norm.
#[derive(Debug)]
pub(super) struct Conv(Conv2);

impl Conv {
    /// `name.weight [outputs, inputs, k, k]` and `name.bias`.
    pub(super) fn load(scope: &Scope<'_>, name: &str, inputs: usize, outputs: usize, kernel: usize) -> Result<Self> {
        let (weight, bias) = parameters(scope, name, inputs, outputs, kernel)?;
        Ok(Self(Conv2::new(weight, bias, 1)))
    }

    pub(super) fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        conv2d(x, &self.0, false)
    }
}

/// Convolution 3×3, batch norm, ReLU ("REBNCONV"). The norm is folded into the convolution when it is loaded.
#[derive(Debug)]
pub(super) struct ConvNormRelu(Conv2);

impl ConvNormRelu {
    fn load(scope: &Scope<'_>, inputs: usize, outputs: usize, dilation: usize) -> Result<Self> {
        let (mut weight, mut bias) = parameters(scope, "conv_s1", inputs, outputs, 3)?;
        if scope.at("bn_s1").has("weight") {
            let norm = scope.at("bn_s1");
            let part = |name| norm.tensor::<1>(name, [outputs], FloatDType::F32);
            let scale = part("weight")? / (part("running_var")? + NORM_EPS).sqrt();
            bias = (bias - part("running_mean")?) * scale.clone() + part("bias")?;
            weight = weight * scale.reshape([outputs, 1, 1, 1]);
        }
        Ok(Self(Conv2::new(weight, bias, dilation)))
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        conv2d(x, &self.0, true)
    }
}

/// How a residual U-block sees more of the picture on its way down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// Halving the size between levels.
    Pooling,
    /// Dilating the convolutions, at one size ("RSU-4F").
    Dilation,
}

/// Residual U-block ("RSU"): a small U-Net whose result is added to its first convolution's.
#[derive(Debug)]
pub(super) struct ResidualU {
    reach: Reach,
    input: ConvNormRelu,
    /// Levels from the finest; the last is the bottom.
    down: Vec<ConvNormRelu>,
    /// From the finest, one fewer than `down`.
    up: Vec<ConvNormRelu>,
    outputs: usize,
}

impl ResidualU {
    /// A block of `levels` levels for `inputs` channels; its inner and outer widths are those of the weights.
    pub(super) fn load(scope: &Scope<'_>, inputs: usize, levels: usize, reach: Reach) -> Result<Self> {
        let width = |name: &str, field: &'static str| match scope.at(name).shape("conv_s1.weight") {
            Some(shape) if shape.len() == 4 && shape[0] > 0 => Ok(shape[0]),
            found => Err(Error::config(MODEL, field, format!("{found:?}"), "a convolution weight of rank 4")),
        };
        let outputs = width("rebnconvin", "rebnconvin.conv_s1.weight")?;
        let inner = width("rebnconv1", "rebnconv1.conv_s1.weight")?;
        let dilation = |level: usize| match reach {
            Reach::Dilation => 1 << (level - 1),
            Reach::Pooling if level == levels => 2,
            Reach::Pooling => 1,
        };
        let layer = |name: String, inputs, outputs, level| {
            ConvNormRelu::load(&scope.at(name), inputs, outputs, dilation(level))
        };
        let down = (1..=levels)
            .map(|k| layer(format!("rebnconv{k}"), if k == 1 { outputs } else { inner }, inner, k))
            .collect::<Result<_>>()?;
        let up = (1..levels)
            .map(|k| layer(format!("rebnconv{k}d"), 2 * inner, if k == 1 { outputs } else { inner }, k))
            .collect::<Result<_>>()?;
        let input = ConvNormRelu::load(&scope.at("rebnconvin"), inputs, outputs, 1)?;
        Ok(Self { reach, input, down, up, outputs })
    }

    /// Channels of the result.
    pub(super) fn outputs(&self) -> usize {
        self.outputs
    }

    pub(super) fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let x = self.input.forward(x);
        let bottom = self.down.len() - 1;
        let mut levels: Vec<Tensor<4>> = Vec::with_capacity(self.down.len());
        let mut h = x.clone();
        for (k, layer) in self.down.iter().enumerate() {
            // The bottom works at the size of the level above it.
            if self.reach == Reach::Pooling && k > 0 && k < bottom {
                h = halved(h);
            }
            h = layer.forward(h);
            levels.push(h.clone());
        }
        for (layer, skip) in self.up.iter().zip(&levels[..bottom]).rev() {
            h = layer.forward(Tensor::cat(vec![resized_like(h, skip), skip.clone()], 1));
        }
        h + x
    }
}

/// Largest of each 2×2 block; an odd last row or column counts as a block (ceil mode).
pub(super) fn halved(x: Tensor<4>) -> Tensor<4> {
    let mut options = MaxPoolOptions::new([2, 2]);
    options.ceil_mode = true;
    max_pool2d(x, options)
}

/// Bilinear resize to the height and width of `like`, pixel centres at half positions.
pub(super) fn resized_like(x: Tensor<4>, like: &Tensor<4>) -> Tensor<4> {
    let ([.., h, w], [.., height, width]) = (x.dims(), like.dims());
    if (h, w) == (height, width) {
        return x;
    }
    let options =
        InterpolateOptions::new(InterpolateMode::Bilinear).with_align_corners(false).with_output_size([height, width]);
    interpolate(x, options)
}
