//! The 3×3×3 neighbours of every voxel of a set.

use std::{
    collections::HashMap,
    sync::{Arc, OnceLock},
};

use burn::tensor::{DType, Device, Int, Tensor, TensorData};

use crate::{
    Error,
    buffers::{Buffers, LANES, int_tensor, run, upload_words, words_of},
    voxels::{DeviceCache, upload},
};

/// Taps of a 3×3×3 kernel.
pub const TAPS: usize = 27;
/// Table entry of a neighbour that is not in the set.
pub const MISSING: i32 = -1;

/// Largest bounding box, in cells, that is indexed by a plain array: 64 MiB.
const DENSE_CELLS: u64 = 1 << 24;

/// Finds the row of a coordinate.
pub(crate) enum VoxelIndex {
    /// One cell a coordinate of the bounding box.
    Dense { origin: [i32; 4], dims: [i32; 4], rows: Vec<i32> },
    /// For scattered sets.
    Hash(HashMap<[i32; 4], i32>),
}

impl VoxelIndex {
    /// Indexes coordinates that are known to be in range.
    pub(crate) fn new(coords: &[[i32; 4]]) -> Result<Self, Error> {
        let mut low = [i32::MAX; 4];
        let mut high = [i32::MIN; 4];
        for c in coords {
            for axis in 0..4 {
                low[axis] = low[axis].min(c[axis]);
                high[axis] = high[axis].max(c[axis]);
            }
        }
        if coords.is_empty() {
            return Ok(Self::Hash(HashMap::new()));
        }
        let dims: [i32; 4] = std::array::from_fn(|a| high[a] - low[a] + 1);
        let cells: u64 = dims.iter().map(|&d| d as u64).product();
        let mut index = if cells <= DENSE_CELLS {
            Self::Dense { origin: low, dims, rows: vec![MISSING; cells as usize] }
        } else {
            Self::Hash(HashMap::with_capacity(coords.len()))
        };
        for (row, &coords) in coords.iter().enumerate() {
            let before = match &mut index {
                Self::Dense { origin, dims, rows } => {
                    let cell = dense_cell(origin, dims, coords).expect("the box bounds every coordinate");
                    std::mem::replace(&mut rows[cell], row as i32)
                }
                Self::Hash(rows) => rows.insert(coords, row as i32).unwrap_or(MISSING),
            };
            if before != MISSING {
                return Err(Error::Duplicate { first: before as usize, second: row, coords });
            }
        }
        Ok(index)
    }

    /// The row of `coords`, or [`MISSING`].
    pub(crate) fn row(&self, coords: [i32; 4]) -> i32 {
        match self {
            Self::Dense { origin, dims, rows } => dense_cell(origin, dims, coords).map_or(MISSING, |cell| rows[cell]),
            Self::Hash(rows) => rows.get(&coords).copied().unwrap_or(MISSING),
        }
    }
}

fn dense_cell(origin: &[i32; 4], dims: &[i32; 4], coords: [i32; 4]) -> Option<usize> {
    let mut cell = 0usize;
    for axis in 0..4 {
        let at = coords[axis] - origin[axis];
        if at < 0 || at >= dims[axis] {
            return None;
        }
        cell = cell * dims[axis] as usize + at as usize;
    }
    Some(cell)
}

/// For every tap of a 3×3×3 kernel and every voxel, the row of the voxel's neighbour there.
///
/// Tap `t = 9·i + 3·j + k` looks at `coordinate + (i − 1, j − 1, k − 1)`, the order in which checkpoints store kernels.
///
/// Nothing is looked up before it is asked for: on a GPU the table is made there, and the host never has it.
#[derive(Clone)]
pub struct NeighbourMap {
    voxels: usize,
    origin: Origin,
    /// `[TAPS, voxels]`.
    host_table: Arc<OnceLock<Vec<i32>>>,
    device_table: DeviceCache<Tensor<2, Int>>,
    device_pairs: DeviceCache<Vec<TapPairs>>,
}

/// What a table follows from.
#[derive(Clone)]
enum Origin {
    /// Distinct coordinates, at least 0.
    Coords(Arc<[[i32; 4]]>),
    /// The map of the set of which every voxel was cut in eight.
    Parents(Arc<NeighbourMap>),
}

