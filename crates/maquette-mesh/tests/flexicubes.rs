//! FlexiCubes and the decoders' activation maths against the reference numbers.

mod goldens_support;

use goldens_support::{Golden, all, max_diff};
use maquette_mesh::GaussianActivation;
use maquette_mesh::flexicubes::{DenseField, ExtractedMesh, ROW, SparseExtractor, SparseField, extract, extract_dense};
use maquette_mesh::reference::Tensors;

fn faces(golden: &Golden, name: &str) -> Vec<[u32; 3]> {
    golden.rows_i32::<3>(name).into_iter().map(|f| f.map(|i| i as u32)).collect()
}

/// Names the first face that differs instead of printing thousands.
fn assert_faces(mesh: &ExtractedMesh, golden: &Golden, name: &str) {
    let want = faces(golden, name);
    let differing = mesh.faces.iter().zip(&want).position(|(a, b)| a != b);
    assert_eq!((mesh.faces.len(), differing), (want.len(), None), "{name}");
}

fn assert_vertices(mesh: &ExtractedMesh, golden: &Golden, name: &str) {
    let d = max_diff(mesh.vertices.as_flattened(), &golden.f32(name));
    assert!(d <= 1e-6, "{name}: vertices differ by {d}");
}

/// Number of cubes a side of a grid with this many corners.
fn cubes(corners: usize) -> usize {
    (1..64usize).find(|r| (r + 1).pow(3) == corners).expect("a cubic grid")
}

fn dense_case(g: &Golden) {
    let (sdf, grid, colors) = (g.f32("in.sdf"), g.rows::<3>("in.grid"), g.rows::<6>("in.colors"));
    let (beta, alpha, gamma) = (g.rows::<12>("in.beta"), g.rows::<8>("in.alpha"), g.f32("in.gamma"));
    let res = cubes(sdf.len());
    let field = DenseField { res, sdf: &sdf, grid: &grid, beta: &beta, alpha: &alpha, gamma: &gamma, colors: &colors };
    let mesh = extract_dense(&field).expect("valid field");
    assert_faces(&mesh, g, "out.faces");
    assert_vertices(&mesh, g, "out.vertices");
    let d = max_diff(mesh.attrs.as_flattened(), &g.f32("out.colors"));
    assert!(d <= 2e-6, "colours differ by {d}");

    // The plain case lives on the undeformed grid; its spacing is that of the deformed one's bounding box corners.
    let plain_grid: Vec<[f32; 3]> = (0..sdf.len())
        .map(|i| {
            let n = res + 1;
            [i / (n * n), i / n % n, i % n].map(|x| x as f32 / res as f32 - 0.5)
        })
        .collect();
    let plain = extract_dense(&DenseField { res, sdf: &sdf, grid: &plain_grid, ..DenseField::default() });
    let plain = plain.expect("valid field");
    assert_faces(&plain, g, "out.faces_plain");
    assert_vertices(&plain, g, "out.vertices_plain");
}

#[test]
fn dense_extraction_equals_the_reference() {
    for (name, golden) in all("trellis/cases", "flexicubes_") {
        println!("{name}");
        dense_case(&golden);
    }
}

/// Every cube of a dense field as a row of decoder output: distances at its corners (the extractor takes 1/res off them),
/// everything else neutral.
fn as_rows(res: usize, sdf: &[f32]) -> (Vec<[i32; 3]>, Vec<f32>) {
    let (n, mut coords, mut features) = (res + 1, Vec::new(), Vec::new());
    for i in 0..res.pow(3) {
        let [x, y, z] = [i / (res * res), i / res % res, i % res];
        coords.push([x, y, z].map(|c| c as i32));
        let mut row = vec![0.0; ROW];
        for (corner, value) in row[..8].iter_mut().enumerate() {
            let [dx, dy, dz] = [corner & 1, corner >> 1 & 1, corner >> 2 & 1];
            *value = sdf[((x + dx) * n + y + dy) * n + z + dz] + 1.0 / res as f32;
        }
        features.extend(row);
    }
    (coords, features)
}

