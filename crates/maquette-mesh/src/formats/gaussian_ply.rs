//! Gaussians in the PLY form of 3D Gaussian Splatting (spec §7.2, "PLY export").
//!
//! Properties, all float32: `x y z nx ny nz f_dc_0..2 opacity scale_0..2 rot_0..3`; opacity as logit, scale as logarithm,
//! rotation (w, x, y, z). The reference turns the scene by (x, y, z) → (x, −z, y); that is another map than the GLB's.

use super::ply_header;
use crate::portable::{exp, log, logf};
use crate::{Gaussians, MeshError};

const PROPERTIES: [&str; 17] = [
    "x", "y", "z", "nx", "ny", "nz", "f_dc_0", "f_dc_1", "f_dc_2", "opacity", "scale_0", "scale_1", "scale_2", "rot_0",
    "rot_1", "rot_2", "rot_3",
];

/// The frame of the coordinates in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Frame {
    /// Turned to (x, −z, y), as the reference exports.
    Reference,
    /// The decoder's own frame, z up.
    World,
}

/// Writes Gaussians as the reference does.
///
/// # Errors
/// [`MeshError::Shape`] if the arrays differ in length.
pub fn write(gaussians: &Gaussians, frame: Frame) -> Result<Vec<u8>, MeshError> {
    gaussians.validate()?;
    let mut out = format!("ply\nformat binary_little_endian 1.0\nelement vertex {}\n", gaussians.len()).into_bytes();
    for name in PROPERTIES {
        out.extend_from_slice(format!("property float {name}\n").as_bytes());
    }
    out.extend_from_slice(b"end_header\n");
    out.reserve(gaussians.len() * PROPERTIES.len() * 4);
    for i in 0..gaussians.len() {
        let (mut p, mut q) = (gaussians.means[i], gaussians.quats[i]);
        if frame == Frame::Reference {
            p = [p[0], -p[2], p[1]];
            q = turn_quaternion(q);
        }
        let o = f64::from(gaussians.opacities[i]);
        // Clamped a float32 step away from 0 and 1, so that the logit stays finite.
        let o = o.clamp(f64::from(f32::MIN_POSITIVE), 1.0 - f64::from(f32::EPSILON) / 2.0);
        let mut row = [0.0f32; 17];
        row[..3].copy_from_slice(&p);
        row[6..9].copy_from_slice(&gaussians.f_dc[i]);
        row[9] = log(o / (1.0 - o)) as f32;
        let s = gaussians.scales[i];
        (0..3).for_each(|k| row[10 + k] = logf(s[k].max(f32::MIN_POSITIVE)));
        row[13..].copy_from_slice(&q);
        row.iter().for_each(|x| out.extend_from_slice(&x.to_le_bytes()));
    }
    Ok(out)
}

/// Reads a Gaussian PLY, also of other programs: any property order, further properties are ignored.
///
/// # Errors
/// [`MeshError::Format`] for a file that is no such PLY.
pub fn read(bytes: &[u8], frame: Frame) -> Result<Gaussians, MeshError> {
    let (elements, body) = ply_header::parse(bytes)?;
    let Some(vertex) = elements.first().filter(|e| e.name == "vertex") else {
        return Err(MeshError::format("PLY", "expected the element \"vertex\" first"));
    };
    let mut fields = [(0, ply_header::Scalar::F32); 17];
    for (slot, name) in fields.iter_mut().zip(PROPERTIES).filter(|(_, n)| !n.starts_with('n')) {
        *slot = vertex.field(name).ok_or_else(|| {
            MeshError::format("PLY", format!("property {name} is missing; this is not a 3D Gaussian file"))
        })?;
    }
    let (rows, size, _) = ply_header::rows(vertex, body)?;
    let mut out = Gaussians::default();
    for row in rows.chunks_exact(size) {
        let at = |k: usize| {
            let (offset, scalar) = fields[k];
            scalar.read(&row[offset..])
        };
        let at3 = |k: usize| [at(k) as f32, at(k + 1) as f32, at(k + 2) as f32];
        let mut p = at3(0);
        let q = [at(13), at(14), at(15), at(16)];
        let norm = q.iter().map(|x| x * x).sum::<f64>().sqrt().max(1e-12);
        let mut q = q.map(|x| x / norm);
        if frame == Frame::Reference {
            p = [p[0], p[2], -p[1]];
            // The inverse turn: (cos 45°, −sin 45°, 0, 0) · q.
            let h = std::f64::consts::FRAC_1_SQRT_2;
            q = [h * (q[0] + q[1]), h * (q[1] - q[0]), h * (q[2] + q[3]), h * (q[3] - q[2])];
        }
        out.means.push(p);
        out.f_dc.push(at3(6));
        out.opacities.push((1.0 / (1.0 + exp(-at(9)))) as f32);
        out.scales.push([at(10), at(11), at(12)].map(|x| exp(x) as f32));
        out.quats.push(q.map(|x| x as f32));
    }
    Ok(out)
}

