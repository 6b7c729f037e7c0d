//! What commands show: sizes, bars, questions.

use std::io::{IsTerminal, Write};
use std::path::Path;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::Failure;

/// Bytes in the unit that fits.
pub fn size(bytes: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < units.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} B") } else { format!("{value:.1} {}", units[unit]) }
}

/// A bar over bytes on stderr; drawn only where a person looks.
pub fn bar(total: u64) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr_with_hz(8));
    let template = "{msg} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar
}

/// One line on what was done and how fast.
pub fn done(what: &str, bytes: u64, time: Duration) {
    let speed = bytes as f64 / 1e6 / time.as_secs_f64().max(1e-6);
    println!("{what}: {} in {:.1} s, {speed:.0} MB/s", size(bytes), time.as_secs_f64());
}

/// Refuses to write over something, unless told to.
pub fn must_be_free(path: &Path, force: bool) -> Result<(), Failure> {
    let taken = if path.is_dir() { std::fs::read_dir(path)?.next().is_some() } else { path.exists() };
    if taken && !force {
        return Err(format!("{} is there already; give --force to overwrite it", path.display()).into());
    }
    Ok(())
}

/// Asks a yes-or-no question; without a terminal the answer is no.
pub fn agree(question: &str) -> Result<bool, Failure> {
    if !std::io::stdin().is_terminal() {
        return Ok(false);
    }
    print!("{question} [y/N] ");
    std::io::stdout().flush()?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
