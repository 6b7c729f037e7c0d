//! Cases of the samplers.

use std::ops::ControlFlow;

use burn::tensor::Tensor;
use maquette_models::{
    Precision,
    sampler::{Conditions, EulerSampler, Guidance, MultiImage, SamplerParams, VelocityField},
    trellis::LatentField,
};

use super::{
    Result, VerifyError,
    checks::{Checks, read_back},
    context::Context,
    golden::Golden,
};

pub(super) async fn structure(context: &Context<'_>, case: &Golden, checks: &mut Checks<'_>) -> Result<()> {
    let flow = context.structure_flow()?;
    let condition = flow.condition(case.tensor::<3>("in.cond", context.device)?)?;
    let negative = flow.zero_condition();
    let noise = case.tensor::<5>("in.noise", context.device)?;
    let pipeline = context.sampler("sparse_structure_sampler")?;
    // Every run is a prefix of its tensors; the one with as many steps as the pipeline has the pipeline's settings.
    for name in case.names() {
        let Some(prefix) = name.strip_prefix("out.").and_then(|n| n.strip_suffix("t_seq")) else { continue };
        let conditions = Conditions {
            pictures: std::slice::from_ref(&condition),
            negative: &negative,
            mode: MultiImage::Stochastic,
        };
        let params = if prefix == "cfg_" || prefix.is_empty() {
            pipeline
        } else {
            recovered(&flow, case, prefix, &conditions, pipeline.sigma_min, context).await?
        };
        trajectory(&flow, case, prefix, noise.clone(), &conditions, params, checks).await?;
    }
    Ok(())
}

pub(super) async fn latent(context: &Context<'_>, case: &Golden, checks: &mut Checks<'_>) -> Result<()> {
    let flow = context.latent_flow()?;
    let sites = flow.sites(&case.voxels("in.coords")?);
    let condition = flow.condition(case.tensor::<3>("in.cond", context.device)?)?;
    let conditions = Conditions {
        pictures: std::slice::from_ref(&condition),
        negative: &flow.zero_condition(),
        mode: MultiImage::Stochastic,
    };
    let field = LatentField { flow: &flow, sites: &sites };
    let noise = case.tensor::<2>("in.noise", context.device)?;
    let params = context.sampler("slat_sampler")?;
    trajectory(&field, case, "", noise, &conditions, params, checks).await
}

/// Samples and compares times, velocities, states, predictions and the sample.
async fn trajectory<const D: usize, F: VelocityField<D>>(
    field: &F,
    case: &Golden,
    prefix: &str,
    noise: Tensor<D>,
    conditions: &Conditions<'_, F::Condition>,
    params: SamplerParams,
    checks: &mut Checks<'_>,
) -> Result<()> {
    let sampler = EulerSampler::new(params)?;
    let bits = |times: &[f64]| times.iter().map(|t| t.to_bits() as i64).collect::<Vec<_>>();
    checks.identical(
        &format!("{prefix}t_seq"),
        &bits(sampler.times()),
        &bits(&case.doubles(&format!("out.{prefix}t_seq"))?),
    );
    let (mut states, mut velocities, mut predictions) = (vec![noise.clone()], Vec::new(), Vec::new());
    let sample = sampler.sample(field, noise, conditions, &mut |step| {
        velocities.push(step.velocity.clone());
        states.push(step.x.clone());
        predictions.push(step.predicted_sample());
        ControlFlow::Continue(())
    })?;
    for (name, tensors) in [("v", velocities), ("x", states), ("x0", predictions)] {
        let name = format!("{prefix}{name}");
        // In f16 steps add up; only where they lead is compared.
        if checks.precision() == Precision::F32 && case.has(&format!("out.{name}")) {
            let mut found = Vec::new();
            for tensor in tensors {
                found.extend(read_back(tensor).await?);
            }
            checks.floats(&name, &found, &case.values(&format!("out.{name}"))?, checks.chain_bound());
        }
    }
    checks.chain(&format!("{prefix}samples"), sample, &case.values(&format!("out.{prefix}samples"))?).await
}

/// Settings of a run that is only known by its numbers: the time shift from the times, guidance from the velocities, which are
/// `v_cond + w·(v_cond − v_uncond)` with one `w` inside an interval and 0 outside.
async fn recovered<F: VelocityField<5>>(
    field: &F,
    case: &Golden,
    prefix: &str,
    conditions: &Conditions<'_, F::Condition>,
    sigma_min: f64,
    context: &Context<'_>,
) -> Result<SamplerParams> {
    let times = case.doubles(&format!("out.{prefix}t_seq"))?;
    let steps = times.len().saturating_sub(1);
    let wrong = |problem: &str| VerifyError::Content { path: "sampler case".into(), problem: problem.into() };
    if steps == 0 {
        return Err(wrong("a run without steps"));
    }
    let rescale_t = match times.get(1) {
        Some(t) if steps > 1 => {
            let s = 1.0 - 1.0 / steps as f64;
            let shift = t * (1.0 - s) / (s * (1.0 - t));
            // Settings are written with few digits; this undoes the rounding of the times.
            (shift * 1e6).round() / 1e6
        }
        _ => 1.0,
    };
    let velocities = case.tensor::<6>(&format!("out.{prefix}v"), context.device)?;
    let states = case.tensor::<6>(&format!("out.{prefix}x"), context.device)?;
    let mut guided: Vec<(f64, f64)> = Vec::new();
    for (i, t) in times[..steps].iter().enumerate() {
        let pick = |x: &Tensor<6>| x.clone().slice_dim(0, i..i + 1).squeeze_dim::<5>(0);
        let moment = field.moment((1000.0 * t) as f32);
        let cond = read_back(field.velocity(pick(&states), &moment, &conditions.pictures[0])?).await?;
        let negative = read_back(field.velocity(pick(&states), &moment, conditions.negative)?).await?;
        let used = read_back(pick(&velocities)).await?;
        let (mut along, mut square) = (0.0, 0.0);
        for ((c, n), v) in cond.iter().zip(&negative).zip(&used) {
            let direction = f64::from(c - n);
            along += f64::from(v - c) * direction;
            square += direction * direction;
        }
        let strength = along / square;
        if strength.abs() > 0.01 {
            guided.push((*t, strength));
        }
    }
    let guidance = (!guided.is_empty()).then(|| {
        let mean = guided.iter().map(|g| g.1).sum::<f64>() / guided.len() as f64;
        let low = guided.iter().map(|g| g.0).fold(f64::INFINITY, f64::min);
        let high = guided.iter().map(|g| g.0).fold(f64::NEG_INFINITY, f64::max);
        Guidance { strength: (mean * 1e2).round() / 1e2, interval: Some((low, high)) }
    });
    Ok(SamplerParams { steps, rescale_t, guidance, sigma_min })
}