/// The voxels that have a neighbour at one tap, and that neighbour.
#[derive(Clone)]
pub(crate) struct TapPairs {
    pub(crate) tap: usize,
    /// Rows read.
    pub(crate) inputs: Tensor<1, Int>,
    /// Rows written, ascending and distinct.
    pub(crate) outputs: Tensor<1, Int>,
}

impl NeighbourMap {
    /// The map of a set of distinct coordinates, at least 0 each.
    pub(crate) fn new(coords: Arc<[[i32; 4]]>) -> Self {
        Self::from_origin(coords.len(), Origin::Coords(coords))
    }

    /// The map of the set with every voxel cut in eight: a child's neighbours are children of its parent's neighbours, so
    /// nothing has to be searched.
    pub(crate) fn subdivided(&self) -> Self {
        Self::from_origin(8 * self.voxels, Origin::Parents(Arc::new(self.clone())))
    }

    fn from_origin(voxels: usize, origin: Origin) -> Self {
        let (device_table, device_pairs) = (DeviceCache::default(), DeviceCache::default());
        Self { voxels, origin, host_table: Arc::default(), device_table, device_pairs }
    }

    /// Number of voxels.
    pub fn len(&self) -> usize {
        self.voxels
    }

    /// Whether the set is empty.
    pub fn is_empty(&self) -> bool {
        self.voxels == 0
    }

    /// Rows of the neighbours at `tap`, one a voxel, [`MISSING`] where there is none.
    pub fn tap(&self, tap: usize) -> &[i32] {
        &self.host_table()[tap * self.voxels..(tap + 1) * self.voxels]
    }

    fn host_table(&self) -> &[i32] {
        self.host_table.get_or_init(|| match &self.origin {
            Origin::Coords(coords) => search(coords),
            Origin::Parents(parents) => cut_in_eight(parents),
        })
    }

    /// The whole table on a device, `[27, voxels]`, i32, −1 where there is no neighbour.
    pub fn table(&self, device: &Device) -> Tensor<2, Int> {
        self.device_table.get(device, || {
            self.device_table(device).unwrap_or_else(|| {
                let table = TensorData::new(self.host_table().to_vec(), [TAPS, self.voxels]);
                Tensor::from_data(table, (device, DType::I32))
            })
        })
    }

    /// The table made by a GPU; `None` on the CPU tier and for a set that no buffer of the device can hold.
    fn device_table(&self, device: &Device) -> Option<Tensor<2, Int>> {
        let buffers = Buffers::on(device)?;
        let entries = TAPS * self.voxels;
        if entries == 0 || entries as u64 > buffers.most_words {
            return None;
        }
        let table = buffers.integers([TAPS, self.voxels]);
        let groups = entries.div_ceil(LANES);
        match &self.origin {
            Origin::Coords(coords) => {
                let slots = (2 * self.voxels).next_power_of_two();
                let words = coords.iter().flatten().map(|c| *c as u32).collect();
                let coords = words_of(&upload_words::<1>(words, [4 * self.voxels], device))?;
                let info = vec![self.voxels as u32, slots as u32 - 1];
                let slots = buffers.ramp(slots, u32::MAX, 0);
                run("enter_slots", &[], &[&coords, &slots], info.clone(), self.voxels.div_ceil(LANES));
                run("find_neighbours", &[], &[&coords, &slots, &table], info, groups);
            }
            Origin::Parents(parents) => {
                let above = words_of(&parents.table(device))?;
                run("child_neighbours", &[], &[&above, &table], vec![parents.voxels as u32], groups);
            }
        }
        Some(int_tensor(table))
    }

    /// The table's hits, tap by tap, taps without any left out.
    pub(crate) fn pairs(&self, device: &Device) -> Vec<TapPairs> {
        self.device_pairs.get(device, || {
            (0..TAPS)
                .filter_map(|tap| {
                    let (outputs, inputs): (Vec<i32>, Vec<i32>) = (0..)
                        .zip(self.tap(tap))
                        .filter(|(_, found)| **found != MISSING)
                        .map(|(row, found)| (row, *found))
                        .unzip();
                    (!inputs.is_empty()).then(|| TapPairs {
                        tap,
                        inputs: upload(&inputs, device),
                        outputs: upload(&outputs, device),
                    })
                })
                .collect()
        })
    }
}

