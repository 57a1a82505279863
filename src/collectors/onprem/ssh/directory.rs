//! The private directory of a location: the configuration of the clients, their sockets, and the helper for passphrases.
//!
//! It is removed when its owner is dropped. What a worker that was killed left behind, the next one removes: the lock on a
//! file in the directory ends with its owner. The file gets its name once it is locked, so that nobody takes a new
//! directory for an abandoned one.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use nix::sys::statvfs::{FsFlags, statvfs};
use tempfile::TempDir;
use tokio::process::Command;

use super::super::{broker::Access, options::Options, server::Server};

/// The beginning of the directory's name.
const PREFIX: &str = "ckworker-ssh-";
/// The longest path in which sockets can be made: the client adds some 20 characters to a socket's name.
const MAX_PATH: usize = 75;
/// The file whose lock says that the directory is in use, and its name before it is locked.
const LOCK: &str = "lock";
const NEW_LOCK: &str = "lock.new";
/// How old a directory without a locked file is when its owner must have ended.
const UNFINISHED: Duration = Duration::from_secs(3600);
/// The directories that serve if that of the environment does not.
const OTHER_PARENTS: [&str; 2] = ["/tmp", "/var/tmp"];

/// The helper that the client asks for a passphrase. It answers with what is in its standard input, and for one key only.
const HELPER: &str = r#"#!/bin/sh
case $1 in "Enter passphrase for key '$CKWORKER_KEY"*) ;; *) exit 1 ;; esac
IFS= read -r passphrase && printf '%s\n' "$passphrase"
"#;
/// The characters of a key's path that the client shows.
const SHOWN_PATH: usize = 100;

/// The private directory.
pub(super) struct Directory {
    directory: TempDir,
    _lock: File,
}

impl Directory {
    /// Makes the directory with the configuration of these servers.
    pub(super) fn create(access: &Access, options: &Options, servers: &[Server]) -> io::Result<Self> {
        let candidates = [std::env::temp_dir()].into_iter().chain(OTHER_PARENTS.map(PathBuf::from));
        let parent = parent(&candidates.collect::<Vec<_>>(), access.passphrase.is_some(), forbids_programs);
        remove_abandoned(&parent, UNFINISHED);
        let (directory, lock) = Self::locked(&parent)?;
        let this = Self { directory, _lock: lock };
        write(&this.config(), 0o600, &configuration(access, options, servers))?;
        if access.passphrase.is_some() {
            write(&this.helper(), 0o700, HELPER)?;
        }
        Ok(this)
    }

    /// Makes a directory and holds its lock.
    fn locked(parent: &Path) -> io::Result<(TempDir, File)> {
        let directory = tempfile::Builder::new()
            .prefix(PREFIX)
            .rand_bytes(8)
            .permissions(fs::Permissions::from_mode(0o700))
            .tempdir_in(parent)?;
        let new = directory.path().join(NEW_LOCK);
        let lock = write(&new, 0o600, "")?;
        lock.try_lock()?;
        fs::rename(new, directory.path().join(LOCK))?;
        Ok((directory, lock))
    }

    /// Returns the path.
    pub(super) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Returns the path of the configuration.
    pub(super) fn config(&self) -> PathBuf {
        self.path().join("config")
    }

    fn helper(&self) -> PathBuf {
        self.path().join("helper")
    }

    /// Lets a client ask the helper for the passphrase of a key.
    pub(super) fn answer_passphrase(&self, command: &mut Command, key: Option<&Path>) {
        let key: String = key.map(|key| key.to_string_lossy().chars().take(SHOWN_PATH).collect()).unwrap_or_default();
        command.env("SSH_ASKPASS", self.helper()).env("SSH_ASKPASS_REQUIRE", "force").env("CKWORKER_KEY", key);
        // The helper refuses all other questions.
        command.args(["-o", "BatchMode=no"]);
        // Clients before OpenSSH 8.4 ask a helper only on a display.
        command.env("DISPLAY", ":0");
    }
}

fn write(path: &Path, mode: u32, text: &str) -> io::Result<File> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    file.write_all(text.as_bytes())?;
    Ok(file)
}

