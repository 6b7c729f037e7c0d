//! The solver in plain loops: its definition, and what runs on the CPU tier.

use std::ops::ControlFlow;

use burn::tensor::{Device, Int, Tensor};
use maquette_mesh::bake::{FloatTexture, MipTexture, total_variation};

use super::{BakePlan, BakeProgress, BakedTexture};
use crate::{
    Error,
    buffers::{read_floats, read_words, upload_floats, upload_words},
    mesh_raster::{CoordinatePictures, FacePictures},
};

/// One view's observed pixels.
pub(super) struct View {
    pub(super) colors: Vec<[f32; 3]>,
    places: Vec<([f32; 2], [f32; 4])>,
}

/// Colours of pictures as words `[V, H, W]`, row 0 at the bottom; see `bake/pack.wgsl`.
pub(super) async fn pack(rgb: &Tensor<4>, cover: Option<(&Tensor<3>, f32)>) -> Result<Tensor<3, Int>, Error> {
    let [views, _, height, width] = rgb.dims();
    let (device, pixels) = (rgb.device(), height * width);
    let rgb = read_floats(rgb.clone()).await?;
    let cover = match cover {
        Some((transmittance, least)) => Some((read_floats(transmittance.clone()).await?, least)),
        None => None,
    };
    let word = |at: usize| {
        let (view, pixel) = (at / pixels, at % pixels);
        let from_top = (height - 1 - pixel / width) * width + pixel % width;
        let color = [0, 1, 2].map(|k| rgb[(3 * view + k) * pixels + from_top]);
        let bytes = match &cover {
            Some((transmittance, least)) => {
                let cover = 1.0 - transmittance[view * pixels + from_top];
                if cover > *least { color.map(|x| ((x / cover * 255.0).clamp(1.0, 255.0) + 0.5) as u8) } else { [0; 3] }
            }
            None => color.map(|x| (x * 255.0) as u8),
        };
        u32::from_le_bytes([bytes[0], bytes[1], bytes[2], 0])
    };
    Ok(upload_words((0..views * pixels).map(word).collect(), [views, height, width], &device))
}

pub(super) async fn collect(
    colors: &Tensor<3, Int>,
    faces: &FacePictures,
    coordinates: &CoordinatePictures,
) -> Result<Vec<View>, Error> {
    let [views, height, width] = colors.dims();
    let pixels = height * width;
    let words = read_words(colors.clone()).await?;
    let ids = read_words(faces.ids.clone()).await?;
    let uv = read_floats(coordinates.uv.clone()).await?;
    let change = read_floats(coordinates.derivatives.clone()).await?;
    let view = |view: usize| {
        let mut out = View { colors: Vec::new(), places: Vec::new() };
        for at in view * pixels..(view + 1) * pixels {
            if ids[at] > 0 && words[at] != 0 {
                let [red, green, blue, _] = words[at].to_le_bytes();
                out.colors.push([red, green, blue].map(|b| f32::from(b) / 255.0));
                out.places.push((uv.as_chunks::<2>().0[at], change.as_chunks::<4>().0[at]));
            }
        }
        out
    };
    Ok((0..views).map(view).collect())
}

/// Sums over texels: pull and weight a channel.
type Sums = Vec<FloatTexture>;

/// Adds what a view asks of the texels, with weight 1 or 1 / max(|r|, rounding); returns its mean |r|.
fn add_view(
    chain: &MipTexture,
    view: &View,
    share: f32,
    rounding: Option<f32>,
    pulls: &mut Sums,
    weights: &mut Sums,
) -> f64 {
    let mut loss = 0.0f64;
    for (color, (uv, change)) in view.colors.iter().zip(&view.places) {
        let value = chain.sample(*uv, change);
        let r: [f32; 3] = std::array::from_fn(|k| value[k] - color[k]);
        loss += r.iter().map(|x| f64::from(x.abs())).sum::<f64>();
        let weight = r.map(|x| rounding.map_or(share, |least| share / x.abs().max(least)));
        chain.taps(*uv, change, |tap| {
            for k in 0..3 {
                pulls[tap.level].texels[tap.texel][k] += tap.weight * weight[k] * r[k];
                weights[tap.level].texels[tap.texel][k] += tap.weight * weight[k];
            }
        });
    }
    loss / (3 * view.colors.len()).max(1) as f64
}