/// Rotates by (x, y, z) → (x, −z, y) the way the reference does, through a matrix: the component of largest magnitude comes
/// out positive. (In double precision; the reference's float32 detour costs it up to 1e-4.)
fn turn_quaternion(q: [f32; 4]) -> [f32; 4] {
    let r = rotation_matrix(q.map(f64::from));
    let m = [r[0], r[2].map(|x| -x), r[1]];
    let d = [m[0][0], m[1][1], m[2][2]];
    let magnitude = |a: f64, b: f64, c: f64| 0.5 * (1.0 + a * d[0] + b * d[1] + c * d[2]).max(0.0).sqrt();
    let mut out =
        [magnitude(1.0, 1.0, 1.0), magnitude(1.0, -1.0, -1.0), magnitude(-1.0, 1.0, -1.0), magnitude(-1.0, -1.0, 1.0)];
    // 4·q_i·q_j for every pair of components, from the off-diagonal elements.
    let (wx, wy, wz) = (m[2][1] - m[1][2], m[0][2] - m[2][0], m[1][0] - m[0][1]);
    let (yz, xz, xy) = (m[2][1] + m[1][2], m[0][2] + m[2][0], m[1][0] + m[0][1]);
    let pairs = [[1.0, wx, wy, wz], [wx, 1.0, xy, xz], [wy, xy, 1.0, yz], [wz, xz, yz, 1.0]];
    let largest = (0..4).fold(0, |best, k| if out[k] > out[best] { k } else { best });
    let sign = |x: f64| if x == 0.0 { 0.0 } else { x.signum() };
    (0..4).for_each(|k| out[k] *= sign(pairs[largest][k]));
    let n = out.iter().map(|x| x * x).sum::<f64>().sqrt().max(1e-12);
    out.map(|x| (x / n) as f32)
}

/// Rotation matrix (rows) of a quaternion (w, x, y, z), normalised first.
pub(crate) fn rotation_matrix(q: [f64; 4]) -> [[f64; 3]; 3] {
    let n = q.iter().map(|x| x * x).sum::<f64>().sqrt().max(1e-12);
    let [w, x, y, z] = q.map(|c| c / n);
    [
        [1.0 - 2.0 * (y * y + z * z), 2.0 * (x * y - w * z), 2.0 * (x * z + w * y)],
        [2.0 * (x * y + w * z), 1.0 - 2.0 * (x * x + z * z), 2.0 * (y * z - w * x)],
        [2.0 * (x * z - w * y), 2.0 * (y * z + w * x), 1.0 - 2.0 * (x * x + y * y)],
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Gaussians {
        let mut g = Gaussians::default();
        for i in 0..50 {
            let t = i as f32 * 0.37;
            let q = [t.sin(), t.cos(), (2.0 * t).sin(), (3.0 * t).cos()];
            let n = q.iter().map(|x| x * x).sum::<f32>().sqrt();
            g.means.push([t.sin() * 0.4, t.cos() * 0.3, 0.01 * t]);
            g.scales.push([0.001 + 0.001 * t, 0.002, 0.003]);
            g.quats.push(q.map(|x| x / n));
            g.opacities.push(0.01 + 0.019 * i as f32);
            g.f_dc.push([t.sin(), -t.cos(), 0.5]);
        }
        g
    }

    #[test]
    fn both_frames_survive_a_round_trip() {
        let g = sample();
        for frame in [Frame::Reference, Frame::World] {
            let back = read(&write(&g, frame).expect("valid"), frame).expect("own file");
            for i in 0..g.len() {
                for k in 0..3 {
                    assert!((back.means[i][k] - g.means[i][k]).abs() < 1e-7);
                    assert!((back.scales[i][k] / g.scales[i][k] - 1.0).abs() < 1e-5);
                }
                let cos: f32 = (0..4).map(|k| back.quats[i][k] * g.quats[i][k]).sum();
                assert!(cos.abs() > 1.0 - 1e-6);
                assert!((back.opacities[i] - g.opacities[i]).abs() < 1e-6);
            }
            assert_eq!(back.f_dc, g.f_dc);
        }
    }

    #[test]
    fn extreme_opacities_stay_finite() {
        let mut g = sample();
        g.opacities[0] = 0.0;
        g.opacities[1] = 1.0;
        let back = read(&write(&g, Frame::World).expect("valid"), Frame::World).expect("own file");
        assert!(back.opacities[0] < 1e-6 && back.opacities[1] > 0.9999);
    }

    #[test]
    fn damaged_files_are_refused_without_panic() {
        let whole = write(&sample(), Frame::World).expect("valid");
        for cut in [0, 2, 3, 50, 400, whole.len() - 1] {
            assert!(read(&whole[..cut], Frame::World).is_err(), "cut at {cut}");
        }
        let huge = String::from_utf8_lossy(&whole).replace("vertex 50", "vertex 99999999999999");
        assert!(read(huge.as_bytes(), Frame::World).is_err());
    }
}
