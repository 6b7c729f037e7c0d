//! Coordinate sets of sparse tensors.
//!
//! A sparse tensor is a `Tensor<2>` of features, `[voxels, channels]`, beside a [`Voxels`] that says where each row lies.
//! Everything that depends on coordinates alone (neighbours, windows, the coarser set) is computed once per set, kept there
//! and shared by all clones, because a network asks for it in every block of every step.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use burn::tensor::{DType, Device, Int, Tensor, TensorData};

use crate::{
    Error, RowGroups,
    neighbours::{NeighbourMap, VoxelIndex},
    resample::Coarsening,
    windows::Windows,
};

/// Exclusive upper limit of a batch index or coordinate: four components then fit a 64-bit key.
const COORDINATE_LIMIT: i32 = 1 << 15;
/// Row numbers are `i32` on the device, and a subdivision makes eight rows of one.
const ROW_LIMIT: usize = (i32::MAX as usize) / 8;

/// An ordered set of occupied voxels: integer coordinates `[batch, x, y, z]`, one a row, rows of a batch item contiguous and
/// batch items ascending. Immutable and cheap to clone.
#[derive(Clone)]
pub struct Voxels {
    inner: Arc<Inner>,
}

struct Inner {
    coords: Arc<[[i32; 4]]>,
    batches: RowGroups,
    neighbours: OnceLock<NeighbourMap>,
    coarse: OnceLock<Coarsening>,
    windows: Mutex<HashMap<(i32, i32), Windows>>,
}

impl std::fmt::Debug for Voxels {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Voxels").field("rows", &self.len()).field("batches", &self.batches().len()).finish()
    }
}

impl Voxels {
    /// Takes coordinates in row order. The batch size is the largest batch index plus one.
    ///
    /// # Errors
    /// [`Error::BatchOrder`], [`Error::CoordinateRange`], [`Error::Duplicate`], [`Error::TooManyVoxels`].
    pub fn new(coords: Vec<[i32; 4]>) -> Result<Self, Error> {
        let batches = coords.iter().map(|c| c[0].clamp(0, COORDINATE_LIMIT) as usize + 1).max().unwrap_or(0);
        Self::with_batches(coords, batches)
    }

    /// As [`Voxels::new`] with a given batch size, so that trailing batch items may be empty.
    ///
    /// # Errors
    /// As [`Voxels::new`]; a batch index of `batches` or more is a [`Error::CoordinateRange`].
    pub fn with_batches(coords: Vec<[i32; 4]>, batches: usize) -> Result<Self, Error> {
        if coords.len() > ROW_LIMIT {
            return Err(Error::TooManyVoxels { rows: coords.len(), limit: ROW_LIMIT });
        }
        let mut lengths = vec![0usize; batches];
        let mut previous = 0;
        for (row, &coords) in coords.iter().enumerate() {
            if coords.iter().any(|c| !(0..COORDINATE_LIMIT).contains(c)) {
                return Err(Error::CoordinateRange { row, coords, limit: COORDINATE_LIMIT });
            }
            if coords[0] < previous {
                return Err(Error::BatchOrder { row, found: coords[0], previous });
            }
            previous = coords[0];
            match lengths.get_mut(coords[0] as usize) {
                Some(length) => *length += 1,
                None => return Err(Error::CoordinateRange { row, coords, limit: batches as i32 }),
            }
        }
        // Indexing is what finds duplicates. The index is not kept: few sets meet a convolution, and rebuilding is cheap.
        VoxelIndex::new(&coords)?;
        Ok(Self::from_parts(coords, RowGroups::from_lengths(lengths)))
    }

    /// For sets derived from a checked one.
    pub(crate) fn from_parts(coords: Vec<[i32; 4]>, batches: RowGroups) -> Self {
        let inner = Inner {
            coords: coords.into(),
            batches,
            neighbours: OnceLock::new(),
            coarse: OnceLock::new(),
            windows: Mutex::new(HashMap::new()),
        };
        Self { inner: Arc::new(inner) }
    }

    /// The voxels of a dense `[batch, x, y, z]` volume for which `occupied` (row-major, z fastest) is true, in
    /// lexicographic order.
    ///
    /// # Errors
    /// [`Error::CoordinateRange`] when the volume is larger than coordinates may be.
    pub fn from_occupancy(occupied: &[bool], dims: [usize; 4]) -> Result<Self, Error> {
        let [batches, nx, ny, nz] = dims;
        let mut coords = Vec::new();
        for (i, _) in occupied.iter().enumerate().filter(|(_, o)| **o) {
            let (yz, z) = (i / nz, i % nz);
            let (xy, y) = (yz / ny, yz % ny);
            coords.push([(xy / nx) as i32, (xy % nx) as i32, y as i32, z as i32]);
        }
        Self::with_batches(coords, batches)
    }

