//! The rasterisers and the texture sampler against the reference programs' output (tolerances: goldens/raster/README).

mod goldens_support;

use goldens_support::{Golden, max_diff};
use maquette_mesh::Gaussians;
use maquette_mesh::bake::{FloatTexture, MipTexture};
use maquette_mesh::raster_antialias::antialias;
use maquette_mesh::raster_gaussian::{GaussianImage, GaussianView, render};
use maquette_mesh::raster_mesh::{layout_positions, rasterize};

fn gaussians(g: &Golden) -> Gaussians {
    Gaussians {
        means: g.rows("means"),
        scales: g.rows("scales"),
        quats: g.rows("quats"),
        opacities: g.f32("opacities"),
        f_dc: g.rows("f_dc"),
    }
}

fn matrix(values: &[f32], view: usize) -> [[f32; 4]; 4] {
    std::array::from_fn(|r| std::array::from_fn(|c| values[16 * view + 4 * r + c]))
}

fn view(g: &Golden, n: usize) -> GaussianView {
    let size = g.i32("size_hw");
    GaussianView {
        view: matrix(&g.f32("view"), n),
        proj_view: matrix(&g.f32("proj_view"), n),
        tan_half_fov: g.rows::<2>("tan_half_fov")[n],
        size: [size[1] as u32, size[0] as u32],
        background: g.f32("bg")[n],
        kernel_size: 0.1,
    }
}

fn radii(image: &GaussianImage) -> Vec<i32> {
    image.splats.iter().map(|s| s.radius).collect()
}

/// Projection figures against `pre`: depth, mean, conic (relative to its largest entry), opacity.
fn assert_projection(image: &GaussianImage, g: &Golden, limits: [f32; 2]) {
    for (i, (s, want)) in image.splats.iter().zip(g.rows::<7>("pre")).enumerate() {
        if s.radius == 0 {
            assert_eq!(want[6], 0.0, "Gaussian {i} is drawn by the reference only");
            continue;
        }
        assert!((s.depth - want[0]).abs() <= 2.4e-6, "depth {i}");
        assert!((0..2).all(|k| (s.mean[k] - want[1 + k]).abs() <= 2.7e-4), "mean {i}: {:?} {want:?}", s.mean);
        let largest = want[3..6].iter().fold(0.0f32, |m, x| m.max(x.abs()));
        assert!((0..3).all(|k| (s.conic[k] - want[3 + k]).abs() <= limits[0] * largest), "conic {i}");
        assert!((s.opacity - want[6]).abs() <= limits[1], "opacity {i}");
    }
}

#[test]
fn hand_placed_edge_cases() {
    let g = Golden::open("raster/gauss_hand.safetensors");
    let scene = gaussians(&g);
    let black = render(&scene, &GaussianView { background: 0.0, ..view(&g, 0) }).expect("valid");
    let want = g.f32("image_black");
    assert!(max_diff(&black.rgb, &want) <= 1e-4);
    assert_eq!(radii(&black), g.i32("radii"));
    assert_eq!(black.tile_entries as i32, g.i32("tile_entries")[0]);
    assert_projection(&black, &g, [8e-5, 1.4e-5]);
    let white = render(&scene, &GaussianView { background: 1.0, ..view(&g, 0) }).expect("valid");
    let t = g.u16("transmittance_u16");
    let expected: Vec<f32> = want.iter().enumerate().map(|(i, x)| x + f32::from(t[i % t.len()]) / 65535.0).collect();
    assert!(max_diff(&white.rgb, &expected) <= 1e-4);
}

#[test]
fn mixed_sizes_in_a_picture_that_is_no_multiple_of_16() {
    let g = Golden::open("raster/gauss_mixed.safetensors");
    let image = render(&gaussians(&g), &view(&g, 0)).expect("valid");
    assert!(max_diff(&image.rgb, &g.f32("image")) <= 3e-4);
    assert_eq!(radii(&image), g.i32("radii"));
    assert_projection(&image, &g, [1.3e-3, 9e-4]);
}

