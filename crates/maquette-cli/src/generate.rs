//! `maquette generate`.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use maquette::export::{self, Format};
use maquette::maquette_image::Severity;
use maquette::maquette_mesh::glb::{GlbOptions, TextureFormat};
use maquette::maquette_mesh::{HealthContext, health};
use maquette::preview::{self, Subject};
use maquette::{
    Asset, Bake, CancelToken, Control, Cutout, CutoutOptions, DecodeOptions, Error, Event, GenerateOptions, Generated,
    Gpu, MaskPolicy, Matting, MultiImage, Noise, PipelineOptions, Residency, Sampling, SurfaceOptions,
    TrellisImageTo3d, Unwrap, build_asset_on, files, stage_files,
};
use serde_json::{Map, Value, json};

use crate::args::{BakeArg, Generate, MultiArg, PrecisionArg, TextureFormatArg, UnwrapArg};
use crate::device::{self, Opened};
use crate::pipelines::Pipelines;
use crate::progress::{Reporter, Style};
use crate::report::{self, Failure};
use crate::run_files::{self, RunFiles};
use crate::{interrupt, places};

/// One object to make.
struct Job {
    pictures: Vec<PathBuf>,
    outputs: Vec<PathBuf>,
    preview: Option<PathBuf>,
    cutout: Option<PathBuf>,
    seed: u64,
    /// What tells this job from the others of the command: the picture's name, the seed, or both. Empty for a single job.
    tag: String,
}

pub fn run(args: &Generate) -> Result<(), Failure> {
    let jobs = jobs(args)?;
    let reporter = Arc::new(Reporter::new(Style::choose(args.quiet, args.json)));
    let outcome = Session::open(args, reporter.clone())
        .and_then(|session| jobs.iter().try_for_each(|job| pollster::block_on(session.make(job))));
    reporter.clear();
    outcome
}

/// Everything that the jobs of one command share.
struct Session<'a> {
    args: &'a Generate,
    reporter: Arc<Reporter>,
    control: Control,
    pipeline: TrellisImageTo3d,
    matting: Matting,
    options: GenerateOptions,
    files: RunFiles,
    _pipelines: Pipelines,
}

impl<'a> Session<'a> {
    fn open(args: &'a Generate, reporter: Arc<Reporter>) -> Result<Self, Failure> {
        let options = generate_options(args)?;
        let files = RunFiles::open(args.dump.as_deref(), args.resume.as_deref())?;
        let (model, model_note) = places::model(args.model.model.as_deref())?;
        let Opened { gpu, note: gpu_note, pipelines } = device::open(&args.device)?;
        let budget = args.device.vram_budget.as_ref().filter(|_| gpu.setup().is_none());
        let budget_note =
            budget.map(|_| "--vram-budget limits graphics memory, and the processor uses none".to_owned());
        for note in [gpu_note, model_note, budget_note].into_iter().flatten() {
            reporter.say(&note);
        }
        let control = control(args, &reporter, &gpu)?;
        let precision = device::precision(args.model.precision, &gpu, &*model)?;
        let several = args.each || args.variants > 1;
        // With a budget the weights of a finished stage go, whatever comes next.
        let residency =
            if several && args.device.vram_budget.is_none() { Residency::Resident } else { Residency::Staged };
        let pipeline = TrellisImageTo3d::new(model, gpu.clone(), PipelineOptions { precision, residency })?;
        let found = places::matting().filter(|_| args.matting.is_none());
        if let Some(path) = &found {
            reporter.say(&format!("subjects are cut out by U²-Net ({})", path.display()));
        }
        let matting = match args.matting.as_ref().or(found.as_ref()) {
            Some(path) => {
                files::read(path)?;
                Matting::new(maquette::maquette_weights::Checkpoint::open(path)?, gpu)
            }
            None => Matting::builtin(gpu)?,
        };
        Ok(Self { args, reporter, control, pipeline, matting, options, files, _pipelines: pipelines })
    }

