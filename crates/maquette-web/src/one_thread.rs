//! JavaScript's values where the library asks for thread-safe ones.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

#[cfg(target_feature = "atomics")]
compile_error!("values of JavaScript must not cross threads: this crate needs a build without atomics");

/// A value that never leaves its thread, because there is only one.
pub(crate) struct OneThread<T>(pub(crate) T);

// SAFETY: without the `atomics` feature (checked above) a WASM module has one thread.
unsafe impl<T> Send for OneThread<T> {}
// SAFETY: as above.
unsafe impl<T> Sync for OneThread<T> {}

impl<T> OneThread<T> {
    /// The value. A method, so that closures capture the whole wrapper and not the field in it.
    pub(crate) fn get(&self) -> &T {
        &self.0
    }
}

impl<F: Future> Future for OneThread<Pin<Box<F>>> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(context)
    }
}

/// A future that may be sent, as far as that means anything here.
pub(crate) fn sendable<'a, T>(future: impl Future<Output = T> + 'a) -> Pin<Box<dyn Future<Output = T> + Send + 'a>> {
    Box::pin(OneThread(Box::pin(future)))
}
