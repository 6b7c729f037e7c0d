//! Pictures beside turntable views of the GLBs made of them.

use maquette::export;
use maquette::maquette_image::{Rgb, encode_png};
use maquette::maquette_mesh::glb::{Texture, TextureFormat};
use maquette::preview::{self, Subject};
use maquette::{Control, SurfaceOptions, TrellisImageTo3d, build_asset_on, files};

use crate::{Arguments, Failure};

/// Views beside each picture, in a turn; the first is near the picture's own side.
const VIEWS: u32 = 4;
/// Pixels between objects.
const GAP: u32 = 6;

pub async fn run(pipeline: &TrellisImageTo3d, arguments: &Arguments) -> Result<(), Failure> {
    let (count, side) = (arguments.count("count", 32)?.max(1), arguments.count("side", 96)?);
    let columns = arguments.count("columns", 4)?.clamp(1, count);
    let (cell, control) = ((1 + VIEWS) * side + GAP, Control::default());
    let mut sheet = Rgb::filled(columns * cell - GAP, count.div_ceil(columns) * (side + GAP) - GAP, 255)?;
    let surface = SurfaceOptions { faces: Some(8000), texture_size: Some(512), ..Default::default() };
    for object in 0..count {
        let picture = arguments.cutout(object)?;
        let options = arguments.generation(object)?;
        let generated = pipeline.generate(std::slice::from_ref(&picture), &options, &control).await?;
        let (mesh, gaussians) = (generated.mesh, generated.gaussians);
        let asset = build_asset_on(pipeline.gpu(), mesh, Some(&gaussians), &surface, &control).await?;
        let (left, top) = (object % columns * cell, object / columns * (side + GAP));
        preview::paste(&mut sheet, &picture.prepared(side)?, left, top);
        for n in 0..VIEWS {
            // half a turn first: pictures show the front, which faces -y
            let yaw = std::f64::consts::PI + std::f64::consts::TAU * f64::from(n) / f64::from(VIEWS);
            preview::paste(&mut sheet, &preview::view(Subject::Asset(&asset), yaw, side)?, left + (1 + n) * side, top);
        }
        println!(
            "object {object}: {} faces, {} bytes",
            asset.mesh.faces.len(),
            export::glb(&asset, &Default::default())?.len()
        );
    }
    let bytes = if arguments.out.extension().is_some_and(|e| e.eq_ignore_ascii_case("webp")) {
        Texture { width: sheet.width(), height: sheet.height(), rgb: sheet.into_data() }.encode(TextureFormat::WebP)?
    } else {
        encode_png(&sheet)?
    };
    files::write(&arguments.out, &bytes)?;
    println!("{}: {} bytes", arguments.out.display(), bytes.len());
    Ok(())
}