    async fn make(&self, job: &Job) -> Result<(), Failure> {
        let begun = Instant::now();
        let mut options = self.options.clone();
        if let Noise::Seed(seed) = &mut options.noise {
            *seed = job.seed;
        }
        let (generated, voxels) = self.generate(job, &options).await?;
        let voxels_note = generated.gaussians.len();
        let before = generated.mesh.faces.len();
        let surface = self.surface(before);
        let Generated { mesh, gaussians } = generated;
        let asset = build_asset_on(self.pipeline.gpu(), mesh, Some(&gaussians), &surface, &self.control).await?;
        self.control.check()?;
        let glb = self.glb_options(job, before);
        let mut written = Vec::new();
        for path in &job.outputs {
            written.extend(write_output(path, &asset, &gaussians, &glb)?);
        }
        if let Some(path) = &job.preview {
            files::write(path, &draw(path, &asset, &self.control).await?)?;
            written.push(path.clone());
        }
        self.warn(&written, &asset, voxels)?;
        self.reporter.clear();
        self.tell(&written, &asset, voxels_note, begun)
    }

    /// From pictures (or saved stages) to what was decoded, and the number of voxels; saves every stage as soon as it is there.
    async fn generate(&self, job: &Job, options: &GenerateOptions) -> Result<(Generated, usize), Failure> {
        let (p, control, files) = (&self.pipeline, &self.control, &self.files.of_job(&job.tag)?);
        files.save("run.json", || Value::from(self.extras(job)).to_string().into_bytes())?;
        let condition = match files.load("condition.safetensors", stage_files::read_condition)? {
            Some(value) => value,
            None => {
                let mut pictures = Vec::with_capacity(job.pictures.len());
                for (i, path) in job.pictures.iter().enumerate() {
                    let cutout = self.cutout(job, path, i).await?;
                    let prepared = cutout.prepared(p.picture_side())?;
                    let png = maquette::maquette_image::encode_png(&prepared)?;
                    files.save(&format!("prepared-{i}.png"), || png)?;
                    pictures.push(prepared);
                }
                p.encode(&pictures, control).await?
            }
        };
        files.save("condition.safetensors", || stage_files::condition(&condition))?;
        let structure = match files.load("structure.safetensors", stage_files::read_structure)? {
            Some(value) => value,
            None => p.structure(&condition, options, control).await?,
        };
        files.save("structure.safetensors", || stage_files::structure(&structure))?;
        let latent = match files.load("latent.safetensors", stage_files::read_latent)? {
            Some(value) => value,
            None => p.latent(&condition, &structure, options, control).await?,
        };
        files.save("latent.safetensors", || stage_files::latent(&latent))?;
        let gaussians = match files.load("gaussians.safetensors", stage_files::read_gaussians)? {
            Some(value) => value,
            None => p.gaussians(&latent, control).await?,
        };
        files.save("gaussians.safetensors", || stage_files::gaussians(&gaussians))?;
        let mesh = match files.load("mesh.safetensors", stage_files::read_mesh)? {
            Some(value) => value,
            None => p.mesh(&latent, control).await?,
        };
        files.save("mesh.safetensors", || stage_files::mesh(&mesh))?;
        Ok((Generated { gaussians, mesh }, latent.coords.len()))
    }

    async fn cutout(&self, job: &Job, path: &Path, index: usize) -> Result<Cutout, Failure> {
        let args = self.args;
        let file = files::read(path)?;
        let policy = if args.force { MaskPolicy::Force } else { MaskPolicy::Refuse };
        let decode = DecodeOptions {
            max_pixels: args.max_pixels,
            accept_truncated: args.accept_truncated,
            ..DecodeOptions::default()
        };
        // What is to be looked at is saved even when it is then refused.
        let look = CutoutOptions { decode, policy: MaskPolicy::Force };
        let cutout = match (&args.mask, args.keep_background) {
            (Some(mask), _) => Cutout::with_mask(&file, &files::read(mask)?, &look)?,
            (None, true) => Cutout::with_background(&file, &look)?,
            (None, false) => Cutout::matted(&file, &self.matting, &look, &self.control).await?,
        };
        if let Some(target) = &job.cutout {
            files::write(&numbered(target, index), &cutout.to_png()?)?;
        }
        for note in &cutout.notes {
            self.reporter.say(&format!("{}: {note}", path.display()));
        }
        let refused = cutout.findings.iter().any(|f| f.severity >= Severity::Warning) && policy == MaskPolicy::Refuse;
        if refused {
            return Err(Error::Mask { findings: cutout.findings }.into());
        }
        for finding in &cutout.findings {
            self.reporter.say(&format!("{}: {finding}", path.display()));
        }
        Ok(cutout)
    }

