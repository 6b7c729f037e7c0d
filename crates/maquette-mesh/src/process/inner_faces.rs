//! Removal of faces that no camera sees, along a minimum cut (spec §8.5, steps 2 to 5).

use std::collections::HashMap;

use super::max_flow::FlowGraph;
use super::topology::{DisjointSets, edges, face_components, sorted_sides};
use crate::vector::{D3, add, cross, length, scale, sub, widen};
use crate::{MeshError, TriangleMesh};

/// Limits of [`remove_inner_faces`].
#[derive(Debug, Clone, PartialEq)]
pub struct InnerFaceOptions {
    /// A hidden part stays if removing it would open a hole of more than this area.
    pub max_hole_area: f64,
}

impl Default for InnerFaceOptions {
    fn default() -> Self {
        Self { max_hole_area: 0.04 }
    }
}

/// Removes hidden faces. `visibility[f]` is the share of all views in which face f covers at least one pixel.
///
/// Without any face of visibility 0 the mesh comes back unchanged. Returns the mesh and the number of removed faces.
///
/// # Errors
/// [`MeshError::Shape`] unless there is one visibility a face; what [`TriangleMesh::validate`] reports.
pub fn remove_inner_faces(
    mesh: &TriangleMesh,
    visibility: &[f32],
    options: &InnerFaceOptions,
) -> Result<(TriangleMesh, usize), MeshError> {
    mesh.validate()?;
    if visibility.len() != mesh.faces.len() {
        return Err(MeshError::shape("visibility", mesh.faces.len(), visibility.len()));
    }
    if visibility.iter().all(|v| *v > 0.0) {
        return Ok((mesh.clone(), 0));
    }
    let sides = sorted_sides(&mesh.faces);
    let hidden = hidden_side(mesh, &sides, visibility);
    let mut keep = vec![true; mesh.faces.len()];
    for part in hidden_parts(mesh, &sides, &hidden) {
        let mut seen: Vec<f32> = part.iter().map(|&f| visibility[f as usize]).collect();
        seen.sort_unstable_by(f32::total_cmp);
        let median = seen[(seen.len() - 1) / 2];
        if median <= 0.25 && largest_new_hole(mesh, &sides, &part) <= options.max_hole_area {
            part.iter().for_each(|&f| keep[f as usize] = false);
        }
    }
    let removed = keep.iter().filter(|k| !**k).count();
    Ok((mesh.filter_faces(&keep)?, removed))
}

/// Faces on the hidden side of the minimum cut between faces never seen and faces often seen.
fn hidden_side(mesh: &TriangleMesh, sides: &[(u64, u32, u8)], visibility: &[f32]) -> Vec<bool> {
    let n = mesh.faces.len();
    let (labels, count) = face_components(&mesh.faces);
    let mut by_part: Vec<Vec<f32>> = vec![Vec::new(); count];
    labels.iter().zip(visibility).for_each(|(&l, &v)| by_part[l as usize].push(v));
    let thresholds: Vec<f32> = by_part.into_iter().map(|v| upper_quartile(v).clamp(0.25, 0.5)).collect();
    let mut graph = FlowGraph::new(n + 2);
    for group in edges(sides).filter(|g| g.len() == 2) {
        let [a, b] = [group[0].0 >> 32, group[0].0 & 0xFFFF_FFFF].map(|v| widen(mesh.positions[v as usize]));
        graph.connect(group[0].1 as usize, group[1].1 as usize, length(sub(b, a)));
    }
    for f in 0..n {
        if visibility[f] <= 0.0 {
            graph.connect(n, f, 1.0);
        } else if visibility[f] > thresholds[labels[f] as usize] {
            graph.connect(f, n + 1, 1.0);
        }
    }
    let mut side = graph.source_side(n, n + 1);
    side.truncate(n);
    side
}

/// 0.75 quantile with linear interpolation.
fn upper_quartile(mut values: Vec<f32>) -> f32 {
    values.sort_unstable_by(f32::total_cmp);
    let at = 0.75 * (values.len().saturating_sub(1)) as f32;
    let (low, fraction) = (at as usize, at.fract());
    let high = (low + 1).min(values.len().saturating_sub(1));
    match (values.get(low), values.get(high)) {
        (Some(a), Some(b)) => a + (b - a) * fraction,
        _ => 0.0,
    }
}

/// The hidden faces in groups connected through edges.
fn hidden_parts(mesh: &TriangleMesh, sides: &[(u64, u32, u8)], hidden: &[bool]) -> Vec<Vec<u32>> {
    let mut sets = DisjointSets::new(mesh.faces.len());
    for group in edges(sides) {
        let mut inside = group.iter().filter(|s| hidden[s.1 as usize]);
        if let Some(first) = inside.next() {
            inside.for_each(|s| sets.join(first.1, s.1));
        }
    }
    let mut parts: Vec<Vec<u32>> = Vec::new();
    let mut index: HashMap<u32, usize> = HashMap::new();
    for f in (0..mesh.faces.len() as u32).filter(|&f| hidden[f as usize]) {
        let at = *index.entry(sets.find(f)).or_insert_with(|| {
            parts.push(Vec::new());
            parts.len() - 1
        });
        parts[at].push(f);
    }
    parts
}

