//! Cases of picture preparation and of the picture encoder.

use burn::tensor::{DType, Tensor, TensorData};
use maquette_image::{DecodeOptions, IMAGENET_MEAN, IMAGENET_STD, Rgb, decode, normalise_chw, prepare};

use super::{Result, VerifyError, checks::Checks, context::Context, golden::Golden};

/// `p1_soft` of `p1_soft.in.png`.
pub(super) fn picture_name(file: &str) -> Option<&str> {
    file.split_once(".in.").map(|(name, _)| name)
}

fn bytes(data: &[u8]) -> Vec<i64> {
    data.iter().map(|b| i64::from(*b)).collect()
}

/// `preprocess/<name>.in.*` → `<name>.out.png`, bit for bit.
pub(super) fn prepared_picture(context: &Context<'_>, name: &str, checks: &mut Checks<'_>) -> Result<()> {
    let files = context.files.list("preprocess");
    let read = |path: &str| -> Result<maquette_image::Picture> {
        Ok(decode(&context.files.read(&format!("preprocess/{path}"))?, &DecodeOptions::default())?)
    };
    let find = |part: &str| files.iter().find(|f| f.starts_with(&format!("{name}.{part}.")));
    let Some(input) = find("in") else { return Ok(()) };
    let picture = read(input)?;
    let cutout = if picture.has_alpha() {
        picture.pixels
    } else {
        // Without a cut-out the matting network's mask is given. JPEG decoders differ, so the reference's pixels are used.
        let opaque = match find("decoded") {
            Some(decoded) => read(decoded)?.opaque()?,
            None => picture.opaque()?,
        };
        if let Some(resized) = find("resized") {
            checks.identical("resized", &bytes(opaque.data()), &bytes(read(resized)?.pixels.to_rgb()?.data()));
        }
        let Some(mask) = find("mask") else {
            return Err(VerifyError::File { path: format!("preprocess/{name}.mask.png"), problem: "not there".into() });
        };
        // The mask is the cut-out's alpha as it is; the network's own path multiplies the colours by it once more.
        let mut cutout = opaque.to_rgba()?;
        let mask = read(mask)?.to_mask()?;
        for (pixel, alpha) in cutout.data_mut().chunks_exact_mut(4).zip(mask.pixels()) {
            pixel[3] = alpha[0];
        }
        cutout
    };
    let Some(out) = find("out") else { return Ok(()) };
    let expected = read(out)?.pixels.to_rgb()?;
    let found = prepare(&cutout, expected.width())?;
    checks.identical("prepared", &bytes(found.rgb.data()), &bytes(expected.data()));
    Ok(())
}

/// The encoder's input of a prepared picture, `[1, 3, h, w]`.
pub(super) fn encoder_input(context: &Context<'_>, picture: &Rgb) -> Result<Tensor<4>> {
    let values = normalise_chw(picture, IMAGENET_MEAN, IMAGENET_STD)?;
    let data = TensorData::new(values, [1, 3, picture.height() as usize, picture.width() as usize]);
    Ok(Tensor::from_data(data, (context.device, DType::F32)))
}

/// `e2e/input.png`, prepared.
pub(super) fn end_to_end_picture(context: &Context<'_>, checks: &mut Checks<'_>) -> Result<Rgb> {
    let picture = decode(&context.files.read("e2e/input.png")?, &DecodeOptions::default())?;
    let expected = decode(&context.files.read("e2e/preprocessed.png")?, &DecodeOptions::default())?.pixels.to_rgb()?;
    let found = prepare(&picture.pixels, expected.width())?;
    checks.identical("preprocessed", &bytes(found.rgb.data()), &bytes(expected.data()));
    Ok(found.rgb)
}

/// `cases/dinov2_*`.
pub(super) async fn tokens(context: &Context<'_>, case: &Golden, checks: &mut Checks<'_>) -> Result<()> {
    let dino = context.dino()?;
    let image = case.tensor::<4>("in.image", context.device)?;
    let [_, _, height, width] = image.dims();
    let grid = [height / dino.patch_size(), width / dino.patch_size()];
    checks.exact_module("pos_embed", dino.position_embedding(grid[0], grid[1]), &case.values("out.pos_embed")?).await?;
    checks.exact_module("tokens0", dino.embed(image.clone())?, &case.values("out.tokens0")?).await?;
    let output = dino.forward(image.clone())?;
    checks.exact_module("x_prenorm", output.x_prenorm.clone(), &case.values("out.x_prenorm")?).await?;
    checks.exact_module("cond", output.condition(), &case.values("out.cond")?).await?;
    let [batch, _, channels] = output.x_prenorm.dims();
    let class = dino.normed(output.x_prenorm.clone()).slice([0..batch, 0..1, 0..channels]);
    checks.exact_module("x_norm_clstoken", class, &case.values("out.x_norm_clstoken")?).await?;
    // The last intermediate layer is the output.
    if let Some(last) = dino.depth().checked_sub(1) {
        let layers = dino.intermediate_layers(image, &[last], false)?;
        for layer in layers {
            checks.exact_module("x_prenorm (intermediate)", layer, &case.values("out.x_prenorm")?).await?;
        }
    }
    Ok(())
}
