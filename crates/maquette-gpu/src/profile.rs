//! Where the time goes: labelled regions on the GPU's clock.

use std::fmt::{self, Write as _};
use std::sync::PoisonError;
use std::time::Duration;

use cubecl::client::ProfileWindow;
use cubecl::profile::{Instant, ProfileDuration};

use crate::{Gpu, GpuError};

/// One measured region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegionTime {
    /// The label it was opened with.
    pub label: String,
    /// How many regions enclose it.
    pub depth: usize,
    /// When its work began, on the device's clock where there is one, after the profile's start.
    pub start: Duration,
    /// How long its work took on the device; on a device without timestamps and on the CPU tier, on the host.
    pub duration: Duration,
    /// When the host opened the region, after the profile's start.
    pub host_start: Duration,
    /// How long the host was inside: encoding, waiting, and its own work.
    pub host_duration: Duration,
}

/// A finished profile: regions in the order in which they were opened.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Profile {
    /// The regions.
    pub regions: Vec<RegionTime>,
}

/// Regions that are still being recorded.
#[derive(Debug, Default)]
pub(crate) struct Recording {
    start: Option<Instant>,
    regions: Vec<Recorded>,
    depth: usize,
}

struct Recorded {
    label: String,
    depth: usize,
    opened: Instant,
    closed: Option<Instant>,
    device: Option<ProfileDuration>,
}

impl fmt::Debug for Recorded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at depth {}", self.label, self.depth)
    }
}

/// An open region; it ends when this is dropped.
#[must_use = "a region ends when it is dropped"]
#[derive(Debug)]
pub struct Region<'a> {
    gpu: &'a Gpu,
    /// Its place in the recording, and the window on the device's clock; `None` when nothing is being recorded.
    open: Option<(usize, Option<ProfileWindow>)>,
}

impl Gpu {
    /// Begin to record regions, forgetting those recorded before.
    ///
    /// Opening and closing a region costs a little (two timestamps and a flush of the tensor runtime's queue), so regions
    /// are recorded only between this and [`Gpu::finish_profile`].
    pub fn start_profile(&self) {
        let mut profile = self.inner.profile.lock().unwrap_or_else(PoisonError::into_inner);
        *profile = Some(Recording { start: Some(Instant::now()), ..Recording::default() });
    }

    /// Open a region. It covers the work that is enqueued on this thread until it is dropped, and may hold others.
    pub fn region(&self, label: &str) -> Region<'_> {
        let mut profile = self.inner.profile.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(recording) = profile.as_mut() else { return Region { gpu: self, open: None } };
        let (place, depth) = (recording.regions.len(), recording.depth);
        recording.depth += 1;
        recording.regions.push(Recorded {
            label: label.to_owned(),
            depth,
            opened: Instant::now(),
            closed: None,
            device: None,
        });
        drop(profile);
        // A refused window leaves the host's clock, which is worse than the device's and better than nothing.
        let timed = self.inner.open.as_ref().filter(|open| open.can_time());
        let window = timed.and_then(|open| open.client.profile_start().ok());
        Region { gpu: self, open: Some((place, window)) }
    }

    /// Stop recording and wait for the device's timestamps. Empty when [`Gpu::start_profile`] was not called.
    ///
    /// # Errors
    /// [`GpuError::Lost`] and the other faults of the device.
    pub async fn finish_profile(&self) -> Result<Profile, GpuError> {
        let recording = self.inner.profile.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(Recording { start: Some(start), regions, .. }) = recording else { return Ok(Profile::default()) };
        let mut times = Vec::with_capacity(regions.len());
        for region in regions {
            // A region that is still open has no end to report.
            let Some(closed) = region.closed else { continue };
            let host_start = region.opened.duration_since(start);
            let host_duration = closed.duration_since(region.opened);
            let ticks = match region.device {
                Some(device) => self.guard_async(device.resolve()).await?,
                None => None,
            };
            let (start, duration) = ticks
                .map_or((host_start, host_duration), |ticks| (ticks.start_duration_since(start), ticks.duration()));
            times.push(RegionTime {
                label: region.label,
                depth: region.depth,
                start,
                duration,
                host_start,
                host_duration,
            });
        }
        Ok(Profile { regions: times })
    }
}

impl Drop for Region<'_> {
    fn drop(&mut self) {
        let Some((place, window)) = self.open.take() else { return };
        let client = self.gpu.inner.open.as_ref().map(|open| &open.client);
        let device = window.zip(client).and_then(|(window, client)| client.profile_end(window).ok());
        let mut profile = self.gpu.inner.profile.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(recording) = profile.as_mut() else { return };
        recording.depth = recording.depth.saturating_sub(1);
        if let Some(region) = recording.regions.get_mut(place) {
            region.closed = Some(Instant::now());
            region.device = device;
        }
    }
}

