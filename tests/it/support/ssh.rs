//! A real OpenSSH server on loopback, which answers as invented machines: one for each of its ports.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
};

use tempfile::TempDir;

use super::program::command;

/// How often a server is started on other ports, as another process may take a port first.
const STARTS: usize = 5;

/// A running server. Dropping it ends it.
pub struct LocalSsh {
    server: Child,
    folder: TempDir,
    /// The ports on which its machines listen.
    pub ports: Vec<u16>,
}

impl LocalSsh {
    /// Starts a server with this number of machines, and with these lines in its configuration.
    pub fn start(machines: usize, configuration: &str) -> Self {
        let started = (0..STARTS).find_map(|_| Self::try_start(machines, configuration));
        started.expect("the OpenSSH server must start; see scripts/sshd-local --help")
    }

    fn try_start(machines: usize, configuration: &str) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let listeners: Vec<_> = (0..machines).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let ports: Vec<u16> = listeners.iter().map(|listener| listener.local_addr().unwrap().port()).collect();
        drop(listeners);
        write_files(folder.path(), &ports, configuration);
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/sshd-local");
        let mut command = Command::new(script);
        command.arg("run").arg(folder.path().join("sshd_config")).stdin(Stdio::null()).stderr(Stdio::piped());
        let mut server = command.spawn().unwrap();
        let log = folder.path().join("log");
        let mut lines = BufReader::new(server.stderr.take().unwrap()).lines().map_while(Result::ok);
        let listening = lines.by_ref().filter(|line| line.contains("Server listening")).take(machines).count();
        if listening < machines {
            server.wait().unwrap();
            return None;
        }
        thread::spawn(move || {
            let mut file = fs::File::create(log).unwrap();
            // The folder may have been removed.
            lines.for_each(|line| drop(writeln!(file, "{line}")));
        });
        Some(Self { server, folder, ports })
    }

    /// The folder: keys `id`, `id_pass` (passphrase `sesame`) and `stranger`, and `home` with `.ssh/known_hosts`.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The entry of a machine for the option, below these places.
    pub fn entry(&self, places: &str, machine: usize) -> String {
        format!("{places}{}@127.0.0.1:{}", user(), self.ports[machine])
    }

    /// Sets how a machine behaves; see `tests/it/onprem/host.sh`.
    pub fn behave(&self, machine: usize, mode: &str) {
        fs::write(self.path(&format!("mode-{}", self.ports[machine])), mode).unwrap();
    }

    /// Sets what a machine answers to a script, if it behaves so.
    pub fn answer_script(&self, machine: usize, text: &str) {
        fs::write(self.path(&format!("script-{}", self.ports[machine])), text).unwrap();
    }

    /// The text of a file in the folder; empty if there is none.
    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    /// A collection of these servers with the key `id`.
    pub fn collect(&self, servers: &[String]) -> Command {
        let mut command = command(&["collect", "--collector", "onprem", "--onprem-server"]);
        command.args(servers).arg("--onprem-ssh-key").arg(self.path("id"));
        self.serve(&mut command);
        command
    }

    /// Lets a command find the host keys, and no agent.
    pub fn serve<'c>(&self, command: &'c mut Command) -> &'c mut Command {
        command.env("HOME", self.path("home")).env_remove("SSH_AUTH_SOCK")
    }
}

impl Drop for LocalSsh {
    fn drop(&mut self) {
        self.server.kill().unwrap();
        self.server.wait().unwrap();
    }
}

/// The user that runs the tests, as whom everybody logs in.
pub fn user() -> String {
    let output = Command::new("id").arg("-un").output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Makes a key, with a passphrase if it is not empty.
fn make_key(path: &Path, passphrase: &str) {
    let mut command = Command::new("ssh-keygen");
    command.args(["-q", "-t", "ed25519", "-N", passphrase, "-f"]).arg(path);
    assert!(command.status().unwrap().success());
}

fn write_files(folder: &Path, ports: &[u16], configuration: &str) {
    let path = |name: &str| folder.join(name);
    for (name, passphrase) in [("host_key", ""), ("id", ""), ("id_pass", "sesame"), ("stranger", "")] {
        make_key(&path(name), passphrase);
    }
    let public = |name: &str| fs::read_to_string(path(&format!("{name}.pub"))).unwrap();
    fs::write(path("authorized"), public("id") + &public("id_pass")).unwrap();
    let host: String = public("host_key").split_whitespace().take(2).collect::<Vec<_>>().join(" ");
    let known: String = ports.iter().map(|port| format!("[127.0.0.1]:{port},[localhost]:{port} {host}\n")).collect();
    fs::create_dir_all(path("home/.ssh")).unwrap();
    fs::write(path("home/.ssh/known_hosts"), known).unwrap();
    let script = path("host.sh");
    fs::write(&script, include_str!("../onprem/host.sh")).unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let listen: String = ports.iter().map(|port| format!("Port {port}\n")).collect();
    let shown = folder.display();
    let config = format!(
        "{listen}ListenAddress 127.0.0.1\nHostKey {shown}/host_key\nAuthorizedKeysFile {shown}/authorized\n\
         PasswordAuthentication no\nKbdInteractiveAuthentication no\nStrictModes no\nUsePAM no\nPidFile none\n\
         ForceCommand {shown}/host.sh {shown}\n{configuration}\n"
    );
    fs::write(path("sshd_config"), config).unwrap();
}
