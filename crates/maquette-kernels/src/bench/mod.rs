//! Times of every kernel on a device, beside what the device reaches at most, with the results checked.
//!
//! A case is enqueued many times inside one profile region, so that the host's share disappears behind the device's work;
//! the time is the median region divided by the repeats. Open the [`Gpu`] with many `tasks_per_submit` (512), or the gaps
//! between submissions count too. Inputs are random. Shares are of peaks measured in the same run: a plain copy, and
//! multiply-adds (on matrix units where the tier has them) that never leave the registers. "An empty dispatch" is what every
//! one of them costs before it does anything, which is a good part of the shortest lines. Errors are those of sampled
//! elements against f64.

mod cases;
mod check;
mod words;

use std::time::Duration;

use burn::tensor::{DType, Device, Distribution, Tensor};
use maquette_gpu::{Gpu, GpuError};

use check::Sample;

/// What to measure.
#[derive(Clone, Debug)]
pub struct Options {
    /// Element type of activations and weights: f32 or f16.
    pub dtype: DType,
    /// The networks' own sizes, for a real GPU; otherwise a sixteenth of them, for software adapters.
    pub full: bool,
    /// Only cases whose name contains one of these; all where there are none.
    pub only: Vec<String>,
}

/// What a case is limited by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// Floating-point operations.
    Arithmetic,
    /// Bytes moved through memory, each input read once and each output written once.
    Memory,
}

impl Limit {
    /// Name of the rate's unit.
    pub fn unit(self) -> &'static str {
        match self {
            Self::Arithmetic => "FLOP/s",
            Self::Memory => "B/s",
        }
    }
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
    /// Relative Frobenius error of sampled elements against f64; infinite where they could not be read or are NaN.
    pub error: Option<f64>,
}

impl Measurement {
    /// Operations or bytes a second.
    pub fn rate(&self) -> f64 {
        self.work / self.time.as_secs_f64()
    }
}

/// A case: its name, and what it has to do at least.
struct Case<'a> {
    name: &'a str,
    limit: Limit,
    work: f64,
}

struct Bench<'a> {
    gpu: &'a Gpu,
    options: &'a Options,
    each: &'a mut dyn FnMut(Measurement),
    peaks: [Option<f64>; 2],
}

const REGIONS: usize = 5;
const LONGEST: Duration = Duration::from_millis(25);
/// How long a real device works on a case before it is measured: one that idled takes a tenth of a second to its full clock.
const WARM: Duration = Duration::from_millis(100);
const MOST_WARMING: usize = 300;
const MOST_CALLS: u32 = 400;

impl Bench<'_> {
    fn device(&self) -> &Device {
        self.gpu.device()
    }

    fn random<const D: usize>(&self, shape: [usize; D], scale: f64) -> Tensor<D> {
        let normal = Distribution::Normal(0.0, scale);
        Tensor::<D>::random(shape, normal, self.device()).cast(self.options.dtype)
    }

    fn wanted(&self, name: &str) -> bool {
        self.options.only.is_empty() || self.options.only.iter().any(|only| name.contains(only.as_str()))
    }

    async fn region<T>(&self, calls: u32, call: &impl Fn() -> T) -> Result<Duration, GpuError> {
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

    async fn time<T>(&self, call: &impl Fn() -> T) -> Result<Duration, GpuError> {
        self.time_of(call, 1).await
    }

    /// The same for a call of many dispatches: only as many calls at once as fit one submission, since the host, which needs
    /// longer for a dispatch than a small one takes, would be measured otherwise.
    async fn time_of<T>(&self, call: &impl Fn() -> T, dispatches: u32) -> Result<Duration, GpuError> {
        // The first call compiles, the second one tells how many fit.
        self.region(1, call).await?;
        let one = self.region(3, call).await?.max(Duration::from_micros(1));
        let calls = ((LONGEST.as_secs_f64() / one.as_secs_f64()) as u32).clamp(1, (MOST_CALLS / dispatches).max(1));
        let mut worked = Duration::ZERO;
        for _ in 0..if self.options.full { MOST_WARMING } else { 0 } {
            worked += self.region(calls, call).await? * calls;
            if worked >= WARM {
                break;
            }
        }
        let mut times = Vec::with_capacity(REGIONS);
        for _ in 0..REGIONS {
            times.push(self.region(calls, call).await?);
        }
        times.sort_unstable();
        Ok(times[REGIONS / 2].max(Duration::from_nanos(1)))
    }

    /// Measures a call and compares its result, `[rows, columns]`, with a sample.
    async fn measure(&mut self, case: Case<'_>, sample: &Sample, call: impl Fn() -> Tensor<2>) -> Result<(), GpuError> {
        let time = self.time(&call).await?;
        let error = sample.error(call()).await;
        self.report(case, time, error);
        Ok(())
    }

    fn report(&mut self, case: Case<'_>, time: Duration, error: f64) {
        let Case { name, limit, work } = case;
        let share = self.peaks[usize::from(limit == Limit::Memory)].map(|peak| work / time.as_secs_f64() / peak);
        (self.each)(Measurement { name: name.to_string(), time, work, limit, share, error: Some(error) });
    }
}

/// Measures every kernel on `gpu` and hands each measurement to `each` as soon as it is there.
///
/// # Errors
/// Faults of the device.
pub async fn kernels(gpu: &Gpu, options: &Options, each: &mut dyn FnMut(Measurement)) -> Result<(), GpuError> {
    let mut bench = Bench { gpu, options, each, peaks: [None; 2] };
    bench.peaks().await?;
    bench.cases().await
}

/// The head of the table that [`Measurement`]s make as lines of text.
pub fn table_head() -> String {
    format!("{:<56} {:>10} {:>16} {:>7} {:>9}", "kernel", "µs", "rate", "peak", "error")
}

impl std::fmt::Display for Measurement {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (scale, unit) = match self.limit {
            // Software adapters reach thousandths of a TFLOP/s.
            Limit::Arithmetic if self.rate() < 1e12 => (1e9, "GFLOP/s"),
            Limit::Arithmetic => (1e12, "TFLOP/s"),
            Limit::Memory => (1e9, "GB/s"),
        };
        let rate = if self.work > 0.0 { format!("{:.1} {unit}", self.rate() / scale) } else { "–".to_string() };
        let name = &self.name;
        let share = self.share.map_or_else(|| "–".to_string(), |share| format!("{:.0} %", share * 100.0));
        let error = self.error.map_or_else(|| "–".to_string(), |error| format!("{error:.1e}"));
        let time = self.time.as_secs_f64() * 1e6;
        write!(f, "{name:<56} {time:>10.1} {rate:>16} {share:>7} {error:>9}")
    }
}
