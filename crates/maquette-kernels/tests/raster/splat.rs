use maquette_kernels::splat::{GaussianTensors, picture_bytes, project_gaussians, render_gaussians};
use maquette_mesh::Gaussians;
use maquette_mesh::camera::{OrbitCamera, multiply};
use maquette_mesh::raster_gaussian::{GaussianView, render};
use maquette_mesh::reference::SplatReference;
use pollster::block_on;

use crate::devices::{Random, all, best, cpu, floats, gpu};
use crate::goldens_support::{self, assert_passed, max_diff};

#[test]
fn every_scene_of_gaussians_looks_as_in_the_reference() {
    for (name, file) in goldens_support::all("raster", "gauss_") {
        let scene = SplatReference::read(&name, &file).expect("a scene");
        // The larger ones take long on the CPU tier, which runs the definition that `maquette-mesh` tests with them.
        let devices = if scene.gaussians.len() > 1000 { vec![best()] } else { all() };
        for device in devices {
            let gaussians = GaussianTensors::upload(&scene.gaussians, &device).expect("valid");
            let pictures = block_on(render_gaussians(&gaussians, &scene.views)).expect("valid");
            let rgb = floats(&pictures.rgb);
            for (view, rgb) in rgb.chunks(rgb.len() / scene.views.len()).enumerate() {
                assert_passed(&name, &scene.compare_picture(view, rgb, pictures.tile_entries[view]));
            }
            let splats = block_on(project_gaussians(&gaussians, &scene.views[0])).expect("valid");
            assert_passed(&name, &scene.compare_splats(&splats));
        }
    }
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
