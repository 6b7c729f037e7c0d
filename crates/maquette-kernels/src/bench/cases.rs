//! The networks' problems.

use std::time::Duration;

use burn::tensor::{DType, Distribution, Tensor};
use maquette_gpu::GpuError;

use super::{
    Bench, Case, Limit, Measurement,
    check::{Sample, attend, dot, read, read_bias, read_columns, read_rows, spread},
};
use crate::{
    Activation, Conv2, Conv3, Linear, RowGroups, Voxels, attention, conv2d, conv3_sparse, layer_norm_modulate, linear,
    linear_heads, linear_residual, neighbours::TAPS, rms_norm_heads, softmax, wgsl, windowed_attention,
};

impl Bench<'_> {
    pub(super) async fn cases(&mut self) -> Result<(), GpuError> {
        let s = if self.options.full { 1 } else { 4 };
        let (rows, width) = (4096 / s, 1024 / s);
        self.linear(rows, width, width, Activation::None).await?;
        self.linear(rows, 3 * width, width, Activation::None).await?;
        self.linear(rows, 4 * width, width, Activation::GeluTanh).await?;
        self.heads(rows, width, width / 64).await?;
        self.gated(rows, width, 4 * width).await?;
        self.linear(1, 6 * width, width, Activation::None).await?;
        self.attention(rows, rows, 16 / s, 64).await?;
        self.attention(rows, 1374 / s, 16 / s, 64).await?;
        self.attention(rows, rows, 16 / s, 32).await?;
        self.attention(rows, rows, 16 / s, 128).await?;
        self.layer_norm(rows, width).await?;
        self.head_norm(rows, width / 64, 64).await?;
        self.softmax(rows, width).await?;
        self.prefix_sum((1 << 22) / (s * s * s)).await?;
        self.sort((1 << 20) / (s * s * s)).await?;
        self.picture(64 / s, 320 / s).await?;
        if self.options.full {
            self.sparse(20_000, &[(128, 1024), (1024, 1024)]).await
        } else {
            self.sparse(2_000, &[(32, 64)]).await
        }
    }

    fn peak(&mut self, name: &str, limit: Limit, work: f64, time: Duration) {
        let row = Measurement { name: name.to_string(), time, work, limit, share: None, error: None };
        self.peaks[usize::from(limit == Limit::Memory)] = Some(row.rate());
        (self.each)(row);
    }

    /// What the device reaches at most.
    pub(super) async fn peaks(&mut self) -> Result<(), GpuError> {
        let elements = if self.options.full { 1 << 28 } else { 1 << 22 };
        let x = Tensor::<1>::random([elements], Distribution::Default, self.device());
        let Some(bytes) = wgsl::peak::copy(&x) else { return Ok(()) };
        let time = self.time(&|| wgsl::peak::copy(&x)).await?;
        self.peak("peak copy", Limit::Memory, bytes, time);
        drop(x);
        let small = self.random([4096], 1.0);
        let time = self.time(&|| wgsl::peak::nothing(&small)).await?;
        let name = "an empty dispatch".to_string();
        (self.each)(Measurement { name, time, work: 0.0, limit: Limit::Memory, share: None, error: None });
        if let Some(work) = wgsl::peak::multiply_add(&small) {
            let time = self.time(&|| wgsl::peak::multiply_add(&small)).await?;
            self.peak("peak multiply-add", Limit::Arithmetic, work, time);
        }
        if let Some(work) = wgsl::peak::matrix(&small) {
            let time = self.time(&|| wgsl::peak::matrix(&small)).await?;
            self.peak("peak matrix", Limit::Arithmetic, work, time);
        }
        Ok(())
    }

    fn layer(&self, n: usize, k: usize) -> Linear {
        Linear { weight: self.random([n, k], 1.0 / (k as f64).sqrt()), bias: Some(self.random([n], 1.0)) }
    }

    async fn linear(&mut self, m: usize, n: usize, k: usize, act: Activation) -> Result<(), GpuError> {
        let name = format!("linear {m}×{n}×{k}{}", if act == Activation::None { "" } else { " GELU" });
        if !self.wanted(&name) {
            return Ok(());
        }
        let (x, layer) = (self.random([m, k], 1.0), self.layer(n, k));
        let sample = Sample::linear(&x, &layer, act).await;
        // A few rows have a kernel of one form, which is bound by reading the weights.
        let few = m <= 4;
        let (limit, work) = if few {
            (Limit::Memory, ((m + n) * k + m * n) as f64 * x.dtype().size() as f64)
        } else {
            (Limit::Arithmetic, 2.0 * (m * n * k) as f64)
        };
        self.measure(Case { name: &name, limit, work }, &sample, || linear(x.clone(), &layer, act)).await
    }

    async fn gated(&mut self, m: usize, n: usize, k: usize) -> Result<(), GpuError> {
        let name = format!("linear {m}×{n}×{k} + gated residual");
        if !self.wanted(&name) {
            return Ok(());
        }
        let (x, residual, gate) = (self.random([m, k], 1.0), self.random([m, n], 1.0), self.random([1, n], 1.0));
        let (layer, groups) = (self.layer(n, k), RowGroups::single(m));
        let mut sample = Sample::linear(&x, &layer, Activation::None).await;
        let (r, g) = (read_rows(&residual, &sample.rows).await, read_columns(&gate, &sample.columns).await);
        let across = sample.columns.len();
        for (i, value) in sample.expected.iter_mut().enumerate() {
            *value = r[i / across * n + sample.columns[i % across]] + *value * g[i % across];
        }
        let case = Case { name: &name, limit: Limit::Arithmetic, work: 2.0 * (m * n * k) as f64 };
        let call = || linear_residual(x.clone(), &layer, residual.clone(), Some((&gate, &groups)));
        self.measure(case, &sample, call).await
    }

    /// Queries, keys and values with the norm of their heads in the layer's kernel, and in kernels of its own.
    async fn heads(&mut self, m: usize, width: usize, heads: usize) -> Result<(), GpuError> {
        let (n, dim) = (3 * width, width / heads);
        let names = ["head norms", "head norms apart"].map(|what| format!("qkv linear {m}×{n}×{width} + {what}"));
        if !names.iter().any(|name| self.wanted(name)) {
            return Ok(());
        }
        let (x, layer) = (self.random([m, width], 1.0), self.layer(n, width));
        let normal = Distribution::Normal(0.0, 1.0);
        let gammas = Tensor::<3>::random([2, heads, dim], normal, (self.device(), DType::F32));
        let of_part = |part: usize| gammas.clone().narrow(0, part, 1).reshape([heads, dim]);
        let (of_q, of_k) = (of_part(0), of_part(1));
        // The keys' last head.
        let columns: Vec<usize> = (2 * width - dim..2 * width).collect();
        let mut sample = Sample::linear_at(&x, &layer, Activation::None, columns).await;
        let g = read(of_k.clone().narrow(0, heads - 1, 1)).await;
        for vector in sample.expected.chunks_mut(dim) {
            let factor = (dim as f64).sqrt() / dot(vector, vector).sqrt().max(1e-12);
            vector.iter_mut().zip(&g).for_each(|(v, g)| *v *= factor * g);
        }
        sample.columns = (width - dim..width).collect();
        let work = 2.0 * (m * n * width) as f64;
        let case = Case { name: &names[0], limit: Limit::Arithmetic, work };
        let fused = || {
            let [_, k, _] = linear_heads::<3>(x.clone(), &layer, heads, Some(&gammas));
            k.reshape([m, width])
        };
        self.measure(case, &sample, fused).await?;
        let case = Case { name: &names[1], limit: Limit::Arithmetic, work };
        let apart = || {
            let [q, k, _] = linear_heads::<3>(x.clone(), &layer, heads, None);
            rms_norm_heads(q, &of_q);
            rms_norm_heads(k, &of_k).reshape([m, width])
        };
        self.measure(case, &sample, apart).await
    }

    async fn attention(&mut self, q: usize, k: usize, heads: usize, dim: usize) -> Result<(), GpuError> {
        let name = format!("attention {q}×{k}, {heads}×{dim}");
        if !self.wanted(&name) {
            return Ok(());
        }
        let [x, y, z] = [q, k, k].map(|rows| self.random([rows, heads, dim], 1.0));
        let (qg, kg) = (RowGroups::single(q), RowGroups::single(k));
        // The first and the last head for some queries.
        let rows = spread(q, 12);
        let columns: Vec<usize> = (0..dim).chain((heads - 1) * dim..heads * dim).collect();
        let flat = |x: &Tensor<3>| x.clone().reshape([x.dims()[0], heads * dim]);
        let queries = read_rows(&flat(&x), &rows).await;
        let (keys, values) = (read_columns(&flat(&y), &columns).await, read_columns(&flat(&z), &columns).await);
        let part = |x: &'_ [f64], head: usize| -> Vec<Vec<f64>> {
            x.chunks(2 * dim).map(|row| row[head * dim..(head + 1) * dim].to_vec()).collect()
        };
        let sides = [0, 1].map(|head| (part(&keys, head), part(&values, head)));
        let mut expected = Vec::with_capacity(rows.len() * columns.len());
        for query in queries.chunks(heads * dim) {
            for (at, (keys, values)) in [0, (heads - 1) * dim].into_iter().zip(&sides) {
                let keys: Vec<&[f64]> = keys.iter().map(Vec::as_slice).collect();
                let values: Vec<&[f64]> = values.iter().map(Vec::as_slice).collect();
                expected.extend(attend(&query[at..at + dim], &keys, &values));
            }
        }
        let sample = Sample { rows, columns, expected };
        let case = Case { name: &name, limit: Limit::Arithmetic, work: 4.0 * (q * k * heads * dim) as f64 };
        let call = || attention(x.clone(), y.clone(), z.clone(), &qg, &kg).reshape([q, heads * dim]);
        self.measure(case, &sample, call).await
    }

    async fn layer_norm(&mut self, rows: usize, width: usize) -> Result<(), GpuError> {
        let name = format!("layer norm + modulate {rows}×{width}");
        if !self.wanted(&name) {
            return Ok(());
        }
        let x = self.random([rows, width], 1.0);
        let (scale, shift) = (self.random([1, width], 1.0), self.random([1, width], 1.0));
        let groups = RowGroups::single(rows);
        let (places, columns) = (spread(rows, 24), (0..width).collect());
        let (s, t) = (read(scale.clone()).await, read(shift.clone()).await);
        let mut expected = Vec::with_capacity(places.len() * width);
        for row in read_rows(&x, &places).await.chunks(width) {
            let mean = row.iter().sum::<f64>() / width as f64;
            let variance = row.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / width as f64;
            let factor = 1.0 / (variance + 1e-6).sqrt();
            expected.extend(row.iter().zip(s.iter().zip(&t)).map(|(v, (s, t))| (v - mean) * factor * (1.0 + s) + t));
        }
        let sample = Sample { rows: places, columns, expected };
        let work = (2 * rows * width * x.dtype().size()) as f64;
        let case = Case { name: &name, limit: Limit::Memory, work };
        self.measure(case, &sample, || layer_norm_modulate(x.clone(), &scale, &shift, &groups, 1e-6)).await
    }

    async fn head_norm(&mut self, rows: usize, heads: usize, dim: usize) -> Result<(), GpuError> {
        let name = format!("RMS norm {rows}×{heads}×{dim}");
        if !self.wanted(&name) {
            return Ok(());
        }
        let x = self.random([rows, heads, dim], 1.0);
        let gamma = Tensor::<2>::random([heads, dim], Distribution::Normal(0.0, 1.0), (self.device(), DType::F32));
        let (places, columns) = (spread(rows, 24), (0..heads * dim).collect());
        let g = read(gamma.clone()).await;
        let mut expected = Vec::with_capacity(places.len() * heads * dim);
        let flat = x.clone().reshape([rows, heads * dim]);
        for (vector, values) in read_rows(&flat, &places).await.chunks(dim).enumerate() {
            let factor = (dim as f64).sqrt() / dot(values, values).sqrt().max(1e-12);
            let gamma = &g[vector % heads * dim..];
            expected.extend(values.iter().zip(gamma).map(|(v, g)| v * factor * g));
        }
        let sample = Sample { rows: places, columns, expected };
        let work = (2 * rows * heads * dim * x.dtype().size()) as f64;
        let case = Case { name: &name, limit: Limit::Memory, work };
        self.measure(case, &sample, || rms_norm_heads(x.clone(), &gamma).reshape([rows, heads * dim])).await
    }

    async fn softmax(&mut self, rows: usize, width: usize) -> Result<(), GpuError> {
        let name = format!("softmax {rows}×{width}");
        if !self.wanted(&name) {
            return Ok(());
        }
        let x = self.random([rows, width], 1.0);
        let (places, columns) = (spread(rows, 24), (0..width).collect());
        let mut expected = Vec::with_capacity(places.len() * width);
        for row in read_rows(&x, &places).await.chunks(width) {
            let top = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let sum: f64 = row.iter().map(|v| (v - top).exp()).sum();
            expected.extend(row.iter().map(|v| (v - top).exp() / sum));
        }
        let sample = Sample { rows: places, columns, expected };
        let work = (2 * rows * width * x.dtype().size()) as f64;
        let case = Case { name: &name, limit: Limit::Memory, work };
        self.measure(case, &sample, || softmax(x.clone())).await
    }

    /// A spherical shell of about `count` voxels in a 64³ grid, as objects' surfaces are.
    async fn sparse(&mut self, count: usize, pairs: &[(usize, usize)]) -> Result<(), GpuError> {
        let mut coords = Vec::new();
        for x in 0..64i32 {
            for y in 0..64i32 {
                for z in 0..64i32 {
                    let radius = [x, y, z].map(|c| f64::from(c) - 31.5).iter().map(|c| c * c).sum::<f64>().sqrt();
                    if (26.0..29.0).contains(&radius) && coords.len() < count {
                        coords.push([0, x, y, z]);
                    }
                }
            }
        }
        let Ok(voxels) = Voxels::new(coords) else { return Ok(()) };
        for &(inputs, outputs) in pairs {
            self.convolution(&voxels, inputs, outputs).await?;
        }
        self.windows(&voxels).await
    }

    async fn convolution(&mut self, voxels: &Voxels, inputs: usize, outputs: usize) -> Result<(), GpuError> {
        let name = format!("sparse conv {} voxels {inputs}→{outputs}", voxels.len());
        if !self.wanted(&name) {
            return Ok(());
        }
        let neighbours = voxels.neighbours();
        let present: usize = (0..TAPS).map(|tap| neighbours.tap(tap).iter().filter(|row| **row >= 0).count()).sum();
        let x = self.random([voxels.len(), inputs], 1.0);
        let layer = Conv3 { weight: self.random([outputs, TAPS * inputs], 0.02), bias: self.random([outputs], 1.0) };
        let (rows, columns) = (spread(voxels.len(), 8), spread(outputs, 24));
        let (w, bias) = (read_rows(&layer.weight, &columns).await, read_bias(&layer.bias, &columns).await);
        let mut expected = Vec::new();
        for row in &rows {
            let mut picked = vec![0.0; TAPS * inputs];
            for tap in 0..TAPS {
                if let Ok(from) = usize::try_from(neighbours.tap(tap)[*row]) {
                    let values = read_rows(&x, &[from]).await;
                    picked.splice(tap * inputs..(tap + 1) * inputs, values);
                }
            }
            expected.extend(w.chunks(TAPS * inputs).zip(&bias).map(|(w, b)| dot(&picked, w) + b));
        }
        let sample = Sample { rows, columns, expected };
        // Operations on voxels that are there; the kernel also multiplies the missing ones' zeros.
        let work = 2.0 * (present * inputs * outputs) as f64;
        let case = Case { name: &name, limit: Limit::Arithmetic, work };
        self.measure(case, &sample, || conv3_sparse(x.clone(), &layer, neighbours)).await
    }

    /// A layer of the matting network, on a picture of `side` pixels squared.
    async fn picture(&mut self, channels: usize, side: usize) -> Result<(), GpuError> {
        let name = format!("conv2d {channels}→{channels}, {side}×{side}, 3×3");
        if !self.wanted(&name) {
            return Ok(());
        }
        let x = self.random([1, channels, side, side], 1.0);
        let weight = self.random([channels, channels, 3, 3], 0.05);
        let bias = self.random([channels], 1.0);
        // Rows are channels, columns pixels.
        let (rows, columns) = (spread(channels, 8), spread(side * side, 24));
        let planes = read(x.clone().reshape([channels, side * side])).await;
        let kernels = read_rows(&weight.clone().reshape([channels, channels * 9]), &rows).await;
        let b = read_bias(&bias, &rows).await;
        let mut expected = Vec::new();
        for (kernel, b) in kernels.chunks(channels * 9).zip(&b) {
            for pixel in &columns {
                let mut taps = Vec::with_capacity(channels * 9);
                for plane in planes.chunks(side * side) {
                    for tap in 0..9 {
                        // One more than the place, so that none is negative.
                        let (row, column) = (pixel / side + tap / 3, pixel % side + tap % 3);
                        let inside = (1..=side).contains(&row) && (1..=side).contains(&column);
                        taps.push(if inside { plane[(row - 1) * side + column - 1] } else { 0.0 });
                    }
                }
                expected.push((dot(&taps, kernel) + b).max(0.0));
            }
        }
        let sample = Sample { rows, columns, expected };
        let layer = Conv2::new(weight, bias, 1);
        let work = 2.0 * (channels * channels * 9 * side * side) as f64;
        let case = Case { name: &name, limit: Limit::Arithmetic, work };
        let call = || conv2d(x.clone(), &layer, true).reshape([channels, side * side]);
        self.measure(case, &sample, call).await
    }

    async fn windows(&mut self, voxels: &Voxels) -> Result<(), GpuError> {
        let (count, heads, dim) = (voxels.len(), 16, 64);
        let name = format!("windowed attention {count} voxels, {heads}×{dim}");
        if !self.wanted(&name) {
            return Ok(());
        }
        let windows = voxels.windows(8, 0);
        let [x, y, z] = [(); 3].map(|()| self.random([count, heads, dim], 1.0));
        let flat = |x: &Tensor<3>| x.clone().reshape([count, heads * dim]);
        // The last head of some voxels.
        let (rows, at) = (spread(count, 8), (heads - 1) * dim);
        let mut expected = Vec::new();
        for row in &rows {
            let of = windows.window_of_voxel();
            let members: Vec<usize> = (0..count).filter(|other| of[*other] == of[*row]).collect();
            let query = read_rows(&flat(&x), &[*row]).await;
            let (keys, values) = (read_rows(&flat(&y), &members).await, read_rows(&flat(&z), &members).await);
            let keys: Vec<&[f64]> = keys.chunks(heads * dim).map(|row| &row[at..]).collect();
            let values: Vec<&[f64]> = values.chunks(heads * dim).map(|row| &row[at..]).collect();
            expected.extend(attend(query.get(at..).unwrap_or_default(), &keys, &values));
        }
        let sample = Sample { rows, columns: (at..heads * dim).collect(), expected };
        let scores: usize = (0..windows.groups().len()).map(|g| windows.groups().range(g).len().pow(2)).sum();
        let work = 4.0 * (scores * heads * dim) as f64;
        let case = Case { name: &name, limit: Limit::Arithmetic, work };
        let call = || windowed_attention(x.clone(), y.clone(), z.clone(), &windows).reshape([count, heads * dim]);
        self.measure(case, &sample, call).await
    }
}
