//! `maquette doctor`: what this machine offers and what will run.

use std::time::{Duration, Instant};

use burn::tensor::{DType, Device, Tensor};
use maquette::Gpu;
use maquette_gpu::{AdapterKind, Bytes, doctor};
use serde_json::{Value, json};

use crate::device::{self, Opened};
use crate::report::{self, Failure};
use crate::{args, models, places};

/// How long the speed is measured.
const MEASURE: Duration = Duration::from_secs(2);

pub fn run(args: &args::Doctor) -> Result<(), Failure> {
    let (choice, options) = device::options(&args.device)?;
    let report = pollster::block_on(doctor(&choice, options));
    let Opened { gpu, note, pipelines } = device::open(&args.device).unwrap_or_else(|_| {
        // The report itself says why the device that was asked for does not open.
        Opened::of(Gpu::cpu(), Some("the device that was asked for does not open".to_owned()))
    });
    let half = device::half(&gpu);
    let precision = if half { "f16" } else { "f32" };
    let speed = speed(&gpu, half);
    let (free, where_from) = match gpu.free_memory() {
        Some(free) => (Some(free), "the graphics card"),
        None if gpu.capabilities().kind == AdapterKind::Discrete => (None, "the graphics card"),
        None => (free_memory(), "the machine"),
    };
    let needs: Vec<Need> = Need::of_all(half).into_iter().map(|need| need.against(free)).collect();
    // What the speed took is compiled by now, so there is something to write.
    let kept = match (pipelines.keep(), gpu.kept_kernels().len()) {
        (Err(error), _) => error.to_string(),
        (Ok(()), 0) => "no compiled kernels are kept here (the driver may keep them itself)".to_owned(),
        (Ok(()), count) => format!("{count} compiled kernels are kept for the next start"),
    };
    if args.json {
        let value = json!({
            "adapters": report.adapters.iter().map(|a| json!({
                "index": a.index, "name": a.capabilities.name, "kind": a.capabilities.kind.name(),
                "api": a.capabilities.backend, "driver": a.capabilities.driver,
                "best_tier": a.capabilities.best_tier.name(), "f16": a.capabilities.f16,
            })).collect::<Vec<_>>(),
            "will_run": {"tier": gpu.capabilities().tier.name(), "precision": precision, "gflops": speed},
            "free_memory_bytes": free,
            "pipelines": kept,
            "models": needs.iter().map(Need::to_json).collect::<Vec<Value>>(),
            "advice": report.advice,
        });
        return report::print(&format!("{value}\n"));
    }
    let mut text = report.to_string();
    if let Some(note) = note {
        text.push_str(&format!("note: {note}\n"));
    }
    let tier = gpu.capabilities().tier;
    text.push_str(&format!("what will run: tier {tier}, {precision}, about {speed:.0} GFLOP/s in matrix products\n"));
    text.push_str(&format!("pipelines: {kept}\n"));
    let amount = free.map_or("not told by its driver".to_owned(), |free| Bytes(free).to_string());
    text.push_str(&format!("free memory of {where_from}: {amount}\nmodels:\n"));
    for need in &needs {
        text.push_str(&format!("  {:<22} needs about {}: {}\n", need.name, Bytes(need.bytes), need.verdict()));
    }
    report::print(&text)
}

/// Memory that a model needs here.
struct Need {
    name: String,
    folder: Option<String>,
    bytes: u64,
    /// Whether that is free; `None` where nobody knows how much is.
    fits: Option<bool>,
}

impl Need {
    /// One for each model that can run: those installed, and the one inside the program.
    fn of_all(half: bool) -> Vec<Self> {
        // Staged: one network at a time, and half as much again for what it computes. Its f32 encoder counts in full.
        let need = |largest: u64| largest * 3 / 2;
        let mut needs: Vec<Self> = models::installed()
            .into_iter()
            .map(|model| {
                let folder = Some(model.folder.display().to_string());
                Self { bytes: need(model.largest_in_memory(half)), name: model.name, folder, fits: None }
            })
            .collect();
        if places::has_embedded() && !needs.iter().any(|need| need.name == places::EMBEDDED) {
            let sizes = places::embedded_networks().map(|(name, w)| models::bytes_in_memory(name, &w, half));
            let bytes = need(sizes.max().unwrap_or(0));
            needs.push(Self { name: places::EMBEDDED.to_owned(), folder: None, bytes, fits: None });
        }
        needs
    }

    fn against(self, free: Option<u64>) -> Self {
        Self { fits: free.map(|free| self.bytes <= free), ..self }
    }

    fn verdict(&self) -> &'static str {
        match self.fits {
            Some(true) => "fits",
            Some(false) => "does not fit: use --precision q8, another adapter, --tier cpu or a smaller model",
            None => "compare with what the card has",
        }
    }

    fn to_json(&self) -> Value {
        json!({"name": self.name, "folder": self.folder, "need_bytes": self.bytes, "fits": self.fits})
    }
}

/// Billions of floating-point operations a second in products of 512×512 matrices, in the precision that will run, measured for
/// two seconds.
fn speed(gpu: &Gpu, half: bool) -> f64 {
    const SIZE: usize = 512;
    let device: &Device = gpu.device();
    let dtype = if half { DType::F16 } else { DType::F32 };
    let measured = gpu.guard(|| {
        let a = Tensor::<2>::full([SIZE, SIZE], 1.0 / SIZE as f32, (device, dtype));
        let mut x = a.clone();
        let mut products = |count: u32| {
            for _ in 0..count {
                x = x.clone().matmul(a.clone());
            }
            // The read-back waits for the work.
            let _ = x.clone().slice([0..1, 0..1]).into_data();
        };
        // The first ones compile and choose kernels.
        products(2);
        let (mut count, begun) = (0u32, Instant::now());
        while begun.elapsed() < MEASURE {
            products(16);
            count += 16;
        }
        f64::from(count) * 2.0 * (SIZE as f64).powi(3) / begun.elapsed().as_secs_f64() / 1e9
    });
    measured.unwrap_or(0.0)
}

/// Memory that the system says is available.
fn free_memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find(|l| l.starts_with("MemAvailable:"))?;
    line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kib| kib * 1024)
}
