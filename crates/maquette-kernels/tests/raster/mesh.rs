use burn::tensor::{Device, Tensor, TensorData};
use maquette_kernels::mesh_raster::{Faces, count_visible, rasterise, transform_corners};
use maquette_mesh::camera::{Matrix4, OrbitCamera, multiply, transform};
use maquette_mesh::raster_mesh::{FaceImage, UvImage, rasterize, visible_faces};
use maquette_mesh::reference::{MeshReference, TieReference};
use maquette_mesh::shapes;
use pollster::block_on;

use crate::devices::{Random, all, floats, gpu, words};
use crate::goldens_support::{Golden, assert_passed, max_diff};

fn upload<const K: usize>(rows: &[[f32; K]], device: &Device) -> Tensor<2> {
    Tensor::from_data(TensorData::new(rows.as_flattened().to_vec(), [rows.len(), K]), device)
}

fn rows<const K: usize>(values: &[f32]) -> Vec<[f32; K]> {
    values.as_chunks::<K>().0.to_vec()
}

fn draw(clip: &[[f32; 4]], faces: &[[u32; 3]], size: [u32; 2], device: &Device) -> FaceImage {
    let list = Faces::upload(faces, clip.len(), device).expect("valid");
    let corners = upload(clip, device).reshape([1, clip.len(), 4]);
    let pictures = block_on(rasterise(&corners, &list, size)).expect("valid");
    block_on(pictures.download()).expect("readable").remove(0)
}

#[test]
fn the_mesh_looks_as_in_the_reference() {
    let scene = MeshReference::read(&Golden::open("raster/mesh.safetensors")).expect("a scene");
    for device in all() {
        let list = Faces::upload(&scene.faces, scene.clip.len(), &device).expect("valid");
        let corners = upload(&scene.clip, &device).reshape([1, scene.clip.len(), 4]);
        let pictures = block_on(rasterise(&corners, &list, scene.size)).expect("valid");
        let uvs = upload(&scene.uvs, &device);
        let coordinates = block_on(pictures.texture_coordinates(&uvs)).expect("one uv a vertex");
        let (uv, change) = (floats(&coordinates.uv), floats(&coordinates.derivatives));
        let interpolated = floats(&block_on(pictures.interpolate(&uvs)).expect("one row a vertex"));
        assert!(max_diff(&interpolated, &uv) <= 1e-6, "attributes are interpolated as coordinates are");
        let coordinates = UvImage { uv: rows(&uv), derivatives: rows(&change) };
        let image = block_on(pictures.download()).expect("readable").remove(0);
        assert_passed("mesh", &scene.compare_picture(&image, Some(&coordinates)));
        let (corners, faces, size) = scene.layout();
        assert_passed("mesh", &scene.compare_layout(&draw(&corners, faces, size, &device).id));
    }
}

#[test]
fn ties_are_broken_as_in_the_reference() {
    let scene = TieReference::read(&Golden::open("raster/mesh_ties.safetensors")).expect("a scene");
    for device in all() {
        assert_passed("mesh_ties", &scene.compare(&draw(&scene.clip, &scene.faces, scene.size, &device).id));
    }
}

/// Random triangles, many of them huge, thin, behind the camera or across the frustum's planes.
fn random_corners(random: &mut Random, n: usize) -> Vec<[f32; 4]> {
    let mut signed = |reach: f32| (2.0 * random.unit() - 1.0) * reach;
    (0..n)
        .map(|i| {
            let reach = [0.05, 1.0, 4.0][i / 3 % 3];
            [signed(reach), signed(reach), signed(1.2), 1.0 + signed(if i % 5 == 0 { 1.5 } else { 0.5 })]
        })
        .collect()
}

#[test]
fn random_triangles_equal_the_definition_at_every_size() {
    let Some(device) = gpu() else { return };
    let mut random = Random(11);
    // Beyond 2048 pixels the edge functions no longer fit 32 bits.
    for (n, size) in [(1, [1, 1]), (20, [7, 3]), (200, [64, 64]), (300, [333, 97]), (40, [4096, 40]), (30, [16, 16384])]
    {
        let clip = random_corners(&mut random, 3 * n);
        let faces: Vec<[u32; 3]> = (0..n as u32).map(|f| [3 * f, 3 * f + 1, 3 * f + 2]).collect();
        let (got, want) = (draw(&clip, &faces, size, &device), rasterize(&clip, &faces, size).expect("valid"));
        let different = got.id.iter().zip(&want.id).filter(|(a, b)| a != b).count();
        assert!(different * 400 <= got.id.len(), "{n} faces, {size:?}: {different} of {} pixels", got.id.len());
    }
}

