//! Times of every kernel on a device, beside what the device reaches at most.
//!
//! A case is enqueued many times inside one profile region, so that the host's share disappears behind the device's work;
//! the time is the median region divided by the repeats. Open the [`Gpu`] with many `tasks_per_submit` (512), or the gaps
//! between submissions count too. Inputs are random. Shares are of peaks measured in the same run: a plain copy, and
//! multiply-adds (on matrix units where the tier has them) that never leave the registers.

use std::time::Duration;

use burn::tensor::{DType, Device, Distribution, Tensor};
use maquette_gpu::{Gpu, GpuError, Tier};

use crate::{
    Activation, Conv3, Linear, RowGroups, Voxels, attention, conv3_sparse, layer_norm_modulate, linear,
    linear_residual, rms_norm_heads,
    wgsl::{self, LinearConfig},
    windowed_attention,
};

/// What to measure.
#[derive(Clone, Debug)]
pub struct Options {
    /// Element type of activations and weights: f32 or f16.
    pub dtype: DType,
    /// The networks' own sizes, for a real GPU; otherwise a sixteenth of them, for software adapters.
    pub full: bool,
    /// Also every tile size of the matrix body, not only the one that is chosen.
    pub configs: bool,
    /// Only cases whose name contains this.
    pub only: Option<String>,
}

/// What a case is limited by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// Floating-point operations.
    Arithmetic,
    /// Bytes moved through memory, each input read once and each output written once.
    Memory,
}

/// One line of the table.
#[derive(Clone, Debug)]
pub struct Measurement {
    /// What was measured.
    pub name: String,
    /// Time of one call.
    pub time: Duration,
    /// Operations or bytes a call.
    pub work: f64,
    /// Which of both.
    pub limit: Limit,
    /// Share of the device's measured peak.
    pub share: Option<f64>,
}

impl Measurement {
    /// Operations or bytes a second.
    pub fn rate(&self) -> f64 {
        self.work / self.time.as_secs_f64()
    }
}

struct Bench<'a> {
    gpu: &'a Gpu,
    options: &'a Options,
    rows: Vec<Measurement>,
    peaks: [Option<f64>; 2],
}

const REGIONS: usize = 5;
const LONGEST: Duration = Duration::from_millis(60);
const MOST_CALLS: u32 = 400;

