//! A made object: a bumpy ring with a hidden one inside, and Gaussians with a pattern all over it.

use maquette::maquette_mesh::flexicubes::ExtractedMesh;
use maquette::maquette_mesh::{Gaussians, SH_C0, TriangleMesh, shapes};

/// A small seeded generator (xorshift), the same numbers everywhere.
pub struct Random(pub u64);

impl Random {
    /// In [0, 1).
    pub fn unit(&mut self) -> f32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 40) as f32 / (1u64 << 24) as f32
    }
}

/// The ring's surface: angles in [0, 1) around it and across it.
fn on_ring([a, b]: [f32; 2]) -> [f32; 3] {
    let (a, b) = (std::f32::consts::TAU * a, std::f32::consts::TAU * b);
    let minor = 0.13 + 0.008 * (19.0 * a).sin() * (11.0 * b).cos() + 0.01 * (3.0 * a + 2.0 * b).sin();
    let r = 0.32 + minor * b.cos();
    [r * a.cos(), r * a.sin(), minor * b.sin()]
}

/// About `faces` triangles, one in twelve of them hidden.
pub fn surface(faces: usize) -> ExtractedMesh {
    let across = ((faces as f64 * 11.0 / 24.0 * 0.8).sqrt() as u32).max(8);
    let around = ((faces as f64 * 11.0 / 24.0 / f64::from(across)) as u32).max(8);
    let mut mesh = shapes::torus(around, across, 0.32, 0.13);
    for (n, p) in mesh.positions.iter_mut().enumerate() {
        let n = n as u32;
        *p = on_ring([(n / across) as f32 / around as f32, (n % across) as f32 / across as f32]);
    }
    let side = ((faces as f64 / 24.0).sqrt() as u32).max(8);
    let hidden: TriangleMesh = shapes::torus(side, side, 0.32, 0.04);
    let shift = mesh.positions.len() as u32;
    mesh.positions.extend(&hidden.positions);
    mesh.faces.extend(hidden.faces.iter().map(|f| f.map(|v| v + shift)));
    let attrs = mesh.positions.iter().map(|p| [p[0] + 0.5, p[1] + 0.5, p[2] + 0.5, 0.0, 0.0, 1.0]).collect();
    ExtractedMesh { vertices: mesh.positions, faces: mesh.faces, attrs }
}

/// `count` small splats on the ring, in stripes and waves.
pub fn splats(count: usize) -> Gaussians {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut out = Gaussians::default();
    // Splats of a neighbourhood overlap a little, whatever their number.
    let scale = 0.9 / (count.max(1) as f32).sqrt();
    for _ in 0..count {
        let p = on_ring([random.unit(), random.unit()]);
        let stripe = if (40.0 * p[2] + 12.0 * p[0]).sin() > 0.0 { 0.85 } else { 0.2 };
        let color = [stripe, 0.5 + 0.35 * (18.0 * p[0]).sin(), 0.5 + 0.35 * (15.0 * p[1]).cos()];
        out.f_dc.push(color.map(|c| (c - 0.5) / SH_C0));
        out.scales.push([0, 1, 2].map(|_| scale * (0.6 + 0.8 * random.unit())));
        out.quats.push([0, 1, 2, 3].map(|_| random.unit() + 0.01));
        out.opacities.push(0.7 + 0.3 * random.unit());
        out.means.push(p);
    }
    out
}
