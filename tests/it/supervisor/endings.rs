//! Ends from outside while accounts are being collected: the built program, a local AWS that does not answer, and the
//! test core.

use std::{
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::json;

use crate::support::{
    aws::LocalAws,
    core::TestCore,
    daemon::{Daemon, SUBSCRIBER, answer, have},
    poll::becomes,
    program,
};

const REGION: &str = "us-east-1";

/// A daemon in the middle of a collection that does not go on.
struct Hanging {
    daemon: Daemon,
    task: String,
    workers: Vec<i32>,
}

impl Hanging {
    async fn start(aws: &LocalAws, core: &TestCore) -> Self {
        aws.reset().await;
        aws.fault(json!({"operation": "DescribeVolumes", "mode": "hang"})).await;
        let daemon = Daemon::start(core, |command| {
            command.args(["--fork", "--collector", "aws", "--aws-fork", "--aws-region", REGION]);
            aws.serve(command)
        });
        core.connected(SUBSCRIBER).await;
        let task = core.start_workflow("collect").unwrap();
        wait_for("a call that hangs", async || aws.has_struck().await).await;
        let workers = daemon.running.children();
        assert!(!workers.is_empty(), "{}", daemon.log());
        Self { daemon, task, workers }
    }

    fn stop_workers(&self) {
        self.workers.iter().for_each(|worker| program::signal(*worker, "STOP"));
    }
}

/// Waits until it is so.
async fn wait_for(what: &str, is_so: impl AsyncFnMut() -> bool) {
    assert!(becomes(is_so).await, "waited in vain for {what}");
}

/// Invariant: workers exit with their supervisor, however it ends.
/// Invariant: shutdown has one upper bound, and a second signal skips the grace period.
#[tokio::test]
async fn end_during_collection_leaves_nothing_behind() {
    let aws = LocalAws::start(1, &[REGION]);
    term_ends_all_within_ten_seconds(&aws).await;
    workers_end_with_their_supervisor(&aws).await;
    a_redelivered_action_runs_once(&aws).await;
    refused_credentials_are_said_and_not_tried_again(&aws).await;
}

/// Workers wait for an answer, or do not even run.
async fn term_ends_all_within_ten_seconds(aws: &LocalAws) {
    for stopped in [false, true] {
        let core = TestCore::start(None).await;
        let hanging = Hanging::start(aws, &core).await;
        if stopped {
            hanging.stop_workers();
        }
        let began = Instant::now();
        let (output, log) = hanging.daemon.stop().await;
        let took = began.elapsed();
        assert!(took < Duration::from_secs(10), "{took:?}: {log}");
        assert_eq!(output.code, 0, "{log}");
        let (_, kind, error) = core.answer(&hanging.task).await;
        assert_eq!((kind.as_str(), error.contains("stopped")), ("action_error", true), "{error}");
        assert_eq!(core.subscriptions(SUBSCRIBER).unwrap_or_default(), Vec::<String>::new(), "{log}");
        let left: Vec<_> = hanging.workers.iter().filter(|worker| program::is_alive(**worker)).collect();
        assert!(left.is_empty(), "{left:?} are left: {log}");
    }
}

/// Nobody tells them: the kernel does, or the end of their stream.
async fn workers_end_with_their_supervisor(aws: &LocalAws) {
    for stopped in [false, true] {
        let core = TestCore::start(None).await;
        let hanging = Hanging::start(aws, &core).await;
        if stopped {
            hanging.stop_workers();
        }
        hanging.daemon.running.signal("KILL");
        wait_for("the end of the workers", async || !hanging.workers.iter().any(|worker| program::is_alive(*worker)))
            .await;
    }
}

async fn a_redelivered_action_runs_once(aws: &LocalAws) {
    let core = TestCore::start(None).await;
    let hanging = Hanging::start(aws, &core).await;
    core.drop_connections();
    core.delivered(&hanging.task, 2).await;
    // The second delivery is on its way; the pong says that it was read.
    core.ping(SUBSCRIBER).await;
    aws.reset().await;
    let said = answer(&core, &hanging.task).await;
    let log = hanging.daemon.log();
    assert_eq!(said.0, "action_done", "{said:?} {log}");
    assert_eq!(log.matches("received collect action").count(), 1, "{log}");
    assert_eq!(core.requests("POST /graph/ck/merge"), 1, "{log}");
    assert_eq!(hanging.daemon.stop().await.0.code, 0);
}

async fn refused_credentials_are_said_and_not_tried_again(aws: &LocalAws) {
    aws.reset().await;
    aws.fault(json!({"operation": "GetCallerIdentity", "mode": "deny", "code": "InvalidClientTokenId"})).await;
    let core = TestCore::start(None).await;
    let daemon = Daemon::start(&core, |command| {
        aws.serve(command.args(["--fork", "--collector", "aws", "--aws-fork", "--aws-region", REGION]))
    });
    let (kind, error) = have(&core, "collect").await;
    assert_eq!(kind, "action_error");
    assert!(error.contains("InvalidClientTokenId") && error.contains("credentials"), "{error}");
    assert_eq!(aws.faults().await[0]["strikes"], json!(1), "not tried again: {}", daemon.log());
    assert_eq!(core.requests("POST /graph/ck/merge"), 0, "nothing is replaced");
    assert_eq!(daemon.stop().await.0.code, 0);
    aws.reset().await;
}

/// A way to make a PID namespace: further options of `unshare`, and of `nsenter` to get into it.
type Namespace = (&'static [&'static str], &'static [&'static str]);