#[test]
fn needles() {
    let g = Golden::open("raster/gauss_needle.safetensors");
    let image = render(&gaussians(&g), &view(&g, 0)).expect("valid");
    assert!(max_diff(&image.rgb, &g.f32("image")) <= 3e-3);
    assert!(radii(&image).iter().zip(g.i32("radii")).all(|(a, b)| (a - b).abs() <= 1));
    assert_projection(&image, &g, [1.9e-2, 1.2e-2]);
}

/// Compares the pixels that differ from the background; `values` are those of the set mask bits.
fn assert_masked(image: &GaussianImage, bits: &[u8], values: &[[f32; 3]], background: f32, p999: f32, name: &str) {
    let pixels = image.transmittance.len();
    let (mut errors, mut next) = (Vec::with_capacity(3 * pixels), 0);
    for p in 0..pixels {
        let set = bits[p / 8] >> (p % 8) & 1 == 1;
        let want = if set { values[next] } else { [background; 3] };
        errors.extend((0..3).map(|c| (image.rgb[c * pixels + p] - want[c]).abs()));
        next += usize::from(set);
    }
    assert_eq!(next, values.len());
    let above: f64 = errors.chunks(3).filter(|e| e.iter().any(|x| *x > 1e-4)).count() as f64 / pixels as f64;
    let mean = errors.iter().map(|x| f64::from(*x)).sum::<f64>() / errors.len() as f64;
    errors.sort_unstable_by(f32::total_cmp);
    let (max, high) = (errors[errors.len() - 1], errors[errors.len() * 999 / 1000]);
    assert!(mean <= 5e-6 && high <= p999 && above <= 1e-3 && max <= 1e-2, "{name}: {mean} {high} {above} {max}");
}

fn masked_views(name: &str) {
    let g = Golden::open(&format!("raster/{name}.safetensors"));
    let scene = gaussians(&g);
    let counts = g.i32("mask_count");
    let bits = g.u8("mask_bits");
    let stride = bits.len() / counts.len();
    let fixed: Vec<[f32; 3]> =
        g.u16("values_u16").as_chunks::<3>().0.iter().map(|v| v.map(|x| f32::from(x) / 32768.0)).collect();
    let exact_first = name == "gauss_shell";
    let mut at = 0;
    for (n, &count) in counts.iter().enumerate() {
        let v = view(&g, n);
        let image = render(&scene, &v).expect("valid");
        let (values, p999) = if exact_first && n == 0 {
            (g.rows::<3>("values_view0"), 2e-5)
        } else {
            at += count as usize;
            (fixed[at - count as usize..at].to_vec(), 5e-5)
        };
        let label = format!("{name} view {n}");
        assert_masked(&image, &bits[n * stride..(n + 1) * stride], &values, v.background, p999, &label);
        assert!((image.tile_entries as i32 - g.i32("tile_entries")[n]).abs() <= 10, "{label}");
        if n == 0 {
            let want: Vec<i32> = g.u16("radii").into_iter().map(i32::from).collect();
            let differing: Vec<i32> =
                radii(&image).iter().zip(&want).map(|(a, b)| (a - b).abs()).filter(|d| *d > 0).collect();
            assert!(differing.len() * 10_000 <= want.len() && differing.iter().all(|d| *d == 1), "{label}");
        }
    }
}

#[test]
fn a_shell_of_20000_gaussians() {
    masked_views("gauss_shell");
}

#[test]
fn the_gaussians_of_the_end_to_end_run() {
    masked_views("gauss_ply");
}

