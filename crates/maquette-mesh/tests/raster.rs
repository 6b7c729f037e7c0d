//! The rasterisers and the texture sampler against the reference programs' output (tolerances: goldens/raster/README). The
//! whole set runs where it is there; the repository carries the small scenes and a part of their pixels.

mod goldens_support;

use goldens_support::{Golden, all, assert_passed};
use maquette_mesh::bake::{FloatTexture, MipTexture};
use maquette_mesh::raster_gaussian::render;
use maquette_mesh::raster_mesh::rasterize;
use maquette_mesh::reference::{MeshReference, SplatReference, TieReference};

#[test]
fn every_scene_of_gaussians_looks_as_in_the_reference() {
    for (name, file) in all("raster", "gauss_") {
        let scene = SplatReference::read(&name, &file).expect("a scene");
        for (n, view) in scene.views.iter().enumerate() {
            let image = render(&scene.gaussians, view).expect("valid");
            assert_passed(&name, &scene.compare_picture(n, &image.rgb, image.tile_entries as u64));
            if n == 0 {
                assert_passed(&name, &scene.compare_splats(&image.splats));
            }
        }
    }
}

#[test]
fn the_mesh_is_drawn_sampled_and_blended_as_in_the_reference() {
    let scene = MeshReference::read(&Golden::open("raster/mesh.safetensors")).expect("a scene");
    assert_passed("mesh", &scene.compare_definition().expect("valid"));
}

#[test]
fn ties_are_broken_as_in_the_reference() {
    let scene = TieReference::read(&Golden::open("raster/mesh_ties.safetensors")).expect("a scene");
    let image = rasterize(&scene.clip, &scene.faces, scene.size).expect("valid");
    assert_passed("mesh_ties", &scene.compare(&image.id));
}

/// Σ weight · sample(texture) = ⟨gradient(weight), texture⟩: the gradient is the sampler's transpose.
#[test]
fn the_texture_gradient_is_the_transpose_of_the_sampler() {
    let mut state = 3u64;
    let mut random = || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 40) as f32 / (1u64 << 24) as f32
    };
    let texels = (0..32 * 32).map(|_| [random(), random(), random()]).collect();
    let chain = MipTexture::new(FloatTexture { width: 32, height: 32, texels }).expect("a power of two");
    let mut gradients = chain.zero_gradients();
    let mut sum = 0.0f64;
    for _ in 0..500 {
        let uv = [3.0 * random() - 1.0, 3.0 * random() - 1.0];
        let change: [f32; 4] = std::array::from_fn(|_| 0.2 * (random() - 0.5));
        let weight = [random() - 0.5, random() - 0.5, random() - 0.5];
        let sample = chain.sample(uv, &change);
        sum += (0..3).map(|c| f64::from(weight[c] * sample[c])).sum::<f64>();
        chain.taps(uv, &change, |tap| {
            (0..3).for_each(|c| gradients[tap.level].texels[tap.texel][c] += tap.weight * weight[c]);
        });
    }
    let folded = MipTexture::fold_gradients(gradients).expect("at least one level");
    let texture = &chain.levels()[0];
    let product: f64 =
        folded.texels.as_flattened().iter().zip(texture.texels.as_flattened()).map(|(g, t)| f64::from(g * t)).sum();
    assert!((sum - product).abs() <= 1e-4 * sum.abs().max(1.0), "{sum} against {product}");
}