/// In a user namespace, which many machines permit to everybody, or with the rights of root.
const NAMESPACES: [Namespace; 2] =
    [(&["--user", "--map-root-user"], &["--user", "--preserve-credentials"]), (&[], &[])];

/// The first of these ways that is permitted here.
fn namespace() -> Option<Namespace> {
    NAMESPACES.into_iter().find(|(options, _)| {
        let mut probe = Command::new("unshare");
        let made = probe.args(*options).args(["--pid", "--fork", "--mount-proc", "true"]).output();
        made.is_ok_and(|output| output.status.success())
    })
}

/// The same command as the first process of a container.
fn as_init(command: &mut Command, options: &[&str]) -> Command {
    let mut init = Command::new("unshare");
    // A session of its own, as container runtimes make one.
    init.args(options).args(["--pid", "--fork", "--mount-proc", "--kill-child", "setsid"]);
    init.arg(command.get_program()).args(command.get_args()).stdin(Stdio::null());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => init.env(name, value),
            None => init.env_remove(name),
        };
    }
    init
}

/// Invariant: as PID 1 the supervisor reaps orphans and leaves its workers to their owners.
#[tokio::test]
#[expect(clippy::print_stderr, reason = "a test that cannot be run here says so")]
async fn as_pid_1_it_reaps_what_others_leave_and_not_its_own_workers() {
    let Some((unshare, nsenter)) = namespace() else {
        eprintln!("SKIPPED: nothing was tested, because this machine permits no PID namespace (unshare --user --pid)");
        return;
    };
    let core = TestCore::start(None).await;
    let daemon = Daemon::start(&core, |command| {
        *command = as_init(command.args(["--collector", "example", "--fork"]), unshare);
        command
    });
    core.connected(SUBSCRIBER).await;
    let [init] = daemon.running.children()[..] else { panic!("one child: {}", daemon.log()) };
    // Somebody else in the container starts a process and goes.
    let mut other = Command::new("nsenter");
    other.args(nsenter).args(["--pid", "--mount", "--target", &init.to_string(), "sh", "-c", "setsid sleep 3600 &"]);
    assert!(other.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().success());
    wait_for("the orphan", async || !program::children(init).is_empty()).await;
    let orphan = program::children(init)[0];
    assert!(program::is_alive(orphan), "what lives is left alone");
    program::signal(orphan, "KILL");
    // Events come all the time, and still it looks for zombies.
    wait_for("the end of the orphan", async || {
        assert_eq!(have(&core, "collect").await.0, "action_done", "{}", daemon.log());
        !std::path::Path::new("/proc").join(orphan.to_string()).exists()
    })
    .await;
    program::signal(init, "TERM");
    let output = tokio::task::spawn_blocking(move || daemon.running.wait()).await.unwrap();
    assert_eq!(output.code, 0, "{}", output.stderr);
}