/// Area of the largest hole that removing `part` would open.
fn largest_new_hole(mesh: &TriangleMesh, sides: &[(u64, u32, u8)], part: &[u32]) -> f64 {
    let faces: Vec<[u32; 3]> = part.iter().map(|&f| mesh.faces[f as usize]).collect();
    let own = sorted_sides(&faces);
    let degree = |key: u64| {
        let start = sides.partition_point(|s| s.0 < key);
        sides[start..].iter().take_while(|s| s.0 == key).count()
    };
    let border: Vec<[u32; 2]> = edges(&own)
        .filter(|g| g.len() == 1 && degree(g[0].0) > 1)
        .map(|g| [(g[0].0 >> 32) as u32, g[0].0 as u32])
        .collect();
    // Loops are groups of border edges that share vertices.
    let mut sets = DisjointSets::new(border.len());
    let mut at_vertex: HashMap<u32, u32> = HashMap::new();
    for (e, ends) in border.iter().enumerate() {
        for v in ends {
            let first = *at_vertex.entry(*v).or_insert(e as u32);
            sets.join(first, e as u32);
        }
    }
    let mut loops: HashMap<u32, Vec<[D3; 2]>> = HashMap::new();
    for (e, ends) in border.iter().enumerate() {
        let points = ends.map(|v| widen(mesh.positions[v as usize]));
        loops.entry(sets.find(e as u32)).or_default().push(points);
    }
    loops
        .values()
        .map(|edges| {
            let sum = edges.iter().fold([0.0; 3], |s, [a, b]| add(s, scale(add(*a, *b), 0.5)));
            let centre = scale(sum, 1.0 / edges.len() as f64);
            0.5 * edges.iter().map(|[a, b]| length(cross(sub(*a, centre), sub(*b, centre)))).sum::<f64>()
        })
        .fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shapes;

    /// A sphere inside a sphere: the inner one is never seen.
    fn nested() -> (TriangleMesh, Vec<f32>, usize) {
        let outer = shapes::sphere(16, 24, 0.5);
        let inner = shapes::sphere(12, 16, 0.3);
        let mut m = outer.clone();
        let shift = m.positions.len() as u32;
        m.positions.extend(&inner.positions);
        m.faces.extend(inner.faces.iter().map(|f| f.map(|v| v + shift)));
        let n = outer.faces.len();
        let visibility = (0..m.faces.len()).map(|f| if f < n { 0.45 } else { 0.0 }).collect();
        (m, visibility, n)
    }

    #[test]
    fn a_hidden_sphere_is_removed_whole() {
        let (m, visibility, outer) = nested();
        let (kept, removed) = remove_inner_faces(&m, &visibility, &InnerFaceOptions::default()).expect("valid");
        assert_eq!((kept.faces.len(), removed), (outer, m.faces.len() - outer));
    }

    #[test]
    fn nothing_changes_when_everything_is_seen() {
        let (m, visibility, _) = nested();
        let all: Vec<f32> = visibility.iter().map(|v| v + 0.1).collect();
        assert_eq!(remove_inner_faces(&m, &all, &InnerFaceOptions::default()).expect("valid"), (m, 0));
    }

    #[test]
    fn a_hidden_cap_with_a_large_rim_stays() {
        let m = shapes::sphere(16, 24, 0.5);
        let low = |f: &[u32; 3]| f.iter().all(|&v| m.positions[v as usize][2] < 0.01);
        let visibility: Vec<f32> = m.faces.iter().map(|f| if low(f) { 0.0 } else { 0.6 }).collect();
        let options = InnerFaceOptions { max_hole_area: 0.04 };
        assert_eq!(remove_inner_faces(&m, &visibility, &options).expect("valid").1, 0);
        let generous = InnerFaceOptions { max_hole_area: 10.0 };
        assert!(remove_inner_faces(&m, &visibility, &generous).expect("valid").1 > 0);
    }

    #[test]
    fn a_mesh_nobody_sees_and_a_wrong_count_do_not_break_it() {
        let m = shapes::cuboid([1.0; 3]);
        let (kept, removed) = remove_inner_faces(&m, &[0.0; 12], &InnerFaceOptions::default()).expect("valid");
        assert_eq!((kept.faces.len(), removed), (0, 12));
        assert!(remove_inner_faces(&m, &[0.0; 3], &InnerFaceOptions::default()).is_err());
    }
}