#[test]
fn sparse_extraction_with_every_cube_active_equals_the_dense_reference() {
    for (name, g) in all("trellis/cases", "flexicubes_") {
        let sdf = g.f32("in.sdf");
        let res = cubes(sdf.len());
        let (coords, features) = as_rows(res, &sdf);
        let mesh = extract(&SparseField { res, coords: &coords, features: &features }).expect("valid");
        println!("{name}");
        assert_faces(&mesh, &g, "out.faces_plain");
        assert_vertices(&mesh, &g, "out.vertices_plain");
    }
}

/// Grid size of the tiny mesh decoder: four times its latent grid of 32.
const DECODER_RES: usize = 128;

fn random() -> impl FnMut() -> f32 {
    let mut state = 1u64;
    move || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 40) as f32 / (1u64 << 24) as f32
    }
}

/// A share of the cubes of a grid with random decoder output.
fn random_cubes(res: usize, density: f32, random: &mut impl FnMut() -> f32) -> (Vec<[i32; 3]>, Vec<f32>) {
    let (mut coords, mut features) = (Vec::new(), Vec::new());
    for i in 0..res.pow(3) {
        if random() < density {
            coords.push([i / (res * res), i / res % res, i % res].map(|x| x as i32));
            features.extend((0..ROW).map(|_| 2.0 * random() - 1.0));
        }
    }
    (coords, features)
}

/// The reference's mesh decoder with its whole field; the repository itself does not carry it.
#[test]
fn sparse_extraction_equals_the_reference_mesh_decoder() {
    let decoders = all("trellis/cases", "").into_iter().filter(|(_, g)| g.has("out.raw") && g.has("out.v_pos"));
    for (name, g) in decoders {
        println!("{name}");
        let coords: Vec<[i32; 3]> = g.rows_i32::<4>("out.up1_coords").iter().map(|c| [c[1], c[2], c[3]]).collect();
        let features = g.f32("out.raw");
        let mesh = extract(&SparseField { res: DECODER_RES, coords: &coords, features: &features }).expect("valid");
        assert_faces(&mesh, &g, "out.faces");
        assert_vertices(&mesh, &g, "out.vertices");
        let d = max_diff(mesh.attrs.as_flattened(), &g.f32("out.vertex_attrs"));
        assert!(d <= 5e-6, "attributes differ by {d}");
        let mut extractor = SparseExtractor::new(DECODER_RES).expect("valid resolution");
        extractor.push(&coords, &features).expect("valid rows");
        let means = extractor.corner_means();
        let positions: Vec<[i32; 3]> = means.positions.iter().map(|p| p.map(i32::from)).collect();
        assert_eq!(positions, g.rows_i32::<3>("out.v_pos"));
        let d = max_diff(means.attrs.as_flattened(), &g.f32("out.v_attrs"));
        assert!(d <= 5e-6, "corner means differ by {d}");
    }
}

#[test]
fn rows_in_pieces_give_the_same_mesh_as_rows_at_once() {
    let res = 20;
    let (coords, features) = random_cubes(res, 0.2, &mut random());
    let whole = extract(&SparseField { res, coords: &coords, features: &features }).expect("valid");
    let mut extractor = SparseExtractor::new(res).expect("valid resolution");
    for (c, f) in coords.chunks(37).zip(features.chunks(37 * ROW)) {
        extractor.push(c, f).expect("valid rows");
    }
    assert_eq!(extractor.finish(), whole);
}

