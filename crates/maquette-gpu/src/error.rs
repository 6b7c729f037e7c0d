//! What can go wrong between us and a GPU.

use crate::{Tier, TierRequest};

/// Every failure of this crate. Messages say what was expected, what came and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GpuError {
    /// No adapter answers the choice.
    #[error(
        "no GPU adapter for {wanted}; this machine offers {found}. Install the vendor's Vulkan, Metal or DirectX 12 driver, choose another adapter, or run on the CPU tier"
    )]
    NoAdapter {
        /// The choice, in words.
        wanted: String,
        /// The adapters that are there, in words.
        found: String,
    },
    /// The adapter refused to create a device.
    #[error("{adapter} refused to create a device: {message}. Update its driver, or run on the CPU tier")]
    RequestDevice {
        /// Name of the adapter.
        adapter: String,
        /// What the graphics API said.
        message: String,
    },
    /// The tensor library did not take our device.
    #[error("the tensor runtime did not accept the device of {adapter}: {message}")]
    Register {
        /// Name of the adapter.
        adapter: String,
        /// What the runtime said.
        message: String,
    },
    /// A tier was asked for that the adapter cannot serve.
    #[error(
        "tier {wanted} was asked for, but {adapter} reaches at most {best}. Leave the tier on auto or ask for a lower one"
    )]
    TierUnavailable {
        /// The request.
        wanted: TierRequest,
        /// The best tier of the adapter.
        best: Tier,
        /// Name of the adapter.
        adapter: String,
    },
    /// A name that is no tier.
    #[error("{given:?} is no tier; expected auto, cpu, web, base, subgroup or matrix")]
    UnknownTier {
        /// What was given.
        given: String,
    },
    /// The graphics API rejected a command: a fault in a kernel, not in the user's data.
    #[error(
        "the graphics API rejected a command: {message}. This is a fault in maquette; please report it with the adapter's name"
    )]
    Validation {
        /// What the API said.
        message: String,
    },
    /// The device had no memory left.
    #[error(
        "the GPU ran out of memory: {message}. Close other programs that use it, choose a smaller model or precision, or set a memory budget"
    )]
    OutOfMemory {
        /// What the API said.
        message: String,
    },
    /// Work took more memory than the budget allows.
    #[error(
        "the work took {used} bytes of GPU memory, more than the budget of {budget}. Raise the budget or choose a smaller model or precision"
    )]
    BudgetExceeded {
        /// The budget.
        budget: u64,
        /// Bytes taken from the driver.
        used: u64,
    },
    /// More memory was asked for than the budget allows.
    #[error(
        "{needed} bytes are needed, but of the budget of {budget} bytes {used} are in use. Raise the budget or choose a smaller model or precision"
    )]
    OverBudget {
        /// Bytes asked for.
        needed: u64,
        /// The budget.
        budget: u64,
        /// Bytes in use.
        used: u64,
    },
    /// Compiled pipelines could not be written.
    #[error(
        "compiled pipelines could not be kept in {path}: {message}. Nothing else is affected; the next start compiles them again"
    )]
    KeepPipelines {
        /// The file.
        path: String,
        /// What the system said.
        message: String,
    },
    /// The driver or the browser failed inside.
    #[error("the graphics driver failed inside: {message}")]
    Internal {
        /// What the API said.
        message: String,
    },
    /// The device is gone (reset, unplugged, destroyed). Its tensors are gone too; open a new one.
    #[error("the GPU device was lost: {message}. Open a new device and start the work again")]
    Lost {
        /// What the API said.
        message: String,
    },
    /// Work on the device panicked and the device itself is still there.
    #[error("work on the GPU stopped unexpectedly: {message}")]
    Panicked {
        /// The panic's message.
        message: String,
    },
}

impl GpuError {
    /// Whether the device is gone, so that only opening a new one helps.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        matches!(self, Self::Lost { .. })
    }
}
