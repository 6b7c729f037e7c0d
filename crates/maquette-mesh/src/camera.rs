//! Cameras around the object (spec §8.1): positions, views, projections, and the two sequences of views in use.
//!
//! Matrices are row-major and act on column vectors. The world is z up; cameras look at the origin.

use crate::gaussians::radical_inverse;
use crate::portable::{acos, cos, sin, tan};
use crate::vector::{D3, cross, dot, narrow, sub, unit};

/// A 4×4 matrix, row-major.
pub type Matrix4 = [[f32; 4]; 4];

/// A full turn as the reference writes it, 2 · 3.1415: the last frame falls a little short of the first.
#[expect(clippy::approx_constant, reason = "the reference rounds")]
const REFERENCE_TURN: f64 = 6.283;

/// A camera on a sphere around the origin.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OrbitCamera {
    /// Angle around z in radians; 0 looks from +y.
    pub yaw: f64,
    /// Angle above the xy plane in radians.
    pub pitch: f64,
    /// Distance from the origin.
    pub radius: f64,
    /// Field of view of both axes in radians.
    pub fov: f64,
}

impl OrbitCamera {
    /// View `n` of `count` of the sphere-Hammersley sequence, at radius 2 and a field of view of 40°: the views used for
    /// visibility (1000) and baking (100).
    pub fn hammersley(n: u32, count: u32) -> Self {
        let u = f64::from(n) / f64::from(count.max(1));
        let v = radical_inverse(2, u64::from(n));
        let pitch = acos(1.0 - 2.0 * u) - std::f64::consts::FRAC_PI_2;
        Self { yaw: 2.0 * std::f64::consts::PI * v, pitch, radius: 2.0, fov: 40f64.to_radians() }
    }

    /// Frame `n` of `count` of the turntable (spec §8.10).
    pub fn turntable(n: u32, count: u32) -> Self {
        let angle = REFERENCE_TURN * f64::from(n) / f64::from(count.max(2) - 1);
        Self { yaw: angle, pitch: 0.25 + 0.5 * sin(angle), radius: 2.0, fov: 40f64.to_radians() }
    }

    /// Position of the camera.
    pub fn eye(&self) -> [f64; 3] {
        let r = self.radius;
        [r * sin(self.yaw) * cos(self.pitch), r * cos(self.yaw) * cos(self.pitch), r * sin(self.pitch)]
    }

    /// World → camera with OpenCV axes: x right, y down, z forward.
    pub fn view(&self) -> Matrix4 {
        let eye = self.eye();
        let forward = sub([0.0; 3], eye);
        // Straight up or down, the direction "right" is free; the reference ends up with +x.
        let right = unit(cross([0.0, 0.0, -1.0], forward).map(|c| if c.abs() < 1e-12 { 0.0 } else { c }));
        let right = right.unwrap_or([1.0, 0.0, 0.0]);
        let z = unit(forward).unwrap_or([0.0, 1.0, 0.0]);
        let y = cross(z, right);
        rows(&[right, y, z], eye)
    }

    /// World → camera with OpenGL axes: x right, y up, z backwards.
    pub fn view_gl(&self) -> Matrix4 {
        let mut m = self.view();
        m[1].iter_mut().for_each(|x| *x = -*x);
        m[2].iter_mut().for_each(|x| *x = -*x);
        m
    }

    /// Normalised focal length `0.5 / tan(fov / 2)`.
    pub fn focal(&self) -> f64 {
        0.5 / tan(self.fov * 0.5)
    }

    /// Tangent of half the field of view.
    pub fn tan_half_fov(&self) -> f32 {
        tan(self.fov * 0.5) as f32
    }

    /// OpenGL projection with centred principal point.
    pub fn projection_gl(&self, near: f64, far: f64) -> Matrix4 {
        let f = 2.0 * self.focal();
        let mut m = [[0.0; 4]; 4];
        (m[0][0], m[1][1], m[3][2]) = (f as f32, f as f32, -1.0);
        m[2][2] = ((near + far) / (near - far)) as f32;
        m[2][3] = (2.0 * near * far / (near - far)) as f32;
        m
    }

