//! Sessions: each is ended, whatever happens to the worker or to the server.

use super::collect::{collect, nodes};
use crate::support::{
    poll::becomes,
    program::{Output, Running, signal},
    vsphere::LocalVsphere,
};

#[test]
fn session_that_has_ended_is_renewed_once() {
    let server = LocalVsphere::start(&[]);
    server.fail("CreateContainerView once-fault:NotAuthenticated\n");
    let (output, graph) = collect(&server, &mut server.collect());
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert_eq!(nodes(&graph, "vsphere_instance").len(), 12);
    assert_eq!((server.calls("Login"), server.calls("Logout")), (2, 2));
}

#[test]
fn list_begins_again_if_its_session_ends_between_two_pages() {
    let server = LocalVsphere::start(&["--max-objects", "5"]);
    server.fail("ContinueRetrievePropertiesEx once-fault:NotAuthenticated\n");
    let (output, graph) = collect(&server, &mut server.collect());
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert_eq!(nodes(&graph, "vsphere_instance").len(), 12);
    let calls = ["Login", "Logout", "CreateContainerView", "DestroyView"].map(|method| server.calls(method));
    assert_eq!(calls, [2, 2, 2, 1], "the first view ended with its session");
}

#[test]
fn list_whose_sessions_always_end_is_a_gap() {
    let server = LocalVsphere::start(&["--max-objects", "5"]);
    server.fail("ContinueRetrievePropertiesEx fault:NotAuthenticated\n");
    let (output, _) = collect(&server, &mut server.collect());
    assert!(output.code != 0 && output.stderr.contains("NotAuthenticated"), "{}", output.stderr);
    assert_eq!((server.calls("Login"), server.calls("Logout")), (3, 3), "{}", output.stderr);
}

/// Field case: sessions are left behind until the server takes no more.
#[tokio::test]
async fn every_session_is_ended_also_that_of_a_killed_worker() {
    for (name, expected) in [("KILL", 0), ("TERM", 143)] {
        let server = LocalVsphere::start(&[]);
        server.fail("RetrievePropertiesEx hang\n");
        let running = Running::start(server.collect().arg("--fork"));
        assert!(becomes(async || server.calls("RetrievePropertiesEx") == 1).await);
        server.fail("");
        match name {
            "KILL" => running.children().into_iter().for_each(|worker| signal(worker, name)),
            _ => running.signal(name),
        }
        let output = tokio::task::spawn_blocking(|| running.wait()).await.unwrap();
        assert_eq!(output.code, expected, "{name}: {}", output.stderr);
        let (logins, logouts) = (server.calls("Login"), server.calls("Logout"));
        assert!(logins == logouts && logins >= 1, "{name}: {logins} {logouts}: {}", output.stderr);
    }
}

#[test]
fn deadline_ends_the_session_too() {
    let server = LocalVsphere::start(&[]);
    server.fail("RetrievePropertiesEx hang\n");
    let (output, _) = collect(&server, server.collect().args(["--fork", "--timeout", "8"]));
    assert_eq!(output.code, 4, "{}", output.stderr);
    assert_eq!(server.calls("Login"), server.calls("Logout"), "{}", output.stderr);
}

/// Field case: sessions are left behind until the server takes no more.
#[tokio::test]
async fn login_that_is_answered_after_the_stop_is_undone() {
    for arguments in [&["--fork"][..], &[]] {
        let server = LocalVsphere::start(&[]);
        server.fail("Login hold\n");
        let running = Running::start(server.collect().args(arguments));
        assert!(becomes(async || server.calls("Login") == 1).await);
        running.signal("TERM");
        assert!(becomes(async || running.children().is_empty()).await);
        server.fail("");
        let output = tokio::task::spawn_blocking(|| running.wait()).await.unwrap();
        assert_eq!(output.code, 143, "{arguments:?}: {}", output.stderr);
        assert_eq!((server.calls("Login"), server.calls("Logout")), (1, 1), "{arguments:?}: {}", output.stderr);
    }
}

/// Stops a collection with TERM when a method was called once, and returns what it has said.
async fn stopped_at(server: &LocalVsphere, method: &str) -> Output {
    let running = Running::start(server.collect().arg("--fork"));
    assert!(becomes(async || server.calls(method) == 1).await);
    running.signal("TERM");
    tokio::task::spawn_blocking(|| running.wait()).await.unwrap()
}

#[tokio::test]
async fn login_that_has_not_begun_at_the_stop_is_left_out() {
    let server = LocalVsphere::start(&[]);
    server.fail("RetrieveServiceContent hang\n");
    let output = stopped_at(&server, "RetrieveServiceContent").await;
    assert_eq!((output.code, server.calls("Login")), (143, 0), "{}", output.stderr);
    assert!(!output.stderr.contains("in time"), "nothing is awaited: {}", output.stderr);
}

#[tokio::test]
async fn login_without_an_answer_does_not_hold_up_the_stop() {
    let server = LocalVsphere::start(&[]);
    server.fail("Login hang\n");
    let output = stopped_at(&server, "Login").await;
    assert_eq!(output.code, 143, "{}", output.stderr);
    assert!(output.stderr.contains("does not answer a login"), "{}", output.stderr);
}

/// Field case: a worker is killed while it logs in, and another one replaces it.
#[tokio::test]
async fn login_of_a_killed_worker_is_undone_and_repeated() {
    let server = LocalVsphere::start(&[]);
    server.fail("Login hold\n");
    let running = Running::start(server.collect().arg("--fork"));
    assert!(becomes(async || server.calls("Login") == 1).await);
    running.children().into_iter().for_each(|worker| signal(worker, "KILL"));
    server.fail("");
    let output = tokio::task::spawn_blocking(|| running.wait()).await.unwrap();
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert_eq!((server.calls("Login"), server.calls("Logout")), (2, 2), "{}", output.stderr);
}
