//! The whole pipeline on the folder's picture, with the folder's noise.

use std::ops::ControlFlow;

use burn::tensor::{DType, Tensor, TensorData};
use maquette_kernels::Voxels;
use maquette_mesh::formats;
use maquette_models::{
    Precision,
    sampler::{Conditions, EulerSampler, MultiImage},
    trellis::{LatentField, occupied_voxels},
};

use super::{
    Result, VerifyError,
    checks::{Bound, Checks, read_back},
    context::Context,
    decoders::activated,
    golden::Golden,
    pictures, surfaces,
};

pub(super) async fn run(context: &Context<'_>, checks: &mut Checks<'_>) -> Result<()> {
    let golden = Golden::read(context.files, "e2e/e2e.safetensors")?;
    let cond = condition(context, &golden, checks).await?;
    let voxels = structure(context, &golden, cond.clone(), checks).await?;
    let latent = latent(context, &golden, cond, &voxels, checks).await?;
    gaussians(context, &golden, latent.clone(), &voxels, checks).await?;
    mesh(context, &golden, latent.clone(), &voxels, checks).await?;
    radiance(context, &golden, latent, &voxels, checks).await
}

/// In f16 every stage starts from the reference's numbers: a voxel may flip, and nothing behind it could be compared.
fn staged(context: &Context<'_>) -> bool {
    context.precision == Precision::F16
}

async fn condition(context: &Context<'_>, golden: &Golden, checks: &mut Checks<'_>) -> Result<Tensor<3>> {
    let picture = pictures::end_to_end_picture(context, checks)?;
    let input = pictures::encoder_input(context, &picture)?;
    if context.files.list("e2e").iter().any(|f| f == "image_norm_crop.safetensors") {
        let crop = Golden::read(context.files, "e2e/image_norm_crop.safetensors")?;
        for name in crop.names() {
            // `rows_100_127_cols_200_241`, both ends included.
            let numbers: Vec<usize> = name.split('_').filter_map(|part| part.parse().ok()).collect();
            if let [top, bottom, left, right] = numbers[..] {
                let found = input.clone().slice([0..1, 0..3, top..bottom + 1, left..right + 1]);
                checks.exact_module(name, found, &crop.values(name)?).await?;
            }
        }
    }
    let output = context.dino()?.forward(input)?;
    checks.exact_module("x_prenorm", output.x_prenorm.clone(), &golden.values("x_prenorm")?).await?;
    let cond = output.condition();
    checks.exact_module("cond", cond.clone(), &golden.values("cond")?).await?;
    Ok(cond)
}

async fn structure(context: &Context<'_>, golden: &Golden, cond: Tensor<3>, checks: &mut Checks<'_>) -> Result<Voxels> {
    let latent = {
        let flow = context.structure_flow()?;
        let condition = flow.condition(cond)?;
        let conditions = Conditions {
            pictures: std::slice::from_ref(&condition),
            negative: &flow.zero_condition(),
            mode: MultiImage::Stochastic,
        };
        let sampler = EulerSampler::new(context.sampler("sparse_structure_sampler")?)?;
        let noise = golden.tensor::<5>("ss_noise", context.device)?;
        sampler.sample(&flow, noise, &conditions, &mut |_| ControlFlow::Continue(()))?
    };
    checks.chain("z_s", latent.clone(), &golden.values("z_s")?).await?;
    let latent = if staged(context) { golden.tensor("z_s", context.device)? } else { latent };
    let logits = context.structure_decoder()?.forward(latent)?;
    checks.chain("ss_logits", logits.clone(), &golden.values("ss_logits")?).await?;
    if staged(context) {
        return golden.voxels("coords");
    }
    let voxels = occupied_voxels(logits).await?;
    checks.coords("coords", voxels.coords(), &golden.integers("coords")?);
    Ok(voxels)
}

