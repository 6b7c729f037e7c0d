//! The crate's one error type.

/// What can go wrong in mesh data, processing and file formats.
///
/// Every message says what was expected, what came, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum MeshError {
    /// Arrays that belong together have different lengths, or a shape is wrong.
    #[error("{what}: expected {expected}, got {got}; check the arrays passed in")]
    Shape {
        /// Which value.
        what: &'static str,
        /// The expected size.
        expected: String,
        /// The size that came.
        got: String,
    },
    /// A number is outside the range in which the operation is defined.
    #[error("{what} is out of range: {detail}")]
    OutOfRange {
        /// Which value.
        what: &'static str,
        /// The limits and the value that came.
        detail: String,
    },
    /// A face refers to a vertex that does not exist.
    #[error("face {face} refers to vertex {vertex}, but the mesh has {vertices} vertices; the mesh is damaged")]
    FaceIndex {
        /// Index of the face.
        face: usize,
        /// The vertex index it holds.
        vertex: u32,
        /// Number of vertices.
        vertices: usize,
    },
    /// The operation needs at least one face.
    #[error("{operation} needs a mesh with faces, but it has none; nothing was extracted, check the earlier stages")]
    Empty {
        /// What was asked for.
        operation: &'static str,
    },
    /// A file is not what its format demands.
    #[error("{format} file: {detail}")]
    Format {
        /// Format name, for example "PLY".
        format: &'static str,
        /// What was expected and what came.
        detail: String,
    },
    /// A texture could not be encoded.
    #[error("texture encoding failed: {detail}")]
    Texture {
        /// The encoder's own words.
        detail: String,
    },
    /// The atlas could not be made.
    #[error("UV unwrapping failed: {detail}")]
    Unwrap {
        /// What went wrong, and a way out.
        detail: String,
    },
    /// The caller asked to stop.
    #[error("{operation} was cancelled")]
    Cancelled {
        /// What was running.
        operation: &'static str,
    },
}

impl MeshError {
    pub(crate) fn shape(what: &'static str, expected: impl ToString, got: impl ToString) -> Self {
        Self::Shape { what, expected: expected.to_string(), got: got.to_string() }
    }

    pub(crate) fn format(format: &'static str, detail: impl Into<String>) -> Self {
        Self::Format { format, detail: detail.into() }
    }

    pub(crate) fn range(what: &'static str, detail: impl Into<String>) -> Self {
        Self::OutOfRange { what, detail: detail.into() }
    }
}
