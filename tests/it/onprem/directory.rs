//! The private directory and the clients of a program that is killed, and of programs beside each other.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use super::collect::{collect, wait_for_file};
use crate::support::{
    poll,
    program::{Running, children, is_alive},
    ssh::LocalSsh,
};

/// A collection of a machine whose private directory is below `tmp`.
fn below(ssh: &LocalSsh, machine: usize) -> (Command, PathBuf) {
    let temporary = ssh.path("tmp");
    fs::create_dir_all(&temporary).unwrap();
    let mut command = ssh.collect(&[ssh.entry("", machine)]);
    command.env("TMPDIR", &temporary);
    (command, temporary)
}

fn count(folder: &Path) -> usize {
    fs::read_dir(folder).unwrap().count()
}

/// All descendants of a process.
fn descendants(pid: i32) -> Vec<i32> {
    let direct = children(pid);
    let others: Vec<i32> = direct.iter().copied().flat_map(descendants).collect();
    [direct, others].concat()
}

fn becomes(mut condition: impl FnMut() -> bool) -> bool {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(poll::becomes(async || condition()))
}

/// Field case: the system kills the program when memory runs out, and connections to servers stay.
#[test]
fn killed_program_leaves_no_client_and_its_directory_is_removed() {
    for arguments in [&[][..], &["--fork", "--onprem-fork"]] {
        let ssh = LocalSsh::start(2, "");
        ssh.behave(0, "hang");
        let (mut command, temporary) = below(&ssh, 0);
        let running = Running::start(command.args(arguments).args(["--output", "/dev/null"]));
        wait_for_file(&ssh, "hanging");
        let clients = descendants(running.pid());
        assert!(clients.len() >= 3, "the master, a command, and what watches them: {clients:?}");
        running.signal("KILL");
        assert_eq!(running.wait().code, -1);
        let all_end = becomes(|| !clients.iter().copied().any(is_alive));
        assert!(all_end, "{arguments:?}: {:?}", clients.iter().filter(|pid| is_alive(**pid)).collect::<Vec<_>>());
        // A forked worker may notice the end of its supervisor before it is killed with it.
        assert!(count(&temporary) == 1 || !arguments.is_empty(), "{arguments:?}");
        let (output, _) = collect(&ssh, &mut below(&ssh, 1).0);
        assert_eq!((output.code, count(&temporary)), (0, 0), "{arguments:?}: {}", output.stderr);
    }
}

#[test]
fn program_leaves_the_directory_of_another_one_alone() {
    let ssh = LocalSsh::start(2, "");
    ssh.behave(0, "hang");
    let (mut command, temporary) = below(&ssh, 0);
    let first = Running::start(command.args(["--output", "/dev/null"]));
    wait_for_file(&ssh, "hanging");
    let (output, _) = collect(&ssh, &mut below(&ssh, 1).0);
    assert_eq!((output.code, count(&temporary)), (0, 1), "{}", output.stderr);
    first.signal("TERM");
    let output = first.wait();
    assert_eq!((output.code, count(&temporary)), (143, 0), "{}", output.stderr);
}

/// Ways to have mounts of one's own: in a user namespace, and with the rights of root.
const NAMESPACES: [&[&str]; 2] = [&["--user", "--map-root-user", "--mount"], &["--mount"]];

/// Field case: hardened machines mount `/tmp` so that no program on it can run.
#[test]
#[expect(clippy::print_stderr, reason = "a test that cannot be run here says so")]
fn passphrase_opens_the_key_if_tmpdir_is_mounted_noexec() {
    let mount = "mount -t tmpfs -o noexec tmpfs \"$0\" && exec \"$@\"";
    let ssh = LocalSsh::start(1, "");
    let (command, temporary) = below(&ssh, 0);
    let made = |options: &&&[&str]| {
        let mut probe = Command::new("unshare");
        let probe = probe.args(**options).args(["sh", "-c", mount]).arg(&temporary).arg("true");
        probe.output().is_ok_and(|output| output.status.success())
    };
    let Some(options) = NAMESPACES.iter().find(made) else {
        eprintln!("SKIPPED: nothing was tested, because this machine permits no mount namespace (unshare --mount)");
        return;
    };
    let mut within = Command::new("unshare");
    within.args(*options).args(["sh", "-c", mount]).arg(&temporary);
    within.arg(command.get_program()).args(command.get_args()).arg("--onprem-ssh-key").arg(ssh.path("id_pass"));
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => within.env(name, value),
            None => within.env_remove(name),
        };
    }
    let (output, _) = collect(&ssh, within.env("CKWORKER_ONPREM_SSH_KEY_PASS", "sesame"));
    assert_eq!(output.code, 0, "{}", output.stderr);
}
