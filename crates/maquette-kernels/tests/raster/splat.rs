use maquette_kernels::splat::{GaussianTensors, SplatPictures, picture_bytes, project_gaussians, render_gaussians};
use maquette_mesh::Gaussians;
use maquette_mesh::camera::{OrbitCamera, multiply};
use maquette_mesh::raster_gaussian::{GaussianView, Splat, render};
use pollster::block_on;

use crate::devices::{Random, all, best, cpu, floats, gpu};
use crate::goldens_support::{Golden, max_diff};

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

fn radii(splats: &[Splat]) -> Vec<i32> {
    splats.iter().map(|s| s.radius).collect()
}

/// Projection figures against `pre`: depth, mean, conic (relative to its largest entry), opacity.
fn assert_projection(splats: &[Splat], g: &Golden, limits: [f32; 2]) {
    for (i, (s, want)) in splats.iter().zip(g.rows::<7>("pre")).enumerate() {
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
    let want = g.f32("image_black");
    let t = g.u16("transmittance_u16");
    let white: Vec<f32> = want.iter().enumerate().map(|(i, x)| x + f32::from(t[i % t.len()]) / 65535.0).collect();
    for device in all() {
        let scene = GaussianTensors::upload(&gaussians(&g), &device).expect("valid");
        let views = [0.0, 1.0].map(|background| GaussianView { background, ..view(&g, 0) });
        let pictures = block_on(render_gaussians(&scene, &views)).expect("valid");
        let rgb = floats(&pictures.rgb);
        assert!(max_diff(&rgb[..want.len()], &want) <= 1e-4);
        assert!(max_diff(&rgb[want.len()..], &white) <= 1e-4);
        assert_eq!(pictures.tile_entries, [g.i32("tile_entries")[0] as u64; 2]);
        let splats = block_on(project_gaussians(&scene, &views[0])).expect("valid");
        assert_eq!(radii(&splats), g.i32("radii"));
        assert_projection(&splats, &g, [8e-5, 1.4e-5]);
    }
}

#[test]
fn mixed_sizes_in_a_picture_that_is_no_multiple_of_16() {
    let g = Golden::open("raster/gauss_mixed.safetensors");
    for device in all() {
        let scene = GaussianTensors::upload(&gaussians(&g), &device).expect("valid");
        let pictures = block_on(render_gaussians(&scene, &[view(&g, 0)])).expect("valid");
        assert!(max_diff(&floats(&pictures.rgb), &g.f32("image")) <= 3e-4);
        let splats = block_on(project_gaussians(&scene, &view(&g, 0))).expect("valid");
        assert_eq!(radii(&splats), g.i32("radii"));
        assert_projection(&splats, &g, [1.3e-3, 9e-4]);
    }
}

#[test]
fn needles() {
    let g = Golden::open("raster/gauss_needle.safetensors");
    for device in all() {
        let scene = GaussianTensors::upload(&gaussians(&g), &device).expect("valid");
        let pictures = block_on(render_gaussians(&scene, &[view(&g, 0)])).expect("valid");
        assert!(max_diff(&floats(&pictures.rgb), &g.f32("image")) <= 3e-3);
        let splats = block_on(project_gaussians(&scene, &view(&g, 0))).expect("valid");
        assert!(radii(&splats).iter().zip(g.i32("radii")).all(|(a, b)| (a - b).abs() <= 1));
        assert_projection(&splats, &g, [1.9e-2, 1.2e-2]);
    }
}

/// Compares the pixels that differ from the background; `values` are those of the set mask bits.
fn assert_masked(rgb: &[f32], bits: &[u8], values: &[[f32; 3]], background: f32, p999: f32, name: &str) {
    let pixels = rgb.len() / 3;
    let (mut errors, mut next) = (Vec::with_capacity(3 * pixels), 0);
    for p in 0..pixels {
        let set = bits[p / 8] >> (p % 8) & 1 == 1;
        for c in 0..3 {
            let want = if set { values[next][c] } else { background };
            errors.push((rgb[c * pixels + p] - want).abs());
        }
        next += usize::from(set);
    }
    assert_eq!(next, values.len());
    let above = errors.chunks(3).filter(|e| e.iter().any(|x| *x > 1e-4)).count() as f64 / pixels as f64;
    let mean = errors.iter().map(|x| f64::from(*x)).sum::<f64>() / errors.len() as f64;
    errors.sort_unstable_by(f32::total_cmp);
    let (max, high) = (errors[errors.len() - 1], errors[errors.len() * 999 / 1000]);
    assert!(mean <= 5e-6 && high <= p999 && above <= 1e-3 && max <= 1e-2, "{name}: {mean} {high} {above} {max}");
}

/// All four views of a scene in one batch.
fn masked_views(name: &str) {
    let g = Golden::open(&format!("raster/{name}.safetensors"));
    let scene = GaussianTensors::upload(&gaussians(&g), &best()).expect("valid");
    let counts = g.i32("mask_count");
    let bits = g.u8("mask_bits");
    let stride = bits.len() / counts.len();
    let fixed: Vec<[f32; 3]> =
        g.u16("values_u16").as_chunks::<3>().0.iter().map(|v| v.map(|x| f32::from(x) / 32768.0)).collect();
    let exact_first = name == "gauss_shell";
    let views: Vec<GaussianView> = (0..counts.len()).map(|n| view(&g, n)).collect();
    let pictures = block_on(render_gaussians(&scene, &views)).expect("valid");
    let rgb = floats(&pictures.rgb);
    let (mut at, length) = (0, rgb.len() / views.len());
    for (n, &count) in counts.iter().enumerate() {
        let (values, p999) = if exact_first && n == 0 {
            (g.rows::<3>("values_view0"), 2e-5)
        } else {
            at += count as usize;
            (fixed[at - count as usize..at].to_vec(), 5e-5)
        };
        let (label, bits) = (format!("{name} view {n}"), &bits[n * stride..(n + 1) * stride]);
        assert_masked(&rgb[n * length..(n + 1) * length], bits, &values, views[n].background, p999, &label);
        assert!((pictures.tile_entries[n] as i64 - i64::from(g.i32("tile_entries")[n])).abs() <= 10, "{label}");
    }
    let splats = block_on(project_gaussians(&scene, &views[0])).expect("valid");
    let want: Vec<i32> = g.u16("radii").into_iter().map(i32::from).collect();
    let differing: Vec<i32> = radii(&splats).iter().zip(&want).map(|(a, b)| (a - b).abs()).filter(|d| *d > 0).collect();
    assert!(differing.len() * 10_000 <= want.len() && differing.iter().all(|d| *d == 1), "{name}");
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
    let scene = GaussianTensors::upload(&formula_scene(g.i64("seed")[0] as u64, 400_000), &best()).expect("valid");
    let tan = g.f32("tan_half_fov");
    let view = GaussianView {
        view: matrix(&g.f32("view"), 0),
        proj_view: matrix(&g.f32("proj_view"), 0),
        tan_half_fov: [tan[0], tan[1]],
        size: [1024, 1024],
        background: 0.0,
        kernel_size: 0.1,
    };
    let SplatPictures { rgb, tile_entries, .. } =
        block_on(render_gaussians(&scene, std::slice::from_ref(&view))).expect("valid");
    let (rgb, stats) = (floats(&rgb), g.i64("stats"));
    assert!((tile_entries[0] as i64 - stats[0]).abs() as f64 <= 1e-5 * stats[0] as f64);
    let splats = block_on(project_gaussians(&scene, &view)).expect("valid");
    let sum: i64 = radii(&splats).iter().map(|r| i64::from(*r)).sum();
    assert!((sum - stats[2]).abs() <= 20, "{sum} against {}", stats[2]);
    let crop = g.f32("crop_128");
    let error = |i: usize| {
        let (c, y, x) = (i / 16384, i / 128 % 128, i % 128);
        (rgb[c * 1024 * 1024 + (448 + y) * 1024 + 448 + x] - crop[i]).abs()
    };
    let mut errors: Vec<f32> = (0..crop.len()).map(error).collect();
    errors.sort_unstable_by(f32::total_cmp);
    assert!(errors[errors.len() - 1] <= 1e-2 && errors[errors.len() * 99 / 100] <= 2e-5);
}

fn orbit(n: u32, size: [u32; 2], background: f32) -> GaussianView {
    let camera = OrbitCamera::hammersley(n, 13);
    let tan = camera.tan_half_fov();
    GaussianView {
        view: camera.view(),
        proj_view: multiply(&camera.projection(0.8, 1.6), &camera.view()),
        tan_half_fov: [tan, tan],
        size,
        background,
        kernel_size: 0.1,
    }
}

fn random_scene(random: &mut Random, n: usize) -> Gaussians {
    let mut g = Gaussians::default();
    for _ in 0..n {
        g.means.push(std::array::from_fn(|_| random.unit() - 0.5));
        g.scales.push(std::array::from_fn(|_| 0.002 + 0.08 * random.unit() * random.unit()));
        let q: [f32; 4] = std::array::from_fn(|_| random.unit() - 0.5);
        let norm = q.iter().map(|x| x * x).sum::<f32>().sqrt().max(1e-3);
        g.quats.push(q.map(|x| x / norm));
        g.opacities.push(random.unit());
        g.f_dc.push(std::array::from_fn(|_| 4.0 * random.unit() - 2.0));
    }
    g
}

#[test]
fn pictures_of_any_size_equal_the_definition() {
    let Some(device) = gpu() else { return };
    let mut random = Random(7);
    for (n, size) in [(1, [1, 1]), (3, [17, 5]), (200, [16, 16]), (257, [33, 130]), (1000, [97, 31])] {
        let scene = random_scene(&mut random, n);
        let views: Vec<GaussianView> = (0..3).map(|v| orbit(v + 1, size, 0.25 * v as f32)).collect();
        let tensors = GaussianTensors::upload(&scene, &device).expect("valid");
        let pictures = block_on(render_gaussians(&tensors, &views)).expect("valid");
        let (rgb, left) = (floats(&pictures.rgb), floats(&pictures.transmittance));
        for (v, view) in views.iter().enumerate() {
            let want = render(&scene, view).expect("valid");
            let (a, b) = (want.rgb.len(), want.transmittance.len());
            let off: usize = rgb[v * a..][..a].iter().zip(&want.rgb).filter(|(x, y)| (*x - *y).abs() > 1e-4).count();
            assert!(off * 1000 <= a, "{n} Gaussians, {size:?}, view {v}: {off} of {a} values differ");
            assert!(max_diff(&rgb[v * a..][..a], &want.rgb) <= 1e-2);
            assert!(max_diff(&left[v * b..][..b], &want.transmittance) <= 1e-2);
            assert!(pictures.tile_entries[v].abs_diff(want.tile_entries as u64) <= 1);
        }
    }
}

#[test]
fn nothing_to_draw_is_background() {
    for device in all() {
        let scene = GaussianTensors::upload(&Gaussians::default(), &device).expect("valid");
        let pictures = block_on(render_gaussians(&scene, &[orbit(1, [20, 18], 0.5)])).expect("valid");
        assert!(floats(&pictures.rgb).iter().all(|x| *x == 0.5));
        assert_eq!(pictures.tile_entries, [0]);
        assert_eq!(block_on(picture_bytes(&pictures)).expect("readable"), vec![127u8; 20 * 18 * 3]);
        assert!(block_on(project_gaussians(&scene, &orbit(1, [20, 18], 0.5))).expect("valid").is_empty());
    }
}

#[test]
fn impossible_batches_are_refused() {
    let scene = GaussianTensors::upload(&random_scene(&mut Random(1), 3), &cpu()).expect("valid");
    assert!(block_on(render_gaussians(&scene, &[])).is_err());
    assert!(block_on(render_gaussians(&scene, &[orbit(1, [0, 4], 0.0)])).is_err());
    assert!(block_on(render_gaussians(&scene, &[orbit(1, [8, 4], 0.0), orbit(1, [4, 8], 0.0)])).is_err());
    let wrong = GaussianTensors { opacities: scene.opacities.clone().narrow(0, 0, 2), ..scene };
    assert!(block_on(render_gaussians(&wrong, &[orbit(1, [8, 4], 0.0)])).is_err());
}
