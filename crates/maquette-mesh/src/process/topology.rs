//! Edges and their faces, connected components: what every processing step asks of a mesh.

/// An undirected edge: (smaller, larger) vertex.
pub(crate) fn edge_key(a: u32, b: u32) -> u64 {
    u64::from(a.min(b)) << 32 | u64::from(a.max(b))
}

/// All face sides, sorted by edge: (edge key, face, side k from corner k to corner k + 1).
pub(crate) fn sorted_sides(faces: &[[u32; 3]]) -> Vec<(u64, u32, u8)> {
    let mut sides = Vec::with_capacity(faces.len() * 3);
    for (f, face) in faces.iter().enumerate() {
        for k in 0..3 {
            sides.push((edge_key(face[k], face[(k + 1) % 3]), f as u32, k as u8));
        }
    }
    sides.sort_unstable();
    sides
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
