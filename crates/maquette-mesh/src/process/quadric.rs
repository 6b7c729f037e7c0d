//! Quadric error: the weighted sum of squared distances to a set of planes.

use crate::vector::{D3, add, cross, dot, scale, sub};

/// Symmetric 4×4 form: A (xx, xy, xz, yy, yz, zz), b, c with error(x) = xᵀAx + 2bᵀx + c.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Quadric {
    a: [f64; 6],
    b: D3,
    c: f64,
}

impl Quadric {
    /// Squared distance to the plane through `point` with unit `normal`, times `weight`.
    pub fn plane(normal: D3, point: D3, weight: f64) -> Self {
        let [x, y, z] = normal;
        let d = -dot(normal, point);
        Self {
            a: [x * x, x * y, x * z, y * y, y * z, z * z].map(|v| v * weight),
            b: scale(normal, d * weight),
            c: d * d * weight,
        }
    }

    pub fn plus(&self, o: &Self) -> Self {
        Self { a: std::array::from_fn(|k| self.a[k] + o.a[k]), b: add(self.b, o.b), c: self.c + o.c }
    }

    fn apply(&self, v: D3) -> D3 {
        let [xx, xy, xz, yy, yz, zz] = self.a;
        [dot([xx, xy, xz], v), dot([xy, yy, yz], v), dot([xz, yz, zz], v)]
    }

    pub fn error(&self, x: D3) -> f64 {
        (dot(x, self.apply(x)) + 2.0 * dot(self.b, x) + self.c).max(0.0)
    }

    /// The point of least error for the collapse of edge (p, q): the minimum where the planes fix one near the edge, else
    /// the best point of the edge.
    pub fn best_point(&self, p: D3, q: D3) -> D3 {
        let [xx, xy, xz, yy, yz, zz] = self.a;
        let (r0, r1, r2) = ([xx, xy, xz], [xy, yy, yz], [xz, yz, zz]);
        let c = [cross(r1, r2), cross(r2, r0), cross(r0, r1)];
        let det = dot(r0, c[0]);
        let size = xx + yy + zz;
        let middle = scale(add(p, q), 0.5);
        let edge = sub(q, p);
        if det > 1e-10 * size * size * size {
            // A is symmetric, so the cofactor rows solve the system.
            let rhs = scale(self.b, -1.0);
            let x = scale(
                [
                    dot([c[0][0], c[1][0], c[2][0]], rhs),
                    dot([c[0][1], c[1][1], c[2][1]], rhs),
                    dot([c[0][2], c[1][2], c[2][2]], rhs),
                ],
                1.0 / det,
            );
            let away = sub(x, middle);
            // A minimum far from the edge is noise amplified by nearly parallel planes.
            if dot(away, away) <= 4.0 * dot(edge, edge) {
                return x;
            }
        }
        let curvature = dot(edge, self.apply(edge));
        if curvature > 1e-10 * size * dot(edge, edge) {
            let slope = dot(edge, add(self.apply(p), self.b));
            return add(p, scale(edge, (-slope / curvature).clamp(0.0, 1.0)));
        }
        middle
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_planes_meet_in_their_common_point() {
        let corner = [0.2, -0.1, 0.3];
        let q = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.6, 0.8]]
            .iter()
            .fold(Quadric::default(), |q, n| q.plus(&Quadric::plane(*n, corner, 2.0)));
        let x = q.best_point([0.0; 3], [0.5, 0.0, 0.5]);
        assert!((0..3).all(|k| (x[k] - corner[k]).abs() < 1e-9), "{x:?}");
        assert!(q.error(x) < 1e-12);
        assert!((q.error([1.2, -0.1, 0.3]) - 2.0).abs() < 1e-9);
    }

    #[test]
    fn one_plane_leaves_the_middle_of_the_edge() {
        let q = Quadric::plane([0.0, 0.0, 1.0], [0.0; 3], 1.0);
        assert_eq!(q.best_point([0.0; 3], [1.0, 0.0, 0.0]), [0.5, 0.0, 0.0]);
    }
}
