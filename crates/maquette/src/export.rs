//! Files of a finished object, as bytes.

use maquette_gpu::Tier;
use maquette_mesh::formats::{UpAxis, gaussian_ply, mesh_ply, obj, stl};
use maquette_mesh::glb::{GlbOptions, TextureFormat};
use maquette_mesh::{Gaussians, glb};
use maquette_models::sampler::MultiImage;
use serde_json::{Value, json};

use crate::{Asset, Error, GenerateOptions, Noise, Result, Sampling};

/// Millimetres a unit in STL files, which printers read as millimetres: the object's cube becomes 10 cm.
const STL_SCALE: f32 = 100.0;

/// A kind of file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// glTF binary, y up.
    Glb,
    /// Gaussians in the form of 3D Gaussian Splatting.
    GaussianPly,
    /// The mesh as PLY with vertex colours, y up.
    MeshPly,
    /// Wavefront OBJ with MTL and PNG beside it, y up.
    Obj,
    /// STL for printing, z up, millimetres.
    Stl,
}

impl Format {
    /// The format that a file name asks for: `.glb`, `.ply` (Gaussians), `.mesh.ply`, `.obj`, `.stl`.
    ///
    /// # Errors
    /// [`Error::Option`] for another ending.
    pub fn of_name(name: &str) -> Result<Self> {
        let lower = name.to_lowercase();
        [
            (".glb", Self::Glb),
            (".mesh.ply", Self::MeshPly),
            (".ply", Self::GaussianPly),
            (".obj", Self::Obj),
            (".stl", Self::Stl),
        ]
        .into_iter()
        .find_map(|(ending, format)| lower.ends_with(ending).then_some(format))
        .ok_or_else(|| Error::option("output format", "a name ending in .glb, .ply, .mesh.ply, .obj or .stl", name))
    }
}

/// What is needed to make an object again, for a GLB's extras: model, seed and settings. `faces` and `texture_size` are as asked
/// for, 0 for "all" and for "none".
#[must_use]
pub fn provenance(
    model: &str,
    tier: Tier,
    options: &GenerateOptions,
    faces: usize,
    texture_size: u32,
) -> serde_json::Map<String, Value> {
    let sampling = |s: &Sampling| json!({"steps": s.steps, "guidance": s.guidance, "interval": s.interval, "rescale_t": s.rescale_t});
    let seed = match options.noise {
        Noise::Seed(seed) => seed.into(),
        Noise::Given { .. } => Value::Null,
    };
    let multi = match options.multi {
        MultiImage::Stochastic => "stochastic",
        MultiImage::MultiDiffusion => "multidiffusion",
    };
    [
        ("model", model.into()),
        ("seed", seed),
        ("structure", sampling(&options.structure)),
        ("latent", sampling(&options.latent)),
        ("multi", multi.into()),
        ("faces", faces.into()),
        ("texture_size", texture_size.into()),
        ("tier", tier.name().into()),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), value))
    .collect()
}

/// A GLB.
///
/// # Errors
/// [`Error::Mesh`].
pub fn glb(asset: &Asset, options: &GlbOptions) -> Result<Vec<u8>> {
    Ok(glb::write(&asset.mesh, asset.texture.as_ref(), options)?)
}

/// The files of a format: names with their bytes, the asked one last, so that what it refers to is there first.
///
/// # Errors
/// [`Error::Mesh`]; [`Error::Option`] for a Gaussian file without Gaussians.
pub fn files(
    name: &str,
    format: Format,
    asset: &Asset,
    gaussians: Option<&Gaussians>,
    options: &GlbOptions,
) -> Result<Vec<(String, Vec<u8>)>> {
    let bytes = match format {
        Format::Glb => glb(asset, options)?,
        Format::GaussianPly => {
            let Some(gaussians) = gaussians else {
                return Err(Error::option("output format", "a mesh format: there are no Gaussians", name));
            };
            gaussian_ply::write(gaussians, gaussian_ply::Frame::Reference)?
        }
        Format::MeshPly => mesh_ply::write(&asset.mesh, UpAxis::Y)?,
        Format::Stl => stl::write(&asset.mesh, UpAxis::Z, STL_SCALE)?,
        Format::Obj => return obj_files(name, asset),
    };
    Ok(vec![(name.to_owned(), bytes)])
}

fn obj_files(name: &str, asset: &Asset) -> Result<Vec<(String, Vec<u8>)>> {
    let stem = name.get(..name.len().saturating_sub(4)).unwrap_or(name);
    let picture = asset.texture.as_ref().map(|_| format!("{stem}.png"));
    let written = obj::write(&asset.mesh, UpAxis::Y, stem, picture.as_deref())?;
    let mut files = Vec::new();
    if let (Some(texture), Some(picture)) = (&asset.texture, picture) {
        files.push((picture, texture.encode(TextureFormat::Png)?));
    }
    if let Some(mtl) = written.mtl {
        files.push((format!("{stem}.mtl"), mtl.into_bytes()));
    }
    files.push((name.to_owned(), written.obj.into_bytes()));
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_formats() {
        assert_eq!(Format::of_name("a.GLB").unwrap(), Format::Glb);
        assert_eq!(Format::of_name("a.mesh.ply").unwrap(), Format::MeshPly);
        assert_eq!(Format::of_name("a.ply").unwrap(), Format::GaussianPly);
        assert_eq!(Format::of_name("a.fbx").unwrap_err().class().code, "maquette::output::format");
    }
}
