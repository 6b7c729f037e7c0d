//! Pictures of results: four views, or a turntable.

use maquette_image::Rgb;
use maquette_mesh::Gaussians;
use maquette_mesh::camera::{OrbitCamera, multiply, transform};
use maquette_mesh::glb::{Texture, TextureFormat};
use maquette_mesh::raster_gaussian::{GaussianView, render};
use maquette_mesh::raster_mesh::rasterize;

use crate::{Asset, Control, Error, Result};

/// What is shown.
#[derive(Clone, Copy, Debug)]
pub enum Subject<'a> {
    /// A finished object, with a little shade so that its form shows.
    Asset(&'a Asset),
    /// Gaussians, as they are.
    Gaussians(&'a Gaussians),
}

/// Background, sRGB.
const GROUND: [f32; 3] = [0.93; 3];
/// Share of light that comes from everywhere; the rest comes from the camera.
const AMBIENT: f32 = 0.55;

/// Four sides of a subject in one square PNG.
///
/// # Errors
/// [`Error::Mesh`], [`Error::Image`], [`Error::Cancelled`].
pub fn four_views(subject: Subject<'_>, side: u32, control: &Control) -> Result<Vec<u8>> {
    let side = side.clamp(16, 2048);
    let mut sheet = Rgb::filled(2 * side, 2 * side, 0)?;
    for n in 0..4u32 {
        control.check()?;
        let angle = f64::from(n) * std::f64::consts::FRAC_PI_2 + 0.3;
        let picture = picture(subject, &camera(angle, 0.35), side)?;
        let (column, row) = (n % 2 * side, n / 2 * side);
        for y in 0..side {
            let from = (y * side * 3) as usize;
            let to = (((row + y) * 2 * side + column) * 3) as usize;
            let width = (side * 3) as usize;
            sheet.data_mut()[to..to + width].copy_from_slice(&picture[from..from + width]);
        }
    }
    Ok(maquette_image::encode_png(&sheet)?)
}

/// A turn around a subject as an animated WebP that repeats forever.
///
/// # Errors
/// [`Error::Mesh`], [`Error::Cancelled`].
pub fn turntable(subject: Subject<'_>, side: u32, frames: u32, control: &Control) -> Result<Vec<u8>> {
    const FRAME_MILLISECONDS: u32 = 60;
    let side = side.clamp(16, 2048);
    let three = |n: u32| n.to_le_bytes()[..3].to_vec();
    // Extended header: flag bit 1 is animation; sizes are stored minus one.
    let mut chunks = chunk(b"VP8X", [vec![2, 0, 0, 0], three(side - 1), three(side - 1)].concat());
    chunks.extend(chunk(b"ANIM", vec![255, 255, 255, 255, 0, 0]));
    for n in 0..frames.clamp(1, 240) {
        control.check()?;
        let angle = std::f64::consts::TAU * f64::from(n) / f64::from(frames.clamp(1, 240));
        let rgb = picture(subject, &camera(angle, 0.35), side)?;
        let still = Texture { width: side, height: side, rgb }.encode(TextureFormat::WebP)?;
        // A still file is "RIFF", its size, "WEBP" and chunks; a frame holds the same chunks.
        let image = still.get(12..).unwrap_or_default().to_vec();
        let place = [three(0), three(0), three(side - 1), three(side - 1), three(FRAME_MILLISECONDS), vec![2]].concat();
        chunks.extend(chunk(b"ANMF", [place, image].concat()));
    }
    let length = u32::try_from(chunks.len() + 4)
        .map_err(|_| Error::option("turntable", "less than 4 GiB of frames", chunks.len()))?;
    Ok([b"RIFF".to_vec(), length.to_le_bytes().to_vec(), b"WEBP".to_vec(), chunks].concat())
}

fn chunk(name: &[u8; 4], data: Vec<u8>) -> Vec<u8> {
    let mut out = name.to_vec();
    out.extend((data.len() as u32).to_le_bytes());
    let odd = data.len() % 2 == 1;
    out.extend(data);
    if odd {
        out.push(0);
    }
    out
}

fn camera(yaw: f64, pitch: f64) -> OrbitCamera {
    OrbitCamera { yaw, pitch, radius: 2.0, fov: 40f64.to_radians() }
}

/// `side² · 3` bytes, rows from the top.
fn picture(subject: Subject<'_>, camera: &OrbitCamera, side: u32) -> Result<Vec<u8>> {
    match subject {
        Subject::Asset(asset) => asset_picture(asset, camera, side),
        Subject::Gaussians(gaussians) => gaussian_picture(gaussians, camera, side),
    }
}

fn byte(c: f32) -> u8 {
    (c.clamp(0.0, 1.0) * 255.0 + 0.5) as u8
}

fn gaussian_picture(gaussians: &Gaussians, camera: &OrbitCamera, side: u32) -> Result<Vec<u8>> {
    let tan = camera.tan_half_fov();
    let view = GaussianView {
        view: camera.view(),
        proj_view: multiply(&camera.projection(0.8, 1.6), &camera.view()),
        tan_half_fov: [tan, tan],
        size: [side; 2],
        background: GROUND[0],
        kernel_size: 0.1,
    };
    let image = render(gaussians, &view)?;
    let plane = image.transmittance.len();
    Ok((0..plane).flat_map(|i| [0, 1, 2].map(|c| byte(image.rgb[c * plane + i]))).collect())
}

fn asset_picture(asset: &Asset, camera: &OrbitCamera, side: u32) -> Result<Vec<u8>> {
    let mesh = &asset.mesh;
    mesh.validate()?;
    let matrix = multiply(&camera.projection_gl(0.1, 10.0), &camera.view_gl());
    let clip: Vec<[f32; 4]> = mesh.positions.iter().map(|p| transform(&matrix, *p)).collect();
    let image = rasterize(&clip, &mesh.faces, [side; 2])?;
    let eye = camera.eye().map(|c| c as f32);
    let towards = (eye[0] * eye[0] + eye[1] * eye[1] + eye[2] * eye[2]).sqrt().max(1e-6);
    let mut out = Vec::with_capacity((side * side * 3) as usize);
    for y in (0..side).rev() {
        for x in 0..side {
            let at = (y * side + x) as usize;
            let Some(face) = image.face(at) else {
                out.extend(GROUND.map(byte));
                continue;
            };
            let corners = mesh.faces[face].map(|v| v as usize);
            let [b0, b1] = image.bary[at];
            let weights = [b0, b1, 1.0 - b0 - b1];
            let normal = face_normal(corners.map(|v| mesh.positions[v]));
            let facing = (normal[0] * eye[0] + normal[1] * eye[1] + normal[2] * eye[2]).abs() / towards;
            let light = AMBIENT + (1.0 - AMBIENT) * facing;
            out.extend(colour(asset, corners, weights).map(|c| byte(c * light)));
        }
    }
    Ok(out)
}

fn face_normal([a, b, c]: [[f32; 3]; 3]) -> [f32; 3] {
    let d = |p: [f32; 3], q: [f32; 3]| [p[0] - q[0], p[1] - q[1], p[2] - q[2]];
    let (u, v) = (d(b, a), d(c, a));
    let n = [u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0]];
    let length = (n[0] * n[0] + n[1] * n[1] + n[2] * n[2]).sqrt();
    if length > 0.0 { n.map(|x| x / length) } else { [0.0; 3] }
}

