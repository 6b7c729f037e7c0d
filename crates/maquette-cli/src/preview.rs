//! `maquette preview`: pictures of a finished file.

use maquette::maquette_image::{DecodeOptions, decode};
use maquette::maquette_mesh::formats::gaussian_ply;
use maquette::maquette_mesh::glb::Texture;
use maquette::preview::{Subject, four_views, turntable};
use maquette::{Asset, Control, Error, files, stage_files};
use pollster::block_on;

use crate::args::{Preview, ShowArg};
use crate::info::read_glb;
use crate::report::{self, Failure};

pub fn run(args: &Preview) -> Result<(), Failure> {
    let output = args.output.clone().unwrap_or_else(|| args.file.with_extension("png"));
    let webp = match output.extension().map(|e| e.to_string_lossy().to_lowercase()) {
        Some(e) if e == "png" => false,
        Some(e) if e == "webp" => true,
        _ => {
            let found = output.display().to_string();
            return Err(Error::Option { option: "output format", expected: ".png or .webp".into(), found }.into());
        }
    };
    files::check_target(&output, args.overwrite)?;
    let control = Control::default();
    let draw = |subject: Subject<'_>| -> Result<Vec<u8>, Failure> {
        Ok(if webp {
            block_on(turntable(subject, args.size, args.frames, &control))?
        } else {
            block_on(four_views(subject, args.size, &control))?
        })
    };
    let ends = |with: &str| args.file.extension().is_some_and(|e| e.eq_ignore_ascii_case(with));
    let bytes = if ends("safetensors") {
        let name = args.file.display().to_string();
        draw(Subject::Gaussians(&stage_files::read_gaussians(&name, files::read(&args.file)?)?))?
    } else if ends("ply") {
        let gaussians = gaussian_ply::read(&files::read(&args.file)?, gaussian_ply::Frame::Reference)
            .map_err(|e| Failure::with_code(Error::Mesh(e), "maquette::picture::damaged"))?;
        draw(Subject::Gaussians(&gaussians))?
    } else {
        let (contents, _) = read_glb(&args.file)?;
        let texture = match &contents.texture {
            Some(file) => {
                let picture = decode(&file.bytes, &DecodeOptions::default())?.pixels.to_rgb()?;
                Some(Texture { width: picture.width(), height: picture.height(), rgb: picture.into_data() })
            }
            None => None,
        };
        let asset = Asset { mesh: contents.mesh, texture };
        draw(match args.show {
            ShowArg::Texture => Subject::Asset(&asset),
            ShowArg::Normals => Subject::Normals(&asset),
        })?
    };
    files::write(&output, &bytes)?;
    report::print(&format!("{}\n", output.display()))
}