/// Returns the first directory that serves: sockets need a short path, and the helper for passphrases a file system that
/// lets programs run. If none does, the first with a short path.
fn parent(candidates: &[PathBuf], has_program: bool, forbids_programs: impl Fn(&Path) -> bool) -> PathBuf {
    let is_short = |path: &&PathBuf| path.as_os_str().len() <= MAX_PATH - PREFIX.len();
    let serves = |path: &&PathBuf| !has_program || (path.is_dir() && !forbids_programs(path));
    let short = || candidates.iter().filter(is_short);
    short().find(serves).or_else(|| short().next()).cloned().unwrap_or_else(std::env::temp_dir)
}

/// Returns whether the file system is mounted so that no program on it can run.
fn forbids_programs(path: &Path) -> bool {
    statvfs(path).is_ok_and(|system| system.flags().contains(FsFlags::ST_NOEXEC))
}

/// Removes the directories of owners that have ended without doing so.
fn remove_abandoned(parent: &Path, unfinished: Duration) {
    let entries = fs::read_dir(parent).into_iter().flatten().flatten();
    for entry in entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(PREFIX)) {
        // What others have made there may be anything, and a pipe of theirs would never be opened.
        let is_own = |kind: &fs::Metadata| kind.uid() == nix::unistd::geteuid().as_raw();
        let Some(folder) = entry.metadata().ok().filter(|kind| kind.is_dir() && is_own(kind)) else { continue };
        let lock = entry.path().join(LOCK);
        let is_abandoned = match fs::symlink_metadata(&lock) {
            Ok(kind) if kind.is_file() && is_own(&kind) => File::open(lock).is_ok_and(|lock| lock.try_lock().is_ok()),
            Ok(_) => false,
            Err(error) => {
                let age = folder.modified().ok().and_then(|modified| modified.elapsed().ok());
                error.kind() == io::ErrorKind::NotFound && age.is_some_and(|age| age >= unfinished)
            }
        };
        if is_abandoned {
            // Another worker may do the same.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// The options of all clients, also of those that lead through jump hosts. They count more than the user's.
const OPTIONS: &[&str] = &[
    "BatchMode yes",
    "ClearAllForwardings yes",
    "ConnectionAttempts 1",
    "ConnectTimeout 10",
    "ControlPersist no",
    "EscapeChar none",
    "ForwardAgent no",
    "ForwardX11 no",
    "KbdInteractiveAuthentication no",
    "LogLevel ERROR",
    "NumberOfPasswordPrompts 1",
    "PasswordAuthentication no",
    "RemoteCommand none",
    "RequestTTY no",
    "ServerAliveCountMax 3",
    "ServerAliveInterval 10",
    "StrictHostKeyChecking yes",
    "UpdateHostKeys no",
];

/// Returns the configuration: what always counts, then the user's and the system's, and then what counts where they say
/// nothing.
fn configuration(access: &Access, options: &Options, servers: &[Server]) -> String {
    let mut lines = vec!["Host *".to_owned()];
    lines.extend(OPTIONS.iter().map(|option| format!("  {option}")));
    lines.extend(options.key.iter().map(|key| format!("  IdentityFile {}", quoted(Path::new(key)))));
    // The client knows the home directory of the user, and not that of the environment.
    let other = access.home.as_deref().filter(|_| access.is_other_home).map(|home| Path::new(home).join(".ssh"));
    let user = other.as_ref().map(|ssh| format!("\"{}\"", ssh.join("config").display()));
    lines.push(format!("Include {}", user.as_deref().unwrap_or("~/.ssh/config")));
    lines.push("Include /etc/ssh/ssh_config".to_owned());
    if let Some(user) = options.user.as_ref().filter(|_| !servers.is_empty()) {
        let hosts: Vec<&str> = servers.iter().map(|server| server.host.as_str()).collect();
        lines.extend([format!("Host {}", hosts.join(" ")), format!("  User {user}")]);
    }
    if let Some(ssh) = other {
        let [hosts, more] = ["known_hosts", "known_hosts2"].map(|name| quoted(&ssh.join(name)));
        lines.extend(["Host *".to_owned(), format!("  UserKnownHostsFile {hosts} {more}")]);
        let keys = ["id_rsa", "id_ecdsa", "id_ecdsa_sk", "id_ed25519", "id_ed25519_sk"];
        lines.extend(keys.map(|key| format!("  IdentityFile {}", quoted(&ssh.join(key)))));
    }
    lines.join("\n") + "\n"
}

/// Returns a path in the form of a configuration, in which a percent sign begins a token.
fn quoted(path: &Path) -> String {
    format!("\"{}\"", path.to_string_lossy().replace('%', "%%"))
}

#[cfg(test)]
#[path = "directory_tests.rs"]
mod tests;