/// The formula scene of the README.
fn formula_scene(seed: u64, n: u64) -> Gaussians {
    let u = |i: u64, k: u64| {
        let mut x = seed.wrapping_add((16 * i + k + 1).wrapping_mul(0x9E3779B97F4A7C15));
        x = (x ^ x >> 30).wrapping_mul(0xBF58476D1CE4E5B9);
        x = (x ^ x >> 27).wrapping_mul(0x94D049BB133111EB);
        ((x ^ x >> 31) >> 11) as f64 / (1u64 << 53) as f64
    };
    let mut g = Gaussians::default();
    for i in 0..n {
        let d: [f64; 3] = std::array::from_fn(|k| 2.0 * u(i, k as u64) - 1.0);
        let norm = (d[0] * d[0] + d[1] * d[1] + d[2] * d[2]).sqrt();
        g.means.push(std::array::from_fn(|k| {
            let c = ((0.42 * (d[k] / norm) + 0.5) * 64.0).floor();
            (((c + 0.5) / 64.0 - 0.5) + (u(i, 3 + k as u64) - 0.5) * (1.5 / 64.0)) as f32
        }));
        g.scales.push(std::array::from_fn(|k| {
            let r = u(i, 6 + k as u64);
            (0.0009 + 0.012 * (r * r)) as f32
        }));
        let q = [1.0, 0.6 * (u(i, 9) - 0.5), 0.6 * (u(i, 10) - 0.5), 0.6 * (u(i, 11) - 0.5)];
        let norm = q.iter().map(|x| x * x).sum::<f64>().sqrt();
        g.quats.push(q.map(|x| (x / norm) as f32));
        g.opacities.push((0.02 + 0.97 * u(i, 12)) as f32);
        g.f_dc.push(std::array::from_fn(|k| (4.0 * (u(i, 13 + k as u64) - 0.5)) as f32));
    }
    g
}

#[test]
fn four_hundred_thousand_gaussians() {
    let g = Golden::open("raster/gauss_400k.safetensors");
    let scene = formula_scene(g.i64("seed")[0] as u64, 400_000);
    for (i, want) in g.rows::<14>("first16").into_iter().enumerate() {
        let mut row = scene.means[i].to_vec();
        row.extend(scene.scales[i]);
        row.extend(scene.quats[i]);
        row.push(scene.opacities[i]);
        row.extend(scene.f_dc[i]);
        assert!(max_diff(&row, &want) <= 1e-7, "generator row {i}");
    }
    let tan = g.f32("tan_half_fov");
    let view = GaussianView {
        view: matrix(&g.f32("view"), 0),
        proj_view: matrix(&g.f32("proj_view"), 0),
        tan_half_fov: [tan[0], tan[1]],
        size: [1024, 1024],
        background: 0.0,
        kernel_size: 0.1,
    };
    let image = render(&scene, &view).expect("valid");
    let stats = g.i64("stats");
    assert!((image.tile_entries as i64 - stats[0]).abs() as f64 <= 1e-5 * stats[0] as f64);
    let sum: i64 = radii(&image).iter().map(|r| i64::from(*r)).sum();
    assert!((sum - stats[2]).abs() <= 20, "{sum} against {}", stats[2]);
    let crop = g.f32("crop_128");
    let mut errors: Vec<f32> = (0..crop.len())
        .map(|i| {
            let (c, y, x) = (i / 16384, i / 128 % 128, i % 128);
            (image.rgb[c * 1024 * 1024 + (448 + y) * 1024 + 448 + x] - crop[i]).abs()
        })
        .collect();
    errors.sort_unstable_by(f32::total_cmp);
    assert!(errors[errors.len() - 1] <= 1e-2 && errors[errors.len() * 99 / 100] <= 2e-5);
    // 4x4 box means of the whole picture, stored as half floats.
    let want: Vec<f32> = g.u16("image_box4").into_iter().map(half_to_f32).collect();
    let (mut sum, mut max) = (0.0f64, 0.0f32);
    for (i, w) in want.iter().enumerate() {
        let (c, y, x) = (i / 65536, i / 256 % 256, i % 256);
        let at = |k: usize| image.rgb[(c * 1024 + 4 * y + k / 4) * 1024 + 4 * x + k % 4];
        let d = ((0..16).map(at).sum::<f32>() / 16.0 - w).abs();
        max = max.max(d);
        sum += f64::from(d);
    }
    assert!(max <= 5e-3 && sum / want.len() as f64 <= 1e-4, "{max} {sum}");
}

