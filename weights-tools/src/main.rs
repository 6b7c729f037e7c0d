//! `maquette-weights`: inspect, verify, repair, convert, pack and fetch model weights.

mod arguments;
mod change;
mod fetch;
mod inspect;
mod terminal;

use std::process::ExitCode;

use clap::Parser;

use arguments::{Arguments, Command};

/// What ends a command: a message for people. Every error of the library already says what to do.
type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Inspect(a) => inspect::inspect(&a),
        Command::Verify(a) => inspect::verify(&a),
        Command::Diff(a) => inspect::diff(&a),
        Command::Repair(a) => change::repair(&a),
        Command::Convert(a) => change::convert(&a),
        Command::Pack(a) => change::pack(&a),
        Command::Unpack(a) => change::unpack(&a),
        Command::Synthesize(a) => change::synthesize(&a),
        Command::Fetch(a) => fetch::fetch(&a),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        // The command ran and what it looked at is not in order.
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}
