//! Commands on servers through the system's OpenSSH client, so that users' `ssh_config`, agents, jump hosts,
//! certificates, and hashed or revoked host keys work as everywhere.
//!
//! # Theory of operation
//!
//! Each server gets one connection: a client that logs in and then listens on a socket of its own (`master`). Each
//! command is another client, which is a channel of that connection, so that restricted accounts which allow only certain
//! commands work. All clients are children of the worker, in its process group; dropping their owner kills them. If the
//! worker itself is killed, and its group is not, `watch` ends the connections.
//!
//! Nothing is ever asked on a terminal. Unknown host keys are refused. The passphrase of the key is written to the
//! standard input of the client that logs in, from where its helper for passphrases, a script in the private directory,
//! reads it: it is neither on a command line, nor in an environment, nor on a disk.

mod directory;
mod error;
mod process;
mod watch;

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    process::Stdio,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    process::Command,
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};
use worker_proto::{Failure, FailureKind};

pub(crate) use self::error::code;
use self::{
    directory::Directory,
    process::{Captured, Running},
    watch::Watch,
};
use super::{broker::Access, options::Options, server::Server};
use crate::{
    collector_api::{CollectContext, UnitWaits},
    engine::{CallError, CallErrorKind, Calls, Request, Timeouts},
};

/// The command that runs a script.
pub(crate) const SCRIPT: &str = "sh -s";

/// The service in errors and gaps.
pub(crate) const SERVICE: &str = "ssh";

/// The timeout of an attempt to connect and log in.
const LOGIN: Duration = Duration::from_secs(20);
/// The timeout of all such attempts for one server.
const LOGINS: Duration = Duration::from_secs(90);
/// How long connections that break during the handshake are tried again; see [`Timeouts::retry`].
const RETRY: Duration = Duration::from_secs(30);
/// The timeout of a command.
const COMMAND: Duration = Duration::from_secs(30);
/// The timeout of the question for a server's configuration, which contacts nothing.
const CONFIGURATION: Duration = Duration::from_secs(5);
/// The logins through one jump host at the same time, in all locations: its SSH server drops connections at random from
/// ten on that have not logged in.
const LOGINS_PER_JUMP_HOST: usize = 8;

/// What the master prints once it has logged in, and the command that does so. It ends the master, which is its parent, if
/// nobody reads that any more.
const READY: &[u8] = b"ready\n";
const TELL: &str = "LocalCommand=trap '' PIPE; echo ready || kill $PPID";

/// The client of a location's servers.
pub(crate) struct Ssh {
    access: Access,
    key: Option<PathBuf>,
    watch: Watch,
    directory: Directory,
    calls: Calls,
    waits: UnitWaits,
    /// The number of the next socket.
    next: AtomicUsize,
    /// The logins by jump host that may run.
    jump_hosts: Mutex<HashMap<String, Arc<Semaphore>>>,
    per_jump_host: usize,
}

/// A server on which this process is logged in. Dropping it closes the connection.
pub(crate) struct Session<'s> {
    ssh: &'s Ssh,
    server: &'s Server,
    socket: PathBuf,
    master: Running,
}

/// The result of a command.
#[derive(Debug)]
pub(crate) struct Output {
    /// The exit code.
    pub(crate) code: i32,
    /// Standard output.
    pub(crate) stdout: String,
    /// The end of standard error.
    pub(crate) stderr: String,
}

impl Ssh {
    /// Returns the client of a location; contacts nothing.
    ///
    /// # Errors
    /// `Internal` if the private directory cannot be made.
    pub(crate) fn new(
        context: &CollectContext,
        access: Access,
        servers: &[Server],
        locations_at_once: usize,
    ) -> Result<Self, Failure> {
        let mut options = Options::of(context.settings());
        // The client shows the path when it asks for the passphrase.
        let absolute = options.key.as_deref().and_then(|key| std::path::absolute(key).ok());
        options.key = absolute.as_ref().map(|key| key.to_string_lossy().into_owned());
        let cannot = |error| Failure {
            kind: FailureKind::Unavailable,
            message: format!(
                "cannot make the private directory of SSH in {}: {error}; let TMPDIR name a directory with room",
                std::env::temp_dir().display()
            ),
        };
        let directory = Directory::create(&access, &options, servers).map_err(cannot)?;
        let watch = Watch::start(directory.path(), &access)?;
        let timeouts = Timeouts {
            attempt: LOGIN,
            operation: LOGINS,
            retry: RETRY,
            deadline: context.deadline(),
            ..Timeouts::default()
        };
        Ok(Self {
            key: absolute,
            access,
            watch,
            directory,
            calls: Calls::new(context.waits().clone(), timeouts),
            waits: context.waits().clone(),
            next: AtomicUsize::new(0),
            jump_hosts: Mutex::default(),
            per_jump_host: (LOGINS_PER_JUMP_HOST / locations_at_once.max(1)).max(1),
        })
    }

