//! Properties that decimation must keep.

use std::collections::HashMap;

use maquette_mesh::flexicubes::{DenseField, extract_dense};
use maquette_mesh::process::{DecimateOptions, clean, decimate, mesh_distance};
use maquette_mesh::{TriangleMesh, shapes};

/// Every side of a face is met by exactly one side of opposite direction.
fn is_closed(m: &TriangleMesh) -> bool {
    let mut sides: HashMap<(u32, u32), i32> = HashMap::new();
    for f in &m.faces {
        for k in 0..3 {
            *sides.entry((f[k], f[(k + 1) % 3])).or_default() += 1;
        }
    }
    sides.iter().all(|((a, b), n)| *n == 1 && sides.get(&(*b, *a)) == Some(&1))
}

/// A sphere with bumps, so that no collapse is free.
fn bumpy(rings: u32) -> TriangleMesh {
    let mut m = shapes::sphere(rings, 2 * rings, 0.4);
    for p in &mut m.positions {
        let s = 1.0 + 0.1 * (9.0 * p[0]).sin() * (11.0 * p[1]).cos() * (7.0 * p[2]).sin();
        *p = p.map(|x| x * s);
    }
    m
}

#[test]
fn closed_inputs_stay_closed_and_keep_their_volume() {
    for m in [bumpy(60), shapes::torus(80, 40, 0.3, 0.12), shapes::sphere(50, 100, 0.5)] {
        assert!(is_closed(&m));
        for ratio in [0.5, 0.2, 0.05] {
            let target = (m.faces.len() as f64 * ratio) as usize;
            let d = decimate(&m, &DecimateOptions::to_faces(target)).expect("valid");
            d.validate().expect("finite and in range");
            assert!(d.faces.len() <= target && d.faces.len() + 2 >= target, "{} of {target}", d.faces.len());
            assert!(is_closed(&d), "ratio {ratio}");
            let volume = d.volume() / m.volume();
            assert!((volume - 1.0).abs() < 0.01, "volume changed by {volume}");
            let distance = mesh_distance(&m, &d).expect("both have faces");
            assert!(distance.hausdorff < 0.05 * m.diagonal(), "{distance:?}");
        }
    }
}

/// Blobs that grow into each other, some with handles and hollows, as the extractor makes them; every seed another.
fn blobs(seed: u64) -> TriangleMesh {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut random = || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 40) as f32 / (1u64 << 24) as f32
    };
    let balls: Vec<([f32; 3], f32)> =
        (0..6).map(|_| (std::array::from_fn(|_| 0.5 * random() - 0.25), 0.07 + 0.1 * random())).collect();
    let res = 36;
    let at = |i: usize| {
        let n = res + 1;
        [i / (n * n), i / n % n, i % n].map(|x| x as f32 / res as f32 - 0.5)
    };
    let grid: Vec<[f32; 3]> = (0..(res + 1usize).pow(3)).map(at).collect();
    let sdf: Vec<f32> = grid
        .iter()
        .map(|p| {
            let pull = balls.iter().map(|(c, r)| {
                let d: f32 = (0..3).map(|k| (p[k] - c[k]).powi(2)).sum();
                r * r / d.max(1e-6)
            });
            let ripple = 0.15 * (25.0 * p[0]).sin() * (21.0 * p[1]).sin() * (23.0 * p[2]).sin();
            1.0 - pull.sum::<f32>() + ripple
        })
        .collect();
    let field = DenseField { res, sdf: &sdf, grid: &grid, ..DenseField::default() };
    let mesh = extract_dense(&field).expect("valid field").into_triangle_mesh();
    clean(&mesh).expect("finite").0
}

#[test]
fn random_closed_surfaces_stay_closed_and_keep_their_volume() {
    for seed in 1..=10 {
        let m = blobs(seed);
        assert!(m.faces.len() > 2000 && is_closed(&m), "seed {seed}: {} faces", m.faces.len());
        for ratio in [0.6, 0.25, 0.1] {
            let target = (m.faces.len() as f64 * ratio) as usize;
            let d = decimate(&m, &DecimateOptions::to_faces(target)).expect("valid");
            d.validate().expect("finite and in range");
            assert!(d.faces.len() <= target && is_closed(&d), "seed {seed}, ratio {ratio}");
            let volume = d.volume() / m.volume();
            let distance = mesh_distance(&m, &d).expect("both have faces");
            println!(
                "seed {seed}, {} to {} faces: volume x {volume:.5}, Hausdorff {:.5} of {:.3}",
                m.faces.len(),
                d.faces.len(),
                distance.hausdorff,
                m.diagonal()
            );
            assert!((volume - 1.0).abs() < 0.01, "seed {seed}, ratio {ratio}: volume x {volume}");
            assert!(distance.hausdorff < 0.03 * m.diagonal(), "seed {seed}, ratio {ratio}: {distance:?}");
        }
    }
}

