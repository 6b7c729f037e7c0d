//! Simple closed solids and a texture, for tests, benchmarks and examples.

use std::f32::consts::TAU;

use crate::TriangleMesh;
use crate::bake::FloatTexture;

/// A square texture of waves, sharp stripes and checks, one a channel.
pub fn pattern(size: usize) -> FloatTexture {
    let texel = |i: usize| {
        let (x, y) = ((i % size) as f32 / size as f32, (i / size) as f32 / size as f32);
        let check = ((x * 12.0) as i32 + (y * 12.0) as i32) % 2;
        [
            0.5 + 0.4 * (20.0 * x).sin() * (14.0 * y).cos(),
            0.5 + 0.4 * (40.0 * x + 30.0 * y).sin().signum(),
            0.3 + 0.5 * check as f32,
        ]
    };
    FloatTexture { width: size, height: size, texels: (0..size * size).map(texel).collect() }
}

/// An axis-aligned box of the given edge lengths around the origin: 8 vertices, 12 faces, closed, outward winding.
pub fn cuboid(size: [f32; 3]) -> TriangleMesh {
    let positions = (0..8u32)
        .map(|i| std::array::from_fn(|k| if i >> k & 1 == 1 { size[k] * 0.5 } else { -size[k] * 0.5 }))
        .collect();
    let faces = vec![
        [0, 4, 6],
        [0, 6, 2],
        [1, 3, 7],
        [1, 7, 5],
        [0, 1, 5],
        [0, 5, 4],
        [2, 6, 7],
        [2, 7, 3],
        [0, 2, 3],
        [0, 3, 1],
        [4, 5, 7],
        [4, 7, 6],
    ];
    TriangleMesh::new(positions, faces)
}

/// A latitude–longitude sphere around the origin, closed: `2 * segments * (rings - 1)` faces. `rings ≥ 2`, `segments ≥ 3`
/// (smaller values are raised).
pub fn sphere(rings: u32, segments: u32, radius: f32) -> TriangleMesh {
    let (rings, segments) = (rings.max(2), segments.max(3));
    let mut positions = vec![[0.0, 0.0, radius]];
    for i in 1..rings {
        let theta = std::f32::consts::PI * i as f32 / rings as f32;
        for j in 0..segments {
            let phi = TAU * j as f32 / segments as f32;
            positions.push([radius * theta.sin() * phi.cos(), radius * theta.sin() * phi.sin(), radius * theta.cos()]);
        }
    }
    let south = positions.len() as u32;
    positions.push([0.0, 0.0, -radius]);
    let at = |i: u32, j: u32| 1 + (i - 1) * segments + j % segments;
    let mut faces = Vec::new();
    for j in 0..segments {
        faces.push([0, at(1, j), at(1, j + 1)]);
        for i in 1..rings - 1 {
            faces.push([at(i, j), at(i + 1, j), at(i + 1, j + 1)]);
            faces.push([at(i, j), at(i + 1, j + 1), at(i, j + 1)]);
        }
        faces.push([at(rings - 1, j), south, at(rings - 1, j + 1)]);
    }
    TriangleMesh::new(positions, faces)
}

/// A torus around the z axis, closed: `2 * around * across` faces; both counts at least 3.
pub fn torus(around: u32, across: u32, major: f32, minor: f32) -> TriangleMesh {
    let (around, across) = (around.max(3), across.max(3));
    let mut positions = Vec::new();
    for i in 0..around {
        let a = TAU * i as f32 / around as f32;
        for j in 0..across {
            let b = TAU * j as f32 / across as f32;
            let r = major + minor * b.cos();
            positions.push([r * a.cos(), r * a.sin(), minor * b.sin()]);
        }
    }
    let at = |i: u32, j: u32| (i % around) * across + j % across;
    let mut faces = Vec::new();
    for i in 0..around {
        for j in 0..across {
            faces.push([at(i, j), at(i + 1, j), at(i + 1, j + 1)]);
            faces.push([at(i, j), at(i + 1, j + 1), at(i, j + 1)]);
        }
    }
    TriangleMesh::new(positions, faces)
}