    fn surface(&self, faces: usize) -> SurfaceOptions {
        let args = self.args;
        let target = match args.simplify {
            Some(share) => ((1.0 - share.clamp(0.0, 1.0)) * faces as f64).max(4.0) as usize,
            None => args.faces,
        };
        SurfaceOptions {
            faces: (target > 0).then_some(target),
            texture_size: (args.texture_size > 0).then_some(args.texture_size),
            fill_holes: !args.keep_holes,
            visibility_views: args.keep_hidden.then_some(0),
            unwrap: match args.unwrap {
                UnwrapArg::Charts => Unwrap::Charts,
                UnwrapArg::Boxes => Unwrap::Boxes,
            },
            bake: match args.bake {
                BakeArg::Auto => Bake::Auto,
                BakeArg::Solve => Bake::Solve,
                BakeArg::Fast => Bake::Fast,
            },
            ..SurfaceOptions::default()
        }
    }

    fn glb_options(&self, job: &Job, faces: usize) -> GlbOptions {
        let args = self.args;
        let mut extras = self.extras(job);
        extras.insert("decoded_faces".into(), faces.into());
        GlbOptions {
            texture_format: match args.texture_format {
                TextureFormatArg::Png => TextureFormat::Png,
                TextureFormatArg::Jpeg => TextureFormat::Jpeg(90),
                TextureFormatArg::Webp => TextureFormat::WebP,
            },
            reference_material: args.reference_material,
            quantize: args.quantize,
            meshopt: args.meshopt,
            extras,
            ..GlbOptions::default()
        }
    }

    /// What is needed to make the result again.
    fn extras(&self, job: &Job) -> Map<String, Value> {
        let mut options = self.options.clone();
        if let Noise::Seed(seed) = &mut options.noise {
            *seed = job.seed;
        }
        let (p, args) = (&self.pipeline, self.args);
        export::provenance(&p.model().name(), p.gpu().capabilities().tier, &options, args.faces, args.texture_size)
    }

    /// Says in words what is off with a result.
    fn warn(&self, written: &[PathBuf], asset: &Asset, voxels: usize) -> Result<(), Failure> {
        let glb = written.iter().find(|p| p.extension().is_some_and(|e| e.eq_ignore_ascii_case("glb")));
        let file_bytes = glb.and_then(|path| std::fs::metadata(path).ok()).map(|file| file.len());
        let texture_size = asset.texture.as_ref().map(|texture| texture.width);
        let context = HealthContext { texture_size, file_bytes, voxels: Some(voxels), ..HealthContext::default() };
        health(&asset.mesh, &context)?.warnings.iter().for_each(|warning| self.reporter.say(warning));
        Ok(())
    }

    fn tell(&self, written: &[PathBuf], asset: &Asset, gaussians: usize, begun: Instant) -> Result<(), Failure> {
        let seconds = begun.elapsed().as_secs_f64();
        let summary = self.reporter.summary();
        if self.args.json {
            let stages: Map<String, Value> =
                summary.times.iter().map(|(stage, s)| (stage.name().to_owned(), (*s).into())).collect();
            let files: Vec<String> = written.iter().map(|p| p.display().to_string()).collect();
            let line = json!({
                "event": "done", "files": files, "seconds": seconds, "stages": stages,
                "faces": asset.mesh.faces.len(), "gaussians": gaussians,
                "peak_bytes": summary.host_peak, "gpu_peak_bytes": summary.gpu_peak,
            });
            return report::print(&format!("{line}\n"));
        }
        if self.args.quiet {
            return Ok(());
        }
        self.reporter.say(&summary.line());
        let lines: String = written.iter().map(|p| format!("{}\n", p.display())).collect();
        let faces = asset.mesh.faces.len();
        report::print(&format!("{lines}{faces} triangles, {gaussians} Gaussians, {seconds:.1} s\n"))
    }
}