#[test]
fn two_million_faces_are_reduced() {
    let m = shapes::sphere(1001, 1000, 0.5);
    assert_eq!(m.faces.len(), 2_000_000);
    let d = decimate(&m, &DecimateOptions::to_faces(20_000)).expect("valid");
    d.validate().expect("finite and in range");
    assert!(d.faces.len() <= 20_000 && is_closed(&d));
    assert!((d.volume() / m.volume() - 1.0).abs() < 0.01);
}

#[test]
fn a_flat_sheet_keeps_its_outline() {
    let n = 30u32;
    let positions = (0..=n).flat_map(|y| (0..=n).map(move |x| [x as f32, y as f32, 0.0])).collect();
    let at = |x: u32, y: u32| y * (n + 1) + x;
    let faces = (0..n)
        .flat_map(|y| (0..n).map(move |x| (x, y)))
        .flat_map(|(x, y)| [[at(x, y), at(x + 1, y), at(x + 1, y + 1)], [at(x, y), at(x + 1, y + 1), at(x, y + 1)]])
        .collect();
    let m = TriangleMesh::new(positions, faces);
    let d = decimate(&m, &DecimateOptions::to_faces(20)).expect("valid");
    assert!(d.faces.len() <= 20);
    assert!((d.area() - m.area()).abs() < 1e-3 * m.area(), "{}", d.area());
    assert!(d.positions.iter().all(|p| p[2].abs() < 1e-5));
}

#[test]
fn the_result_does_not_depend_on_the_run() {
    let m = bumpy(30);
    let options = DecimateOptions::to_faces(500);
    assert_eq!(decimate(&m, &options).expect("valid"), decimate(&m, &options).expect("valid"));
}

#[test]
fn colours_follow_the_surface() {
    let mut m = shapes::sphere(40, 80, 0.5);
    m.colors = m.positions.iter().map(|p| p.map(|x| x + 0.5)).collect();
    let d = decimate(&m, &DecimateOptions::to_faces(400)).expect("valid");
    for (p, c) in d.positions.iter().zip(&d.colors) {
        assert!((0..3).all(|k| (p[k] + 0.5 - c[k]).abs() < 0.05), "{p:?} {c:?}");
    }
}

#[test]
fn degenerate_meshes_give_a_result() {
    let point = [0.25f32; 3];
    let cases = [
        TriangleMesh::default(),
        TriangleMesh::new(vec![[0.0; 3], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]], vec![[0, 1, 2]]),
        TriangleMesh::new(vec![point; 6], vec![[0, 1, 2], [3, 4, 5], [0, 3, 5]]),
        TriangleMesh::new(
            vec![[0.0; 3], [1.0, 0.0, 0.0], [2.0, 0.0, 0.0], [3.0, 0.0, 0.0]],
            vec![[0, 1, 2], [1, 2, 3]],
        ),
        // One edge with three faces, a doubled face and a face with equal corners.
        TriangleMesh::new(
            vec![[0.0; 3], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, -1.0, 0.0], [0.0, 0.0, 1.0]],
            vec![[0, 1, 2], [1, 0, 3], [0, 1, 4], [0, 1, 2], [2, 2, 3]],
        ),
        shapes::cuboid([1.0; 3]),
    ];
    for m in cases {
        for target in [0, 1, 4, 100] {
            let d = decimate(&m, &DecimateOptions::to_faces(target)).expect("a result");
            d.validate().expect("finite and in range");
            assert!(d.faces.len() <= m.faces.len());
        }
    }
    let broken = TriangleMesh::new(vec![[f32::NAN; 3]; 3], vec![[0, 1, 2]]);
    assert!(decimate(&broken, &DecimateOptions::to_faces(0)).is_err());
}
