//! The solver on a GPU.

use std::ops::ControlFlow;

use burn::tensor::{Int, Tensor};
use burn_cubecl::tensor::CubeTensor;

use super::{BakePlan, BakeProgress, BakedTexture, plan::Step};
use crate::{
    Error,
    buffers::{Buffers, LANES, int_tensor, read_floats, read_words, run, words_of},
    mesh_raster::{CoordinatePictures, FacePictures},
    scan::scan,
    wgsl::{cube_f32, tensor},
};

/// Words of a sample (`bake/collect.wgsl`).
const SAMPLE_WORDS: usize = 4;
/// Most units of a whole-number sum's step: finer ones than 2⁻²⁰ add nothing to a float's 24 bits.
const MOST_UNITS: f32 = 1_048_576.0;

/// Words that `bake/total.wgsl` sums at once.
const TOTAL_RUN: usize = 4096;

/// The observed pixels of a batch of views.
pub(super) struct Batch {
    samples: CubeTensor,
    /// First sample of every view, and their number.
    starts: Vec<u32>,
}

impl Batch {
    pub(super) fn len(&self) -> usize {
        self.starts.last().map_or(0, |end| *end as usize)
    }
}

/// Texels of all levels.
fn chain_length(size: usize) -> usize {
    (4 * size * size - 1) / 3
}

pub(super) fn check_size(buffers: &Buffers, size: usize) -> Result<(), Error> {
    buffers.fits("texture size", &[chain_length(size)])
}

fn elsewhere() -> Error {
    Error::Read { message: "the pictures are not on the GPU that bakes them".into() }
}

/// Colours of pictures as words `[V, H, W]`; see `bake/pack.wgsl`.
pub(super) fn pack(
    buffers: &Buffers,
    rgb: &Tensor<4>,
    cover: Option<(&Tensor<3>, f32)>,
) -> Result<Tensor<3, Int>, Error> {
    let [views, _, height, width] = rgb.dims();
    let rgb = cube_f32(rgb).ok_or_else(elsewhere)?;
    let pixels = views * height * width;
    let words = buffers.words(pixels);
    let (transmittance, least) = match cover {
        Some((transmittance, least)) => (cube_f32(transmittance).ok_or_else(elsewhere)?, least),
        None => (buffers.words(1), 0.0),
    };
    let info = vec![views as u32, width as u32, height as u32, u32::from(cover.is_some()), least.to_bits()];
    run("bake_pack", &[], &[&rgb, &words, &transmittance], info, pixels.div_ceil(LANES));
    Ok(int_tensor::<1>(words).reshape([views, height, width]))
}

pub(super) async fn collect(
    buffers: &Buffers,
    size: usize,
    colors: &Tensor<3, Int>,
    faces: &FacePictures,
    coordinates: &CoordinatePictures,
) -> Result<Batch, Error> {
    let [views, height, width] = colors.dims();
    let pixels = views * height * width;
    let groups = pixels.div_ceil(LANES);
    let colors = words_of(colors).ok_or_else(elsewhere)?;
    let ids = words_of(&faces.ids).ok_or_else(elsewhere)?;
    let flags = buffers.words(pixels);
    run("bake_observe", &[], &[&colors, &ids, &flags], vec![pixels as u32], groups);
    let offsets = scan(buffers, &flags, pixels);
    let places = buffers.ramp(views + 1, 0, (height * width) as u32);
    let starts = read_words::<1>(int_tensor(buffers.gather(&offsets, &places, views + 1))).await?;
    let count = starts.last().map_or(0, |end| *end as usize);
    buffers.fits("samples of a batch of views", &[count, SAMPLE_WORDS])?;
    let samples = buffers.words(count * SAMPLE_WORDS);
    if count > 0 {
        let uv = cube_f32(&coordinates.uv).ok_or_else(elsewhere)?;
        let change = cube_f32(&coordinates.derivatives).ok_or_else(elsewhere)?;
        let info = vec![pixels as u32, size as u32];
        run("bake_collect", &[], &[&uv, &change, &colors, &offsets, &samples], info, groups);
    }
    Ok(Batch { samples, starts })
}

/// A view with at least one sample.
struct View<'a> {
    samples: &'a CubeTensor,
    first: u32,
    count: u32,
    /// Weight of its samples: 1 on average, inverse to their number.
    share: f32,
}

struct Solver<'a> {
    buffers: &'a Buffers,
    size: usize,
    views: Vec<View<'a>>,
    samples: usize,
    /// Largest sum of sample weights that a texel can meet.
    reach: f32,
    /// Three channels each: the texture looked ahead with its chain, the texture, and the running mean of weights.
    chains: [CubeTensor; 3],
    textures: [CubeTensor; 3],
    held: [CubeTensor; 3],
}