impl Bench<'_> {
    fn device(&self) -> &Device {
        self.gpu.device()
    }

    fn random<const D: usize>(&self, shape: [usize; D], scale: f64) -> Tensor<D> {
        let normal = Distribution::Normal(0.0, scale);
        Tensor::<D>::random(shape, normal, self.device()).cast(self.options.dtype)
    }

    async fn region(&self, calls: u32, call: &impl Fn()) -> Result<Duration, GpuError> {
        self.gpu.start_profile();
        {
            let _region = self.gpu.region("bench");
            for _ in 0..calls {
                call();
            }
        }
        self.gpu.finish().await?;
        let profile = self.gpu.finish_profile().await?;
        Ok(profile.regions.first().map_or(Duration::ZERO, |region| region.duration) / calls)
    }

    async fn measure(&mut self, name: &str, limit: Limit, work: f64, call: impl Fn()) -> Result<(), GpuError> {
        if self.options.only.as_ref().is_some_and(|only| !name.contains(only.as_str())) && !name.starts_with("peak") {
            return Ok(());
        }
        // The first call compiles, the second one tells how many fit.
        self.region(1, &call).await?;
        let one = self.region(3, &call).await?.max(Duration::from_micros(1));
        let calls = ((LONGEST.as_secs_f64() / one.as_secs_f64()) as u32).clamp(1, MOST_CALLS);
        let mut times = Vec::with_capacity(REGIONS);
        for _ in 0..REGIONS {
            times.push(self.region(calls, &call).await?);
        }
        times.sort_unstable();
        let time = times[REGIONS / 2].max(Duration::from_nanos(1));
        let peak = self.peaks[usize::from(limit == Limit::Memory)];
        let share = peak.map(|peak| work / time.as_secs_f64() / peak);
        self.rows.push(Measurement { name: name.to_string(), time, work, limit, share });
        Ok(())
    }

    async fn peaks(&mut self) -> Result<(), GpuError> {
        let elements = if self.options.full { 1 << 28 } else { 1 << 22 };
        let x = Tensor::<1>::random([elements], Distribution::Default, self.device());
        let Some(bytes) = wgsl::peak::copy(&x) else { return Ok(()) };
        self.measure("peak copy", Limit::Memory, bytes, || {
            wgsl::peak::copy(&x);
        })
        .await?;
        self.peaks[1] = self.rows.last().map(Measurement::rate);
        drop(x);
        let small = self.random([4096], 1.0);
        if let Some(work) = wgsl::peak::multiply_add(&small) {
            self.measure("peak multiply-add", Limit::Arithmetic, work, || {
                wgsl::peak::multiply_add(&small);
            })
            .await?;
        }
        if let Some(work) = wgsl::peak::matrix(&small) {
            self.measure("peak matrix", Limit::Arithmetic, work, || {
                wgsl::peak::matrix(&small);
            })
            .await?;
        }
        self.peaks[0] = self.rows.last().map(Measurement::rate);
        Ok(())
    }

    async fn linear(&mut self, m: usize, n: usize, k: usize, act: Activation) -> Result<(), GpuError> {
        let x = self.random([m, k], 1.0);
        let layer = Linear { weight: self.random([n, k], 1.0 / (k as f64).sqrt()), bias: Some(self.random([n], 1.0)) };
        let work = 2.0 * (m * n * k) as f64;
        let name = format!("linear {m}×{n}×{k}{}", if act == Activation::None { "" } else { " GELU" });
        let call = || {
            linear(x.clone(), &layer, act);
        };
        self.measure(&name, Limit::Arithmetic, work, call).await?;
        if self.options.configs && self.gpu.capabilities().tier == Tier::Matrix {
            for config in LinearConfig::ALL {
                wgsl::tuning::force_linear_config(Some(config));
                let outcome = self.measure(&format!("{name} {config:?}"), Limit::Arithmetic, work, call).await;
                wgsl::tuning::force_linear_config(None);
                outcome?;
            }
        }
        Ok(())
    }

    async fn gated(&mut self, m: usize, n: usize, k: usize) -> Result<(), GpuError> {
        let (x, residual, gate) = (self.random([m, k], 1.0), self.random([m, n], 1.0), self.random([1, n], 1.0));
        let layer = Linear { weight: self.random([n, k], 1.0 / (k as f64).sqrt()), bias: Some(self.random([n], 1.0)) };
        let groups = RowGroups::single(m);
        let work = 2.0 * (m * n * k) as f64;
        self.measure(&format!("linear {m}×{n}×{k} + gated residual"), Limit::Arithmetic, work, || {
            linear_residual(x.clone(), &layer, residual.clone(), Some((&gate, &groups)));
        })
        .await
    }

    async fn attention(&mut self, q: usize, k: usize, heads: usize, dim: usize) -> Result<(), GpuError> {
        let (x, y, z) =
            (self.random([q, heads, dim], 1.0), self.random([k, heads, dim], 1.0), self.random([k, heads, dim], 1.0));
        let (qg, kg) = (RowGroups::single(q), RowGroups::single(k));
        let work = 4.0 * (q * k * heads * dim) as f64;
        self.measure(&format!("attention {q}×{k}, {heads}×{dim}"), Limit::Arithmetic, work, || {
            attention(x.clone(), y.clone(), z.clone(), &qg, &kg);
        })
        .await
    }

    async fn norms(&mut self, rows: usize, width: usize) -> Result<(), GpuError> {
        let x = self.random([rows, width], 1.0);
        let (scale, shift) = (self.random([1, width], 1.0), self.random([1, width], 1.0));
        let groups = RowGroups::single(rows);
        let bytes = (2 * rows * width * x.dtype().size()) as f64;
        self.measure(&format!("layer norm + modulate {rows}×{width}"), Limit::Memory, bytes, || {
            layer_norm_modulate(x.clone(), &scale, &shift, &groups, 1e-6);
        })
        .await?;
        let (heads, dim) = (width / 64, 64);
        let gamma = Tensor::<2>::ones([heads, dim], (self.device(), DType::F32));
        let x = x.reshape([rows, heads, dim]);
        self.measure(&format!("RMS norm {rows}×{heads}×{dim}"), Limit::Memory, bytes, || {
            rms_norm_heads(x.clone(), &gamma);
        })
        .await
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
        let rows = voxels.len();
        let taps: usize = (0..27).map(|tap| voxels.neighbours().tap(tap).iter().filter(|row| **row >= 0).count()).sum();
        for &(inputs, outputs) in pairs {
            let x = self.random([rows, inputs], 1.0);
            let layer = Conv3 { weight: self.random([outputs, 27 * inputs], 0.02), bias: self.random([outputs], 1.0) };
            // Operations on voxels that are there; the kernel also multiplies the missing ones' zeros.
            let work = 2.0 * (taps * inputs * outputs) as f64;
            self.measure(&format!("sparse conv {rows} voxels {inputs}→{outputs}"), Limit::Arithmetic, work, || {
                conv3_sparse(x.clone(), &layer, voxels.neighbours());
            })
            .await?;
        }
        let windows = voxels.windows(8, 0);
        let x = self.random([rows, 16, 64], 1.0);
        let scores: usize = (0..windows.groups().len()).map(|g| windows.groups().range(g).len().pow(2)).sum();
        let work = 4.0 * (scores * 16 * 64) as f64;
        self.measure(&format!("windowed attention {rows} voxels, 16×64"), Limit::Arithmetic, work, || {
            windowed_attention(x.clone(), x.clone() + 1.0, x.clone() + 2.0, &windows);
        })
        .await
    }
}

