//! The progress of a one-shot collection on standard error: bars on a terminal, plain lines elsewhere, nothing with
//! `--quiet`.

use std::{
    collections::HashMap,
    io::{IsTerminal, Write},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::Verbosity;
use crate::{
    report::{Outcome, ProgressEvent},
    telemetry::Line,
};

/// The limit of accounts with a bar; more would not fit on the screen.
const MAX_BARS: usize = 12;
/// The interval at which a collector's clock is redrawn.
const TICK: Duration = Duration::from_millis(200);
/// The interval between plain lines about the same account.
const PLAIN_EVERY: Duration = Duration::from_secs(10);

/// A function that prints a log line above the bars.
pub type LogDisplay = Box<dyn Fn(&str) + Send + Sync>;

/// A progress display. Cloning is cheap, and clones share the display.
#[derive(Clone)]
pub struct Progress(Arc<Mutex<Style>>);

enum Style {
    Silent,
    Plain(Plain),
    Bars(Bars),
}

impl Progress {
    /// Creates a display on standard error: bars on a terminal, plain lines elsewhere.
    #[must_use]
    pub fn new(verbosity: Verbosity) -> Self {
        let bars = MultiProgress::with_draw_target(ProgressDrawTarget::stderr());
        Self::of(match verbosity {
            Verbosity::Quiet => Style::Silent,
            _ if std::io::stderr().is_terminal() && !bars.is_hidden() => Style::Bars(Bars::new(bars, Some(TICK))),
            _ => Style::Plain(Plain::default()),
        })
    }

    fn of(style: Style) -> Self {
        Self(Arc::new(Mutex::new(style)))
    }

    /// Returns the function for log lines, which keeps them apart from the display.
    #[must_use]
    pub fn lines(&self) -> LogDisplay {
        let Style::Bars(bars) = &*self.lock() else { return Box::new(write_line) };
        let bars = bars.all.clone();
        Box::new(move |line| {
            // Nothing can be shown on a closed terminal.
            let _ = bars.println(line);
        })
    }

    /// Shows an event.
    pub fn event(&self, event: &ProgressEvent) {
        match &mut *self.lock() {
            Style::Silent => {}
            Style::Bars(bars) => bars.show(event),
            Style::Plain(plain) => plain.line(event, Instant::now()).iter().for_each(|line| write_line(line)),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Style> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn write_line(line: &str) {
    // A closed standard error needs no progress.
    let _ = std::io::stderr().lock().write_all(format!("{line}\n").as_bytes());
}

type Key = (String, String);

/// Plain lines for a file or a pipe, limited in rate.
#[derive(Default)]
struct Plain {
    units: HashMap<Key, PlainUnit>,
}

struct PlainUnit {
    label: String,
    last: Instant,
}

impl Plain {
    fn line(&mut self, event: &ProgressEvent, now: Instant) -> Option<String> {
        match event {
            ProgressEvent::CollectorPlanned { collector, units } => Some(format!("{collector}: {units} to collect")),
            ProgressEvent::UnitStarted { collector, unit, label, pid } => {
                let label = Line::of(label).finish();
                let process = pid.map(|pid| format!(" in process {pid}")).unwrap_or_default();
                let line = format!("{collector} {label}: started{process}");
                self.units.insert((collector.clone(), unit.clone()), PlainUnit { label, last: now });
                Some(line)
            }
            ProgressEvent::UnitProgress { collector, unit, parts_done, parts, nodes } => {
                let known = self.units.get_mut(&(collector.clone(), unit.clone()))?;
                if now.saturating_duration_since(known.last) < PLAIN_EVERY {
                    return None;
                }
                known.last = now;
                Some(format!("{collector} {}: {}", known.label, so_far(*parts_done, *parts, *nodes)))
            }
            ProgressEvent::UnitFinished { collector, unit, label, nodes, gaps, outcome } => {
                self.units.remove(&(collector.clone(), unit.clone()));
                let label = Line::of(label).finish();
                Some(format!("{collector} {label}: {}", ended(*nodes, *gaps, outcome)))
            }
            ProgressEvent::Uploading => Some("writing the graph".to_owned()),
            ProgressEvent::Finished => None,
        }
    }
}

fn so_far(parts_done: u32, parts: u32, nodes: u64) -> String {
    if parts == 0 {
        format!("{nodes} resources")
    } else {
        format!("{parts_done} of {parts} regions, {nodes} resources")
    }
}

fn ended(nodes: u64, gaps: usize, outcome: &Outcome) -> String {
    match outcome {
        Outcome::Complete if gaps > 0 => {
            let word = if gaps == 1 { "gap" } else { "gaps" };
            format!("INCOMPLETE, {nodes} resources, {gaps} {word}")
        }
        Outcome::Complete => format!("complete, {nodes} resources"),
        Outcome::Failed { reason, detail } => format!("FAILED, {reason}: {}", Line::of(detail).finish()),
    }
}

/// One bar for each collector, which counts accounts, and below it one for each running account, which counts regions.
struct Bars {
    all: MultiProgress,
    collectors: HashMap<String, ProgressBar>,
    units: HashMap<Key, ProgressBar>,
    closing: Option<ProgressBar>,
    /// The interval at which the clocks are redrawn between events; `None` draws at events only.
    clock: Option<Duration>,
}

impl Bars {
    fn new(all: MultiProgress, clock: Option<Duration>) -> Self {
        Self { all, collectors: HashMap::new(), units: HashMap::new(), closing: None, clock }
    }

    fn show(&mut self, event: &ProgressEvent) {
        match event {
            ProgressEvent::CollectorPlanned { collector, units } => {
                let bar = self.all.add(ProgressBar::new(*units as u64));
                bar.set_style(style("{prefix:24} {bar:30} {pos}/{len} accounts  {elapsed}"));
                bar.set_prefix(collector.clone());
                bar.tick();
                if let Some(every) = self.clock {
                    bar.enable_steady_tick(every);
                }
                self.collectors.insert(collector.clone(), bar);
            }
            ProgressEvent::UnitStarted { collector, unit, label, .. } => self.start(collector, unit, label),
            ProgressEvent::UnitProgress { collector, unit, parts_done, parts, nodes } => {
                if let Some(bar) = self.units.get(&(collector.clone(), unit.clone())) {
                    bar.set_style(style("  {prefix:22.22} {bar:30} {pos}/{len} regions  {msg} resources"));
                    bar.set_length(u64::from(*parts));
                    bar.set_message(nodes.to_string());
                    bar.set_position(u64::from(*parts_done));
                }
            }
            ProgressEvent::UnitFinished { collector, unit, label, nodes, gaps, outcome } => {
                self.finish(collector, unit, label, &ended(*nodes, *gaps, outcome));
            }
            ProgressEvent::Uploading => {
                let bar = self.all.add(ProgressBar::new_spinner());
                bar.set_message("writing the graph");
                self.closing = Some(bar);
            }
            ProgressEvent::Finished => self.clear(),
        }
    }

    fn start(&mut self, collector: &str, unit: &str, label: &str) {
        if self.units.len() >= MAX_BARS {
            return;
        }
        let bar = ProgressBar::new(0);
        let bar = match self.collectors.get(collector) {
            Some(above) => self.all.insert_after(above, bar),
            None => self.all.add(bar),
        };
        // Without a length the bar would be drawn full.
        bar.set_style(style("  {prefix:22.22} nothing heard of it yet"));
        bar.set_prefix(Line::of(label).finish());
        bar.tick();
        self.units.insert((collector.to_owned(), unit.to_owned()), bar);
    }

    fn finish(&mut self, collector: &str, unit: &str, label: &str, ended: &str) {
        let label = Line::of(label).finish();
        if let Some(bar) = self.units.remove(&(collector.to_owned(), unit.to_owned())) {
            bar.finish_and_clear();
            self.all.remove(&bar);
        }
        // Nothing can be shown on a closed terminal.
        let _ = self.all.println(format!("{collector} {label}: {ended}"));
        if let Some(bar) = self.collectors.get(collector) {
            bar.inc(1);
        }
    }

    fn clear(&mut self) {
        let bars = self.units.drain().map(|(_, bar)| bar);
        for bar in bars.chain(self.collectors.drain().map(|(_, bar)| bar)).chain(self.closing.take()) {
            bar.finish_and_clear();
        }
        // Nothing can be shown on a closed terminal.
        let _ = self.all.clear();
    }
}

fn style(template: &str) -> ProgressStyle {
    // The templates are constants and covered by tests. A plain bar is better than none.
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("━╸─")
}

#[cfg(test)]
#[path = "progress_tests.rs"]
mod tests;