impl<'a> Solver<'a> {
    async fn new(buffers: &'a Buffers, size: usize, batches: &'a [Batch]) -> Result<Self, Error> {
        let mut views: Vec<View<'a>> = Vec::new();
        let hits = buffers.ramp(chain_length(size), 0, 0);
        let most = buffers.ramp(1, 0, 0);
        for batch in batches.iter().filter(|batch| batch.len() > 0) {
            let info = vec![batch.len() as u32, size as u32];
            run("bake_count_hits", &[], &[&batch.samples, &hits, &most], info, batch.len().div_ceil(LANES));
            let spans = batch.starts.windows(2).filter(|span| span[1] > span[0]);
            views.extend(spans.map(|span| View {
                samples: &batch.samples,
                first: span[0],
                count: span[1] - span[0],
                share: 0.0,
            }));
        }
        let samples: usize = views.iter().map(|view| view.count as usize).sum();
        let mean = samples as f32 / views.len() as f32;
        views.iter_mut().for_each(|view| view.share = mean / view.count as f32);
        let largest = views.iter().fold(0.0f32, |m, view| m.max(view.share));
        let hits = read_words::<1>(int_tensor(most)).await?.first().copied().unwrap_or(0);
        let texels = size * size;
        let zeros = |length: usize| std::array::from_fn(|_| buffers.ramp(length, 0, 0));
        Ok(Self {
            buffers,
            size,
            samples,
            reach: hits.max(1) as f32 * largest,
            chains: zeros(chain_length(size)),
            textures: zeros(texels),
            held: zeros(texels),
            views,
        })
    }

    fn levels(&self) -> u32 {
        self.size.trailing_zeros()
    }

    fn texels(&self) -> usize {
        self.size * self.size
    }

    /// Fills the coarser levels of the chains.
    fn halve(&self) {
        for level in 1..=self.levels() {
            let side = self.size >> level;
            let bound = [&self.chains[0], &self.chains[1], &self.chains[2]];
            run("bake_halve", &[], &bound, vec![self.size as u32, level], (side * side).div_ceil(LANES));
        }
    }

    /// Residuals of a subset of the views; the sums by texel unless `mode` is "loss", and Σ share · |r|.
    fn residuals(&self, mode: &str, [first, stride]: [usize; 2], rounding: f32) -> (Vec<[CubeTensor; 2]>, CubeTensor) {
        // Sums of pulls stay below 2³⁰ whatever the residuals, those of weights (without a sign) too.
        let units = (f32::exp2(30.0) / self.reach).min(MOST_UNITS);
        let weight_units = (f32::exp2(30.0) * rounding / self.reach).min(MOST_UNITS);
        let subset = || self.views.iter().skip(first).step_by(stride);
        let words: usize = subset().map(|view| 3 * (view.count as usize).div_ceil(LANES)).sum();
        let losses = self.buffers.words(words);
        let mut sums = Vec::new();
        let mut at = 0;
        for channel in 0..3 {
            let held =
                [(); 2].map(|()| self.buffers.ramp(if mode == "loss" { 1 } else { chain_length(self.size) }, 0, 0));
            for view in subset() {
                let info = vec![
                    view.first,
                    view.count,
                    self.size as u32,
                    channel as u32,
                    view.share.to_bits(),
                    rounding.to_bits(),
                    units.to_bits(),
                    weight_units.to_bits(),
                    at as u32,
                ];
                let mut bound = vec![view.samples, &self.chains[channel], &losses];
                if mode != "loss" {
                    bound.extend(&held);
                }
                let groups = (view.count as usize).div_ceil(LANES);
                run("bake_residuals", &[("MODE", mode)], &bound, info, groups);
                at += groups;
            }
            if mode != "loss" {
                for level in (0..=self.levels()).rev() {
                    let side = self.size >> level;
                    let info = vec![self.size as u32, level, (1.0 / units).to_bits(), (1.0 / weight_units).to_bits()];
                    run("bake_fold", &[], &[&held[0], &held[1]], info, (side * side).div_ceil(LANES));
                }
            }
            sums.push(held);
        }
        (sums, losses)
    }

    /// One step; returns its Σ share · |r|.
    fn step(&self, step: &Step, rounding: f32) -> CubeTensor {
        let mode = if step.pass == 0 { "start" } else { "step" };
        let (sums, losses) = self.residuals(mode, step.subset, rounding);
        let [first, stride] = step.subset;
        let factor = self.views.len() as f32 / self.views.len().saturating_sub(first).div_ceil(stride).max(1) as f32;
        let smoothness = step.smoothness * self.samples as f32 / (self.size * (self.size - 1)) as f32;
        let groups = self.texels().div_ceil(LANES);
        for (channel, [pulls, weights]) in sums.iter().enumerate() {
            let next = self.buffers.words(self.texels());
            let chain = &self.chains[channel];
            let mut info = vec![self.size as u32];
            info.extend([factor, step.rate, smoothness, rounding].map(f32::to_bits));
            run("bake_step", &[], &[chain, pulls, weights, &self.held[channel], &next], info, groups);
            let info = vec![self.texels() as u32, step.momentum.to_bits()];
            run("bake_advance", &[], &[chain, &self.textures[channel], &next, weights], info, groups);
        }
        self.halve();
        losses
    }

