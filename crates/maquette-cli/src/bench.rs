//! `maquette bench`: how long the stages take here, or each kernel, or each network.

use std::sync::{Arc, Mutex};

use burn::tensor::DType;
use maquette::bench::{self, NetworkOptions, NetworkTime, PublishedSizes};
use maquette::maquette_image::{Rgba, encode_png};
use maquette::maquette_kernels::bench as kernels;
use maquette::{
    CancelToken, Control, Cutout, CutoutOptions, Event, GenerateOptions, ModelSource, PipelineOptions, Residency,
    Sampling, Stage, SurfaceOptions, TrellisImageTo3d, build_asset_on, files,
};
use maquette_gpu::{AdapterKind, Bytes, Gpu, MemoryUse, OpenOptions};
use serde_json::{Map, Value, json};

use crate::args::{Bench, BenchAction, BenchKernels, BenchNetworks, DtypeArg};
use crate::device::{self, Opened};
use crate::places;
use crate::report::{self, Failure};

pub fn run(args: &Bench) -> Result<(), Failure> {
    match &args.action {
        Some(BenchAction::Kernels(args)) => run_kernels(args),
        Some(BenchAction::Networks(args)) => run_networks(args),
        None => run_stages(args),
    }
}

/// Commands that the runtime sends at once: the gaps between submissions would count as the kernels' time.
const TASKS_PER_SUBMIT: usize = 512;

fn run_kernels(args: &BenchKernels) -> Result<(), Failure> {
    let (choice, options) = device::options(&args.device)?;
    let options = OpenOptions { tasks_per_submit: TASKS_PER_SUBMIT, ..options };
    let gpu = pollster::block_on(Gpu::open(&choice, options))?;
    let facts = gpu.capabilities();
    let dtype = match args.precision {
        Some(DtypeArg::F16) if !device::half(&gpu) => return Err(device::no_half()),
        None if !device::half(&gpu) => DType::F32,
        Some(DtypeArg::F32) => DType::F32,
        Some(DtypeArg::F16) | None => DType::F16,
    };
    let full = !args.small && facts.kind != AdapterKind::Software;
    let options = kernels::Options { dtype, full, only: args.only.clone() };
    let precision = format!("{dtype:?}").to_lowercase();
    if args.json {
        let mut rows = Vec::new();
        pollster::block_on(kernels::kernels(&gpu, &options, &mut |row| rows.push(row)))?;
        let line = |row: &kernels::Measurement| {
            let (limit, seconds) = (row.limit.unit(), row.time.as_secs_f64());
            json!({"kernel": row.name, "seconds": seconds, "rate": row.rate(), "unit": limit,
                "share": row.share, "error": row.error})
        };
        let lines: Vec<Value> = rows.iter().map(line).collect();
        let value = json!({"adapter": facts.name, "driver": facts.driver, "tier": facts.tier.name(),
            "precision": precision, "kernels": lines});
        return report::print(&format!("{value}\n"));
    }
    let head = format!("{} ({}), tier {}, {precision}", facts.name, facts.driver, facts.tier);
    report::print(&format!("{head}\n{}\n", kernels::table_head()))?;
    // A line as soon as it is there: all of them take minutes.
    let mut printed = Ok(());
    pollster::block_on(kernels::kernels(&gpu, &options, &mut |row| {
        if printed.is_ok() {
            printed = report::print(&format!("{row}\n"));
        }
    }))?;
    printed
}

fn run_networks(args: &BenchNetworks) -> Result<(), Failure> {
    let model: Arc<dyn ModelSource> = match &args.model {
        Some(name) => places::model(Some(name))?.0,
        None => Arc::new(PublishedSizes::new()?),
    };
    let Opened { gpu, pipelines: _held, .. } = device::open(&args.device)?;
    let precision = device::precision(args.precision, &gpu, &*model)?;
    let (tokens, voxels, only) = (args.tokens as usize, args.voxels as usize, args.only.clone());
    let options = NetworkOptions { precision, tokens, voxels, only };
    let facts = gpu.capabilities();
    let (name, precision) = (model.name(), format!("{precision:?}").to_lowercase());
    let mut lines = Vec::new();
    let mut printed = Ok(());
    if !args.json {
        let head = format!("{name} on {} ({}), tier {}, {precision}", facts.name, facts.driver, facts.tier);
        report::print(&format!("{head}\n{:<68} {:>10} {:>10} {:>10}\n", "network", "device ms", "host ms", "in all"))?;
    }
    let mut each = |time: NetworkTime| {
        let seconds = [time.device, time.host, time.whole].map(|time| time.as_secs_f64());
        if args.json {
            lines.push(json!({"network": time.name, "device_seconds": seconds[0], "host_seconds": seconds[1],
                "seconds": seconds[2]}));
        } else if printed.is_ok() {
            let [device, host, whole] = seconds.map(|seconds| seconds * 1e3);
            printed = report::print(&format!("{:<68} {device:>10.3} {host:>10.3} {whole:>10.3}\n", time.name));
        }
    };
    pollster::block_on(bench::networks(&gpu, &*model, &options, &mut each))?;
    printed?;
    if args.json {
        let value = json!({"model": name, "adapter": facts.name, "driver": facts.driver, "tier": facts.tier.name(),
            "precision": precision, "networks": lines});
        report::print(&format!("{value}\n"))?;
    }
    Ok(())
}