impl Profile {
    /// A table, one line a label, in the order of first appearance: how often, in all, a time each, and the share of the
    /// outermost regions' sum.
    #[must_use]
    pub fn table(&self) -> String {
        struct Row<'a> {
            label: &'a str,
            depth: usize,
            count: u32,
            total: Duration,
            host: Duration,
        }
        let mut rows: Vec<Row> = Vec::new();
        for region in &self.regions {
            match rows.iter_mut().find(|row| row.label == region.label && row.depth == region.depth) {
                Some(row) => {
                    row.count += 1;
                    row.total += region.duration;
                    row.host += region.host_duration;
                }
                None => rows.push(Row {
                    label: &region.label,
                    depth: region.depth,
                    count: 1,
                    total: region.duration,
                    host: region.host_duration,
                }),
            }
        }
        let outermost: Duration = self.regions.iter().filter(|r| r.depth == 0).map(|r| r.duration).sum();
        let width = rows.iter().map(|row| row.label.chars().count() + 2 * row.depth).max().unwrap_or(0).max(6);
        let mut table = format!(
            "{:<width$}  {:>6}  {:>11}  {:>11}  {:>11}  {:>6}\n",
            "region", "times", "total ms", "each ms", "host ms", "share"
        );
        for row in rows {
            let total = row.total.as_secs_f64() * 1e3;
            let share =
                if outermost.is_zero() { 0.0 } else { row.total.as_secs_f64() / outermost.as_secs_f64() * 100.0 };
            let label = format!("{:indent$}{}", "", row.label, indent = 2 * row.depth);
            // Writing to a `String` cannot fail.
            let _ = writeln!(
                table,
                "{label:<width$}  {:>6}  {total:>11.3}  {:>11.3}  {:>11.3}  {share:>5.1}%",
                row.count,
                total / f64::from(row.count),
                row.host.as_secs_f64() * 1e3,
            );
        }
        table
    }

    /// The profile as a Chrome trace (`chrome://tracing`, Perfetto): JSON bytes with one track for the device and one for
    /// the host.
    #[must_use]
    pub fn chrome_trace(&self) -> Vec<u8> {
        let mut json = String::from("{\"displayTimeUnit\":\"ms\",\"traceEvents\":[");
        for (track, name) in [(1, "device"), (2, "host")] {
            let _ = write!(
                json,
                "{{\"ph\":\"M\",\"pid\":1,\"tid\":{track},\"name\":\"thread_name\",\"args\":{{\"name\":\"{name}\"}}}},"
            );
        }
        for region in &self.regions {
            let label = escape(&region.label);
            for (track, start, duration) in
                [(1, region.start, region.duration), (2, region.host_start, region.host_duration)]
            {
                let _ = write!(
                    json,
                    "{{\"ph\":\"X\",\"pid\":1,\"tid\":{track},\"name\":\"{label}\",\"ts\":{:.3},\"dur\":{:.3}}},",
                    start.as_secs_f64() * 1e6,
                    duration.as_secs_f64() * 1e6,
                );
            }
        }
        // The last event's comma: there are always the two tracks' names.
        json.pop();
        json.push_str("]}");
        json.into_bytes()
    }
}

/// A label as the inside of a JSON string.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '"' | '\\' => {
                out.push('\\');
                out.push(character);
            }
            control if control < ' ' => {
                let _ = write!(out, "\\u{:04x}", u32::from(control));
            }
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn region(label: &str, depth: usize, start: u64, duration: u64) -> RegionTime {
        let ms = Duration::from_millis;
        RegionTime {
            label: label.to_owned(),
            depth,
            start: ms(start),
            duration: ms(duration),
            host_start: ms(start),
            host_duration: ms(1),
        }
    }

    #[test]
    fn the_table_sums_labels_and_shares_refer_to_the_outermost_regions() {
        let profile = Profile {
            regions: vec![
                region("flow", 0, 0, 80),
                region("block", 1, 0, 20),
                region("block", 1, 20, 40),
                region("decode", 0, 80, 20),
            ],
        };
        let table = profile.table();
        let lines: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines[1], ["flow", "1", "80.000", "80.000", "1.000", "80.0%"]);
        assert_eq!(lines[2], ["block", "2", "60.000", "30.000", "2.000", "60.0%"]);
        assert_eq!(lines[3], ["decode", "1", "20.000", "20.000", "1.000", "20.0%"]);
        assert_eq!(lines.len(), 4);
    }

    #[test]
    fn the_trace_is_json_even_with_awkward_labels() {
        let profile = Profile { regions: vec![region("say \"x\\y\"\n", 0, 1, 2)] };
        let json: serde_json::Value = serde_json::from_slice(&profile.chrome_trace()).unwrap();
        let events = json["traceEvents"].as_array().unwrap();
        assert_eq!(events.len(), 4);
        assert_eq!(events[2]["name"], "say \"x\\y\"\n");
        assert_eq!(events[2]["ts"], 1000.0);
        assert_eq!(events[2]["dur"], 2000.0);
        assert!(serde_json::from_slice::<serde_json::Value>(&Profile::default().chrome_trace()).is_ok());
    }
}