/// Measures every kernel on `gpu`.
///
/// # Errors
/// Faults of the device.
pub async fn kernels(gpu: &Gpu, options: &Options) -> Result<Vec<Measurement>, GpuError> {
    let mut bench = Bench { gpu, options, rows: Vec::new(), peaks: [None; 2] };
    bench.peaks().await?;
    let s = if options.full { 1 } else { 4 };
    let (rows, width) = (4096 / s, 1024 / s);
    bench.linear(rows, width, width, Activation::None).await?;
    bench.linear(rows, 3 * width, width, Activation::None).await?;
    bench.linear(rows, 4 * width, width, Activation::GeluTanh).await?;
    bench.gated(rows, width, 4 * width).await?;
    bench.linear(1, 6 * width, width, Activation::None).await?;
    bench.attention(rows, rows, 16 / s, 64).await?;
    bench.attention(rows, 1374 / s, 16 / s, 64).await?;
    bench.attention(rows, rows, 16 / s, 32).await?;
    bench.attention(rows, rows, 16 / s, 128).await?;
    bench.norms(rows, width).await?;
    if options.full {
        bench.sparse(20_000, &[(128, 1024), (1024, 1024)]).await?;
    } else {
        bench.sparse(2_000, &[(32, 64)]).await?;
    }
    Ok(bench.rows)
}

/// The measurements as lines of text, columns aligned.
pub fn table(rows: &[Measurement]) -> String {
    let mut out = format!("{:<44} {:>10} {:>14} {:>7}\n", "kernel", "µs", "rate", "peak");
    for row in rows {
        let (scale, unit) = match row.limit {
            // Software adapters reach thousandths of a TFLOP/s.
            Limit::Arithmetic if row.rate() < 1e12 => (1e9, "GFLOP/s"),
            Limit::Arithmetic => (1e12, "TFLOP/s"),
            Limit::Memory => (1e9, "GB/s"),
        };
        let share = row.share.map_or_else(|| "–".to_string(), |share| format!("{:.0} %", share * 100.0));
        let rate = format!("{:.1} {unit}", row.rate() / scale);
        out.push_str(&format!("{:<44} {:>10.1} {rate:>14} {share:>7}\n", row.name, row.time.as_secs_f64() * 1e6));
    }
    out
}