/// Colour of a surface point: of the texture, else of the vertices, else grey.
fn colour(asset: &Asset, corners: [usize; 3], weights: [f32; 3]) -> [f32; 3] {
    let mesh = &asset.mesh;
    let blend = |value: &dyn Fn(usize) -> f32| (0..3).map(|k| weights[k] * value(corners[k])).sum::<f32>();
    match &asset.texture {
        Some(texture) if !mesh.uvs.is_empty() => {
            let texel = |c: f32, size: u32| ((c.clamp(0.0, 1.0) * size as f32) as u32).min(size.saturating_sub(1));
            let column = texel(blend(&|v| mesh.uvs[v][0]), texture.width);
            let row = texel(1.0 - blend(&|v| mesh.uvs[v][1]), texture.height);
            let at = ((row * texture.width + column) * 3) as usize;
            [0, 1, 2].map(|k| texture.rgb.get(at + k).map_or(0.7, |b| f32::from(*b) / 255.0))
        }
        _ if !mesh.colors.is_empty() => [0, 1, 2].map(|k| blend(&|v| mesh.colors[v][k])),
        _ => [0.7; 3],
    }
}

#[cfg(test)]
mod tests {
    use maquette_image::{DecodeOptions, decode};

    use super::*;

    fn ball() -> Asset {
        let mut mesh = maquette_mesh::shapes::sphere(12, 16, 0.4);
        mesh.colors = mesh.positions.iter().map(|_| [1.0, 0.0, 0.0]).collect();
        Asset { mesh, texture: None }
    }

    #[test]
    fn four_views_show_the_subject_on_its_ground() {
        let png = four_views(Subject::Asset(&ball()), 32, &Control::default()).unwrap();
        let picture = decode(&png, &DecodeOptions::default()).unwrap().pixels;
        assert_eq!(picture.size(), (64, 64));
        let [r, g, _, _] = *picture.pixel(16, 16).unwrap();
        assert!(r > 200 && g == 0, "{r} {g}");
        assert_eq!(picture.pixel(0, 0).unwrap()[0], 237);
    }

    #[test]
    fn a_turntable_is_an_animated_webp_that_decoders_open() {
        let file = turntable(Subject::Asset(&ball()), 32, 5, &Control::default()).unwrap();
        assert_eq!(file.windows(4).filter(|w| w == b"ANMF").count(), 5);
        let first = decode(&file, &DecodeOptions::default()).unwrap();
        assert_eq!(first.pixels.size(), (32, 32));
    }
}
