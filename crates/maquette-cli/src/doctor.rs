//! `maquette doctor`: what this machine offers and what will run.

use std::time::{Duration, Instant};

use burn::tensor::{Device, Tensor};
use maquette::Gpu;
use maquette_gpu::{Bytes, doctor};
use serde_json::{Value, json};

use crate::report::{self, Failure};
use crate::{args, device, models, places};

/// How long the speed is measured.
const MEASURE: Duration = Duration::from_secs(2);

pub fn run(args: &args::Doctor) -> Result<(), Failure> {
    let (choice, options) = device::options(&args.device)?;
    let report = pollster::block_on(doctor(&choice, options));
    let (gpu, note) = match device::open(&args.device) {
        Ok((gpu, note)) => (gpu, note),
        // The report itself says why the device that was asked for does not open.
        Err(_) => (Gpu::cpu(), Some("the device that was asked for does not open".to_owned())),
    };
    let precision = if gpu.capabilities().f16 && gpu.setup().is_some() { "f16" } else { "f32" };
    let speed = speed(&gpu);
    let free = free_memory();
    let installed = models::installed();
    if args.json {
        let value = json!({
            "adapters": report.adapters.iter().map(|a| json!({
                "index": a.index, "name": a.capabilities.name, "kind": a.capabilities.kind.name(),
                "api": a.capabilities.backend, "driver": a.capabilities.driver,
                "best_tier": a.capabilities.best_tier.name(), "f16": a.capabilities.f16,
            })).collect::<Vec<_>>(),
            "will_run": {"tier": gpu.capabilities().tier.name(), "precision": precision, "gflops": speed},
            "free_memory_bytes": free,
            "models": installed.iter().map(models::Installed::to_json).collect::<Vec<Value>>(),
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
    if let Some(free) = free {
        text.push_str(&format!("free memory: {}\n", Bytes(free)));
    }
    text.push_str("models:\n");
    for model in &installed {
        // Staged: the largest network at a time, and half as much again for activations.
        let need = model.largest * 3 / 2;
        let fits = free.is_none_or(|free| need <= free);
        let verdict = if fits { "fits" } else { "does not fit: use --precision f16 or a smaller model" };
        text.push_str(&format!("  {:<22} needs about {}: {verdict}\n", model.name, Bytes(need)));
    }
    if installed.is_empty() {
        text.push_str("  none; `maquette models` says how to get one\n");
    }
    if places::has_embedded() {
        text.push_str("  (the model `mini` is inside the program)\n");
    }
    report::print(&text)
}

/// Billions of floating-point operations a second in products of 512×512 f32 matrices, measured for two seconds at most.
fn speed(gpu: &Gpu) -> f64 {
    const SIZE: usize = 512;
    let device: &Device = gpu.device();
    let measured = gpu.guard(|| {
        let a = Tensor::<2>::ones([SIZE, SIZE], device) * (1.0 / SIZE as f32);
        let (mut x, mut count, begun) = (a.clone(), 0u32, Instant::now());
        while begun.elapsed() < MEASURE && count < 2000 {
            for _ in 0..8 {
                x = x.matmul(a.clone());
                count += 1;
            }
            // The read-back waits for the work.
            let _ = x.clone().slice([0..1, 0..1]).into_data();
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
