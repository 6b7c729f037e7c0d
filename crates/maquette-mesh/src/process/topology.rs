//! Edges and their faces, connected components: what every processing step asks of a mesh.

/// An undirected edge: (smaller, larger) vertex.
pub(crate) fn edge_key(a: u32, b: u32) -> u64 {
    u64::from(a.min(b)) << 32 | u64::from(a.max(b))
}

/// Sorts items by a vertex and then by themselves: counted into one bucket a vertex, because a sort by comparison of a large
/// mesh's sides takes several times as long.
pub(crate) fn sorted_by_vertex<T: Ord + Copy>(items: &[T], vertex: impl Fn(&T) -> u32) -> Vec<T> {
    let vertices = items.iter().map(|item| vertex(item) as usize + 1).max().unwrap_or(0);
    if vertices > 4 * items.len() {
        // Buckets would mostly be empty.
        let mut sorted = items.to_vec();
        sorted.sort_unstable_by_key(|item| (vertex(item), *item));
        return sorted;
    }
    let mut ends = vec![0u32; vertices];
    items.iter().for_each(|item| ends[vertex(item) as usize] += 1);
    let mut sum = 0;
    for end in &mut ends {
        (*end, sum) = (sum, sum + *end);
    }
    let mut sorted = items.to_vec();
    for item in items {
        let end = &mut ends[vertex(item) as usize];
        sorted[*end as usize] = *item;
        *end += 1;
    }
    let mut start = 0;
    for end in ends {
        sorted[start..end as usize].sort_unstable();
        start = end as usize;
    }
    sorted
}

/// All face sides, sorted by edge: (edge key, face, side k from corner k to corner k + 1).
pub(crate) fn sorted_sides(faces: &[[u32; 3]]) -> Vec<(u64, u32, u8)> {
    let mut sides = Vec::with_capacity(faces.len() * 3);
    for (f, face) in faces.iter().enumerate() {
        for k in 0..3 {
            sides.push((edge_key(face[k], face[(k + 1) % 3]), f as u32, k as u8));
        }
    }
    sorted_by_vertex(&sides, |side| (side.0 >> 32) as u32)
}

/// Groups of sides that share an edge.
pub(crate) fn edges(sides: &[(u64, u32, u8)]) -> impl Iterator<Item = &[(u64, u32, u8)]> {
    sides.chunk_by(|a, b| a.0 == b.0)
}

/// Disjoint sets with path halving.
#[derive(Debug)]
pub(crate) struct DisjointSets(Vec<u32>);

impl DisjointSets {
    pub fn new(n: usize) -> Self {
        Self((0..n as u32).collect())
    }

    pub fn find(&mut self, mut x: u32) -> u32 {
        while self.0[x as usize] != x {
            let up = self.0[self.0[x as usize] as usize];
            self.0[x as usize] = up;
            x = up;
        }
        x
    }

    /// Set number of every element, numbered by first element, and the number of sets.
    pub fn labels(&mut self) -> (Vec<u32>, usize) {
        let mut number = vec![u32::MAX; self.0.len()];
        let mut count = 0;
        let labels = (0..self.0.len() as u32)
            .map(|x| {
                let root = self.find(x) as usize;
                if number[root] == u32::MAX {
                    number[root] = count;
                    count += 1;
                }
                number[root]
            })
            .collect();
        (labels, count as usize)
    }

    pub fn join(&mut self, a: u32, b: u32) {
        let (a, b) = (self.find(a), self.find(b));
        // The smaller root wins, so that labels do not depend on the order of joins.
        self.0[a.max(b) as usize] = a.min(b);
    }
}

/// Component number of every face (edge-connected), numbered by first face, and the number of components.
pub(crate) fn face_components(faces: &[[u32; 3]]) -> (Vec<u32>, usize) {
    let mut sets = DisjointSets::new(faces.len());
    for group in edges(&sorted_sides(faces)) {
        group[1..].iter().for_each(|s| sets.join(group[0].1, s.1));
    }
    sets.labels()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sides_come_in_order_of_edges_wherever_the_vertices_are() {
        for stride in [1, 1000] {
            let faces: Vec<[u32; 3]> =
                (0..200u32).map(|f| [f * 7 % 31, f * 11 % 37, f * 5 % 41].map(|v| v * stride)).collect();
            let sides = sorted_sides(&faces);
            assert_eq!(sides.len(), 600);
            assert!(sides.is_sorted());
        }
        assert!(sorted_sides(&[]).is_empty());
    }
}
