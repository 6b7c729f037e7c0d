//! The maquette command.

#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod allocation;
mod args;
mod bench;
mod device;
mod doctor;
mod fetch;
mod generate;
mod info;
mod interrupt;
mod models;
mod pipelines;
mod places;
mod preview;
mod progress;
mod report;
mod run_files;
mod verify;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use args::{Cli, Command};
use report::Failure;

/// Vulkan's software rasteriser looks for a display when it starts, and complains on standard error where this variable is not set
/// (in containers, over SSH). No display is used, so any folder will do.
#[cfg(target_os = "linux")]
fn set_runtime_folder() {
    const NAME: &str = "XDG_RUNTIME_DIR";
    if !std::env::var_os(NAME).is_some_and(|folder| std::path::Path::new(&folder).is_absolute()) {
        // SAFETY: `main` calls this before anything else, so there is no other thread that could read the environment.
        unsafe { std::env::set_var(NAME, std::env::temp_dir()) };
    }
}

fn main() -> ExitCode {
    #[cfg(target_os = "linux")]
    set_runtime_folder();
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    allocation::keep_pages();
    let cli = Cli::parse();
    let json = wants_json(&cli.command);
    report::install();
    match run(cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.print(json),
    }
}

fn wants_json(command: &Command) -> bool {
    match command {
        Command::Generate(a) => a.json,
        Command::Doctor(a) => a.json,
        Command::Verify(a) => a.json,
        Command::Bench(a) => a.json,
        Command::Info(a) => a.json,
        Command::Models(a) => a.json,
        _ => false,
    }
}

fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Generate(args) => generate::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Verify(args) => verify::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Preview(args) => preview::run(&args),
        Command::Info(args) => info::run(&args),
        Command::Models(args) => models::run(&args),
        Command::Errors(args) => {
            if args.markdown {
                report::print(&maquette::error_table_markdown())
            } else {
                let rows =
                    maquette::ERROR_CLASSES.iter().map(|c| format!("{:>3}  {:<32} {}\n", c.exit, c.code, c.cause));
                report::print(&rows.collect::<String>())
            }
        }
        Command::Completions { shell } => {
            let mut out = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "maquette", &mut out);
            report::print(&String::from_utf8_lossy(&out))
        }
        Command::Man => {
            let mut out = Vec::new();
            let page = clap_mangen::Man::new(Cli::command());
            page.render(&mut out).map_err(|e| maquette::Error::io("write", "the manual page", e))?;
            for command in Cli::command().get_subcommands() {
                out.extend(format!(".SH MAQUETTE {}\n", command.get_name().to_uppercase()).into_bytes());
                let page = clap_mangen::Man::new(command.clone());
                page.render_description_section(&mut out)
                    .and_then(|()| page.render_options_section(&mut out))
                    .map_err(|e| maquette::Error::io("write", "the manual page", e))?;
            }
            report::print(&String::from_utf8_lossy(&out))
        }
    }
}
