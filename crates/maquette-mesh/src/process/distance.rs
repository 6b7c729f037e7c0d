//! Distance from points to a mesh through a bounding volume tree, and the Hausdorff distance between meshes.

use crate::vector::{D3, add, dot, scale, sub, widen};
use crate::{MeshError, TriangleMesh};

/// Triangles in a leaf.
const LEAF: usize = 8;

struct Node {
    low: D3,
    high: D3,
    /// Leaf: first entry in `order` and its end. Inner node: its second child (the first follows the node itself), and 0.
    first: u32,
    end: u32,
}

/// A search tree over the triangles of a mesh.
pub struct TriangleTree<'a> {
    mesh: &'a TriangleMesh,
    nodes: Vec<Node>,
    order: Vec<u32>,
}

/// The nearest point of a mesh.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Nearest {
    /// Face it lies on.
    pub face: u32,
    /// Its position.
    pub point: [f64; 3],
    /// Its distance from the query.
    pub distance: f64,
}

impl<'a> TriangleTree<'a> {
    /// Builds the tree.
    ///
    /// # Errors
    /// [`MeshError::Empty`] without faces, and what [`TriangleMesh::validate`] reports.
    pub fn new(mesh: &'a TriangleMesh) -> Result<Self, MeshError> {
        mesh.validate()?;
        if mesh.faces.is_empty() {
            return Err(MeshError::Empty { operation: "a distance query" });
        }
        let n = mesh.faces.len();
        let centres: Vec<D3> = (0..n)
            .map(|f| {
                let [a, b, c] = mesh.corners(f);
                scale(add(add(a, b), c), 1.0 / 3.0)
            })
            .collect();
        let mut tree = Self { mesh, nodes: Vec::new(), order: (0..n as u32).collect() };
        tree.build(0, n, &centres);
        Ok(tree)
    }

    fn build(&mut self, start: usize, end: usize, centres: &[D3]) {
        let (mut low, mut high) = ([f64::INFINITY; 3], [f64::NEG_INFINITY; 3]);
        for &f in &self.order[start..end] {
            for p in self.mesh.corners(f as usize) {
                (0..3).for_each(|k| (low[k], high[k]) = (low[k].min(p[k]), high[k].max(p[k])));
            }
        }
        let at = self.nodes.len();
        self.nodes.push(Node { low, high, first: start as u32, end: end as u32 });
        if end - start <= LEAF {
            return;
        }
        let axis = (0..3).fold(0, |best, k| if high[k] - low[k] > high[best] - low[best] { k } else { best });
        let middle = (start + end) / 2;
        self.order[start..end].select_nth_unstable_by(middle - start, |&a, &b| {
            centres[a as usize][axis].total_cmp(&centres[b as usize][axis]).then(a.cmp(&b))
        });
        self.build(start, middle, centres);
        let second = self.nodes.len() as u32;
        self.build(middle, end, centres);
        self.nodes[at].first = second;
        self.nodes[at].end = 0;
    }

    fn box_distance(&self, node: usize, p: D3) -> f64 {
        let n = &self.nodes[node];
        (0..3).map(|k| (n.low[k] - p[k]).max(p[k] - n.high[k]).max(0.0).powi(2)).sum()
    }

    /// The nearest point of the mesh.
    pub fn nearest(&self, p: [f64; 3]) -> Nearest {
        let mut best = Nearest { face: 0, point: p, distance: f64::INFINITY };
        let mut best_squared = f64::INFINITY;
        let mut stack = vec![(0usize, self.box_distance(0, p))];
        while let Some((node, bound)) = stack.pop() {
            if bound >= best_squared {
                continue;
            }
            let n = &self.nodes[node];
            if n.end > 0 {
                for &face in &self.order[n.first as usize..n.end as usize] {
                    let point = nearest_on_triangle(p, self.mesh.corners(face as usize));
                    let d = sub(point, p);
                    if dot(d, d) < best_squared {
                        best_squared = dot(d, d);
                        best = Nearest { face, point, distance: best_squared.sqrt() };
                    }
                }
                continue;
            }
            let (a, b) = (node + 1, n.first as usize);
            let (da, db) = (self.box_distance(a, p), self.box_distance(b, p));
            if da < db {
                stack.extend([(b, db), (a, da)]);
            } else {
                stack.extend([(a, da), (b, db)]);
            }
        }
        best
    }
}

