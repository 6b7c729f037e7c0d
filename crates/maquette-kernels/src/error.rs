//! What operators refuse.

/// Why a coordinate set or an operator's input was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Rows of a batch item must be contiguous and batch items in ascending order.
    #[error("voxel row {row} belongs to batch item {found}, but row {} belongs to {previous}: sort the rows by batch item", row - 1)]
    BatchOrder {
        /// Offending row.
        row: usize,
        /// Its batch item.
        found: i32,
        /// The batch item of the row before.
        previous: i32,
    },
    /// A coordinate outside the range that voxel grids use.
    #[error("voxel row {row} has coordinates {coords:?}: every component must lie in 0..{limit}")]
    CoordinateRange {
        /// Offending row.
        row: usize,
        /// Its coordinates, `[batch, x, y, z]`.
        coords: [i32; 4],
        /// Exclusive upper limit.
        limit: i32,
    },
    /// Two rows name the same voxel, so neighbours would be ambiguous.
    #[error("voxel rows {first} and {second} both have coordinates {coords:?}: remove the duplicate")]
    Duplicate {
        /// The earlier row.
        first: usize,
        /// The later row.
        second: usize,
        /// Their coordinates, `[batch, x, y, z]`.
        coords: [i32; 4],
    },
    /// More voxels than 32-bit row numbers can count.
    #[error("{rows} voxels were given, at most {limit} can be handled: split the batch")]
    TooManyVoxels {
        /// How many were given.
        rows: usize,
        /// The limit.
        limit: usize,
    },
    /// Arrays that belong together have different lengths.
    #[error("{what}: expected {expected} rows, got {got}; check the arrays passed in")]
    Lengths {
        /// Which array.
        what: &'static str,
        /// The expected length.
        expected: usize,
        /// The length that came.
        got: usize,
    },
    /// A number outside the range in which the operation is defined.
    #[error("{what} is out of range: {detail}")]
    OutOfRange {
        /// Which value.
        what: &'static str,
        /// The limits and the value that came.
        detail: String,
    },
    /// What the definitions in `maquette-mesh` refuse.
    #[error("{message}")]
    Scene {
        /// Their words.
        message: String,
    },
    /// Results could not be read from the device.
    #[error("reading results from the device failed: {message}; if it was lost, open it anew and run the stage again")]
    Read {
        /// The runtime's words.
        message: String,
    },
}

impl From<maquette_mesh::MeshError> for Error {
    fn from(error: maquette_mesh::MeshError) -> Self {
        Self::Scene { message: error.to_string() }
    }
}