    /// Ends what runs beside the sessions, which have ended.
    pub(crate) async fn close(self) {
        self.watch.stop().await;
    }

    /// Connects to a server and logs in. A connection that breaks during the handshake is tried again, after a pause of
    /// random length.
    ///
    /// # Errors
    /// Why that is impossible, with what the client wrote.
    pub(crate) async fn log_in<'s>(&'s self, server: &'s Server) -> Result<Session<'s>, CallError> {
        let _permit = self.jump_host(server).await;
        let request = Request::new(SERVICE, "connect", &server.id);
        let attempt = async || {
            let socket = self.directory.path().join(self.next.fetch_add(1, Ordering::Relaxed).to_string());
            let limit = self.calls.timeouts(&request).attempt;
            let master = self.master(server, &socket, limit).await;
            master.map(|master| Session { ssh: self, server, socket, master }).into()
        };
        self.calls.run(&request, attempt).await
    }

    /// Waits until another login through the server's jump host may begin; `None` if it has none.
    async fn jump_host(&self, server: &Server) -> Option<OwnedSemaphorePermit> {
        let _wait = self.waits.begin(worker_proto::WaitOn::Call, format!("a login through the jump host of {server}"));
        let mut command = self.client(server);
        command.arg("-G").arg("--").arg(&server.host);
        let mut captured = Captured::default();
        // What is wrong is told by the login.
        process::run(command, b"", CONFIGURATION, &mut captured).await.ok()?;
        let name = jump_host(&String::from_utf8_lossy(&captured.stdout))?;
        let semaphore = {
            let mut all = self.jump_hosts.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(all.entry(name).or_insert_with(|| Arc::new(Semaphore::new(self.per_jump_host))))
        };
        semaphore.acquire_owned().await.ok()
    }

    /// Starts the client that logs in, and waits until it has.
    async fn master(&self, server: &Server, socket: &Path, limit: Duration) -> Result<Running, CallError> {
        let mut command = self.client(server);
        command.args(["-M", "-N", "-o", "PermitLocalCommand=yes", "-o", TELL]);
        if self.access.passphrase.is_some() {
            self.directory.answer_passphrase(&mut command, self.key.as_deref());
        }
        command.arg("-S").arg(socket).arg("--").arg(&server.host);
        let mut master = Running::start(command)?;
        let (stdin, stdout) = (master.stdin(), master.stdout());
        let mut line = [0; READY.len()];
        let is_ready = async {
            if let (Some(mut stdin), Some(passphrase)) = (stdin, &self.access.passphrase) {
                // A client that needs no passphrase may have exited.
                let _ = stdin.write_all(format!("{passphrase}\n").as_bytes()).await;
            }
            let Some(mut stdout) = stdout else { return false };
            stdout.read_exact(&mut line).await.is_ok_and(|_| line == READY)
        };
        match timeout(limit, is_ready).await {
            Ok(true) => Ok(master),
            Ok(false) => Err(error::of_login(&master.last_words().await)),
            Err(_) => Err(error::too_slow("connect and log in", limit)),
        }
    }

    /// Returns a client for a server, without what it is to do.
    fn client(&self, server: &Server) -> Command {
        let mut command = bare("ssh", &self.access);
        command.arg("-F").arg(self.directory.config()).arg("-T");
        if let Some(user) = &server.user {
            command.args(["-l", user]);
        }
        if let Some(port) = server.port {
            command.args(["-p", &port.to_string()]);
        }
        command
    }
}

/// Returns a program with the environment of clients: the agent, and the proxies that a ProxyCommand may use.
fn bare(program: &str, access: &Access) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("SHELL", "/bin/sh").env("LC_ALL", "C");
    command.envs(crate::process::environment::allowed(std::env::vars_os()));
    let variables = [("PATH", &access.path), ("HOME", &access.home), ("SSH_AUTH_SOCK", &access.agent)];
    command.envs(variables.into_iter().filter_map(|(name, value)| Some((name, value.as_ref()?))));
    command
}

