//! Log lines of the supervisor: `yy-mm-dd hh:mm:ss|ckworker| INFO|pid|job-or-module  message`, times in UTC.
//!
//! The format is that of the Python worker, so that parsers of its logs work. The job, such as `aws/123456789012`,
//! takes the place of the thread's name in lines about a job.

use std::{
    fs::{File, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use time::{OffsetDateTime, format_description::StaticFormatDescription, macros::format_description};
use tracing::{Event, Level, Subscriber, level_filters::LevelFilter};
use tracing_subscriber::{
    Layer, Registry,
    filter::Targets,
    layer::{Context, SubscriberExt},
    util::SubscriberInitExt,
};

use super::{
    line::{Fields, Line},
    log_limiter::Limiter,
};

const TIME: StaticFormatDescription =
    format_description!("[year repr:last_two]-[month]-[day] [hour]:[minute]:[second]");

/// Libraries that log much below WARN; prefixes of targets.
const NOISY: &[&str] =
    &["h2", "hyper", "mio", "reqwest", "rustls", "tokio_tungstenite", "tower", "tungstenite", "want"];

/// The destination of log lines.
pub enum Destination {
    /// Standard error.
    Stderr,
    /// The end of a file, which is created if necessary.
    File(PathBuf),
    /// A function that shares the terminal, such as a progress display. Receives lines without line feeds.
    Display(Box<dyn Fn(&str) + Send + Sync>),
}

/// Logging could not be initialized.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The file cannot be opened.
    #[error("--logfile {path}: cannot be opened for appending: {source}")]
    File {
        /// The file's path.
        path: String,
        /// The system's error.
        source: std::io::Error,
    },
    /// Logging was initialized before in this process.
    #[error("logging is already set up")]
    Again,
}

/// The most verbose levels at which libraries are logged, by prefix of their targets.
pub type LibraryLevels<'a> = &'a [(&'static str, LevelFilter)];

/// Initializes logging of this process; `level` is the most verbose level that is written.
///
/// # Errors
/// If the file cannot be opened, or on a second call.
pub fn init(level: LevelFilter, libraries: LibraryLevels<'_>, destination: Destination) -> Result<Log, LogError> {
    let log = Log::new(destination)?;
    let layer = LineLayer(Arc::clone(&log.0));
    Registry::default().with(filter(level, libraries)).with(layer).try_init().map_err(|_| LogError::Again)?;
    Ok(log)
}

/// The log of this process. Cloning is cheap.
#[derive(Clone)]
pub struct Log(Arc<Lines>);

impl Log {
    fn new(destination: Destination) -> Result<Self, LogError> {
        let sink = match destination {
            Destination::Stderr => Sink::Stderr,
            Destination::File(path) => Sink::File(LogFile::open(path)?),
            Destination::Display(display) => Sink::Display(display),
        };
        Ok(Self(Arc::new(Lines {
            sink,
            pid: std::process::id(),
            limiter: Limiter::default(),
            is_lost: AtomicBool::new(false),
        })))
    }

    /// Returns the log's file, if it is one.
    #[must_use]
    pub fn file(&self) -> Option<LogFile> {
        if let Sink::File(file) = &self.0.sink { Some(file.clone()) } else { None }
    }

    /// Logs the number of suppressed lines for each place where a report is due. Each further line of the log does so
    /// too; a log without further lines needs this call.
    pub fn report_suppressed(&self) {
        self.0.report(Instant::now(), false);
    }

    /// Logs the number of suppressed lines that were not reported yet. For the end of the process.
    pub fn report_all_suppressed(&self) {
        self.0.report(Instant::now(), true);
    }
}

/// The file of the log. Cloning is cheap.
#[derive(Clone)]
pub struct LogFile(Arc<OpenFile>);

struct OpenFile {
    path: PathBuf,
    file: Mutex<File>,
}

impl LogFile {
    fn open(path: PathBuf) -> Result<Self, LogError> {
        let file = Mutex::new(open(&path)?);
        Ok(Self(Arc::new(OpenFile { path, file })))
    }

    /// Reopens the file by its name, after a rotation has moved the file away.
    ///
    /// # Errors
    /// If the file cannot be opened; the log is then still written to the old one.
    pub fn reopen(&self) -> Result<(), LogError> {
        let file = open(&self.0.path)?;
        *self.lock() = file;
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, File> {
        self.0.file.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes an error to standard error, for a process that ends before or without logging.
pub fn last_words(error: &dyn std::fmt::Display) {
    let line = Line::of(&format!("ckworker: {error}")).finish();
    // The error cannot be reported if standard error is closed.
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Returns the filter that admits ckworker's own modules at `level`, and libraries at WARN or at their own level at
/// most.
pub(super) fn filter(level: LevelFilter, libraries: LibraryLevels<'_>) -> Targets {
    let noisy = level.min(LevelFilter::WARN);
    let general = NOISY.iter().map(|target| (*target, noisy));
    let own = libraries.iter().map(|(target, most)| (*target, level.min(*most)));
    Targets::new().with_default(level).with_targets(general).with_targets(own)
}

/// Returns the module without the crate's name.
pub(super) fn module(target: &str) -> &str {
    target.strip_prefix("ckworker::").unwrap_or(target)
}

/// The destination of finished lines.
enum Sink {
    Stderr,
    File(LogFile),
    Display(Box<dyn Fn(&str) + Send + Sync>),
}

/// Writes lines, within the limits of the peers that cause them.
struct Lines {
    sink: Sink,
    pid: u32,
    limiter: Limiter,
    /// Whether writing the last line to the file failed.
    is_lost: AtomicBool,
}

impl Lines {
    fn event(&self, event: &Event<'_>, now: Instant) {
        if self.limiter.admits(event, now) {
            let fields = Fields::of(event);
            let place =
                if fields.job.is_empty() { module(event.metadata().target()).to_owned() } else { fields.job.clone() };
            self.write(self.line(*event.metadata().level(), &place, &fields.into_text()));
        }
        self.report(now, false);
    }

    fn report(&self, now: Instant, all: bool) {
        for report in self.limiter.reports(now, all) {
            self.write(self.line(report.level, &report.place, &report.text));
        }
    }

    fn line(&self, level: Level, place: &str, text: &str) -> String {
        let time = OffsetDateTime::now_utc().format(&TIME).unwrap_or_default();
        let (level, pid) = (level.as_str(), self.pid);
        format!("{time}|ckworker|{level:>5}|{pid}|{place:>10}  {text}")
    }

    fn write(&self, mut line: String) {
        // One write for each line keeps the lines of several processes apart.
        match &self.sink {
            Sink::Display(display) => display(&line),
            Sink::File(file) => {
                line.push('\n');
                let written = file.lock().write_all(line.as_bytes());
                self.written(file, written);
            }
            Sink::Stderr => {
                line.push('\n');
                // A line that cannot be written to standard error is lost.
                let _ = std::io::stderr().lock().write_all(line.as_bytes());
            }
        }
    }

    /// Reports on standard error that the file cannot be written, once until a line is written again.
    fn written(&self, file: &LogFile, written: std::io::Result<()>) {
        let was_lost = self.is_lost.swap(written.is_err(), Ordering::Relaxed);
        if let Err(error) = written
            && !was_lost
        {
            let path = file.0.path.display();
            last_words(&format!("cannot write the log to {path}: {error}; log lines are lost until it can be written"));
        }
    }
}

/// Formats events as lines.
struct LineLayer(Arc<Lines>);

fn open(path: &Path) -> Result<File, LogError> {
    let file = OpenOptions::new().create(true).append(true).open(path);
    file.map_err(|source| LogError::File { path: path.display().to_string(), source })
}

impl<S: Subscriber> Layer<S> for LineLayer {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        self.0.event(event, Instant::now());
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::sync::mpsc;

    use super::*;

    const LIBRARIES: LibraryLevels<'_> = &[("cloud_", LevelFilter::WARN), ("cloud_config", LevelFilter::ERROR)];

    fn logged(level: LevelFilter, write: impl FnOnce()) -> Vec<String> {
        let (sender, lines) = mpsc::channel();
        let display = Destination::Display(Box::new(move |line| sender.send(line.to_owned()).unwrap()));
        let subscriber =
            Registry::default().with(filter(level, LIBRARIES)).with(LineLayer(Log::new(display).unwrap().0));
        tracing::subscriber::with_default(subscriber, write);
        lines.try_iter().collect()
    }

    #[test]
    fn line_has_form_of_python_worker() {
        let lines = logged(LevelFilter::INFO, || {
            tracing::info!(target: "ckworker::web", port = 9956, "listening");
            tracing::warn!(target: "ckworker::supervisor", job = "aws/123456789012", "odd\nthing");
            tracing::debug!(target: "ckworker::web", "not wanted");
        });
        let pid = std::process::id();
        let (time, rest) = lines[0].split_at(17);
        assert!(OffsetDateTime::now_utc().format(&TIME).unwrap()[..6] == time[..6], "{time}");
        assert_eq!(rest, format!("|ckworker| INFO|{pid}|       web  listening port=9956"));
        assert_eq!(lines[1][17..], format!("|ckworker| WARN|{pid}|aws/123456789012  odd\\nthing"));
        assert_eq!(lines.len(), 2);
    }

    #[test]
    fn libraries_are_logged_from_warn_on() {
        let noise = || {
            tracing::info!(target: "hyper::proto", "noise");
            tracing::info!(target: "cloud_sdk::retry", "noise");
            tracing::warn!(target: "cloud_config::profile", "noise");
            tracing::warn!(target: "rustls::client", "signal");
            tracing::debug!(target: "ckworker::graph", "detail");
        };
        let lines = logged(LevelFilter::DEBUG, noise);
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert_eq!(logged(LevelFilter::ERROR, noise), Vec::<String>::new());
    }

    #[test]
    fn log_file_is_appended_and_unwritable_one_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("worker.log");
        std::fs::write(&path, "before\n").unwrap();
        let log = Log::new(Destination::File(path.clone())).unwrap();
        let subscriber: Arc<dyn Subscriber + Send + Sync> = Arc::new(Registry::default().with(LineLayer(log.0)));
        tracing::subscriber::with_default(subscriber, || tracing::error!("after"));
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("before\n") && text.ends_with("  after\n"), "{text}");
        let error = Log::new(Destination::File(folder.path().into())).err().unwrap().to_string();
        assert!(error.starts_with("--logfile ") && error.contains("cannot be opened for appending"), "{error}");
    }

    #[test]
    fn moved_log_file_is_reopened_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let (path, moved) = (folder.path().join("log"), folder.path().join("log.1"));
        let log = Log::new(Destination::File(path.clone())).unwrap();
        let (file, layer) = (log.file().unwrap(), log.0);
        layer.write("one".into());
        std::fs::rename(&path, &moved).unwrap();
        layer.write("two".into());
        file.reopen().unwrap();
        layer.write("three".into());
        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        assert!(file.reopen().is_err(), "a folder is no log");
        layer.write("four".into());
        assert_eq!(std::fs::read_to_string(&moved).unwrap(), "one\ntwo\n");
    }
}
