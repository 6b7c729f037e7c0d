//! Cases of the two flow networks and their parts.

use burn::tensor::Tensor;
use maquette_kernels::{RowGroups, layer_norm, layer_norm_modulate};
use maquette_models::{
    nn::{BLOCK_NORM_EPS, Span},
    trellis::LatentStage,
};

use super::{Result, checks::Checks, context::Context, golden::Golden};

pub(super) async fn dense_block(context: &Context<'_>, case: &Golden, checks: &mut Checks<'_>) -> Result<()> {
    let flow = context.structure_flow()?;
    let index = flow.blocks().len().saturating_sub(1).min(1);
    let Some(block) = flow.blocks().get(index) else { return Ok(()) };
    let x = case.tensor::<3>("in.x", context.device)?;
    let [batch, tokens, channels] = x.dims();
    let x = context.torso(x.reshape([batch * tokens, channels]));
    let batches = RowGroups::uniform(batch, tokens);
    let cond = case.tensor::<3>("in.context", context.device)?;
    let [cond_batch, cond_tokens, cond_channels] = cond.dims();
    let cond = context.torso(cond.reshape([cond_batch * cond_tokens, cond_channels]));
    let cross = block.cross_attn.context(cond, &RowGroups::uniform(cond_batch, cond_tokens));
    let modulation = flow.modulations().forward(&case.tensor::<2>("in.mod", context.device)?).swap_remove(index);

    let parts = [
        &modulation.shift_attn,
        &modulation.scale_attn,
        &modulation.gate_attn,
        &modulation.shift_mlp,
        &modulation.scale_mlp,
        &modulation.gate_mlp,
    ];
    let all = Tensor::cat(parts.into_iter().cloned().collect(), 1);
    checks.module("modulation", all, &case.values("out.modulation")?).await?;

    // The block, one part after the other, as its submodules saw it.
    let m = &modulation;
    let u = layer_norm_modulate(x.clone(), &m.scale_attn, &m.shift_attn, &batches, BLOCK_NORM_EPS);
    let found = block.self_attn.forward(u.clone(), Span::Full(&batches));
    checks.module("self_attn", found, &case.values("out.self_attn")?).await?;
    let h = block.self_attn.forward_residual(u, Span::Full(&batches), x.clone(), Some((&m.gate_attn, &batches)));
    let normed = layer_norm(h.clone(), Some(block.norm2.pair()), BLOCK_NORM_EPS);
    let found = block.cross_attn.forward(normed.clone(), &batches, &cross);
    checks.module("cross_attn", found, &case.values("out.cross_attn")?).await?;
    let h = block.cross_attn.forward_residual(|| normed, &batches, &cross, h);
    let u = layer_norm_modulate(h, &m.scale_mlp, &m.shift_mlp, &batches, BLOCK_NORM_EPS);
    checks.module("mlp", block.mlp.forward(u), &case.values("out.mlp")?).await?;

    let found = block.forward(x, &modulation, &cross, &batches);
    checks.module("y", found, &case.values("out.y")?).await
}

pub(super) async fn sparse_block(context: &Context<'_>, case: &Golden, checks: &mut Checks<'_>) -> Result<()> {
    let flow = context.latent_flow()?;
    let Some(block) = flow.blocks().first() else { return Ok(()) };
    let voxels = case.voxels("in.coords")?;
    let cond = case.tensor::<3>("in.context", context.device)?;
    let [batch, tokens, channels] = cond.dims();
    let cond = context.torso(cond.reshape([batch * tokens, channels]));
    let cross = block.cross_attn.context(cond, &RowGroups::uniform(batch, tokens));
    let modulation = flow.modulations().forward(&case.tensor::<2>("in.mod", context.device)?).swap_remove(0);
    let x = context.torso(case.tensor::<2>("in.feats", context.device)?);
    let found = block.forward(x, &modulation, &cross, voxels.batches());
    checks.module("y", found, &case.values("out.y")?).await
}

pub(super) async fn residual_blocks(context: &Context<'_>, case: &Golden, checks: &mut Checks<'_>) -> Result<()> {
    let flow = context.latent_flow()?;
    let sites = flow.sites(&case.voxels("in.coords")?);
    let modulations = flow.residual_modulation(&case.tensor::<2>("in.emb", context.device)?);
    let (inputs, outputs) = modulations.split_at(flow.input_blocks());
    let mut seen: Vec<(String, Tensor<2>)> = Vec::new();
    let feats = context.torso(case.tensor::<2>("in.feats", context.device)?);
    let (_, skips) = flow.input_side(feats, &sites, inputs, &mut |stage, h| seen.push((stage_name(stage), h.clone())));
    let mid = context.torso(case.tensor::<2>("in.mid", context.device)?);
    flow.output_side(mid, skips, &sites, outputs, &mut |stage, h| seen.push((stage_name(stage), h.clone())));
    checks.coords("coarse_coords", sites.tokens().coords(), &case.integers("out.coarse_coords")?);
    for (name, found) in seen {
        checks.module(&name, found, &case.values(&format!("out.{name}"))?).await?;
    }
    Ok(())
}