/// Returns the jump host in a client's configuration as it prints it, or the command that stands for one.
fn jump_host(configuration: &str) -> Option<String> {
    let value = |name: &str| {
        let found = configuration.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        found.map(str::trim).filter(|value| !value.is_empty() && *value != "none").map(str::to_owned)
    };
    value("proxyjump").or_else(|| value("proxycommand"))
}

impl Session<'_> {
    /// Closes the connection.
    pub(crate) async fn close(self) {
        self.master.stop().await;
    }

    /// Runs a command and returns its result, whatever its exit code.
    ///
    /// # Errors
    /// If it does not end in time, writes too much, or the connection breaks.
    pub(crate) async fn run(&self, command: &str) -> Result<Output, CallError> {
        let mut captured = Captured::default();
        let code = self.exchange(command, b"", &mut captured).await?;
        let (stdout, stderr) = (text(&captured.stdout), text(&captured.stderr));
        // The client's own exit code, and not a command's.
        if code == 255 {
            return Err(error::of_command(&stderr).of(SERVICE, command, &self.server.id));
        }
        Ok(Output { code, stdout, stderr })
    }

    /// Runs a script in a shell and returns what it wrote, also if it did not end: then with the error.
    pub(crate) async fn script(&self, script: &str) -> (Output, Option<CallError>) {
        let mut captured = Captured::default();
        let result = self.exchange(SCRIPT, script.as_bytes(), &mut captured).await;
        let (stdout, stderr) = (text(&captured.stdout), text(&captured.stderr));
        let (code, error) = match result {
            Ok(255) => (255, Some(error::of_command(&stderr).of(SERVICE, SCRIPT, &self.server.id))),
            Ok(code) => (code, None),
            Err(error) => (255, Some(error)),
        };
        (Output { code, stdout, stderr }, error)
    }

    async fn exchange(&self, command: &str, input: &[u8], captured: &mut Captured) -> Result<i32, CallError> {
        let _wait = self.ssh.waits.begin(worker_proto::WaitOn::Call, format!("{command} on {}", self.server));
        let mut client = self.ssh.client(self.server);
        // Without its connection, a client would make one of its own.
        client.args(["-o", "ControlMaster=no", "-o", "ProxyCommand=false", "-S"]).arg(&self.socket);
        client.arg("--").arg(&self.server.host).arg(command).stdin(Stdio::piped());
        let request = Request::new(SERVICE, command, &self.server.id);
        let limit = self.ssh.calls.timeouts(&request).operation.min(COMMAND);
        let result = process::run(client, input, limit, captured).await;
        result.map_err(|error| error.of(SERVICE, command, &self.server.id))
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Returns the failure of a command whose output cannot be used.
pub(crate) fn unusable(output: &Output, server: &Server, command: &str, why: &str) -> CallError {
    let code = output.code;
    let message = match error::shown(&output.stderr) {
        stderr if stderr.is_empty() => format!("{why} (exit code {code})"),
        stderr => format!("{why} (exit code {code}): {stderr}"),
    };
    CallError::new(CallErrorKind::Unexpected, code::COMMAND_FAILED, message).of(SERVICE, command, &server.id)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[tokio::test]
    async fn command_without_its_connection_makes_no_other() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let entry = listener.local_addr().unwrap().to_string();
        let servers = Server::all(&Options { servers: vec![entry], ..Options::default() }).unwrap().0;
        let access = Access { path: std::env::var("PATH").ok(), ..Access::default() };
        let (context, _frames) = CollectContext::recording(crate::settings::Settings::default(), None);
        let ssh = Ssh::new(&context, access, &servers, 1).unwrap();
        let mut master = Command::new("sleep");
        let master = Running::start({
            master.arg("600");
            master
        });
        let socket = ssh.directory.path().join("gone");
        let session = Session { ssh: &ssh, server: &servers[0], socket, master: master.unwrap() };
        let error = session.run("true").await.unwrap_err();
        assert_eq!(error.code, crate::engine::code::CONNECTION_LOST, "{error}");
        assert_eq!(listener.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    }

    #[test]
    fn jump_host_is_read_from_the_configuration() {
        for (configuration, expected) in [
            ("user root\nproxyjump a@b:22\n", Some("a@b:22")),
            ("proxycommand ssh -W %h:%p b\nproxyusefdpass no\n", Some("ssh -W %h:%p b")),
            ("proxyjump none\nproxyusefdpass no\n", None),
            ("", None),
        ] {
            assert_eq!(jump_host(configuration).as_deref(), expected, "{configuration}");
        }
    }
}
