//! Progress for people (bars, or plain lines where no terminal is) and for programs (JSON lines).

use std::fmt;
use std::io::{IsTerminal as _, Write as _};
use std::sync::Mutex;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressState, ProgressStyle};
use maquette::{Event, Stage};
use maquette_gpu::Bytes;
use serde_json::json;

use crate::report;

/// How progress is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Not at all.
    Quiet,
    /// Bars on standard error.
    Bars,
    /// A line a stage on standard error.
    Lines,
    /// Events on standard output.
    Json,
}

impl Style {
    /// What the options and the terminal ask for.
    pub fn choose(quiet: bool, json: bool) -> Self {
        match (json, quiet, std::io::stderr().is_terminal()) {
            (true, ..) => Self::Json,
            (_, true, _) => Self::Quiet,
            (.., true) => Self::Bars,
            _ => Self::Lines,
        }
    }
}

/// Takes events, shows them, and remembers times and memory for the end.
#[derive(Debug)]
pub struct Reporter {
    style: Style,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    bar: Option<ProgressBar>,
    times: Vec<(Stage, f64)>,
    gpu_peak: u64,
}

impl Reporter {
    pub fn new(style: Style) -> Self {
        Self { style, state: Mutex::default() }
    }

    /// Shows an event.
    pub fn event(&self, event: &Event) {
        let mut state = self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Event::Finished { stage, seconds, gpu_bytes } = event {
            state.times.push((*stage, *seconds));
            state.gpu_peak = state.gpu_peak.max(*gpu_bytes);
        }
        match self.style {
            Style::Quiet => {}
            Style::Json => emit(event),
            Style::Lines => lines(event),
            Style::Bars => state.bars(event),
        }
    }

    /// Says something to people.
    pub fn say(&self, text: &str) {
        self.event(&Event::Note { text: text.to_owned() });
    }

    /// Takes the bar off the terminal, before an error report or the end.
    pub fn clear(&self) {
        if let Ok(mut state) = self.state.lock()
            && let Some(bar) = state.bar.take()
        {
            bar.finish_and_clear();
        }
    }

    /// Times by stage and peak memory, for the end of a run.
    pub fn summary(&self) -> Summary {
        let state = self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        Summary { times: state.times.clone(), gpu_peak: state.gpu_peak, host_peak: host_peak() }
    }
}

/// What a run took.
#[derive(Debug)]
pub struct Summary {
    pub times: Vec<(Stage, f64)>,
    pub gpu_peak: u64,
    pub host_peak: Option<u64>,
}

impl Summary {
    /// For people: one line.
    pub fn line(&self) -> String {
        let parts: Vec<String> = self.times.iter().map(|(stage, s)| format!("{} {s:.1} s", stage.name())).collect();
        let mut text = parts.join(", ");
        if let Some(host) = self.host_peak {
            text.push_str(&format!("; peak memory {}", Bytes(host)));
        }
        if self.gpu_peak > 0 {
            text.push_str(&format!(", GPU {}", Bytes(self.gpu_peak)));
        }
        text
    }
}

/// The most memory this process had, where the system says it.
fn host_peak() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|l| l.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kib| kib * 1024)
}

fn emit(event: &Event) {
    let value = match event {
        Event::Started { stage, steps } => json!({"event": "started", "stage": stage.name(), "steps": steps}),
        Event::Step { stage, step, steps } => {
            json!({"event": "step", "stage": stage.name(), "step": step, "steps": steps})
        }
        Event::Finished { stage, seconds, gpu_bytes } => {
            json!({"event": "finished", "stage": stage.name(), "seconds": seconds, "gpu_bytes": gpu_bytes})
        }
        Event::Note { text } => json!({"event": "note", "text": text}),
    };
    // A reader that went away is no reason to lose the result.
    let _ = report::print(&format!("{value}\n"));
}

fn lines(event: &Event) {
    let text = match event {
        Event::Finished { stage, seconds, .. } => format!("{}: {seconds:.1} s", stage.title()),
        Event::Note { text } => format!("note: {text}"),
        _ => return,
    };
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

impl State {
    fn bars(&mut self, event: &Event) {
        match event {
            Event::Started { stage, steps } => {
                let bar = ProgressBar::new(*steps as u64);
                let style = ProgressStyle::with_template("{msg:<24} {bar:24} {pos:>3}/{len} {rate:>8} {eta:>4} left");
                if let Ok(style) = style {
                    let rate = |state: &ProgressState, out: &mut dyn fmt::Write| {
                        // A bar that cannot be drawn is no reason to stop.
                        let _ = write!(out, "{:.1}/s", state.per_sec());
                    };
                    bar.set_style(style.with_key("rate", rate));
                }
                bar.set_message(stage.title());
                bar.enable_steady_tick(Duration::from_millis(500));
                self.bar = Some(bar);
            }
            Event::Step { step, .. } => {
                if let Some(bar) = &self.bar {
                    bar.set_position(*step as u64);
                }
            }
            Event::Finished { .. } => {
                if let Some(bar) = self.bar.take() {
                    bar.finish_and_clear();
                }
                lines(event);
            }
            Event::Note { .. } => match &self.bar {
                Some(bar) => bar.suspend(|| lines(event)),
                None => lines(event),
            },
        }
    }
}
