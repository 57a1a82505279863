//! Helper programs that a user's configuration names, such as one that prints a token. They run in the supervisor, with
//! bounds for their time and their output, and without the program's own variables, which may hold secrets.
//!
//! A helper leads a process group, which is killed with it: a helper that hangs mostly waits for a process of its own. The
//! helper is registered as workers are, so that the reaper leaves it to its owner.

use std::{ffi::OsString, io, path::PathBuf, process::Stdio, time::Duration};

use thiserror::Error;
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    process::Command,
    time::timeout,
};

use super::{ExitReason, WorkerProcess, reaper};

/// The prefix of the program's own variables.
const OWN_PREFIX: &str = "CKWORKER_";

/// The longest output that is read, in bytes.
const MAX_OUTPUT: u64 = 1024 * 1024;

/// The part of its error output that a message shows, in characters.
const SHOWN: usize = 300;

/// A helper program.
#[derive(Clone, Debug)]
pub struct Helper {
    /// The program: a path, or a name that is searched for in `PATH`.
    pub program: PathBuf,
    /// The arguments.
    pub arguments: Vec<OsString>,
    /// Variables beside those of the supervisor.
    pub variables: Vec<(OsString, OsString)>,
    /// The time that it may take.
    pub limit: Duration,
}

/// Why a helper has no output.
#[derive(Debug, Error)]
pub enum HelperError {
    /// It could not be started.
    #[error("cannot start {program}: {source}")]
    Start {
        /// The program.
        program: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// Its output could not be read.
    #[error("cannot read the output of {program}: {source}")]
    Output {
        /// The program.
        program: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// It ran too long.
    #[error("{program} did not exit within {} s and was killed", limit.as_secs())]
    Timeout {
        /// The program.
        program: PathBuf,
        /// The time that it had.
        limit: Duration,
    },
    /// It wrote too much.
    #[error("{program} wrote more than {} KiB", MAX_OUTPUT >> 10)]
    TooLong {
        /// The program.
        program: PathBuf,
    },
    /// It failed.
    #[error("{program} failed ({status}){stderr}")]
    Failed {
        /// The program.
        program: PathBuf,
        /// How it ended, such as `exit code 1`.
        status: String,
        /// The end of its error output, with a separator before it; empty if there is none.
        stderr: String,
    },
}

impl HelperError {
    /// Returns whether another attempt may succeed. A program that does not exist is a mistake of configuration.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        !matches!(self, Self::Start { source, .. }
            if matches!(source.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied))
    }
}

impl Helper {
    /// Runs the program without input and returns its standard output.
    ///
    /// # Errors
    /// Why there is no output. The program and what it has started are killed if it takes too long or if the future is
    /// dropped.
    pub async fn run(self) -> Result<Vec<u8>, HelperError> {
        let Self { program, arguments, variables, limit } = self;
        let mut command = Command::new(&program);
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with(OWN_PREFIX)) {
            command.env_remove(name);
        }
        command.args(arguments).envs(variables).process_group(0).kill_on_drop(true);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let started = reaper::register_spawn(|| command.spawn());
        let mut child = started.map_err(|source| HelperError::Start { program: program.clone(), source })?;
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let mut process = WorkerProcess::new(child);
        let exchange = async {
            let (stdout, stderr) = tokio::join!(read(stdout), read(stderr));
            Ok::<_, io::Error>((stdout?, stderr?, process.wait().await))
        };
        let Ok(done) = timeout(limit, exchange).await else {
            process.stop(Duration::ZERO).await;
            return Err(HelperError::Timeout { program, limit });
        };
        let (stdout, stderr, end) = done.map_err(|source| HelperError::Output { program: program.clone(), source })?;
        match end {
            ExitReason::Code(0) if stdout.len() as u64 > MAX_OUTPUT => Err(HelperError::TooLong { program }),
            ExitReason::Code(0) => Ok(stdout),
            end => Err(HelperError::Failed { program, status: end.to_string(), stderr: shown(&stderr) }),
        }
    }
}

/// Reads a stream to its end, and keeps the first bytes: more than the limit by one at most.
async fn read(stream: Option<impl AsyncRead + Unpin>) -> io::Result<Vec<u8>> {
    let mut kept = Vec::new();
    let Some(mut stream) = stream else { return Ok(kept) };
    (&mut stream).take(MAX_OUTPUT + 1).read_to_end(&mut kept).await?;
    // A program that cannot write would not exit.
    tokio::io::copy(&mut stream, &mut tokio::io::sink()).await?;
    Ok(kept)
}

