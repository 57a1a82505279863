//! Progress display, on a terminal that records each line drawn.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::io;

use indicatif::TermLike;

use super::*;

/// A terminal that records every line that was drawn.
#[derive(Clone, Debug, Default)]
struct Recorder(Arc<Mutex<String>>);

impl TermLike for Recorder {
    fn width(&self) -> u16 {
        100
    }

    fn move_cursor_up(&self, _n: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_down(&self, _n: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_right(&self, _n: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_left(&self, _n: usize) -> io::Result<()> {
        Ok(())
    }

    fn write_line(&self, text: &str) -> io::Result<()> {
        self.write_str(&format!("{text}\n"))
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        self.0.lock().unwrap().push_str(text);
        Ok(())
    }

    fn clear_line(&self) -> io::Result<()> {
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        Ok(())
    }
}

fn started(unit: &str) -> ProgressEvent {
    let label = format!("account\t{unit}");
    ProgressEvent::UnitStarted { collector: "aws".into(), unit: unit.into(), label, pid: Some(42) }
}

fn progress(unit: &str, parts_done: u32, nodes: u64) -> ProgressEvent {
    ProgressEvent::UnitProgress { collector: "aws".into(), unit: unit.into(), parts_done, parts: 17, nodes }
}

fn finished(unit: &str, outcome: Outcome) -> ProgressEvent {
    ProgressEvent::UnitFinished {
        collector: "aws".into(),
        unit: unit.into(),
        label: format!("account\t{unit}"),
        nodes: 9,
        gaps: usize::from(unit == "4"),
        outcome,
    }
}

fn killed() -> Outcome {
    Outcome::Failed { reason: "killed".into(), detail: "signal 9".into() }
}

#[test]
fn plain_lines_are_few_and_name_each_outcome() {
    let (mut plain, start) = (Plain::default(), Instant::now());
    let mut line = |event: &ProgressEvent, seconds| plain.line(event, start + Duration::from_secs(seconds));
    let planned = ProgressEvent::CollectorPlanned { collector: "aws".into(), units: 2 };
    assert_eq!(line(&planned, 0).unwrap(), "aws: 2 to collect");
    assert_eq!(line(&started("1"), 0).unwrap(), "aws account\\t1: started in process 42");
    assert_eq!(line(&progress("1", 1, 5), 9), None);
    assert_eq!(line(&progress("1", 2, 7), 10).unwrap(), "aws account\\t1: 2 of 17 regions, 7 resources");
    assert_eq!(line(&progress("1", 3, 8), 19), None);
    assert_eq!(line(&progress("unknown", 3, 8), 19), None);
    assert_eq!(line(&finished("1", Outcome::Complete), 20).unwrap(), "aws account\\t1: complete, 9 resources");
    let incomplete = "aws account\\t4: INCOMPLETE, 9 resources, 1 gap";
    assert_eq!(line(&finished("4", Outcome::Complete), 20).unwrap(), incomplete);
    assert_eq!(line(&finished("2", killed()), 20).unwrap(), "aws account\\t2: FAILED, killed: signal 9");
    assert_eq!(line(&ProgressEvent::Finished, 20), None);
    assert!(plain.units.is_empty());
}

#[test]
fn bars_show_counts_and_log_lines_appear_above_them() {
    let terminal = Recorder::default();
    let target = ProgressDrawTarget::term_like(Box::new(terminal.clone()));
    let display = Progress::of(Style::Bars(Bars::new(MultiProgress::with_draw_target(target), None)));
    display.event(&ProgressEvent::CollectorPlanned { collector: "aws".into(), units: 40 });
    for unit in 0..40 {
        display.event(&started(&unit.to_string()));
    }
    display.event(&progress("3", 5, 1203));
    display.lines()("a log line");
    display.event(&finished("3", Outcome::Complete));
    display.event(&finished("39", killed()));
    display.event(&ProgressEvent::Uploading);
    display.event(&ProgressEvent::Finished);
    let drawn = terminal.0.lock().unwrap().clone();
    for text in [
        "5/17 regions  1203 resources",
        "2/40 accounts",
        "a log line",
        "aws account\\t3: complete, 9 resources",
        "aws account\\t39: FAILED, killed: signal 9",
        "writing the graph",
    ] {
        assert!(drawn.contains(text), "{text}");
    }
    assert!(!drawn.contains("account\\t12 "), "only a dozen bars at the same time");
}
