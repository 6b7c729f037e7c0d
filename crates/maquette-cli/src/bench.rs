//! `maquette bench`: how long the stages take here, or each kernel.

use std::sync::{Arc, Mutex};

use burn::tensor::DType;
use maquette::maquette_image::{Rgba, encode_png};
use maquette::maquette_kernels::bench as kernels;
use maquette::{
    CancelToken, Control, Cutout, CutoutOptions, Event, GenerateOptions, PipelineOptions, Residency, Sampling, Stage,
    SurfaceOptions, TrellisImageTo3d, build_asset_on, files,
};
use maquette_gpu::{AdapterKind, Gpu, OpenOptions};
use serde_json::{Map, Value, json};

use crate::args::{Bench, BenchAction, BenchKernels, DtypeArg};
use crate::report::{self, Failure};
use crate::{device, places};

pub fn run(args: &Bench) -> Result<(), Failure> {
    match &args.action {
        Some(BenchAction::Kernels(args)) => run_kernels(args),
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
    let options = kernels::Options { dtype, full, variants: args.variants, only: args.only.clone() };
    let precision = format!("{dtype:?}").to_lowercase();
    if args.json {
        let mut rows = Vec::new();
        pollster::block_on(kernels::kernels(&gpu, &options, &mut |row| rows.push(row)))?;
        let line = |row: &kernels::Measurement| {
            let (limit, seconds) = (row.limit.unit(), row.time.as_secs_f64());
            json!({"kernel": row.name, "variant": row.variant, "seconds": seconds, "rate": row.rate(), "unit": limit,
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

fn run_stages(args: &Bench) -> Result<(), Failure> {
    let (model, _) = places::model(args.model.model.as_deref())?;
    let (gpu, _) = device::open(&args.device)?;
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
    for _ in 0..args.runs {
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
        let surface = SurfaceOptions::default();
        let finished = build_asset_on(pipeline.gpu(), object.mesh, Some(&object.gaussians), &surface, &control);
        pollster::block_on(finished)?;
    }
    let times = best.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clone();
    let precision = format!("{precision:?}").to_lowercase();
    if args.json {
        let stages: Map<String, Value> = times.iter().map(|(s, t)| (s.name().to_owned(), (*t).into())).collect();
        let value =
            json!({"model": name, "tier": tier.name(), "precision": precision, "steps": args.steps, "seconds": stages});
        return report::print(&format!("{value}\n"));
    }
    let mut text = format!("{name}, tier {tier}, {precision}, {} steps, best of {}\n", args.steps, args.runs);
    for (stage, seconds) in &times {
        text.push_str(&format!("  {:<10} {seconds:>9.3} s\n", stage.name()));
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
