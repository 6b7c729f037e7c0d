//! Pictures of results: four views, or a turntable.

use maquette_image::Rgb;
use maquette_mesh::camera::{OrbitCamera, multiply, transform};
use maquette_mesh::glb::{Texture, TextureFormat};
use maquette_mesh::raster_gaussian::{GaussianView, render};
use maquette_mesh::raster_mesh::rasterize;
use maquette_mesh::{Gaussians, TriangleMesh};

use crate::{Asset, Control, Error, Result};

/// What is shown.
#[derive(Clone, Copy, Debug)]
pub enum Subject<'a> {
    /// A finished object, with a little shade so that its form shows.
    Asset(&'a Asset),
    /// A finished object's directions: red, green and blue are x, y and z of the normal seen from the camera (right, up,
    /// towards it), from −1 to 1.
    Normals(&'a Asset),
    /// Gaussians, as they are.
    Gaussians(&'a Gaussians),
}

/// Side of a view in pixels, where nothing else is asked for.
pub const SIDE: u32 = 512;
/// Frames of a turn, where nothing else is asked for.
pub const FRAMES: u32 = 36;
/// Background, sRGB.
const GROUND: [f32; 3] = [0.93; 3];
/// Share of light that comes from everywhere; the rest comes from the camera.
const AMBIENT: f32 = 0.55;

/// A subject from the height of 0.35 radians, turned by `yaw` radians, `side` pixels wide and high (16 to 2048).
///
/// # Errors
/// [`Error::Mesh`], [`Error::Image`].
pub fn view(subject: Subject<'_>, yaw: f64, side: u32) -> Result<Rgb> {
    let side = side.clamp(16, 2048);
    Ok(Rgb::new(side, side, picture(subject, &camera(yaw, 0.35), side)?)?)
}

/// Copies `part` into `sheet` with its corner at (`left`, `top`); what does not fit is left out.
pub fn paste(sheet: &mut Rgb, part: &Rgb, left: u32, top: u32) {
    let width = part.width().min(sheet.width().saturating_sub(left)) as usize * 3;
    let (stride, own) = (sheet.width() as usize * 3, part.width() as usize * 3);
    for y in 0..part.height().min(sheet.height().saturating_sub(top)) {
        let (to, from) = ((top + y) as usize * stride + left as usize * 3, y as usize * own);
        sheet.data_mut()[to..to + width].copy_from_slice(&part.data()[from..from + width]);
    }
}

/// Four sides of a subject in one square PNG. Between two of them it rests (see [`Control::with_pauses`]). The same subject gives
/// the same bytes on every platform.
///
/// # Errors
/// [`Error::Mesh`], [`Error::Image`], [`Error::Cancelled`].
pub async fn four_views(subject: Subject<'_>, side: u32, control: &Control) -> Result<Vec<u8>> {
    let side = side.clamp(16, 2048);
    let mut sheet = Rgb::filled(2 * side, 2 * side, 0)?;
    for n in 0..4u32 {
        control.rest().await?;
        let angle = f64::from(n) * std::f64::consts::FRAC_PI_2 + 0.3;
        paste(&mut sheet, &view(subject, angle, side)?, n % 2 * side, n / 2 * side);
    }
    Ok(maquette_image::encode_png(&sheet)?)
}

/// A turn around a subject as an animated WebP that repeats forever. Between two frames it rests (see [`Control::with_pauses`]). The
/// same subject gives the same pixels on every platform.
///
/// # Errors
/// [`Error::Mesh`], [`Error::Cancelled`].
pub async fn turntable(subject: Subject<'_>, side: u32, frames: u32, control: &Control) -> Result<Vec<u8>> {
    const FRAME_MILLISECONDS: u32 = 60;
    let side = side.clamp(16, 2048);
    let three = |n: u32| n.to_le_bytes()[..3].to_vec();
    // Extended header: flag bit 1 is animation; sizes are stored minus one.
    let mut chunks = chunk(b"VP8X", [vec![2, 0, 0, 0], three(side - 1), three(side - 1)].concat());
    chunks.extend(chunk(b"ANIM", vec![255, 255, 255, 255, 0, 0]));
    for n in 0..frames.clamp(1, 240) {
        control.rest().await?;
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
        Subject::Asset(asset) => mesh_picture(&asset.mesh, camera, side, &|corners, weights, normal| {
            let light = AMBIENT + (1.0 - AMBIENT) * normal[2].abs();
            colour(asset, corners, weights).map(|c| c * light)
        }),
        Subject::Normals(asset) => {
            mesh_picture(&asset.mesh, camera, side, &|_, _, normal| normal.map(|n| 0.5 + 0.5 * n))
        }
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

/// A mesh as a camera sees it. `shade` makes a colour of a point's corners, its weights among them, and the face's normal in
/// camera space (right, up, towards the camera).
fn mesh_picture(
    mesh: &TriangleMesh,
    camera: &OrbitCamera,
    side: u32,
    shade: &dyn Fn([usize; 3], [f32; 3], [f32; 3]) -> [f32; 3],
) -> Result<Vec<u8>> {
    mesh.validate()?;
    let view = camera.view_gl();
    let matrix = multiply(&camera.projection_gl(0.1, 10.0), &view);
    let clip: Vec<[f32; 4]> = mesh.positions.iter().map(|p| transform(&matrix, *p)).collect();
    let image = rasterize(&clip, &mesh.faces, [side; 2])?;
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
            let normal = face_normal(corners.map(|v| mesh.positions[v]));
            let seen = [0, 1, 2].map(|r: usize| (0..3).map(|k| view[r][k] * normal[k]).sum::<f32>());
            out.extend(shade(corners, [b0, b1, 1.0 - b0 - b1], seen).map(byte));
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
    use pollster::block_on;

    use super::*;
    use crate::CancelToken;

    fn ball() -> Asset {
        let mut mesh = maquette_mesh::shapes::sphere(12, 16, 0.4);
        mesh.colors = mesh.positions.iter().map(|_| [1.0, 0.0, 0.0]).collect();
        Asset { mesh, texture: None }
    }

    #[test]
    fn four_views_show_the_subject_on_its_ground() {
        let png = block_on(four_views(Subject::Asset(&ball()), 32, &Control::default())).unwrap();
        let picture = decode(&png, &DecodeOptions::default()).unwrap().pixels;
        assert_eq!(picture.size(), (64, 64));
        let [r, g, _, _] = *picture.pixel(16, 16).unwrap();
        assert!(r > 200 && g == 0, "{r} {g}");
        assert_eq!(picture.pixel(0, 0).unwrap()[0], 237);
    }

    #[test]
    fn normals_show_as_colours_of_the_camera() {
        let png = block_on(four_views(Subject::Normals(&ball()), 32, &Control::default())).unwrap();
        let picture = decode(&png, &DecodeOptions::default()).unwrap().pixels;
        // The middle looks at the camera, the left to the left, the upper edge up.
        let [r, g, b, _] = *picture.pixel(16, 16).unwrap();
        assert!(r.abs_diff(128) < 40 && g.abs_diff(128) < 40 && b > 230, "{r} {g} {b}");
        assert!(picture.pixel(9, 16).unwrap()[0] < 70);
        assert!(picture.pixel(16, 9).unwrap()[1] > 190);
        let [r, g, b, _] = *picture.pixel(0, 0).unwrap();
        assert_eq!([r, g, b], [237; 3]);
    }

    #[test]
    fn gaussians_are_drawn_on_the_same_ground() {
        let means: Vec<[f32; 3]> = maquette_mesh::shapes::sphere(24, 32, 0.35).positions;
        let n = means.len();
        let gaussians = Gaussians {
            f_dc: vec![[-1.7, 1.7, -1.7]; n],
            scales: vec![[0.03; 3]; n],
            quats: vec![[1.0, 0.0, 0.0, 0.0]; n],
            opacities: vec![0.95; n],
            means,
        };
        let png = block_on(four_views(Subject::Gaussians(&gaussians), 32, &Control::default())).unwrap();
        let picture = decode(&png, &DecodeOptions::default()).unwrap().pixels;
        let [r, g, _, _] = *picture.pixel(16, 16).unwrap();
        assert!(g > 200 && r < 40, "{r} {g}");
        let file = block_on(turntable(Subject::Gaussians(&gaussians), 32, 3, &Control::default())).unwrap();
        assert_eq!(file.windows(4).filter(|w| w == b"ANMF").count(), 3);
    }

    #[test]
    fn a_turntable_is_an_animated_webp_that_decoders_open() {
        let file = block_on(turntable(Subject::Asset(&ball()), 32, 5, &Control::default())).unwrap();
        assert_eq!(file.windows(4).filter(|w| w == b"ANMF").count(), 5);
        let first = decode(&file, &DecodeOptions::default()).unwrap();
        assert_eq!(first.pixels.size(), (32, 32));
    }

    #[test]
    fn pictures_rest_between_views_and_stop_when_asked_to() {
        let cancel = CancelToken::default();
        let (rests, asked) = (std::sync::Arc::new(std::sync::atomic::AtomicU32::new(0)), cancel.clone());
        let seen = rests.clone();
        let control = Control::new(cancel, |_| {}).with_pauses(move || {
            if seen.fetch_add(1, std::sync::atomic::Ordering::Relaxed) == 2 {
                asked.cancel();
            }
            Box::pin(std::future::ready(()))
        });
        let outcome = block_on(turntable(Subject::Asset(&ball()), 16, 9, &control));
        assert!(matches!(outcome, Err(Error::Cancelled)), "{outcome:?}");
        assert_eq!(rests.load(std::sync::atomic::Ordering::Relaxed), 3);
    }
}
