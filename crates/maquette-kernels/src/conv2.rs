//! Convolutions of pictures.

use burn::tensor::{FloatDType, Tensor, activation, module, ops::ConvOptions};

use crate::{linear::in_f32, wgsl};

/// A 2-D convolution (cross-correlation) of stride 1 with an odd square kernel, whose zero padding keeps the size.
#[derive(Clone, Debug)]
pub struct Conv2 {
    weight: Weight,
    bias: Tensor<1>,
    /// Outputs, inputs, edge of the kernel.
    size: [usize; 3],
    dilation: usize,
}

/// Only one of them is kept, since the networks' weights are large.
#[derive(Clone, Debug)]
enum Weight {
    /// `[out, in, ky, kx]`.
    Stored(Tensor<4>),
    /// [`packed`].
    Packed(Tensor<1>),
}

/// Output channels that the kernels take together.
pub(crate) fn block(outputs: usize) -> usize {
    if outputs > 4 { 8 } else { 4 }
}

/// `[out, in, ky, kx]` as the kernels read it: `[blocks of out, in, kx, ky, out of the block]`, the last block filled up with
/// zeros.
fn packed(weight: Tensor<4>) -> Tensor<1> {
    let [outputs, inputs, edge, _] = weight.dims();
    let (block, taps) = (block(outputs), edge * edge);
    let missing = outputs.next_multiple_of(block) - outputs;
    let zeros = Tensor::zeros([missing, inputs, edge, edge], (&weight.device(), weight.dtype()));
    let weight = weight.swap_dims(2, 3);
    let weight = if missing == 0 { weight } else { Tensor::cat(vec![weight, zeros], 0) };
    let blocks = (outputs + missing) / block;
    weight.reshape([blocks, block, inputs, taps]).permute([0, 2, 3, 1]).reshape([blocks * inputs * taps * block])
}

impl Conv2 {
    /// `weight [out, in, k, k]` with odd `k`, `bias [out]`; taps lie `dilation` pixels apart. The weights are laid out for the
    /// device that they are on.
    pub fn new(weight: Tensor<4>, bias: Tensor<1>, dilation: usize) -> Self {
        let [outputs, inputs, edge, _] = weight.dims();
        let weight =
            if wgsl::conv2_packs(&weight, dilation) { Weight::Packed(packed(weight)) } else { Weight::Stored(weight) };
        Self { weight, bias, size: [outputs, inputs, edge], dilation }
    }

    /// Input channels.
    pub fn inputs(&self) -> usize {
        self.size[1]
    }

    /// Output channels.
    pub fn outputs(&self) -> usize {
        self.size[0]
    }

    /// The weights as they were given.
    fn stored(&self) -> Tensor<4> {
        let [outputs, inputs, edge] = self.size;
        match &self.weight {
            Weight::Stored(weight) => weight.clone(),
            Weight::Packed(packed) => {
                let block = block(outputs);
                let all = outputs.next_multiple_of(block);
                let weight = packed.clone().reshape([all / block, inputs, edge * edge, block]).permute([0, 3, 1, 2]);
                weight.reshape([all, inputs, edge, edge]).narrow(0, 0, outputs).swap_dims(2, 3)
            }
        }
    }
}

/// Convolution `x [N, in, H, W]` → `[N, out, H, W]` with zeros around the picture, and ReLU where `relu` says so. Sums are f32.
pub fn conv2d(x: Tensor<4>, layer: &Conv2, relu: bool) -> Tensor<4> {
    if let Weight::Packed(weight) = &layer.weight
        && let Some(y) = wgsl::conv2(&x, weight, &layer.bias, layer.size, layer.dilation, relu)
    {
        return y;
    }
    let ([items, _, height, width], dtype): (_, FloatDType) = (x.dims(), x.dtype().into());
    if items * height * width == 0 {
        return Tensor::zeros([items, layer.outputs(), height, width], (&x.device(), dtype.into()));
    }
    let pad = layer.size[2] / 2 * layer.dilation;
    let options = ConvOptions::new([1, 1], [pad, pad], [layer.dilation; 2], 1);
    let (weight, bias) = (layer.stored().cast(FloatDType::F32), layer.bias.clone().cast(FloatDType::F32));
    in_f32(x, |x| {
        let y = module::conv2d(x, weight, Some(bias), options);
        if relu { activation::relu(y) } else { y }
    })
}