fn half_to_f32(h: u16) -> f32 {
    let (exponent, fraction) = (i32::from(h >> 10 & 31), f32::from(h & 1023) / 1024.0);
    let sign = if h >> 15 == 1 { -1.0 } else { 1.0 };
    // No infinities occur in the file.
    sign * if exponent == 0 { fraction * 2f32.powi(-14) } else { (1.0 + fraction) * 2f32.powi(exponent - 15) }
}

struct MeshScene {
    golden: Golden,
    clip: Vec<[f32; 4]>,
    faces: Vec<[u32; 3]>,
}

fn mesh_scene(name: &str) -> MeshScene {
    let golden = Golden::open(&format!("raster/{name}.safetensors"));
    let clip = golden.rows("clip_pos");
    let faces = golden.rows_i32::<3>("faces").into_iter().map(|f| f.map(|v| v as u32)).collect();
    MeshScene { golden, clip, faces }
}

#[test]
fn mesh_ids_weights_depth_and_derivatives() {
    let MeshScene { golden: g, clip, faces } = mesh_scene("mesh");
    let image = rasterize(&clip, &faces, [256, 256]).expect("valid");
    let uv = image.interpolate_uv(&clip, &faces, &g.rows("uv")).expect("one uv a vertex");
    let (bits, ids) = (g.u8("mask_bits"), g.u16("face_id"));
    let (bary, zw, da) = (g.rows::<2>("bary"), g.f32("zw"), g.rows::<4>("uv_da"));
    let (mut next, mut different) = (0, 0);
    for p in 0..256 * 256 {
        let covered = bits[p / 8] >> (p % 8) & 1 == 1;
        let want = if covered { u32::from(ids[next]) } else { 0 };
        if image.id[p] != want {
            different += 1;
        } else if covered {
            assert!(max_diff(&image.bary[p], &bary[next]) <= 5e-4, "weights at {p}");
            assert!((image.depth[p] - zw[next]).abs() <= 2e-5, "depth at {p}");
            let largest = da[next].iter().fold(0.0f32, |m, x| m.max(x.abs()));
            assert!(max_diff(&uv.derivatives[p], &da[next]) <= 3e-4 * largest, "derivatives at {p}");
        }
        next += usize::from(covered);
    }
    assert!(different <= 10, "{different} pixels show another face");
}

#[test]
fn atlas_layout_ids_are_equal() {
    let MeshScene { golden: g, faces, .. } = mesh_scene("mesh");
    let layout = layout_positions(&g.rows("uv"));
    let image = rasterize(&layout, &faces[..456], [128, 128]).expect("valid");
    let want: Vec<u32> = g.u16("uv_layout_id").into_iter().map(u32::from).collect();
    let different = image.id.iter().zip(&want).filter(|(a, b)| a != b).count();
    assert_eq!(different, 0);
}

#[test]
fn ties_are_broken_as_in_the_reference() {
    let MeshScene { golden: g, clip, faces } = mesh_scene("mesh_ties");
    let image = rasterize(&clip, &faces, [32, 32]).expect("valid");
    let want: Vec<u32> = g.rows::<4>("rast").iter().map(|r| r[3] as u32).collect();
    let different: Vec<usize> = (0..1024).filter(|&p| image.id[p] != want[p]).collect();
    assert!(different.is_empty(), "{different:?}");
}

fn golden_texture(g: &Golden) -> MipTexture {
    let texture = FloatTexture { width: 64, height: 64, texels: g.rows("texture") };
    MipTexture::new(texture).expect("a power of two")
}

