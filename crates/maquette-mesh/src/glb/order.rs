//! Order of faces and vertices for compression: neighbours follow each other, vertices are numbered by first use.

use std::collections::VecDeque;

use crate::TriangleMesh;

/// Vertices remembered, as many as the index codec's queues hold.
const CACHE: usize = 16;

/// The mesh with faces and vertices in compression order: all faces around a vertex, then around one used just before (the
/// fans of Sander et al. 2007, "Fast triangle reordering"). Unused vertices go. The mesh must be valid.
pub(super) fn compression_order(mesh: &TriangleMesh) -> TriangleMesh {
    let n = mesh.positions.len();
    let mut start = vec![0u32; n + 1];
    mesh.faces.iter().flatten().for_each(|&v| start[v as usize + 1] += 1);
    (0..n).for_each(|v| start[v + 1] += start[v]);
    let mut slots = start.clone();
    let mut around = vec![0u32; mesh.faces.len() * 3];
    for (f, face) in mesh.faces.iter().enumerate() {
        for &v in face {
            around[slots[v as usize] as usize] = f as u32;
            slots[v as usize] += 1;
        }
    }
    let mut left: Vec<u32> = (0..n).map(|v| start[v + 1] - start[v]).collect();
    let mut done = vec![false; mesh.faces.len()];
    let mut number = vec![u32::MAX; n];
    let mut source = Vec::with_capacity(n);
    let mut faces = Vec::with_capacity(mesh.faces.len());
    let mut recent: VecDeque<u32> = VecDeque::with_capacity(CACHE);
    let mut scan = 0;
    loop {
        let open = |v: &u32| left[*v as usize] > 0;
        // The most recent vertex with the fewest faces left keeps the seam short; else the next one in order.
        let near = recent.iter().rev().filter(|v| open(v)).min_by_key(|v| left[**v as usize]).copied();
        let fan = near.or_else(|| {
            scan = (scan..n).find(|&v| left[v] > 0).unwrap_or(n);
            (scan < n).then_some(scan as u32)
        });
        let Some(fan) = fan else { break };
        for &f in &around[start[fan as usize] as usize..start[fan as usize + 1] as usize] {
            if std::mem::replace(&mut done[f as usize], true) {
                continue;
            }
            faces.push(mesh.faces[f as usize].map(|v| {
                left[v as usize] -= 1;
                if let Some(at) = recent.iter().position(|r| *r == v) {
                    recent.remove(at);
                }
                if recent.len() == CACHE {
                    recent.pop_front();
                }
                recent.push_back(v);
                let slot = &mut number[v as usize];
                if *slot == u32::MAX {
                    *slot = source.len() as u32;
                    source.push(v);
                }
                *slot
            }));
        }
    }
    fn pick<T: Copy>(values: &[T], source: &[u32]) -> Vec<T> {
        if values.is_empty() { Vec::new() } else { source.iter().map(|&v| values[v as usize]).collect() }
    }
    TriangleMesh {
        positions: pick(&mesh.positions, &source),
        faces,
        normals: pick(&mesh.normals, &source),
        uvs: pick(&mesh.uvs, &source),
        colors: pick(&mesh.colors, &source),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::glb::meshopt_triangles;
    use crate::shapes;

    #[test]
    fn the_surface_stays_and_indices_take_less_than_two_bytes_a_face() {
        let mut m = shapes::sphere(60, 90, 0.5);
        // A bad order to begin with.
        let count = m.faces.len();
        m.faces = (0..count).map(|i| m.faces[i * 7919 % count]).collect();
        m.uvs = m.positions.iter().map(|p| [p[0], p[2]]).collect();
        let o = compression_order(&m);
        let corners = |m: &TriangleMesh| {
            let mut all: Vec<[[u32; 3]; 3]> =
                m.faces.iter().map(|f| f.map(|v| m.positions[v as usize].map(f32::to_bits))).collect();
            all.sort_unstable();
            all
        };
        assert_eq!(corners(&o), corners(&m));
        assert!(o.positions.iter().zip(&o.uvs).all(|(p, uv)| [p[0], p[2]] == *uv));
        let (before, after) = (meshopt_triangles::encode(&m.faces).len(), meshopt_triangles::encode(&o.faces).len());
        assert!(after < 2 * count && after * 2 < before, "{before} -> {after} bytes for {count} faces");
    }
}