fn stage_name(stage: LatentStage) -> String {
    match stage {
        LatentStage::InputLayer => "input_layer".into(),
        LatentStage::InputBlock(i) => format!("in{i}"),
        LatentStage::Block(i) => format!("tf{i}"),
        LatentStage::OutBlock(i) => format!("out{i}"),
    }
}

/// The pipeline's network, or the case's own if it brings one.
pub(super) async fn structure_flow(
    context: &Context<'_>,
    name: &str,
    case: &Golden,
    checks: &mut Checks<'_>,
) -> Result<()> {
    let own = format!("{name}.model.safetensors");
    let flow = if context.files.list("cases").contains(&own) {
        context.structure_flow_of(&context.stored(&format!("cases/{name}.model"))?)?
    } else {
        context.structure_flow()?
    };
    // Inputs come as `x`, `cond` with `t`, `t0`, `t1`; a batch as `x_b2`, `cond_b2`, `t_b2`.
    for time in case.names().into_iter().filter(|n| n.starts_with("in.t")) {
        let suffix = &time["in.t".len()..];
        let (input, out) =
            if suffix.starts_with('_') { (suffix, suffix.to_owned()) } else { ("", format!("_t{suffix}")) };
        let out = if suffix.is_empty() { "y".to_owned() } else { format!("y{out}") };
        let x = case.tensor::<5>(&format!("in.x{input}"), context.device)?;
        let cond = case.tensor::<3>(&format!("in.cond{input}"), context.device)?;
        let moment = flow.moment(&case.values(time)?);
        let prepared = flow.condition(cond.clone())?;
        let (y, tokens) = flow.forward_with_tokens(x.clone(), &moment, &prepared)?;
        checks.module(&out, y, &case.values(&format!("out.{out}"))?).await?;
        let last = format!("h_blocklast_t{suffix}");
        if case.has(&format!("out.{last}")) {
            checks.module(&last, tokens, &case.values(&format!("out.{last}"))?).await?;
        }
        let zero = format!("{out}_uncond");
        if case.has(&format!("out.{zero}")) {
            let expected = case.values(&format!("out.{zero}"))?;
            let y = flow.forward(x.clone(), &moment, &flow.zero_condition())?;
            checks.module(&zero, y, &expected).await?;
            // The long way: what the constant replaces.
            let y = flow.forward(x, &moment, &flow.condition(cond.zeros_like())?)?;
            checks.module(&format!("{zero} (tokens)"), y, &expected).await?;
        }
    }
    Ok(())
}

pub(super) async fn latent_flow(context: &Context<'_>, case: &Golden, checks: &mut Checks<'_>) -> Result<()> {
    let flow = context.latent_flow()?;
    for time in case.names().into_iter().filter(|n| n.starts_with("in.t")) {
        let suffix = &time["in.t".len()..];
        let (input, out) =
            if suffix.starts_with('_') { (suffix, format!("y{suffix}")) } else { ("", format!("y_t{suffix}")) };
        let sites = flow.sites(&case.voxels(&format!("in.coords{input}"))?);
        let x = case.tensor::<2>(&format!("in.feats{input}"), context.device)?;
        let cond = case.tensor::<3>(&format!("in.cond{input}"), context.device)?;
        let moment = flow.moment(&case.values(time)?);
        let prepared = flow.condition(cond.clone())?;
        let mut seen: Vec<(String, Tensor<2>)> = Vec::new();
        let last = flow.input_blocks().wrapping_sub(1);
        let y = flow.forward_watched(x.clone(), &sites, &moment, &prepared, |stage, h| {
            let name = match stage {
                LatentStage::InputLayer => "h_input_layer".to_owned(),
                LatentStage::InputBlock(i) if i == last => "h_down".to_owned(),
                stage => format!("h_{}", stage_name(stage)),
            };
            seen.push((name, h.clone()));
        })?;
        // Inner features are given for the first time only.
        if suffix == "0" {
            checks.coords("coarse_coords", sites.tokens().coords(), &case.integers("out.coarse_coords")?);
            for (name, found) in seen {
                if case.has(&format!("out.{name}")) {
                    checks.module(&name, found, &case.values(&format!("out.{name}"))?).await?;
                }
            }
        }
        checks.module(&out, y, &case.values(&format!("out.{out}"))?).await?;
        let zero = format!("{out}_uncond");
        if case.has(&format!("out.{zero}")) {
            let expected = case.values(&format!("out.{zero}"))?;
            let y = flow.forward(x.clone(), &sites, &moment, &flow.zero_condition())?;
            checks.module(&zero, y, &expected).await?;
            let y = flow.forward(x, &sites, &moment, &flow.condition(cond.zeros_like())?)?;
            checks.module(&format!("{zero} (tokens)"), y, &expected).await?;
        }
    }
    Ok(())
}