/// Ctrl-C, the reporter, and the simulated loss of the device, in one.
fn control(args: &Generate, reporter: &Arc<Reporter>, gpu: &Gpu) -> Result<Control, Failure> {
    let cancel = CancelToken::default();
    let on_signal = cancel.clone();
    // The second signal does not wait for the step's end. Files are whole at any moment, so nothing is lost.
    interrupt::on_interrupt(move || {
        if on_signal.is_cancelled() {
            std::process::exit(130);
        }
        on_signal.cancel();
    })
    .map_err(|e| Error::io("watch", "the interrupt signal", e))?;
    let (reporter, gpu, lose_at) = (reporter.clone(), gpu.clone(), args.simulate_device_loss.clone());
    Ok(Control::new(cancel, move |event| {
        if let (Event::Started { stage, .. }, Some(name)) = (event, &lose_at)
            && stage.name() == name
        {
            gpu.destroy_device();
        }
        reporter.event(event);
    }))
}

fn generate_options(args: &Generate) -> Result<GenerateOptions, Failure> {
    if args.model.precision == PrecisionArg::F16 && args.device.tier == "cpu" {
        let (expected, found) = ("f32 or auto on the cpu tier".to_owned(), "f16".to_owned());
        return Err(Error::Option { option: "--precision", expected, found }.into());
    }
    let interval = args.interval.as_deref().map(interval).transpose()?;
    let sampling = |steps: Option<u32>, guidance: Option<f64>| Sampling {
        steps: steps.or(args.steps),
        guidance: guidance.or(args.guidance),
        interval,
        rescale_t: args.rescale_t,
    };
    let noise = match &args.noise {
        Some(path) => run_files::noise(path)?,
        None => Noise::Seed(args.seed),
    };
    Ok(GenerateOptions {
        noise,
        structure: sampling(args.ss_sampling_steps, args.ss_guidance_strength),
        latent: sampling(args.slat_sampling_steps, args.slat_guidance_strength),
        multi: match args.multi {
            MultiArg::Stochastic => MultiImage::Stochastic,
            MultiArg::Multidiffusion => MultiImage::MultiDiffusion,
        },
    })
}

fn interval(text: &str) -> Result<(f64, f64), Failure> {
    let parts: Vec<Option<f64>> = text.split(',').map(|p| p.trim().parse().ok()).collect();
    match parts[..] {
        [Some(low), Some(high)] if low <= high => Ok((low, high)),
        _ => {
            let expected = "two numbers, the lower first, such as 0.5,1.0".to_owned();
            Err(Error::Option { option: "--interval", expected, found: text.to_owned() }.into())
        }
    }
}

/// The jobs that the arguments mean, with every target checked before any work.
fn jobs(args: &Generate) -> Result<Vec<Job>, Failure> {
    let resumable = args.resume.as_ref().is_some_and(|dir| dir.join("condition.safetensors").is_file());
    if args.images.is_empty() && !resumable {
        let (expected, found) = ("a picture, or --resume DIR with saved stages".to_owned(), "nothing".to_owned());
        return Err(Error::Option { option: "IMAGE", expected, found }.into());
    }
    for path in args.also.iter().chain(args.output.iter().filter(|_| !args.each)) {
        Format::of_name(&path.to_string_lossy())?;
    }
    let groups = if args.each {
        pictures(&args.images)?.into_iter().map(|p| vec![p]).collect()
    } else {
        vec![args.images.clone()]
    };
    let mut jobs = Vec::new();
    let mut names = HashSet::new();
    for group in groups {
        for path in &group {
            // Opened again later; here only to say what is wrong before anything is loaded.
            files::read(path)?;
        }
        for seed in (0..u64::from(args.variants)).map(|n| args.seed.wrapping_add(n)) {
            let job = job(args, &group, seed);
            let cutouts = job.cutout.iter().flat_map(|path| (0..group.len()).map(|i| numbered(path, i)));
            for path in job.outputs.iter().chain(&job.preview).cloned().chain(cutouts) {
                files::check_target(&path, args.overwrite)?;
                // One would replace the other.
                if !names.insert(path.clone()) {
                    let expected =
                        "a name of its own for every file (pictures with --each need different names)".to_owned();
                    let found = format!("{} twice", path.display());
                    return Err(Error::Option { option: "results", expected, found }.into());
                }
            }
            jobs.push(job);
        }
    }
    Ok(jobs)
}

