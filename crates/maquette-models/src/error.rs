//! Why a network could not be built or run.

/// Errors of the networks and samplers.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The checkpoint lacks a tensor, or has it in another shape.
    #[error(transparent)]
    Weights(#[from] maquette_weights::Error),
    /// The checkpoint has tensors that the described network does not have.
    #[error(
        "{model}: the checkpoint has {} tensors that its description does not mention, first {:?}: the description (json) and the weights do not belong together",
        names.len(), names.first()
    )]
    UnexpectedTensors {
        /// The network.
        model: &'static str,
        /// The keys, sorted.
        names: Vec<String>,
    },
    /// A network description that cannot be read.
    #[error("{model}: its description cannot be read: {source}")]
    Description {
        /// The network.
        model: &'static str,
        /// What serde says.
        source: serde_json::Error,
    },
    /// A network description that contradicts itself or asks for something that does not exist.
    #[error("{model}: `{field}` is {found}, expected {expected}")]
    Config {
        /// The network.
        model: &'static str,
        /// The offending member of its description.
        field: &'static str,
        /// What it said.
        found: String,
        /// What can be handled.
        expected: String,
    },
    /// A tensor handed to a network has the wrong shape.
    #[error("{model}: `{input}` has shape {found:?}, expected {expected}")]
    Input {
        /// The network.
        model: &'static str,
        /// Which input.
        input: &'static str,
        /// Its shape.
        found: Vec<usize>,
        /// What was expected, in words.
        expected: String,
    },
    /// Coordinates that are no voxel set.
    #[error(transparent)]
    Voxels(#[from] maquette_kernels::Error),
    /// The structure stage found nothing.
    #[error(
        "no structure was generated: not one voxel is occupied; try another seed or a picture with a clearer object"
    )]
    EmptyStructure,
    /// Sampler settings outside their range.
    #[error("sampler: `{field}` is {found}, expected {expected}")]
    Sampler {
        /// The setting.
        field: &'static str,
        /// What it was.
        found: String,
        /// What is accepted.
        expected: &'static str,
    },
    /// The caller stopped the sampling.
    #[error("cancelled after step {step} of {steps}")]
    Cancelled {
        /// Steps done.
        step: usize,
        /// Steps asked for.
        steps: usize,
    },
    /// Results could not be read back from the device.
    #[error("reading results back from the device failed: {0}")]
    ReadBack(String),
}

/// Result with this crate's [`enum@Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    pub(crate) fn config(
        model: &'static str,
        field: &'static str,
        found: impl ToString,
        expected: impl ToString,
    ) -> Self {
        Self::Config { model, field, found: found.to_string(), expected: expected.to_string() }
    }
}