#[test]
fn trilinear_samples_equal_the_reference() {
    let g = Golden::open("raster/mesh.safetensors");
    let texture = golden_texture(&g);
    let (uv, da, want) = (g.rows::<2>("uv_pix"), g.rows::<4>("uv_da"), g.rows::<3>("sample"));
    for i in 0..uv.len() {
        assert!(max_diff(&texture.sample(uv[i], &da[i]), &want[i]) <= 1e-5, "pixel {i}");
    }
    assert!(max_diff(&texture.sample([0.0; 2], &[0.0; 4]), &g.f32("sample_uncovered")) <= 1e-5);
}

#[test]
fn texture_gradient_equals_the_reference() {
    let g = Golden::open("raster/mesh.safetensors");
    let texture = golden_texture(&g);
    let (uv, da, bits) = (g.rows::<2>("uv_pix"), g.rows::<4>("uv_da"), g.u8("mask_bits"));
    let hash = |p: u64, c: u64| {
        let mut x = 99u64.wrapping_add((16 * p + c + 1).wrapping_mul(0x9E3779B97F4A7C15));
        x = (x ^ x >> 30).wrapping_mul(0xBF58476D1CE4E5B9);
        x = (x ^ x >> 27).wrapping_mul(0x94D049BB133111EB);
        2.0 * (((x ^ x >> 31) >> 11) as f64 / (1u64 << 53) as f64) - 1.0
    };
    let mut gradients = texture.zero_gradients();
    let mut next = 0;
    for p in 0..256 * 256usize {
        let covered = bits[p / 8] >> (p % 8) & 1 == 1;
        let (uv, da) = if covered { (uv[next], da[next]) } else { ([0.0; 2], [0.0; 4]) };
        next += usize::from(covered);
        let w: [f32; 3] = std::array::from_fn(|c| hash(p as u64, c as u64) as f32);
        texture.taps(uv, &da, |t| {
            (0..3).for_each(|c| gradients[t.level].texels[t.texel][c] += t.weight * w[c]);
        });
    }
    let folded = MipTexture::fold_gradients(gradients).expect("at least one level");
    let want = g.f32("grad_texture_hash");
    let largest = want.iter().fold(0.0f32, |m, x| m.max(x.abs()));
    assert!(max_diff(folded.texels.as_flattened(), &want) <= 1e-5 * largest);
}

#[test]
fn silhouettes_are_blended_as_in_the_reference() {
    let MeshScene { golden: g, clip, faces } = mesh_scene("mesh");
    let image = rasterize(&clip, &faces, [256, 256]).expect("valid");
    // The colour image: stored samples where covered, 0 elsewhere.
    let (bits, samples) = (g.u8("mask_bits"), g.rows::<3>("sample"));
    let mut colors = vec![[0.0f32; 3]; 256 * 256];
    let mut next = 0;
    for (p, c) in colors.iter_mut().enumerate() {
        if bits[p / 8] >> (p % 8) & 1 == 1 {
            *c = samples[next];
            next += 1;
        }
    }
    let blended = antialias(&image, &clip, &faces, &colors).expect("sizes fit");
    let (pixels, values) = (g.i32("antialias_pixel"), g.rows::<3>("antialias_value"));
    let mut want = colors.clone();
    pixels.iter().zip(&values).for_each(|(p, v)| want[*p as usize] = *v);
    let (mut wrong, mut missed, mut extra) = (0, 0, 0);
    for p in 0..want.len() {
        let same = max_diff(&blended[p], &want[p]) <= 1e-4;
        wrong += usize::from(!same);
        missed += usize::from(want[p] != colors[p] && blended[p] == colors[p]);
        extra += usize::from(want[p] == colors[p] && blended[p] != colors[p]);
    }
    // The README gives no tolerance here. Left over are pixels where two edges of a face cross between the same centres.
    assert!(wrong <= 13, "{wrong} of {} pixels differ, {missed} missed, {extra} extra", pixels.len());
}