/// Runs before memory is taken for level: pools have grown and pipelines are there.
const SETTLED: u32 = 10;

/// What the device's memory and the process hold between two runs.
struct Held {
    gpu: MemoryUse,
    /// Resident bytes of the process, where the system tells.
    process: Option<u64>,
}

impl Held {
    fn now(gpu: &Gpu) -> Result<Self, Failure> {
        pollster::block_on(gpu.finish())?;
        Ok(Self { gpu: gpu.memory()?, process: resident() })
    }

    fn json(&self) -> Value {
        let Self { gpu, process } = self;
        json!({"in_use": gpu.in_use, "allocations": gpu.allocations, "reserved": gpu.reserved, "driver": gpu.driver,
            "resident": process})
    }

    fn line(&self, run: u32) -> String {
        let process = self.process.map(|bytes| format!(", {} resident", Bytes(bytes))).unwrap_or_default();
        format!("  after run {run}: {} in {} allocations{process}\n", self.gpu, self.gpu.allocations)
    }
}

/// Resident bytes of this process; Linux tells them in a file.
fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib * 1024)
}

fn run_stages(args: &Bench) -> Result<(), Failure> {
    let (model, _) = places::model(args.model.model.as_deref())?;
    let Opened { gpu, pipelines: _held, .. } = device::open(&args.device)?;
    let precision = device::precision(args.model.precision, &gpu, &*model)?;
    let tier = gpu.capabilities().tier;
    let picture = match &args.image {
        Some(path) => files::read(path)?,
        None => drawn_picture()?,
    };
    let cutout = Cutout::with_alpha(&picture, &CutoutOptions::default())?;
    let name = model.name();
    let options = PipelineOptions { precision, residency: Residency::Resident };
    let pipeline = TrellisImageTo3d::new(model, gpu, options)?;
    let sampling = Sampling { steps: Some(args.steps), ..Sampling::default() };
    let generate = GenerateOptions { structure: sampling, latent: sampling, ..GenerateOptions::default() };
    let best: Arc<Mutex<Vec<(Stage, f64)>>> = Arc::default();
    let mut settled = None;
    for run in 1..=args.runs {
        let times = best.clone();
        let control = Control::new(CancelToken::default(), move |event| {
            let Event::Finished { stage, seconds, .. } = event else { return };
            let mut times = times.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            match times.iter_mut().find(|(s, _)| s == stage) {
                Some((_, best)) => *best = best.min(*seconds),
                None => times.push((*stage, *seconds)),
            }
        });
        let object = pollster::block_on(pipeline.generate(std::slice::from_ref(&cutout), &generate, &control))?;
        if !args.networks_only {
            let surface = SurfaceOptions::default();
            let finished = build_asset_on(pipeline.gpu(), object.mesh, Some(&object.gaussians), &surface, &control);
            pollster::block_on(finished)?;
        }
        if run == SETTLED {
            settled = Some(Held::now(pipeline.gpu())?);
        }
    }
    let held = match settled {
        Some(settled) if args.runs > SETTLED => Some((settled, Held::now(pipeline.gpu())?)),
        _ => None,
    };
    let times = best.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clone();
    let precision = format!("{precision:?}").to_lowercase();
    if args.json {
        let stages: Map<String, Value> = times.iter().map(|(s, t)| (s.name().to_owned(), (*t).into())).collect();
        let memory = held.map(|(settled, last)| json!({"settled": settled.json(), "last": last.json()}));
        let value = json!({"model": name, "tier": tier.name(), "precision": precision, "steps": args.steps,
            "seconds": stages, "memory": memory});
        return report::print(&format!("{value}\n"));
    }
    let mut text = format!("{name}, tier {tier}, {precision}, {} steps, best of {}\n", args.steps, args.runs);
    for (stage, seconds) in &times {
        text.push_str(&format!("  {:<10} {seconds:>9.3} s\n", stage.name()));
    }
    if let Some((settled, last)) = held {
        text.push_str(&settled.line(SETTLED));
        text.push_str(&last.line(args.runs));
    }
    report::print(&text)
}

/// A ball with a band, cut out, so that nothing has to be at hand.
fn drawn_picture() -> Result<Vec<u8>, Failure> {
    const SIDE: u32 = 400;
    let mut picture = Rgba::filled(SIDE, SIDE, 0)?;
    for (i, pixel) in picture.data_mut().chunks_exact_mut(4).enumerate() {
        let (x, y) = ((i as u32 % SIDE) as f32 - 200.0, (i as u32 / SIDE) as f32 - 200.0);
        if x * x + y * y < 150.0 * 150.0 {
            let shade = (200.0 - y * 0.4).clamp(0.0, 255.0) as u8;
            pixel.copy_from_slice(&[shade, if y.abs() < 30.0 { 40 } else { 120 }, 90, 255]);
        }
    }
    Ok(encode_png(&picture)?)
}