    /// Mean |r| of sums of share · |r|, read back.
    async fn mean(&self, losses: Vec<CubeTensor>) -> Result<f64, Error> {
        let length = |words: &CubeTensor| words.meta.num_elements();
        let sums = self.buffers.words(losses.iter().map(|words| length(words).div_ceil(TOTAL_RUN)).sum());
        let mut at = 0;
        for words in &losses {
            let runs = length(words).div_ceil(TOTAL_RUN);
            run("bake_total", &[], &[words, &sums], vec![length(words) as u32, at as u32], runs);
            at += runs;
        }
        let sum: f64 = read_floats(floats(sums)).await?.into_iter().map(f64::from).sum();
        Ok(sum / (3 * self.samples) as f64)
    }

    async fn variation(&self) -> Result<f64, Error> {
        let groups = self.texels().div_ceil(LANES);
        let sums = self.buffers.words(3 * groups);
        for (channel, texture) in self.textures.iter().enumerate() {
            run("bake_variation", &[], &[texture, &sums], vec![self.size as u32, (channel * groups) as u32], groups);
        }
        let sum: f64 = read_floats(floats(sums)).await?.into_iter().map(f64::from).sum();
        Ok(sum / (3 * self.size * (self.size - 1)) as f64)
    }
}

/// Words as the floats that they are.
fn floats(mut words: CubeTensor) -> Tensor<1> {
    words.dtype = burn::tensor::DType::F32;
    tensor(words)
}

pub(super) async fn solve(
    buffers: &Buffers,
    size: usize,
    batches: &[Batch],
    plan: &BakePlan,
    on_pass: &mut dyn FnMut(&BakeProgress) -> ControlFlow<()>,
) -> Result<BakedTexture, Error> {
    let mut solver = Solver::new(buffers, size, batches).await?;
    let passes = plan.passes.len() + 1;
    let mut seen = solver.held[0].clone();
    let (mut losses, mut before) = (Vec::new(), 0.0);
    for step in plan.steps(solver.views.len()) {
        losses.push(solver.step(&step, step.rounding(before)));
        if step.pass == 0 {
            // The next step starts its running mean anew.
            seen = std::mem::replace(&mut solver.held[0], buffers.ramp(size * size, 0, 0));
        }
        if step.last {
            let photometric = solver.mean(std::mem::take(&mut losses)).await?;
            before = photometric;
            if on_pass(&BakeProgress { pass: step.pass, passes, photometric }).is_break() {
                break;
            }
        }
    }
    // The chains look ahead: the loss is that of the texture itself.
    for (chain, texture) in solver.chains.iter().zip(&solver.textures) {
        put_plane(buffers, chain, texture, size);
    }
    solver.halve();
    let (_, sums) = solver.residuals("loss", [0, 1], 1.0);
    let photometric = solver.mean(vec![sums]).await?;
    let variation = solver.variation().await?;
    let planes: Vec<Tensor<2>> =
        solver.textures.iter().map(|plane| floats(plane.clone()).reshape([size, size])).collect();
    Ok(BakedTexture {
        texels: Tensor::stack(planes, 2),
        seen: floats(seen).reshape([size, size]),
        photometric,
        variation,
        loss: photometric + f64::from(plan.smoothness) * variation,
    })
}

/// Copies a channel into the finest level of its chain.
fn put_plane(buffers: &Buffers, chain: &CubeTensor, plane: &CubeTensor, size: usize) {
    let texels = size * size;
    let info = vec![texels as u32, 0f32.to_bits()];
    // Without momentum it is a copy; the kernel writes one more that nobody needs.
    let (spare, shares) = (buffers.ramp(texels, 0, 0), buffers.ramp(texels, 0, 0));
    run("bake_advance", &[], &[chain, &spare, plane, &shares], info, texels.div_ceil(LANES));
}

pub(super) fn sample_texture(
    buffers: &Buffers,
    texture: &Tensor<3>,
    coordinates: &CoordinatePictures,
) -> Result<Tensor<4>, Error> {
    let size = texture.dims()[0];
    let [views, height, width, _] = coordinates.uv.dims();
    check_size(buffers, size)?;
    let pixels = views * height * width;
    buffers.fits("sampled pictures", &[4, pixels])?;
    let mut chains = Vec::with_capacity(3);
    for channel in 0..3 {
        let plane = texture.clone().slice([0..size, 0..size, channel..channel + 1]).reshape([size * size]);
        let chain = buffers.words(chain_length(size));
        put_plane(buffers, &chain, &cube_f32(&plane).ok_or_else(elsewhere)?, size);
        chains.push(chain);
    }
    for level in 1..=size.trailing_zeros() {
        let side = size >> level;
        let bound = [&chains[0], &chains[1], &chains[2]];
        run("bake_halve", &[], &bound, vec![size as u32, level], (side * side).div_ceil(LANES));
    }
    let y = buffers.floats([views, height, width, 3]);
    let uv = cube_f32(&coordinates.uv).ok_or_else(elsewhere)?;
    let change = cube_f32(&coordinates.derivatives).ok_or_else(elsewhere)?;
    let bound = [&chains[0], &chains[1], &chains[2], &uv, &change, &y];
    run("bake_sample", &[], &bound, vec![pixels as u32, size as u32], pixels.div_ceil(LANES));
    Ok(tensor(y))
}
