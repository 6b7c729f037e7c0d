//! Promises that settle even when the module panics.
//!
//! A panic in WASM aborts: nothing is unwound, and a promise of the work under way would stay open forever. So the panic
//! hook rejects every open promise with the panic's message, and every later call is refused with it: the module's memory
//! is no longer to be trusted, and the worker has to be replaced.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::Future;

use js_sys::{Function, Promise};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::spawn_local;

use crate::failure::{Failure, fault_error};

thread_local! {
    static OPEN: RefCell<BTreeMap<u64, Function>> = const { RefCell::new(BTreeMap::new()) };
    static NEXT: Cell<u64> = const { Cell::new(0) };
    static BROKEN: RefCell<Option<String>> = const { RefCell::new(None) };
}

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_namespace = console, js_name = error)]
    fn console_error(text: &str);
}

/// Installs the panic hook.
pub(crate) fn watch() {
    std::panic::set_hook(Box::new(|panic| {
        let message = panic.to_string();
        console_error(&message);
        let error = fault_error(&message);
        BROKEN.with(|broken| {
            if let Ok(mut broken) = broken.try_borrow_mut() {
                broken.get_or_insert(message);
            }
        });
        let open = OPEN.with(|open| open.try_borrow_mut().map(|mut open| std::mem::take(&mut *open)));
        for reject in open.unwrap_or_default().values() {
            let _ = reject.call1(&JsValue::NULL, &error);
        }
        // Leaves the module here: a call that is not a promise throws this error instead of "unreachable".
        wasm_bindgen::throw_val(error);
    }));
}

/// Refuses to go on after a panic.
pub(crate) fn check() -> Result<(), Failure> {
    BROKEN.with(|broken| match broken.try_borrow() {
        Ok(message) => message.as_ref().map_or(Ok(()), |message| Err(Failure::Fault(message.clone()))),
        Err(_) => Err(Failure::Fault("the module stopped".to_owned())),
    })
}

/// The promise of some work; it rejects with an `Error` of a code, also when the work panics.
pub(crate) fn promise<T: Into<JsValue>>(work: impl Future<Output = Result<T, Failure>> + 'static) -> Promise {
    // Not even a task can be started in a broken module.
    if let Err(broken) = check() {
        return Promise::reject(&broken.into());
    }
    let mut work = Some(work);
    Promise::new(&mut |resolve, reject| {
        let Some(work) = work.take() else { return };
        let id = NEXT.replace(NEXT.get() + 1);
        OPEN.with_borrow_mut(|open| open.insert(id, reject.clone()));
        spawn_local(async move {
            let outcome = work.await;
            OPEN.with_borrow_mut(|open| open.remove(&id));
            let _ = match outcome {
                Ok(value) => resolve.call1(&JsValue::NULL, &value.into()),
                Err(failure) => reject.call1(&JsValue::NULL, &failure.into()),
            };
        });
    })
}

/// Panics, as a fault of the module would: what a page does about it has to be tested, too.
#[wasm_bindgen(unchecked_return_type = "Promise<never>")]
pub fn fail() -> Promise {
    promise::<JsValue>(async {
        crate::browser::turn().await;
        panic!("a panic that was asked for");
    })
}
