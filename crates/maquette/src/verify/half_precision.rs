//! The reference's own f16 run: how far half precision may be from the definition.

use super::{
    Result,
    checks::{Bound, Checks, distance, read_back},
    context::Context,
    golden::Golden,
};
use maquette_models::Precision;

/// `cases/fp16`: outputs of other cases with an f16 torso. Ours must be within 1e-2 of the f32 outputs, and no further than twice
/// the reference's.
pub(super) async fn run(context: &Context<'_>, case: &Golden, checks: &mut Checks<'_>) -> Result<()> {
    if context.precision != Precision::F16 {
        return Ok(());
    }
    let device = context.device;
    for name in case.names() {
        let tensor = &name["out.".len()..];
        let (found, definition) = if let Some(t) = tensor.strip_prefix("ss_flow_y_") {
            let (flow, inputs) = (context.structure_flow()?, context.case("ss_flow")?);
            let condition = flow.condition(inputs.tensor::<3>("in.cond", device)?)?;
            let moment = flow.moment(&inputs.values(&format!("in.{t}"))?);
            let y = flow.forward(inputs.tensor::<5>("in.x", device)?, &moment, &condition)?;
            (read_back(y).await?, inputs.values(&format!("out.y_{t}"))?)
        } else if let Some(t) = tensor.strip_prefix("slat_flow_y_") {
            let (flow, inputs) = (context.latent_flow()?, context.case("slat_flow")?);
            let condition = flow.condition(inputs.tensor::<3>("in.cond", device)?)?;
            let moment = flow.moment(&inputs.values(&format!("in.{t}"))?);
            let sites = flow.sites(&inputs.voxels("in.coords")?);
            let y = flow.forward(inputs.tensor::<2>("in.feats", device)?, &sites, &moment, &condition)?;
            (read_back(y).await?, inputs.values(&format!("out.y_{t}"))?)
        } else if tensor == "ss_decoder_logits" {
            let (decoder, inputs) = (context.structure_decoder()?, context.case("ss_decoder")?);
            let y = decoder.forward(inputs.tensor::<5>("in.z", device)?)?;
            (read_back(y).await?, inputs.values("out.logits")?)
        } else if tensor == "gs_raw" {
            let (decoder, inputs) = (context.gaussian_decoder()?, context.case("gs_decoder")?);
            let y = decoder.forward(inputs.tensor::<2>("in.slat", device)?, &inputs.voxels("in.coords")?)?;
            (read_back(y).await?, inputs.values("out.raw")?)
        } else if tensor == "mesh_raw" {
            let (decoder, inputs) = (context.mesh_decoder()?, context.case("mesh_decoder")?);
            let y = decoder.forward(inputs.tensor::<2>("in.slat", device)?, &inputs.voxels("in.coords")?)?;
            (read_back(y.rows.whole()).await?, inputs.values("out.raw")?)
        } else {
            return Err(super::VerifyError::Content {
                path: "half-precision case".into(),
                problem: format!("`{name}` belongs to no known network"),
            });
        };
        // The reference may give the first rows only.
        let reference = case.values(name)?;
        let length = reference.len().min(definition.len());
        let deviation = distance(&reference[..length], &definition[..length]).1;
        let found = &found[..length.min(found.len())];
        checks.floats(tensor, found, &definition[..length], Bound::Relative((2.0 * deviation).min(1e-2)));
    }
    Ok(())
}
