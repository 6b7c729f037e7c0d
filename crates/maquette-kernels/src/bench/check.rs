//! Sampled results in f64.

use burn::tensor::{DType, Device, Int, Tensor, TensorData};

use crate::{Activation, Linear};

/// Elements of a result at the crossings of some rows and columns.
pub(super) struct Sample {
    pub(super) rows: Vec<usize>,
    pub(super) columns: Vec<usize>,
    /// Row by row.
    pub(super) expected: Vec<f64>,
}

/// At most `count` places of `n`, the first and the last among them.
pub(super) fn spread(n: usize, count: usize) -> Vec<usize> {
    if n <= count { (0..n).collect() } else { (0..count).map(|i| i * (n - 1) / (count - 1)).collect() }
}

fn index(places: &[usize], device: &Device) -> Tensor<1, Int> {
    let places: Vec<i32> = places.iter().map(|place| *place as i32).collect();
    let count = places.len();
    Tensor::from_data(TensorData::new(places, [count]), device)
}

/// A matrix on the host, row by row; empty where it could not be read.
pub(super) async fn read(x: Tensor<2>) -> Vec<f64> {
    let data = x.cast(DType::F32).into_data_async().await.ok().and_then(|data| data.try_to_vec::<f32>().ok());
    data.unwrap_or_default().into_iter().map(f64::from).collect()
}

/// Some rows of a matrix, in f64.
pub(super) async fn read_rows(x: &Tensor<2>, rows: &[usize]) -> Vec<f64> {
    read(x.clone().select(0, index(rows, &x.device()))).await
}

/// Some columns of a matrix, in f64.
pub(super) async fn read_columns(x: &Tensor<2>, columns: &[usize]) -> Vec<f64> {
    read(x.clone().select(1, index(columns, &x.device()))).await
}

/// Bias of a layer at some outputs.
pub(super) async fn read_bias(bias: &Tensor<1>, columns: &[usize]) -> Vec<f64> {
    read_rows(&bias.clone().reshape([bias.dims()[0], 1]), columns).await
}

pub(super) fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// `softmax(q·kᵀ/√D)·v` for one query.
pub(super) fn attend(q: &[f64], keys: &[&[f64]], values: &[&[f64]]) -> Vec<f64> {
    let scores: Vec<f64> = keys.iter().map(|key| dot(q, key) / (q.len() as f64).sqrt()).collect();
    let top = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let weights: Vec<f64> = scores.iter().map(|score| (score - top).exp()).collect();
    let sum: f64 = weights.iter().sum();
    let mut out = vec![0.0; q.len()];
    for (weight, value) in weights.iter().zip(values) {
        for (out, value) in out.iter_mut().zip(*value) {
            *out += weight / sum * value;
        }
    }
    out
}

/// The activations that the cases use.
fn activate(x: f64, act: Activation) -> f64 {
    match act {
        Activation::GeluTanh => {
            0.5 * x * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x * x * x)).tanh())
        }
        _ => x,
    }
}

impl Sample {
    /// A linear layer's result.
    pub(super) async fn linear(x: &Tensor<2>, layer: &Linear, act: Activation) -> Self {
        Self::linear_at(x, layer, act, spread(layer.outputs(), 48)).await
    }

    /// The same at some columns.
    pub(super) async fn linear_at(x: &Tensor<2>, layer: &Linear, act: Activation, columns: Vec<usize>) -> Self {
        let (k, rows) = (layer.inputs(), spread(x.dims()[0], 24));
        let (x, w) = (read_rows(x, &rows).await, read_rows(&layer.weight, &columns).await);
        let bias = match &layer.bias {
            Some(bias) => read_bias(bias, &columns).await,
            None => vec![0.0; columns.len()],
        };
        let expected = x
            .chunks(k)
            .flat_map(|x| w.chunks(k).zip(&bias).map(|(w, b)| activate(dot(x, w) + b, act)).collect::<Vec<_>>())
            .collect();
        Self { rows, columns, expected }
    }

    /// Relative Frobenius error of a result.
    pub(super) async fn error(&self, y: Tensor<2>) -> f64 {
        let found = read_columns(&y.clone().select(0, index(&self.rows, &y.device())), &self.columns).await;
        if found.len() != self.expected.len() || found.iter().any(|v| v.is_nan()) {
            return f64::INFINITY;
        }
        let apart: f64 = found.iter().zip(&self.expected).map(|(a, b)| (a - b) * (a - b)).sum();
        let norm = dot(&self.expected, &self.expected);
        if apart == 0.0 { 0.0 } else { (apart / norm).sqrt() }
    }
}
