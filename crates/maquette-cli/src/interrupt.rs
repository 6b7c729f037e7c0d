//! Ctrl-C and a polite kill, on every system.

use std::io;

/// Runs `handler` at every interrupt (Ctrl-C) and termination request, on a thread of its own.
#[cfg(unix)]
pub fn on_interrupt(handler: impl Fn() + Send + 'static) -> io::Result<()> {
    use signal_hook::{
        consts::{SIGINT, SIGTERM},
        iterator::Signals,
    };
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    std::thread::spawn(move || signals.forever().for_each(|_| handler()));
    Ok(())
}

/// Runs `handler` at every interrupt (Ctrl-C) and termination request, on a thread of its own.
#[cfg(not(unix))]
pub fn on_interrupt(handler: impl Fn() + Send + 'static) -> io::Result<()> {
    ctrlc::set_handler(handler).map_err(io::Error::other)
}
