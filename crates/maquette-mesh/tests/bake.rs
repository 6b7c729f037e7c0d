//! Back-projection on known ground truth: a mesh with a known colour field, rendered by us, baked back.

use maquette_mesh::bake::{MipTexture, ProjectionView, TexelMap, back_project, dilate};
use maquette_mesh::camera::{OrbitCamera, multiply, transform};
use maquette_mesh::raster_mesh::{FaceImage, rasterize};
use maquette_mesh::uv::{AtlasOptions, BoxUnwrapper, ChartUnwrapper, Unwrapper};
use maquette_mesh::{TriangleMesh, shapes};

/// A smooth solid colour field.
fn color(p: [f32; 3]) -> [f32; 3] {
    [
        0.5 + 0.4 * (9.0 * p[0]).sin() * (7.0 * p[1]).cos(),
        0.5 + 0.4 * (8.0 * p[1] + 2.0 * p[2]).sin(),
        0.5 + 0.4 * (10.0 * p[2]).cos(),
    ]
}

struct Shot {
    camera: OrbitCamera,
    matrix: [[f32; 4]; 4],
    faces: FaceImage,
    image: Vec<[f32; 3]>,
    mask: Vec<bool>,
    clip: Vec<[f32; 4]>,
}

fn shoot(mesh: &TriangleMesh, camera: OrbitCamera, size: u32) -> Shot {
    let matrix = multiply(&camera.projection_gl(0.1, 10.0), &camera.view_gl());
    let clip: Vec<[f32; 4]> = mesh.positions.iter().map(|p| transform(&matrix, *p)).collect();
    let faces = rasterize(&clip, &mesh.faces, [size; 2]).expect("valid");
    let mask: Vec<bool> = faces.id.iter().map(|id| *id > 0).collect();
    let image = (0..mask.len())
        .map(|p| {
            let Some(f) = faces.face(p) else { return [0.0; 3] };
            let [b0, b1] = faces.bary[p];
            let c = mesh.faces[f].map(|v| mesh.positions[v as usize]);
            color(std::array::from_fn(|k| b0 * c[0][k] + b1 * c[1][k] + (1.0 - b0 - b1) * c[2][k]))
        })
        .collect();
    Shot { camera, matrix, faces, image, mask, clip }
}

fn psnr_of_held_out_views(unwrapper: &dyn Unwrapper) -> f64 {
    let solid = shapes::torus(48, 24, 0.3, 0.13);
    let unwrapped = unwrapper.unwrap(&solid, &AtlasOptions::for_size(512), &|_| true).expect("unwraps");
    let mesh = unwrapped.mesh;
    let shots: Vec<Shot> = (1..30).map(|n| shoot(&mesh, OrbitCamera::hammersley(n, 30), 192)).collect();
    let views: Vec<ProjectionView<'_>> = shots
        .iter()
        .map(|s| ProjectionView {
            clip_from_world: s.matrix,
            eye: s.camera.eye().map(|x| x as f32),
            image: &s.image,
            mask: &s.mask,
            faces: &s.faces,
        })
        .collect();
    let map = TexelMap::new(&mesh, 512).expect("has uvs");
    let mut baked = back_project(&mesh, &map, &views).expect("sizes fit");
    let covered = map.covered();
    let unseen = covered.iter().zip(&baked.seen).filter(|(c, s)| **c && !**s).count();
    assert!(unseen * 50 < covered.iter().filter(|c| **c).count(), "{unseen} texels were never seen");
    dilate(&mut baked.texture, &baked.seen, 4);
    let mip = MipTexture::new(baked.texture).expect("a power of two");
    let (mut sum, mut count) = (0.0f64, 0usize);
    for n in [7, 20, 33] {
        let held_out = shoot(&mesh, OrbitCamera { pitch: 0.3, ..OrbitCamera::turntable(n, 40) }, 192);
        let uv = held_out.faces.interpolate_uv(&held_out.clip, &mesh.faces, &mesh.uvs).expect("sizes fit");
        for p in (0..held_out.mask.len()).filter(|&p| held_out.mask[p]) {
            let c = mip.sample(uv.uv[p], &uv.derivatives[p]);
            sum += (0..3).map(|k| f64::from(c[k] - held_out.image[p][k]).powi(2)).sum::<f64>();
            count += 3;
        }
    }
    -10.0 * (sum / count as f64).log10()
}

#[test]
fn a_known_colour_field_comes_back_through_charts() {
    let psnr = psnr_of_held_out_views(&ChartUnwrapper::default());
    assert!(psnr > 34.0, "{psnr} dB");
}

#[test]
fn a_known_colour_field_comes_back_through_box_projection() {
    let psnr = psnr_of_held_out_views(&BoxUnwrapper);
    assert!(psnr > 34.0, "{psnr} dB");
}