/// The dense evaluation of a sparse field, as the reference does it.
#[test]
fn sparse_equals_dense_on_random_active_sets_at_the_grid_border() {
    let res = 7usize;
    let mut random = random();
    for density in [0.02, 0.3, 1.0] {
        let (coords, features) = random_cubes(res, density, &mut random);
        let sparse = extract(&SparseField { res, coords: &coords, features: &features }).expect("valid");
        let mut extractor = SparseExtractor::new(res).expect("valid");
        extractor.push(&coords, &features).expect("valid");
        let means = extractor.corner_means();
        let n = res + 1;
        let mut grid: Vec<[f32; 3]> =
            (0..n.pow(3)).map(|i| [i / (n * n), i / n % n, i % n].map(|x| x as f32 / res as f32 - 0.5)).collect();
        let (mut sdf, mut colors) = (vec![1.0; n.pow(3)], vec![[0.0; 6]; n.pow(3)]);
        for (p, a) in means.positions.iter().zip(&means.attrs) {
            let p = p.map(usize::from);
            let i = (p[0] * n + p[1]) * n + p[2];
            sdf[i] = a[0];
            let reach = ((1.0 - 1e-8) / (2.0 * res as f64)) as f32;
            (0..3).for_each(|k| grid[i][k] += reach * libm::tanhf(a[1 + k]));
            colors[i] = std::array::from_fn(|k| a[4 + k]);
        }
        let (mut beta, mut alpha, mut gamma) =
            (vec![[0.0; 12]; res.pow(3)], vec![[0.0; 8]; res.pow(3)], vec![0.0; res.pow(3)]);
        for (c, f) in coords.iter().zip(features.chunks(ROW)) {
            let i = ((c[0] as usize * res) + c[1] as usize) * res + c[2] as usize;
            beta[i].copy_from_slice(&f[32..44]);
            alpha[i].copy_from_slice(&f[44..52]);
            gamma[i] = f[52];
        }
        let dense = extract_dense(&DenseField {
            res,
            sdf: &sdf,
            grid: &grid,
            beta: &beta,
            alpha: &alpha,
            gamma: &gamma,
            colors: &colors,
        });
        assert_eq!(sparse, dense.expect("valid"), "density {density}");
    }
}

#[test]
fn bad_input_is_an_error_and_no_voxels_is_an_empty_mesh() {
    let empty = extract(&SparseField { res: 8, coords: &[], features: &[] }).expect("valid");
    assert!(!empty.is_success());
    let row = vec![0.0; ROW];
    assert!(extract(&SparseField { res: 8, coords: &[[0, 0, 8]], features: &row }).is_err());
    assert!(extract(&SparseField { res: 8, coords: &[[0, -1, 0]], features: &row }).is_err());
    assert!(extract(&SparseField { res: 8, coords: &[[0; 3]], features: &row[1..] }).is_err());
    assert!(extract(&SparseField { res: 8, coords: &[[0; 3]; 2], features: &vec![0.0; 2 * ROW] }).is_err());
    assert!(extract(&SparseField { res: 0, coords: &[], features: &[] }).is_err());
}

#[test]
fn gaussian_activations_equal_the_reference() {
    let g = Golden::open("trellis/cases/gs_decoder.safetensors");
    let coords: Vec<[i32; 3]> = g.rows_i32::<4>("in.coords").into_iter().map(|c| [c[1], c[2], c[3]]).collect();
    let activation = GaussianActivation { resolution: 32, ..GaussianActivation::default() };
    let perturbation = activation.perturbation();
    let stored = g.rows::<3>("out.perturbation");
    assert!(max_diff(perturbation.as_flattened(), stored.as_flattened()) < 1e-6);
    let out = activation.activate(&coords, &g.f32("out.raw"), &stored).expect("shapes fit");
    let close = |name: &str, values: &[f32], tolerance: f32| {
        let d = max_diff(values, &g.f32(name));
        assert!(d <= tolerance, "{name} differs by {d}");
    };
    close("out.xyz", out.means.as_flattened(), 3e-7);
    close("out.features_dc", out.f_dc.as_flattened(), 0.0);
    close("out.scaling", out.scales.as_flattened(), 3e-7);
    close("out.rotation", out.quats.as_flattened(), 1e-6);
    close("out.opacity", &out.opacities, 1e-6);
}