#[test]
fn edges_at_the_far_end_of_a_large_picture_are_exact() {
    let Some(device) = gpu() else { return };
    // Flat in depth, whole pixels: no rounding anywhere, so the pictures must be equal.
    let size = [16384u32, 32];
    let at = |x: i32, y: i32| [2.0 * x as f32 / size[0] as f32 - 1.0, 2.0 * y as f32 / size[1] as f32 - 1.0, 0.0, 1.0];
    let mut random = Random(12);
    let mut corner = || at(random.below(16385) as i32, random.below(33) as i32);
    let clip: Vec<[f32; 4]> = (0..60).map(|_| corner()).collect();
    let faces: Vec<[u32; 3]> = (0..20).map(|f| [3 * f, 3 * f + 1, 3 * f + 2]).collect();
    assert_eq!(draw(&clip, &faces, size, &device).id, rasterize(&clip, &faces, size).expect("valid").id);
}

fn matrices(n: u32) -> Vec<Matrix4> {
    let camera = |i| OrbitCamera::hammersley(i, n);
    (0..n).map(|i| multiply(&camera(i).projection_gl(1.0, 3.0), &camera(i).view_gl())).collect()
}

#[test]
fn visible_faces_are_counted_over_many_views() {
    let mut mesh = shapes::sphere(12, 16, 0.4);
    let inner = shapes::cuboid([0.2, 0.2, 0.2]);
    let base = mesh.positions.len() as u32;
    mesh.positions.extend(&inner.positions);
    mesh.faces.extend(inner.faces.iter().map(|f| f.map(|v| v + base)));
    let views = matrices(40);
    let mut want = vec![0u32; mesh.faces.len()];
    for m in &views {
        let clip: Vec<[f32; 4]> = mesh.positions.iter().map(|p| transform(m, *p)).collect();
        let image = rasterize(&clip, &mesh.faces, [96, 96]).expect("valid");
        want.iter_mut().zip(visible_faces(&image, mesh.faces.len())).for_each(|(n, seen)| *n += u32::from(seen));
    }
    for device in all() {
        let faces = Faces::upload(&mesh.faces, mesh.positions.len(), &device).expect("valid");
        let positions = upload(&mesh.positions, &device);
        let got = words(&block_on(count_visible(&positions, &faces, &views, [96, 96])).expect("valid"));
        // Slivers at the silhouette may own a pixel in one and not in the other.
        assert!(got.iter().zip(&want).all(|(a, b)| a.abs_diff(*b) <= 1), "{got:?} {want:?}");
        assert!(got[got.len() - 12..].iter().all(|n| *n == 0), "the box inside is seen from nowhere");
    }
}

#[test]
fn batches_of_views_equal_single_views() {
    for device in all() {
        let mesh = shapes::sphere(8, 12, 0.4);
        let faces = Faces::upload(&mesh.faces, mesh.positions.len(), &device).expect("valid");
        let positions = upload(&mesh.positions, &device);
        let views = matrices(5);
        let clip = block_on(transform_corners(&positions, &views)).expect("valid");
        let together =
            block_on(block_on(rasterise(&clip, &faces, [50, 40])).expect("valid").download()).expect("readable");
        for (view, image) in together.iter().enumerate() {
            let clip = block_on(transform_corners(&positions, &views[view..view + 1])).expect("valid");
            let alone = block_on(rasterise(&clip, &faces, [50, 40])).expect("valid");
            assert_eq!(image.id, block_on(alone.download()).expect("readable")[0].id);
        }
    }
}

#[test]
fn nothing_to_draw_is_empty_and_wrong_sizes_are_refused() {
    for device in all() {
        let none = Faces::upload(&[], 3, &device).expect("valid");
        let clip = Tensor::<3>::zeros([2, 3, 4], &device);
        let pictures = block_on(rasterise(&clip, &none, [5, 4])).expect("valid");
        assert!(words(&pictures.ids).iter().all(|id| *id == 0));
        let uv = block_on(pictures.texture_coordinates(&Tensor::zeros([3, 2], &device))).expect("valid");
        assert!(floats(&uv.derivatives).iter().all(|x| *x == 0.0));
        assert!(block_on(rasterise(&clip, &none, [0, 4])).is_err());
        assert!(block_on(rasterise(&Tensor::zeros([2, 2, 4], &device), &none, [5, 4])).is_err());
        assert!(Faces::upload(&[[0, 1, 3]], 3, &device).is_err());
        let counts =
            block_on(count_visible(&Tensor::zeros([3, 3], &device), &none, &matrices(2), [8, 8])).expect("valid");
        assert_eq!(counts.dims(), [0]);
        // Corners that are no numbers hide their face.
        let nan = [[f32::NAN; 4], [0.0, 1.0, 0.0, 1.0], [1.0, 0.0, 0.0, 1.0]];
        assert!(draw(&nan, &[[0, 1, 2]], [8, 8], &device).id.iter().all(|id| *id == 0));
    }
}
