//! Multi-head self and cross attention.

use burn::tensor::{Device, FloatDType, Tensor};
use maquette_kernels::{Activation, RowGroups, Windows, attention, windowed_attention};

use super::BlockLinear;
use crate::{Result, loading::Scope};

/// Which rows attend to which.
#[derive(Clone, Copy)]
pub enum Span<'a> {
    /// All rows of a batch item.
    Full(&'a RowGroups),
    /// All voxels of a window.
    Windowed(&'a Windows),
}

/// Self-attention with one projection to queries, keys and values.
#[derive(Clone, Debug)]
pub struct SelfAttention {
    to_qkv: BlockLinear,
    to_out: BlockLinear,
    /// Of queries and keys, `[2, H, D]`.
    rms_norms: Option<Tensor<3>>,
    heads: usize,
}

impl SelfAttention {
    /// Loads the two projections under the given names; with `qk_rms_norm` also the per-head norms.
    ///
    /// # Errors
    /// [`crate::Error::Weights`].
    pub fn load(
        scope: &Scope<'_>,
        names: [&str; 2],
        channels: usize,
        heads: usize,
        qk_rms_norm: bool,
        dtype: FloatDType,
    ) -> Result<Self> {
        Ok(Self {
            to_qkv: scope.block_linear(names[0], channels, 3 * channels, dtype)?,
            to_out: scope.block_linear(names[1], channels, channels, dtype)?,
            rms_norms: head_norms(scope, channels, heads, qk_rms_norm)?,
            heads,
        })
    }

    /// Attention of every row, heads side by side, before the last projection: `x [M, C]` → `[M, C]`.
    fn attend(&self, x: Tensor<2>, span: Span<'_>) -> Tensor<2> {
        let [rows, channels] = x.dims();
        let [q, k, v] = self.to_qkv.forward_heads(x, self.heads, self.rms_norms.as_ref());
        let y = match span {
            Span::Full(groups) => attention(q, k, v, groups, groups),
            Span::Windowed(windows) => windowed_attention(q, k, v, windows),
        };
        y.reshape([rows, channels])
    }

    /// `x [M, C]` → `[M, C]`.
    pub fn forward(&self, x: Tensor<2>, span: Span<'_>) -> Tensor<2> {
        self.to_out.forward(self.attend(x, span), Activation::None)
    }

    /// `residual + gate · attention(x)`.
    pub fn forward_residual(
        &self,
        x: Tensor<2>,
        span: Span<'_>,
        residual: Tensor<2>,
        gate: Option<(&Tensor<2>, &RowGroups)>,
    ) -> Tensor<2> {
        self.to_out.forward_residual(self.attend(x, span), residual, gate)
    }
}

/// Cross-attention to condition tokens.
#[derive(Clone, Debug)]
pub struct CrossAttention {
    device: Device,
    to_q: BlockLinear,
    to_kv: BlockLinear,
    to_out: BlockLinear,
    /// Of queries and keys, `[2, H, D]`.
    rms_norms: Option<Tensor<3>>,
    heads: usize,
}

/// What one block's cross-attention needs of a condition. It does not depend on the sampler's time, so it is made once a
/// picture.
#[derive(Clone, Debug)]
#[allow(clippy::large_enum_variant, reason = "one a block: a few dozen exist")]
pub enum CrossContext {
    /// Keys and values of condition tokens, `[tokens, H, D]`. One group serves all batch items.
    Tokens {
        /// Keys.
        k: Tensor<3>,
        /// Values.
        v: Tensor<3>,
        /// The tokens of each batch item.
        groups: RowGroups,
    },
    /// The whole branch's output for an all-zero condition, `[1, C]`: every key is the key bias, so attention is uniform, every
    /// value is the value bias, and what comes out is `to_out(value bias)` whatever the query was.
    Constant(Tensor<2>),
}

impl CrossAttention {
    /// Loads `to_q`, `to_kv`, `to_out` and, with `qk_rms_norm`, the per-head norms.
    ///
    /// # Errors
    /// [`crate::Error::Weights`].
    pub fn load(
        scope: &Scope<'_>,
        channels: usize,
        context_channels: usize,
        heads: usize,
        qk_rms_norm: bool,
        dtype: FloatDType,
    ) -> Result<Self> {
        Ok(Self {
            device: scope.device().clone(),
            to_q: scope.block_linear("to_q", channels, channels, dtype)?,
            to_kv: scope.block_linear("to_kv", context_channels, 2 * channels, dtype)?,
            to_out: scope.block_linear("to_out", channels, channels, dtype)?,
            rms_norms: head_norms(scope, channels, heads, qk_rms_norm)?,
            heads,
        })
    }

    /// Keys and values of condition tokens, `[tokens, context channels]`, in the torso's type.
    pub fn context(&self, tokens: Tensor<2>, groups: &RowGroups) -> CrossContext {
        let k_norm = self.rms_norms.as_ref().map(|norms| norms.clone().narrow(0, 1, 1));
        let [k, v] = self.to_kv.forward_heads(tokens, self.heads, k_norm.as_ref());
        CrossContext::Tokens { k, v, groups: groups.clone() }
    }

    /// The context of an all-zero condition.
    pub fn zero_context(&self) -> CrossContext {
        let channels = self.to_out.inputs();
        let values = match self.to_kv.bias() {
            Some(bias) => bias.clone().slice(channels..2 * channels).reshape([1, channels]),
            None => Tensor::zeros([1, channels], (&self.device, self.to_out.dtype().into())),
        };
        CrossContext::Constant(self.to_out.forward(values, Activation::None))
    }

    /// `residual + attention(x, context)`; `batches` are the rows of each batch item. `x` is only made when it is needed.
    pub fn forward_residual(
        &self,
        x: impl FnOnce() -> Tensor<2>,
        batches: &RowGroups,
        context: &CrossContext,
        residual: Tensor<2>,
    ) -> Tensor<2> {
        match context {
            CrossContext::Constant(value) => residual + value.clone(),
            CrossContext::Tokens { k, v, groups } => {
                self.to_out.forward_residual(self.attend(x(), batches, k, v, groups), residual, None)
            }
        }
    }

    /// `attention(x, context)`, `[M, C]`.
    pub fn forward(&self, x: Tensor<2>, batches: &RowGroups, context: &CrossContext) -> Tensor<2> {
        match context {
            CrossContext::Constant(value) => value.clone().expand(x.dims()),
            CrossContext::Tokens { k, v, groups } => {
                self.to_out.forward(self.attend(x, batches, k, v, groups), Activation::None)
            }
        }
    }

    fn attend(&self, x: Tensor<2>, batches: &RowGroups, k: &Tensor<3>, v: &Tensor<3>, groups: &RowGroups) -> Tensor<2> {
        let [rows, channels] = x.dims();
        let q_norm = self.rms_norms.as_ref().map(|norms| norms.clone().narrow(0, 0, 1));
        let [q] = self.to_q.forward_heads(x, self.heads, q_norm.as_ref());
        let whole;
        let q_groups = if groups.len() == 1 && batches.len() != 1 {
            whole = RowGroups::single(rows);
            &whole
        } else {
            batches
        };
        attention(q, k.clone(), v.clone(), q_groups, groups).reshape([rows, channels])
    }
}

/// The factors of the queries' and the keys' norms, `[2, H, D]`.
fn head_norms(scope: &Scope<'_>, channels: usize, heads: usize, wanted: bool) -> Result<Option<Tensor<3>>> {
    if !wanted {
        return Ok(None);
    }
    let gamma = |name: &str| scope.at(name).tensor("gamma", [heads, channels / heads], FloatDType::F32);
    Ok(Some(Tensor::stack(vec![gamma("q_rms_norm")?, gamma("k_rms_norm")?], 0)))
}