    /// Coordinates `[batch, x, y, z]` in row order.
    pub fn coords(&self) -> &[[i32; 4]] {
        &self.inner.coords
    }

    /// Number of voxels.
    pub fn len(&self) -> usize {
        self.inner.coords.len()
    }

    /// Whether there is no voxel.
    pub fn is_empty(&self) -> bool {
        self.inner.coords.is_empty()
    }

    /// The rows of each batch item.
    pub fn batches(&self) -> &RowGroups {
        &self.inner.batches
    }

    /// The 3×3×3 neighbours of every voxel.
    pub fn neighbours(&self) -> &NeighbourMap {
        self.inner.neighbours.get_or_init(|| NeighbourMap::new(self.inner.coords.clone()))
    }

    /// The attention windows of edge `size` after adding `shift` to every coordinate.
    pub fn windows(&self, size: i32, shift: i32) -> Windows {
        let mut known = self.inner.windows.lock().unwrap_or_else(PoisonError::into_inner);
        known.entry((size, shift)).or_insert_with(|| Windows::new(&self.inner.coords, size, shift)).clone()
    }

    /// The set at half the resolution, and which of its rows each voxel falls into.
    pub fn coarsened(&self) -> &Coarsening {
        self.inner.coarse.get_or_init(|| Coarsening::new(self))
    }

    /// The set at twice the resolution: row `i` becomes rows `8i..8i+8`, children in the order 000, 001, … 111 (z fastest).
    pub fn subdivided(&self) -> Self {
        let coords = self.coords().iter().flat_map(|&[b, x, y, z]| {
            (0..8).map(move |c| [b, 2 * x + (c >> 2), 2 * y + ((c >> 1) & 1), 2 * z + (c & 1)])
        });
        let lengths = (0..self.batches().len()).map(|b| 8 * self.batches().range(b).len());
        let fine = Self::from_parts(coords.collect(), RowGroups::from_lengths(lengths));
        fine.inner.neighbours.get_or_init(|| self.neighbours().subdivided());
        fine
    }
}

/// A device copy of host indices, made on first use and kept for the device that asked first. A second device gets a fresh
/// copy each time: one run uses one device.
#[derive(Clone)]
pub(crate) struct DeviceCache<T> {
    slot: Arc<Mutex<Option<(Device, T)>>>,
}

impl<T> Default for DeviceCache<T> {
    fn default() -> Self {
        Self { slot: Arc::default() }
    }
}

impl<T: Clone> DeviceCache<T> {
    pub(crate) fn get(&self, device: &Device, make: impl FnOnce() -> T) -> T {
        let mut slot = self.slot.lock().unwrap_or_else(PoisonError::into_inner);
        match &*slot {
            Some((known, value)) if known == device => value.clone(),
            Some(_) => make(),
            None => {
                let value = make();
                *slot = Some((device.clone(), value.clone()));
                value
            }
        }
    }
}

/// Uploads row numbers as `i32`.
pub(crate) fn upload(indices: &[i32], device: &Device) -> Tensor<1, Int> {
    Tensor::from_data(TensorData::new(indices.to_vec(), [indices.len()]), (device, DType::I32))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_out_of_batch_order_are_refused() {
        let error = Voxels::new(vec![[1, 0, 0, 0], [0, 0, 0, 0]]).unwrap_err();
        assert_eq!(error, Error::BatchOrder { row: 1, found: 0, previous: 1 });
    }

    #[test]
    fn duplicates_and_negative_coordinates_are_refused() {
        let error = Voxels::new(vec![[0, 1, 2, 3], [0, 0, 0, 0], [0, 1, 2, 3]]).unwrap_err();
        assert!(matches!(error, Error::Duplicate { first: 0, second: 2, .. }));
        assert!(matches!(Voxels::new(vec![[0, -1, 0, 0]]).unwrap_err(), Error::CoordinateRange { row: 0, .. }));
    }

    #[test]
    fn empty_batch_items_keep_their_place() {
        let voxels = Voxels::with_batches(vec![[1, 0, 0, 0], [3, 0, 0, 0]], 5).unwrap();
        assert_eq!(voxels.batches().offsets(), &[0, 0, 1, 1, 2, 2]);
        assert!(Voxels::with_batches(vec![[5, 0, 0, 0]], 5).is_err());
        assert!(Voxels::new(vec![]).unwrap().is_empty());
    }

    #[test]
    fn occupancy_is_listed_lexicographically() {
        let mut occupied = vec![false; 2 * 2 * 3 * 4];
        for i in [5, 23, 24] {
            occupied[i] = true;
        }
        let voxels = Voxels::from_occupancy(&occupied, [2, 2, 3, 4]).unwrap();
        assert_eq!(voxels.coords(), &[[0, 0, 1, 1], [0, 1, 2, 3], [1, 0, 0, 0]]);
    }
}