/// The point of a triangle nearest to `p`, by the region of the plane that `p` projects to.
fn nearest_on_triangle(p: D3, [a, b, c]: [D3; 3]) -> D3 {
    let (ab, ac, ap) = (sub(b, a), sub(c, a), sub(p, a));
    let (d1, d2) = (dot(ab, ap), dot(ac, ap));
    if d1 <= 0.0 && d2 <= 0.0 {
        return a;
    }
    let bp = sub(p, b);
    let (d3, d4) = (dot(ab, bp), dot(ac, bp));
    if d3 >= 0.0 && d4 <= d3 {
        return b;
    }
    let vc = d1 * d4 - d3 * d2;
    if vc <= 0.0 && d1 >= 0.0 && d3 <= 0.0 {
        return add(a, scale(ab, d1 / (d1 - d3)));
    }
    let cp = sub(p, c);
    let (d5, d6) = (dot(ab, cp), dot(ac, cp));
    if d6 >= 0.0 && d5 <= d6 {
        return c;
    }
    let vb = d5 * d2 - d1 * d6;
    if vb <= 0.0 && d2 >= 0.0 && d6 <= 0.0 {
        return add(a, scale(ac, d2 / (d2 - d6)));
    }
    let va = d3 * d6 - d5 * d4;
    if va <= 0.0 && d4 >= d3 && d5 >= d6 {
        return add(b, scale(sub(c, b), (d4 - d3) / ((d4 - d3) + (d5 - d6))));
    }
    let sum = va + vb + vc;
    if sum <= 0.0 {
        return a;
    }
    add(a, add(scale(ab, vb / sum), scale(ac, vc / sum)))
}

/// Distances between two meshes, sampled at the vertices and face centres of both.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct MeshDistance {
    /// Hausdorff distance: the largest distance from a sample of one mesh to the other.
    pub hausdorff: f64,
    /// Root mean square of the distances.
    pub rms: f64,
}

/// Measures how far two meshes are apart.
///
/// # Errors
/// As [`TriangleTree::new`], for either mesh.
pub fn mesh_distance(a: &TriangleMesh, b: &TriangleMesh) -> Result<MeshDistance, MeshError> {
    let (ta, tb) = (TriangleTree::new(a)?, TriangleTree::new(b)?);
    let (mut hausdorff, mut sum, mut count) = (0.0f64, 0.0, 0usize);
    for (from, to) in [(a, &tb), (b, &ta)] {
        let vertices = from.faces.iter().flatten().map(|&v| widen(from.positions[v as usize]));
        let centres = (0..from.faces.len()).map(|f| {
            let [a, b, c] = from.corners(f);
            scale(add(add(a, b), c), 1.0 / 3.0)
        });
        // Every vertex is visited once a face; the repeats cost time only on small meshes and weigh by density.
        for p in vertices.step_by(2).chain(centres) {
            let d = to.nearest(p).distance;
            hausdorff = hausdorff.max(d);
            sum += d * d;
            count += 1;
        }
    }
    Ok(MeshDistance { hausdorff, rms: (sum / count.max(1) as f64).sqrt() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shapes;
    use crate::vector::length;

    #[test]
    fn tree_and_brute_force_agree() {
        let m = shapes::torus(20, 10, 0.3, 0.1);
        let tree = TriangleTree::new(&m).expect("valid");
        for i in 0..200 {
            let t = f64::from(i) * 0.7;
            let p = [t.sin() * 0.6, t.cos() * 0.5, (1.3 * t).sin() * 0.3];
            let brute = (0..m.faces.len())
                .map(|f| length(sub(nearest_on_triangle(p, m.corners(f)), p)))
                .fold(f64::INFINITY, f64::min);
            assert!((tree.nearest(p).distance - brute).abs() < 1e-12);
        }
    }

    #[test]
    fn a_moved_box_is_as_far_as_it_moved() {
        let a = shapes::cuboid([1.0; 3]);
        let mut b = a.clone();
        b.positions.iter_mut().for_each(|p| p[0] += 0.25);
        let d = mesh_distance(&a, &b).expect("valid");
        assert!((d.hausdorff - 0.25).abs() < 1e-6);
        assert!(mesh_distance(&a, &a).expect("valid").hausdorff < 1e-15);
    }
}
