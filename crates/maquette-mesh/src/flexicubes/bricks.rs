//! A sparse 3D array in bricks of 4³ cells, found through a dense directory of bricks.
//!
//! TRELLIS activates fine voxels in aligned 4³ blocks, so a brick is either nearly full or absent, and a directory look-up
//! costs one load where a hash would cost several.

/// Cells along one brick edge.
const EDGE: usize = 4;
/// Cells in a brick.
pub(crate) const CELLS: usize = EDGE * EDGE * EDGE;
const ABSENT: u32 = u32::MAX;

/// Sparse map from `(x, y, z)` to slots `brick * CELLS + cell`.
#[derive(Debug)]
pub(crate) struct Bricks {
    per_axis: usize,
    directory: Vec<u32>,
    /// Brick coordinates in order of creation.
    origins: Vec<[u16; 3]>,
}

impl Bricks {
    /// An empty map over `[0, extent)³`.
    pub fn new(extent: usize) -> Self {
        let per_axis = extent.div_ceil(EDGE);
        Self { per_axis, directory: vec![ABSENT; per_axis.pow(3)], origins: Vec::new() }
    }

    fn locate(&self, p: [usize; 3]) -> (usize, usize) {
        let b = p.map(|x| x / EDGE);
        let c = p.map(|x| x % EDGE);
        ((b[0] * self.per_axis + b[1]) * self.per_axis + b[2], (c[0] * EDGE + c[1]) * EDGE + c[2])
    }

    /// The slot of a cell, if its brick exists. Coordinates beyond the extent have none.
    pub fn slot(&self, p: [usize; 3]) -> Option<usize> {
        if p.iter().any(|&x| x >= self.per_axis * EDGE) {
            return None;
        }
        let (brick, cell) = self.locate(p);
        let b = self.directory[brick];
        (b != ABSENT).then(|| b as usize * CELLS + cell)
    }

    /// The slot of a cell, making its brick if needed. `p` must lie inside the extent.
    pub fn slot_or_insert(&mut self, p: [usize; 3]) -> usize {
        let (brick, cell) = self.locate(p);
        if self.directory[brick] == ABSENT {
            self.directory[brick] = self.origins.len() as u32;
            self.origins.push(p.map(|x| (x / EDGE) as u16));
        }
        self.directory[brick] as usize * CELLS + cell
    }

    /// Number of bricks.
    pub fn len(&self) -> usize {
        self.origins.len()
    }

    /// First cell of brick `b`.
    pub fn origin(&self, b: usize) -> [usize; 3] {
        self.origins[b].map(|x| usize::from(x) * EDGE)
    }

    /// Position of slot `s`.
    pub fn position(&self, s: usize) -> [usize; 3] {
        let o = self.origin(s / CELLS);
        let c = s % CELLS;
        [o[0] + c / (EDGE * EDGE), o[1] + c / EDGE % EDGE, o[2] + c % EDGE]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_and_positions_are_inverse() {
        let mut b = Bricks::new(17);
        for p in [[0, 0, 0], [16, 16, 16], [5, 9, 2], [5, 8, 3]] {
            let s = b.slot_or_insert(p);
            assert_eq!(b.position(s), p);
            assert_eq!(b.slot(p), Some(s));
        }
        assert_eq!(b.len(), 3);
        assert_eq!(b.slot([8, 0, 0]), None);
        assert_eq!(b.slot([40, 0, 0]), None);
    }
}
