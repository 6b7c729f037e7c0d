//! The border behind which the tensor runtime's panics become errors.
//!
//! Burn's operations do not return errors: a kernel that cannot be compiled, a failed allocation or a lost device surface as
//! a panic at the next read-back. [`Gpu::guard`] and [`Gpu::guard_async`] run work, catch such a panic, and answer with what
//! the device itself knows. A browser's WASM aborts on panic, so nothing can be caught there: work in a page reads results
//! with Burn's fallible asynchronous calls, asks [`Gpu::check`] between stages, and the page restarts its module after an
//! abort. Both functions still ask the device before and after the work there.

use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::{Gpu, GpuError};

impl Gpu {
    /// Run work on this device; a panic inside, or a fault of the device, becomes an error.
    ///
    /// Values that the work had borrowed mutably may be half changed after an error: drop them.
    ///
    /// # Errors
    /// [`GpuError::Lost`] when the device is gone, any other fault of the device, [`GpuError::Panicked`], or
    /// [`GpuError::BudgetExceeded`] when the work took more memory than the device's budget.
    pub fn guard<R>(&self, work: impl FnOnce() -> R) -> Result<R, GpuError> {
        let value = self.guard_unmetered(work)?;
        self.check_budget()?;
        Ok(value)
    }

    /// [`Gpu::guard`] without a look at the budget.
    pub(crate) fn guard_unmetered<R>(&self, work: impl FnOnce() -> R) -> Result<R, GpuError> {
        self.check()?;
        let outcome = catch_unwind(AssertUnwindSafe(work));
        self.judge(outcome)
    }

    /// As [`Gpu::guard`], for a future.
    ///
    /// # Errors
    /// As [`Gpu::guard`].
    pub async fn guard_async<F: Future>(&self, work: F) -> Result<F::Output, GpuError> {
        self.check()?;
        let outcome = Caught { work: Box::pin(work) }.await;
        let value = self.judge(outcome)?;
        self.check_budget()?;
        Ok(value)
    }

    fn judge<R>(&self, outcome: Result<R, Box<dyn Any + Send>>) -> Result<R, GpuError> {
        match (outcome, self.check()) {
            (Ok(value), Ok(())) => Ok(value),
            // The device's own word says more than the panic that followed from it.
            (_, Err(fault)) => Err(fault),
            (Err(panic), Ok(())) => Err(from_panic(message_of(panic.as_ref()))),
        }
    }
}

/// The tensor runtime refuses an allocation that exceeds the device by itself, and tells it in words only.
fn from_panic(message: String) -> GpuError {
    if message.contains("can't allocate buffer") {
        GpuError::OutOfMemory { message }
    } else {
        GpuError::Panicked { message }
    }
}

fn message_of(panic: &(dyn Any + Send)) -> String {
    panic
        .downcast_ref::<String>()
        .cloned()
        .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
        .unwrap_or_else(|| "a panic without a message".to_owned())
}

/// A future whose panics end it with an error.
struct Caught<F: Future> {
    work: Pin<Box<F>>,
}

impl<F: Future> Future for Caught<F> {
    type Output = Result<F::Output, Box<dyn Any + Send>>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match catch_unwind(AssertUnwindSafe(|| self.work.as_mut().poll(context))) {
            Ok(poll) => poll.map(Ok),
            Err(panic) => Poll::Ready(Err(panic)),
        }
    }
}