/// Looks every neighbour up. Only 13 taps are searched: if `q` is `p`'s neighbour at tap `t`, `p` is `q`'s at `26 − t`.
fn search(coords: &[[i32; 4]]) -> Vec<i32> {
    let voxels = coords.len();
    let index = VoxelIndex::new(coords).expect("a Voxels holds no duplicates");
    let mut table = vec![MISSING; TAPS * voxels];
    for row in 0..voxels {
        table[13 * voxels + row] = row as i32;
    }
    for tap in 0..13 {
        let [i, j, k] = [tap / 9, tap / 3 % 3, tap % 3].map(|t| t as i32 - 1);
        for (row, &[b, x, y, z]) in coords.iter().enumerate() {
            let found = index.row([b, x + i, y + j, z + k]);
            if found != MISSING {
                table[tap * voxels + row] = found;
                table[(26 - tap) * voxels + found as usize] = row as i32;
            }
        }
    }
    table
}

/// The table of the children of a set.
fn cut_in_eight(parents: &NeighbourMap) -> Vec<i32> {
    let voxels = 8 * parents.voxels;
    let mut table = vec![MISSING; TAPS * voxels];
    for tap in 0..TAPS {
        let step = [tap / 9, tap / 3 % 3, tap % 3].map(|t| t as i32 - 1);
        for child in 0..8usize {
            let at: [i32; 3] = std::array::from_fn(|a| ((child >> (2 - a)) & 1) as i32 + step[a]);
            let parent_tap = at.iter().fold(0, |t, &v| 3 * t + (v.div_euclid(2) + 1) as usize);
            let there = at.iter().fold(0, |c, &v| 2 * c + v.rem_euclid(2));
            let rows = &mut table[tap * voxels..(tap + 1) * voxels];
            for (row, &parent) in parents.tap(parent_tap).iter().enumerate() {
                if parent != MISSING {
                    rows[8 * row + child] = 8 * parent + there;
                }
            }
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Voxels;

    #[test]
    fn a_neighbour_is_found_at_its_tap_and_never_in_another_batch_item() {
        let voxels = Voxels::new(vec![[0, 1, 1, 1], [0, 2, 1, 0], [1, 1, 1, 2]]).unwrap();
        let map = voxels.neighbours();
        // (2, 1, 0) − (1, 1, 1) = (1, 0, −1): tap 9·2 + 3·1 + 0.
        assert_eq!(map.tap(21), &[1, MISSING, MISSING]);
        assert_eq!(map.tap(5), &[MISSING, 0, MISSING]);
        assert_eq!(map.tap(13), &[0, 1, 2]);
        assert_eq!((0..TAPS).flat_map(|t| map.tap(t)).filter(|r| **r != MISSING).count(), 5);
    }

    #[test]
    fn subdividing_the_map_equals_searching_the_subdivided_set() {
        let coords = (0..60).map(|i: i32| [i / 40, (i * 7) % 5, (i * 3) % 4, i % 40 / 3]).collect::<Vec<_>>();
        let mut coords: Vec<_> = coords.into_iter().collect::<std::collections::BTreeSet<_>>().into_iter().collect();
        coords[..10].reverse();
        let fine = Voxels::new(coords).unwrap().subdivided();
        let searched = NeighbourMap::new(fine.coords().into());
        assert_eq!(fine.neighbours().host_table(), searched.host_table());
    }

    #[test]
    fn scattered_sets_are_hashed_and_agree() {
        let coords = vec![[0, 0, 0, 0], [0, 0, 0, 1], [0, 30000, 30000, 30000], [0, 30000, 30001, 30000]];
        let map = Voxels::new(coords).unwrap();
        assert_eq!(map.neighbours().tap(14), &[1, MISSING, MISSING, MISSING]);
        assert_eq!(map.neighbours().tap(16), &[MISSING, MISSING, 3, MISSING]);
    }
}