async fn latent(
    context: &Context<'_>,
    golden: &Golden,
    cond: Tensor<3>,
    voxels: &Voxels,
    checks: &mut Checks<'_>,
) -> Result<Tensor<2>> {
    let flow = context.latent_flow()?;
    let sites = flow.sites(voxels);
    let condition = flow.condition(cond)?;
    let conditions = Conditions {
        pictures: std::slice::from_ref(&condition),
        negative: &flow.zero_condition(),
        mode: MultiImage::Stochastic,
    };
    let sampler = EulerSampler::new(context.sampler("slat_sampler")?)?;
    let noise = golden.tensor::<2>("slat_noise", context.device)?;
    let field = LatentField { flow: &flow, sites: &sites };
    let sample = sampler.sample(&field, noise, &conditions, &mut |_| ControlFlow::Continue(()))?;

    let normalisation = context.pipeline("slat_normalization")?;
    let row = |member: &str| -> Result<Tensor<2>> {
        let values: Option<Vec<f32>> = normalisation.get(member).and_then(|v| serde_json::from_value(v.clone()).ok());
        let values = values.filter(|v| v.len() == sample.dims()[1]).ok_or_else(|| VerifyError::Content {
            path: "model/pipeline.json".into(),
            problem: format!("`args.slat_normalization.{member}` is not one number per channel"),
        })?;
        let width = values.len();
        Ok(Tensor::from_data(TensorData::new(values, [1, width]), (context.device, DType::F32)))
    };
    let latent = sample.clone() * row("std")? + row("mean")?;
    checks.chain("slat", latent.clone(), &golden.values("slat")?).await?;
    if staged(context) { golden.tensor("slat", context.device) } else { Ok(latent) }
}

async fn gaussians(
    context: &Context<'_>,
    golden: &Golden,
    latent: Tensor<2>,
    voxels: &Voxels,
    checks: &mut Checks<'_>,
) -> Result<()> {
    let decoder = context.gaussian_decoder()?;
    let found = decoder.represent(decoder.forward(latent, voxels)?, voxels);
    checks.chain("gs.features_dc", found.features_dc.clone(), &golden.values("gs.features_dc")?).await?;
    for (name, tensor) in activated(&found) {
        let name = format!("gs.{name}");
        checks.chain(&name, tensor, &golden.values(&name)?).await?;
    }
    if staged(context) || !context.files.list("e2e").iter().any(|f| f == "gaussians.ply") {
        return Ok(());
    }
    // The file stores other forms of the same values; it is read back into ours.
    let stored = formats::gaussian_ply::read(
        &context.files.read("e2e/gaussians.ply")?,
        formats::gaussian_ply::Frame::Reference,
    )?;
    let bound = checks.chain_bound();
    let features = found.features_dc.clone();
    for (name, values, expected) in [
        ("means", read_back(found.positions()).await?, stored.means.as_flattened()),
        ("scales", read_back(found.extents()).await?, stored.scales.as_flattened()),
        ("opacities", read_back(found.opacities()).await?, &stored.opacities),
        ("f_dc", read_back(features).await?, stored.f_dc.as_flattened()),
    ] {
        checks.floats(&format!("gaussians.ply {name}"), &values, expected, bound);
    }
    // Up to sign; small components carry errors of 1e-4 from the reference's way through a matrix.
    let rotations = read_back(found.rotations()).await?;
    let aligned: Vec<f32> = rotations
        .as_chunks::<4>()
        .0
        .iter()
        .zip(&stored.quats)
        .flat_map(|(a, b)| {
            let dot: f32 = a.iter().zip(b).map(|(x, y)| x * y).sum();
            a.map(|v| if dot < 0.0 { -v } else { v })
        })
        .collect();
    checks.floats("gaussians.ply quats", &aligned, stored.quats.as_flattened(), Bound::Absolute(5e-4));
    Ok(())
}

async fn mesh(
    context: &Context<'_>,
    golden: &Golden,
    latent: Tensor<2>,
    voxels: &Voxels,
    checks: &mut Checks<'_>,
) -> Result<()> {
    if staged(context) {
        // Without raw features in the file there is nothing that f16 could be held against; `cases/mesh_decoder` has them.
        return Ok(());
    }
    let features = context.mesh_decoder()?.forward(latent, voxels)?;
    let field = surfaces::HostField::read(&features).await?;
    field.corners(golden, checks, &surfaces::E2E_NAMES, checks.chain_bound())?;
    field.surface(golden, checks, &surfaces::E2E_NAMES, checks.chain_bound())
}

async fn radiance(
    context: &Context<'_>,
    golden: &Golden,
    latent: Tensor<2>,
    voxels: &Voxels,
    checks: &mut Checks<'_>,
) -> Result<()> {
    let decoder = context.radiance_decoder()?;
    let field = decoder.represent(decoder.forward(latent, voxels)?, voxels);
    let [rows, rank, axes, dim] = field.trivec.dims();
    let sum = field.trivec.reshape([rows, rank * axes * dim]).sum_dim(1);
    checks.chain("rf.trivec_sum", sum, &golden.values("rf.trivec_sum")?).await?;
    checks.chain("rf.density", field.density, &golden.values("rf.density")?).await
}