    /// Projection of the renderers, for OpenCV axes.
    pub fn projection(&self, near: f64, far: f64) -> Matrix4 {
        let f = 2.0 * self.focal();
        let mut m = [[0.0; 4]; 4];
        (m[0][0], m[1][1], m[3][2]) = (f as f32, f as f32, 1.0);
        m[2][2] = (far / (far - near)) as f32;
        m[2][3] = (near * far / (near - far)) as f32;
        m
    }
}

fn rows(axes: &[D3; 3], eye: D3) -> Matrix4 {
    let mut m = [[0.0, 0.0, 0.0, 1.0]; 4];
    for (row, axis) in m.iter_mut().zip(axes) {
        let [x, y, z] = narrow(*axis);
        *row = [x, y, z, -dot(*axis, eye) as f32];
    }
    m[3] = [0.0, 0.0, 0.0, 1.0];
    m
}

/// Matrix product `a · b`.
pub fn multiply(a: &Matrix4, b: &Matrix4) -> Matrix4 {
    std::array::from_fn(|r| {
        std::array::from_fn(|c| (0..4).map(|k| f64::from(a[r][k]) * f64::from(b[k][c])).sum::<f64>() as f32)
    })
}

/// `m · (p, 1)`.
pub fn transform(m: &Matrix4, p: [f32; 3]) -> [f32; 4] {
    m.map(|r| r[0] * p[0] + r[1] * p[1] + r[2] * p[2] + r[3])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn camera(yaw: f64, pitch: f64) -> OrbitCamera {
        OrbitCamera { yaw, pitch, radius: 2.0, fov: 0.7 }
    }

    #[test]
    fn the_origin_lies_straight_ahead() {
        for n in 0..50 {
            let p = transform(&OrbitCamera::hammersley(n, 50).view(), [0.0; 3]);
            assert!(p[0].abs() < 1e-6 && p[1].abs() < 1e-6 && (p[2] - 2.0).abs() < 1e-6, "{n}: {p:?}");
        }
    }

    #[test]
    fn up_in_the_world_is_up_in_the_picture() {
        let v = camera(0.4, 0.3).view();
        assert!(transform(&v, [0.0, 0.0, 0.1])[1] < 0.0, "OpenCV y points down");
        assert!(transform(&camera(0.4, 0.3).view_gl(), [0.0, 0.0, 0.1])[1] > 0.0);
    }

    #[test]
    fn rotations_are_proper() {
        for (yaw, pitch) in [(0.0, 0.0), (1.0, -1.2), (5.0, 1.5), (0.0, -std::f64::consts::FRAC_PI_2)] {
            let m = camera(yaw, pitch).view();
            let r: Vec<D3> = (0..3).map(|k| [m[k][0], m[k][1], m[k][2]].map(f64::from)).collect();
            assert!((dot(r[0], cross(r[1], r[2])) - 1.0).abs() < 1e-5);
        }
    }

    #[test]
    fn the_south_pole_has_the_references_roll() {
        let m = OrbitCamera::hammersley(0, 100).view();
        assert!((m[0][0] - 1.0).abs() < 1e-6, "{m:?}");
    }

    #[test]
    fn near_and_far_planes_map_to_the_ends_of_depth() {
        let c = camera(0.0, 0.0);
        for (z, want) in [(-0.5, -1.0), (-3.0, 1.0)] {
            let p = transform(&c.projection_gl(0.5, 3.0), [0.0, 0.0, z]);
            assert!((p[2] / p[3] - want).abs() < 1e-6);
        }
        for (z, want) in [(0.5, 0.0), (3.0, 1.0)] {
            let p = transform(&c.projection(0.5, 3.0), [0.0, 0.0, z]);
            assert!((p[2] / p[3] - want).abs() < 1e-6);
        }
    }
}
