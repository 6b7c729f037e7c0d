//! Cases of single operators.

use burn::tensor::{FloatDType, Tensor};
use maquette_kernels::{
    Activation, Conv3, Linear, activate, conv3_sparse, downsample, group_norm, layer_norm, linear, pixel_shuffle,
    rms_norm_heads, rows_to_volume, subdivide, upsample, volume_to_rows, windowed_attention,
};
use maquette_models::{
    nn::{self, timestep_frequencies},
    trellis::{patchify, unpatchify},
};

use super::{
    Result, VerifyError,
    checks::{Bound, Checks},
    context::{Context, Stored},
    golden::Golden,
};

/// The reference rounds frequencies and phases to f32; exact arithmetic differs by this much at t = 1000.
const TIMESTEP: Bound = Bound::Absolute(5e-5);

pub(super) async fn timestep_embedding(context: &Context<'_>, case: &Golden, checks: &mut Checks<'_>) -> Result<()> {
    let times = case.values("in.t")?;
    checks.within("freq", timestep_frequencies(&times, context.device), &case.values("out.freq")?, TIMESTEP).await?;
    let embedded = context.structure_flow()?.t_embedder().forward(&times);
    checks.within("emb", embedded, &case.values("out.emb")?, TIMESTEP).await
}

pub(super) async fn position_embedding(context: &Context<'_>, case: &Golden, checks: &mut Checks<'_>) -> Result<()> {
    let coords = case.voxels("in.coords")?;
    for name in case.names() {
        if let Some(channels) = name.strip_prefix("out.ch").and_then(|n| n.parse().ok()) {
            let found = nn::position_embedding(coords.coords(), channels, context.device);
            checks.exact_module(&name["out.".len()..], found, &case.values(name)?).await?;
        }
    }
    Ok(())
}

pub(super) async fn spatial(context: &Context<'_>, case: &Golden, checks: &mut Checks<'_>) -> Result<()> {
    let x = case.tensor::<5>("in.x", context.device)?;
    let (stored, [batch, channels, nx, ny, nz]) = (case.shape("out.patchify2")?, x.dims());
    let tokens = patchify(x.clone(), 2);
    let wide = tokens.clone().swap_dims(1, 2).reshape([batch, channels * 8, nx / 2, ny / 2, nz / 2]);
    if stored != wide.dims() {
        let problem = format!("`out.patchify2` has shape {stored:?}, expected {:?}", wide.dims());
        return Err(VerifyError::Content { path: "spatial operators".into(), problem });
    }
    checks.within("patchify2", wide, &case.values("out.patchify2")?, Bound::Identical).await?;
    let back = unpatchify(tokens, 2, [nx / 2, ny / 2, nz / 2]);
    checks.within("unpatchify2", back, &case.values("out.unpatchify2")?, Bound::Identical).await?;
    let (rows, grid) = volume_to_rows(case.tensor::<5>("in.y", context.device)?);
    let shuffled = rows_to_volume(pixel_shuffle(rows, grid), grid.doubled());
    checks.within("pixel_shuffle2", shuffled, &case.values("out.pixel_shuffle2")?, Bound::Identical).await
}

/// A parameter of a stored network, f32.
fn parameter<const D: usize>(
    context: &Context<'_>,
    stored: &Stored,
    name: &str,
    shape: [usize; D],
) -> Result<Tensor<D>> {
    let view = stored.weights.tensor(name)?;
    view.expect_shape(&shape)?;
    let data = burn::tensor::TensorData::new(view.to_f32(), shape);
    Ok(Tensor::from_data(data, (context.device, burn::tensor::DType::F32)))
}

pub(super) async fn norms(context: &Context<'_>, case: &Golden, checks: &mut Checks<'_>) -> Result<()> {
    let flow = context.network("sparse_structure_flow_model")?;
    let qk = context.torso(case.tensor::<4>("in.qk", context.device)?);
    let [b, l, heads, dim] = qk.dims();
    let gamma = parameter(context, &flow, "blocks.0.self_attn.q_rms_norm.gamma", [heads, dim])?;
    let rms = rms_norm_heads(qk.reshape([b * l, heads, dim]), &gamma);
    checks.module("rms", rms, &case.values("out.rms")?).await?;

    let x = context.torso(case.tensor::<3>("in.x", context.device)?);
    let [b, l, c] = x.dims();
    let x = x.reshape([b * l, c]);
    let plain = layer_norm(x.clone(), None, nn::BLOCK_NORM_EPS);
    checks.module("ln_noaffine", plain, &case.values("out.ln_noaffine")?).await?;
    let weight = parameter(context, &flow, "blocks.0.norm2.weight", [c])?;
    let bias = parameter(context, &flow, "blocks.0.norm2.bias", [c])?;
    let affine = layer_norm(x, Some((&weight, &bias)), nn::BLOCK_NORM_EPS);
    checks.module("ln_affine", affine, &case.values("out.ln_affine")?).await?;

    let decoder = context.network("sparse_structure_decoder")?;
    let (rows, grid) = volume_to_rows(context.torso(case.tensor::<5>("in.vol", context.device)?));
    let c = rows.dims()[1];
    let weight = parameter(context, &decoder, "middle_block.0.norm1.weight", [c])?;
    let bias = parameter(context, &decoder, "middle_block.0.norm1.bias", [c])?;
    let found = rows_to_volume(layer_norm(rows, Some((&weight, &bias)), nn::DEFAULT_NORM_EPS), grid);
    checks.module("channel_ln", found, &case.values("out.channel_ln")?).await?;

    let decoder = context.network("slat_decoder_mesh")?;
    let voxels = case.voxels("in.sp_coords")?;
    let feats = context.torso(case.tensor::<2>("in.sp_feats", context.device)?);
    let c = feats.dims()[1];
    let weight = parameter(context, &decoder, "upsample.0.act_layers.0.weight", [c])?;
    let bias = parameter(context, &decoder, "upsample.0.act_layers.0.bias", [c])?;
    let found = group_norm(feats, voxels.batches(), 32, (&weight, &bias), nn::DEFAULT_NORM_EPS);
    checks.module("sparse_group_norm", found.clone(), &case.values("out.sparse_group_norm")?).await?;
    let found = activate(found, Activation::Silu);
    checks.module("sparse_group_norm_silu", found, &case.values("out.sparse_group_norm_silu")?).await
}