/// One object's files. With several, names that are not made from the picture's anyway get it (with `--each`), and the seed (with
/// `--variants`), before their ending.
fn job(args: &Generate, group: &[PathBuf], seed: u64) -> Job {
    let stem = group.first().and_then(|p| p.file_stem()).map_or_else(|| "object".into(), |s| s.to_string_lossy());
    let seed_tag = if args.variants > 1 { seed.to_string() } else { String::new() };
    let picture_tag = if args.each { stem.to_string() } else { String::new() };
    let words =
        [picture_tag.as_str(), seed_tag.as_str()].map(|w| if w.is_empty() { String::new() } else { format!("-{w}") });
    let tagged = |path: &PathBuf| inserted(path, &words.concat());
    let main = match (&args.output, args.each) {
        (Some(folder), true) => folder.join(format!("{stem}.glb")),
        (Some(file), false) => file.clone(),
        (None, _) => PathBuf::from(format!("{stem}.glb")),
    };
    Job {
        pictures: group.to_vec(),
        outputs: std::iter::once(inserted(&main, &words[1])).chain(args.also.iter().map(tagged)).collect(),
        preview: args.preview.as_ref().map(tagged),
        cutout: args.save_cutout.as_ref().map(tagged),
        seed,
        tag: words.concat().trim_start_matches('-').to_owned(),
    }
}

/// Pictures named, and those in folders named.
fn pictures(paths: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
    const ENDINGS: [&str; 8] = ["png", "jpg", "jpeg", "webp", "tif", "tiff", "bmp", "gif"];
    let mut found = Vec::new();
    for path in paths {
        if !path.is_dir() {
            found.push(path.clone());
            continue;
        }
        let entries = std::fs::read_dir(path).map_err(|e| Error::io("read", path, e))?;
        let mut inside: Vec<PathBuf> = entries
            .filter_map(|e| e.ok().map(|e| e.path()))
            .filter(|p| p.extension().is_some_and(|e| ENDINGS.contains(&e.to_string_lossy().to_lowercase().as_str())))
            .collect();
        inside.sort();
        if inside.is_empty() {
            let source = std::io::Error::from(std::io::ErrorKind::NotFound);
            return Err(Error::io("read", path.join("*.png"), source).into());
        }
        found.extend(inside);
    }
    Ok(found)
}

/// The file of the picture of that index: the first has the plain name.
fn numbered(path: &Path, index: usize) -> PathBuf {
    if index == 0 { path.to_owned() } else { inserted(path, &format!("-{index}")) }
}

/// Puts a word before the ending.
fn inserted(path: &Path, word: &str) -> PathBuf {
    let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let (stem, ending) = name.split_at(name.find('.').unwrap_or(name.len()));
    path.with_file_name(format!("{stem}{word}{ending}"))
}

fn write_output(
    path: &Path,
    asset: &Asset,
    gaussians: &maquette::maquette_mesh::Gaussians,
    options: &GlbOptions,
) -> Result<Vec<PathBuf>, Failure> {
    let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let format = Format::of_name(&name)?;
    let mut written = Vec::new();
    for (name, bytes) in export::files(&name, format, asset, Some(gaussians), options)? {
        let target = path.with_file_name(name);
        files::write(&target, &bytes)?;
        written.push(target);
    }
    Ok(written)
}

/// Draws an asset in the form that the file's ending asks for.
async fn draw(path: &Path, asset: &Asset, control: &Control) -> Result<Vec<u8>, Failure> {
    Ok(if path.extension().is_some_and(|e| e.eq_ignore_ascii_case("webp")) {
        preview::turntable(Subject::Asset(asset), preview::SIDE, preview::FRAMES, control).await?
    } else {
        preview::four_views(Subject::Asset(asset), preview::SIDE, control).await?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_go_before_the_whole_ending() {
        assert_eq!(inserted(Path::new("a/b.mesh.ply"), "-7"), Path::new("a/b-7.mesh.ply"));
        assert_eq!(inserted(Path::new("a/b.glb"), ""), Path::new("a/b.glb"));
        assert_eq!(numbered(Path::new("a/b.png"), 2), Path::new("a/b-2.png"));
    }

    #[test]
    fn intervals_are_two_numbers_in_order() {
        assert_eq!(interval("0.5, 1").ok(), Some((0.5, 1.0)));
        for bad in ["1,0.5", "0.5", "a,b", "0,1,2"] {
            assert!(interval(bad).is_err(), "{bad}");
        }
    }
}