/// Returns the end of an error output for a message.
fn shown(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let skipped = words.chars().count().saturating_sub(SHOWN);
    let end: String = words.chars().skip(skipped).collect();
    if end.is_empty() { end } else { format!(": {end}") }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn shell(script: &str, limit: Duration) -> Helper {
        let arguments = vec!["-c".into(), script.into()];
        Helper { program: "/bin/sh".into(), arguments, variables: vec![("GIVEN".into(), "yes".into())], limit }
    }

    #[tokio::test]
    async fn output_of_helper_is_returned() {
        let long = Duration::from_secs(60);
        let output = shell("printf %s \"$GIVEN\"; echo ignored >&2", long).run().await.unwrap();
        assert_eq!(output, b"yes");
        let error = shell("echo no credentials >&2; exit 3", long).run().await.unwrap_err();
        assert!(error.to_string().ends_with("(exit code 3): no credentials"), "{error}");
        let error = shell("yes | head -c 2000000", long).run().await.unwrap_err();
        assert!(matches!(error, HelperError::TooLong { .. }), "{error}");
    }

    #[tokio::test]
    async fn hanging_helper_is_killed() {
        let error = shell("exec sleep 600", Duration::from_millis(50)).run().await.unwrap_err();
        assert!(matches!(error, HelperError::Timeout { .. }) && error.is_transient(), "{error}");
    }

    /// Waits until a process has ended; its parent may not have reaped it.
    async fn ended(pid: &str) {
        let is_running = || {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with(['Z', 'X']))
        };
        while is_running() {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn processes_of_helper_end_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pid");
        let pid = || std::fs::read_to_string(&file).unwrap_or_default().trim().to_owned();
        // The pipe of its output stays open as long as the process of the helper runs.
        let hanging = format!("sleep 600 & echo $! >{}; wait", file.display());
        let mut limit = Duration::from_millis(100);
        while pid().is_empty() {
            let error = shell(&hanging, limit).run().await.unwrap_err();
            assert!(matches!(error, HelperError::Timeout { .. }), "{error}");
            limit *= 2;
        }
        ended(&pid()).await;
        std::fs::remove_file(&file).unwrap();
        let dropped = async {
            while pid().is_empty() {
                tokio::task::yield_now().await;
            }
            assert_eq!(reaper::sweep(true), 0, "a helper is no orphan");
        };
        tokio::select! {
            done = shell(&hanging, Duration::from_secs(600)).run() => unreachable!("{done:?}"),
            () = dropped => {}
        }
        ended(&pid()).await;
        std::fs::remove_file(&file).unwrap();
        let left = format!("sleep 600 >/dev/null 2>&1 & echo $! >{}", file.display());
        shell(&left, Duration::from_secs(600)).run().await.unwrap();
        ended(&pid()).await;
    }

    #[tokio::test]
    async fn helper_has_no_input_and_is_found_by_its_path() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("my helper");
        std::fs::write(&program, "#!/bin/sh\ncat; printf '%s|' \"$@\"").unwrap();
        let run = |program: &str| {
            let arguments = vec!["a b".into(), "$HOME".into(), "'".into()];
            let path = format!("/no/such/folder:{}:/bin:/usr/bin", folder.path().display());
            let limit = Duration::from_secs(60);
            Helper { program: program.into(), arguments, variables: vec![("PATH".into(), path.into())], limit }.run()
        };
        let error = run("my helper").await.unwrap_err();
        assert!(!error.is_transient() && error.to_string().contains("cannot start my helper"), "{error}");
        std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
        for name in ["my helper", program.to_str().unwrap()] {
            assert_eq!(run(name).await.unwrap(), b"a b|$HOME|'|", "{name}");
        }
        assert!(!run("no-such-helper").await.unwrap_err().is_transient());
    }

    #[tokio::test]
    async fn missing_helper_is_final() {
        let helper = Helper { program: "/no/such/helper".into(), ..shell("", Duration::from_secs(1)) };
        let error = helper.run().await.unwrap_err();
        assert!(!error.is_transient() && error.to_string().contains("/no/such/helper"), "{error}");
    }
}