/// Adds the pulls and weights of the differences between neighbours.
fn add_variation(
    texture: &FloatTexture,
    weight: f32,
    rounding: f32,
    pulls: &mut FloatTexture,
    weights: &mut FloatTexture,
) {
    let side = texture.width;
    for i in 0..side * side {
        let others = [(i % side + 1 < side).then_some(i + 1), (i / side + 1 < side).then_some(i + side)];
        for j in others.into_iter().flatten() {
            for k in 0..3 {
                let d = texture.texels[i][k] - texture.texels[j][k];
                let w = weight / d.abs().max(rounding);
                pulls.texels[i][k] += w * d;
                pulls.texels[j][k] -= w * d;
                weights.texels[i][k] += 2.0 * w;
                weights.texels[j][k] += 2.0 * w;
            }
        }
    }
}

fn fold(sums: Sums) -> FloatTexture {
    MipTexture::fold_gradients(sums).expect("a chain has at least one level")
}

pub(super) fn solve(
    size: usize,
    views: &[View],
    plan: &BakePlan,
    on_pass: &mut dyn FnMut(&BakeProgress) -> ControlFlow<()>,
    device: &Device,
) -> Result<BakedTexture, Error> {
    let views: Vec<&View> = views.iter().filter(|view| !view.colors.is_empty()).collect();
    let samples: usize = views.iter().map(|view| view.colors.len()).sum();
    let share = |view: &View| samples as f32 / views.len() as f32 / view.colors.len() as f32;
    let mut texture = FloatTexture::filled(size, size, [0.0; 3])?;
    let mut chain = MipTexture::new(texture.clone())?;
    let (mut held, mut momenta) = (texture.clone(), texture.clone());
    let mut seen = Vec::new();
    let (mut met, mut before) = (0.0, 0.0);
    let passes = plan.passes.len() + 1;
    for step in plan.steps(views.len()) {
        let (mut pulls, mut weights) = (chain.zero_gradients(), chain.zero_gradients());
        let [first, stride] = step.subset;
        let rounding = step.rounding(before);
        let subset: Vec<&View> = views.iter().skip(first).step_by(stride).copied().collect();
        for view in &subset {
            met += add_view(&chain, view, share(view), (step.pass > 0).then_some(rounding), &mut pulls, &mut weights)
                / views.len() as f64;
        }
        let factor = views.len() as f32 / subset.len() as f32;
        let (mut pulls, mut weights) = (fold(pulls), fold(weights));
        for i in 0..size * size {
            for k in 0..3 {
                pulls.texels[i][k] *= factor;
                let new = weights.texels[i][k] * factor;
                let h = &mut held.texels[i][k];
                *h += (new - *h) * step.rate;
                // A texel that few subsets see must not go further than its own subset's minimum, nor look ahead while it is not
                // seen, or it swings ever wider.
                weights.texels[i][k] = h.max(new);
                momenta.texels[i][k] = step.momentum * if 3.0 * new < *h { 3.0 * new / *h } else { 1.0 };
            }
        }
        if step.pass == 0 {
            seen = weights.texels.iter().map(|w| w[0]).collect();
        } else {
            let weight = step.smoothness * samples as f32 / (size * (size - 1)) as f32;
            add_variation(&chain.levels()[0], weight, rounding, &mut pulls, &mut weights);
        }
        let mut ahead = chain.levels()[0].clone();
        for i in 0..size * size {
            for k in 0..3 {
                let weight = weights.texels[i][k];
                let next = ahead.texels[i][k] - if weight > 0.0 { pulls.texels[i][k] / weight } else { 0.0 };
                ahead.texels[i][k] = next + momenta.texels[i][k] * (next - texture.texels[i][k]);
                texture.texels[i][k] = next;
            }
        }
        chain = MipTexture::new(ahead)?;
        if step.last {
            let progress = BakeProgress { pass: step.pass, passes, photometric: met };
            (before, met) = (met, 0.0);
            if on_pass(&progress).is_break() {
                break;
            }
        }
    }
    let chain = MipTexture::new(texture)?;
    let photometric = views.iter().map(|view| mean_difference(&chain, view)).sum::<f64>() / views.len() as f64;
    let texture = &chain.levels()[0];
    let variation = total_variation(texture);
    Ok(BakedTexture {
        texels: upload_floats(texture.texels.as_flattened().to_vec(), [size, size, 3], device),
        seen: upload_floats(seen, [size, size], device),
        photometric,
        variation,
        loss: photometric + f64::from(plan.smoothness) * variation,
    })
}

fn mean_difference(chain: &MipTexture, view: &View) -> f64 {
    let of = |(color, (uv, change)): (&[f32; 3], &([f32; 2], [f32; 4]))| -> f64 {
        let value = chain.sample(*uv, change);
        (0..3).map(|k| f64::from((value[k] - color[k]).abs())).sum()
    };
    view.colors.iter().zip(&view.places).map(of).sum::<f64>() / (3 * view.colors.len()).max(1) as f64
}
