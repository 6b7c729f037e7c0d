//! Cases of the decoders.

use burn::tensor::Tensor;
use maquette_kernels::{Grid, Voxels, rows_to_volume};
use maquette_models::{
    Precision,
    trellis::{Gaussians, MeshStage, occupied_voxels},
};

use super::{
    Result,
    checks::{Bound, Checks},
    context::Context,
    golden::Golden,
    surfaces,
};

pub(super) async fn structure(context: &Context<'_>, case: &Golden, checks: &mut Checks<'_>) -> Result<()> {
    let decoder = context.structure_decoder()?;
    let mut seen: Vec<(Tensor<2>, Grid)> = Vec::new();
    let logits =
        decoder.forward_watched(case.tensor::<5>("in.z", context.device)?, |h, grid| seen.push((h.clone(), grid)))?;
    for (i, (h, grid)) in seen.into_iter().enumerate() {
        let name = if i == 0 { "h_middle".to_owned() } else { format!("h_up{}", i - 1) };
        if case.has(&format!("out.{name}")) {
            checks.module(&name, rows_to_volume(h, grid), &case.values(&format!("out.{name}"))?).await?;
        }
    }
    checks.module("logits", logits.clone(), &case.values("out.logits")?).await?;
    if context.precision == Precision::F32 {
        let voxels = occupied_voxels(logits).await?;
        checks.coords("coords", voxels.coords(), &case.integers("out.coords")?);
    }
    Ok(())
}

pub(super) async fn trunk_blocks(context: &Context<'_>, case: &Golden, checks: &mut Checks<'_>) -> Result<()> {
    let decoder = context.gaussian_decoder()?;
    let voxels = case.voxels("in.coords")?;
    let x = context.torso(case.tensor::<2>("in.feats", context.device)?);
    for (i, block) in decoder.trunk().blocks().iter().enumerate() {
        let name = format!("out.block{i}");
        if case.has(&name) {
            checks.module(&name["out.".len()..], block.forward(x.clone(), &voxels), &case.values(&name)?).await?;
        }
    }
    Ok(())
}

pub(super) async fn gaussians(context: &Context<'_>, case: &Golden, checks: &mut Checks<'_>) -> Result<()> {
    let decoder = context.gaussian_decoder()?;
    let voxels = case.voxels("in.coords")?;
    let mut seen: Vec<Tensor<2>> = Vec::new();
    let latent = case.tensor::<2>("in.slat", context.device)?;
    let raw = decoder.forward_watched(latent, &voxels, |_, h| seen.push(h.clone()))?;
    let last = seen.len().saturating_sub(1);
    for (i, h) in seen.into_iter().enumerate() {
        let name = format!("h{i}");
        if case.has(&format!("out.{name}")) {
            checks.module(&name, h.clone(), &case.values(&format!("out.{name}"))?).await?;
        }
        if i == last {
            checks.module("h_last", h, &case.values("out.h_last")?).await?;
        }
    }
    checks.module("raw", raw.clone(), &case.values("out.raw")?).await?;
    if let Some(perturbation) = decoder.offset_perturbation() {
        checks
            .within("perturbation", perturbation.clone(), &case.values("out.perturbation")?, Bound::Identical)
            .await?;
    }
    let found = decoder.represent(raw, &voxels);
    for (name, tensor) in [
        ("xyz_raw", found.xyz.clone()),
        ("features_dc", found.features_dc.clone()),
        ("scaling_raw", found.scaling.clone()),
        ("rotation_raw", found.rotation.clone()),
        ("opacity_raw", found.opacity.clone()),
    ] {
        checks.module(name, tensor, &case.values(&format!("out.{name}"))?).await?;
    }
    for (name, tensor) in activated(&found) {
        checks.module(name, tensor, &case.values(&format!("out.{name}"))?).await?;
    }
    Ok(())
}

/// What renderers and files see.
pub(super) fn activated(gaussians: &Gaussians) -> [(&'static str, Tensor<2>); 4] {
    [
        ("xyz", gaussians.positions()),
        ("scaling", gaussians.extents()),
        ("rotation", gaussians.rotations()),
        ("opacity", gaussians.opacities()),
    ]
}

pub(super) async fn radiance(context: &Context<'_>, case: &Golden, checks: &mut Checks<'_>) -> Result<()> {
    let decoder = context.radiance_decoder()?;
    let voxels = case.voxels("in.coords")?;
    let raw = decoder.forward(case.tensor::<2>("in.slat", context.device)?, &voxels)?;
    checks.module("raw", raw.clone(), &case.values("out.raw")?).await?;
    let field = decoder.represent(raw, &voxels);
    checks.module("position", field.position, &case.values("out.position")?).await?;
    checks.module("trivec", field.trivec, &case.values("out.trivec")?).await?;
    checks.module("density", field.density, &case.values("out.density")?).await?;
    checks.module("features_dc", field.features_dc, &case.values("out.features_dc")?).await
}

pub(super) async fn mesh(context: &Context<'_>, case: &Golden, checks: &mut Checks<'_>) -> Result<()> {
    let decoder = context.mesh_decoder()?;
    let voxels = case.voxels("in.coords")?;
    let mut seen: Vec<(MeshStage, Tensor<2>, Voxels)> = Vec::new();
    let latent = case.tensor::<2>("in.slat", context.device)?;
    let features = decoder.forward_watched(latent, &voxels, |stage, h, v| seen.push((stage, h.clone(), v.clone())))?;
    for (stage, h, voxels) in seen {
        match stage {
            MeshStage::Trunk => checks.module("h_tf", h, &case.values("out.h_tf")?).await?,
            MeshStage::Upsample(i) => {
                if case.has(&format!("out.h_up{i}")) {
                    checks.module(&format!("h_up{i}"), h, &case.values(&format!("out.h_up{i}"))?).await?;
                }
                let coords = format!("up{i}_coords");
                if i == 0 || case.has(&format!("out.{coords}")) {
                    checks.coords(&coords, voxels.coords(), &case.integers(&format!("out.{coords}"))?);
                }
            }
        }
    }
    checks.module("raw", features.rows.whole(), &case.values("out.raw")?).await?;
    // In f16 a sign may flip, and with it the topology: only the definition is compared further.
    if context.precision == Precision::F32 {
        let field = surfaces::HostField::read(&features).await?;
        if case.has(surfaces::CASE_NAMES.v_pos) {
            field.corners(case, checks, &surfaces::CASE_NAMES, checks.module_bound())?;
        }
        // Full-size cases end at the features: only the original has the surface.
        if case.has(surfaces::CASE_NAMES.vertices) {
            field.surface(case, checks, &surfaces::CASE_NAMES, checks.module_bound())?;
        }
    }
    Ok(())
}