pub(super) async fn resampling(context: &Context<'_>, case: &Golden, checks: &mut Checks<'_>) -> Result<()> {
    let voxels = case.voxels("in.coords")?;
    let feats = context.torso(case.tensor::<2>("in.feats", context.device)?);
    let down = voxels.coarsened();
    checks.coords("down_coords", down.coarse.coords(), &case.integers("out.down_coords")?);
    let parents: Vec<i64> = down.parents().iter().map(|p| i64::from(*p)).collect();
    checks.identical("idx", &parents, &case.integers("out.idx")?);
    checks.module("down_feats", downsample(feats.clone(), down), &case.values("out.down_feats")?).await?;
    let coarse = context.torso(case.tensor::<2>("in.coarse_feats", context.device)?);
    checks.module("up_feats", upsample(coarse, down), &case.values("out.up_feats")?).await?;
    checks.coords("up_coords", voxels.coords(), &case.integers("out.up_coords")?);
    checks.coords("subdivide_coords", voxels.subdivided().coords(), &case.integers("out.subdivide_coords")?);
    checks.module("subdivide_feats", subdivide(feats), &case.values("out.subdivide_feats")?).await
}

pub(super) async fn submanifold(context: &Context<'_>, case: &Golden, checks: &mut Checks<'_>) -> Result<()> {
    let voxels = case.voxels("in.coords")?;
    let feats = context.torso(case.tensor::<2>("in.feats", context.device)?);
    let weight = context.torso(case.tensor::<5>("in.weight3", context.device)?);
    let [outputs, _, _, _, inputs] = weight.dims();
    let layer = Conv3 {
        weight: weight.reshape([outputs, 27 * inputs]),
        bias: context.torso(case.tensor::<1>("in.bias3", context.device)?),
    };
    let found = conv3_sparse(feats.clone(), &layer, voxels.neighbours());
    checks.module("y3", found, &case.values("out.y3")?).await?;
    for (weight, bias, out) in [("in.weight1", Some("in.bias1"), "out.y1"), ("in.weight1_sq", None, "out.y1_sq")] {
        if !case.has(weight) {
            continue;
        }
        let weight = context.torso(case.tensor::<5>(weight, context.device)?);
        let [outputs, _, _, _, inputs] = weight.dims();
        // The buffer is viewed as [in, out], not transposed.
        let weight = weight.reshape([inputs, outputs]).transpose();
        let bias = bias.map(|name| case.tensor::<1>(name, context.device)).transpose()?.map(|b| context.torso(b));
        let found = linear(feats.clone(), &Linear { weight, bias }, Activation::None);
        checks.module(&out["out.".len()..], found, &case.values(out)?).await?;
    }
    Ok(())
}

pub(super) async fn windowed(context: &Context<'_>, case: &Golden, checks: &mut Checks<'_>) -> Result<()> {
    // The window's edge is the decoders'; the shift is in the tensors' names.
    let decoder = context.network("slat_decoder_gs").ok();
    let size = decoder.and_then(|d| d.args.get("window_size").and_then(serde_json::Value::as_i64)).unwrap_or(8) as i32;
    let voxels = case.voxels("in.coords")?;
    let qkv = context.torso(case.tensor::<4>("in.qkv", context.device)?);
    let [rows, _, heads, dim] = qkv.dims();
    let qkv = qkv.reshape([rows, 3 * heads, dim]);
    let part = |i: usize| qkv.clone().slice([0..rows, i * heads..(i + 1) * heads, 0..dim]);
    for name in case.names() {
        let Some(shift) = name.strip_prefix("out.y_shift").and_then(|n| n.parse::<i32>().ok()) else { continue };
        let windows = voxels.windows(size, shift);
        let ranks: Vec<i64> = windows.window_of_voxel().iter().map(|w| i64::from(*w)).collect();
        let rank = format!("window_of_voxel_shift{shift}");
        checks.identical(&rank, &ranks, &case.integers(&format!("out.{rank}"))?);
        let lengths: Vec<i64> = (0..windows.groups().len()).map(|g| windows.groups().range(g).len() as i64).collect();
        let length = format!("seq_lens_shift{shift}");
        checks.identical(&length, &lengths, &case.integers(&format!("out.{length}"))?);
        let found = windowed_attention(part(0), part(1), part(2), &windows).cast(FloatDType::F32);
        checks.module(&format!("y_shift{shift}"), found, &case.values(name)?).await?;
    }
    Ok(())
}
