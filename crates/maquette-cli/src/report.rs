//! How results and errors reach people and programs.

use std::fmt;
use std::io::Write as _;
use std::process::ExitCode;

use maquette::{Error, ErrorClass};
use miette::{Diagnostic, MietteHandlerOpts};

/// Anything that ends the program with an exit status of its own.
#[derive(Debug)]
pub struct Failure {
    error: Box<Error>,
    class: &'static ErrorClass,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self { class: error.class(), error: Box::new(error) }
    }
}

macro_rules! from_lower {
    ($($kind:path),*) => {
        $(impl From<$kind> for Failure {
            fn from(error: $kind) -> Self {
                Error::from(error).into()
            }
        })*
    };
}

from_lower!(
    maquette::maquette_image::ImageError,
    maquette::maquette_mesh::MeshError,
    maquette::maquette_weights::Error,
    maquette_gpu::GpuError
);

impl Failure {
    /// A failure that is told under another class than its error's own.
    pub fn with_code(error: Error, code: &str) -> Self {
        let class = maquette::ERROR_CLASSES.iter().find(|c| c.code == code).unwrap_or_else(|| error.class());
        Self { error: Box::new(error), class }
    }

    /// Prints the report (for programs on standard output, for people on standard error) and gives the exit status.
    pub fn print(&self, json: bool) -> ExitCode {
        if json {
            let line = serde_json::json!({
                "event": "error",
                "code": self.class.code,
                "exit": self.class.exit,
                "message": self.error.to_string(),
                "cause": self.class.cause,
                "help": self.class.help,
            });
            // A reader that is gone has nothing to be told.
            let _ = print(&format!("{line}\n"));
        } else {
            let _ = writeln!(
                std::io::stderr().lock(),
                "{:?}",
                miette::Report::new(Shown(self.error.to_string(), self.class))
            );
        }
        ExitCode::from(self.class.exit)
    }
}

/// An error as miette shows it.
#[derive(Debug)]
struct Shown(String, &'static ErrorClass);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Shown {}

impl Diagnostic for Shown {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(self.1.code))
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(format!("{} {}\n(exit status {})", self.1.cause, self.1.help, self.1.exit)))
    }
}

/// Sets the look of reports, and keeps the tensor runtime's panics, which become errors, off the terminal.
pub fn install() {
    let _ = miette::set_hook(Box::new(|_| Box::new(MietteHandlerOpts::new().width(80).build())));
    let default = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        let ours = info.location().is_some_and(|l| l.file().contains("maquette"));
        if ours || std::env::var_os("RUST_BACKTRACE").is_some() {
            default(info);
        }
    }));
}

/// Writes to standard output. A closed pipe (`| head`) ends the program's output, not the program.
pub fn print(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => Err(Error::io("write", "standard output", e).into()),
        _ => Ok(()),
    }
}
