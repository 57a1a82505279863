//! No branch of a `select!` waits: while it does, no other branch is polled, and what those hold is never released.

use super::{
    Excuses, hold,
    source::{Source, sources},
};

/// The functions whose branches wait, and why none of the other branches has to run meanwhile.
const WAITING_BRANCHES: Excuses = &[
    (
        "src/ckcore/tasks/queue.rs:serve",
        "writes to the socket, with a timeout of its own; the other branches only read state",
    ),
    (
        "src/ckcore/transport/websocket.rs:next",
        "writes a ping to the socket, with a timeout of its own; the read begins anew after it",
    ),
    ("src/supervisor/worker_session/session.rs:run_session", "waits for the dispatcher, which waits for no session"),
    ("src/supervisor/operations/callers.rs:operate", "waits for the task of the pool, which waits for no caller"),
    ("src/web/serve.rs:serve", "a pause after a failed accept"),
];

/// The handlers in a `select!` that wait, as (line within `code`, handler).
fn waiting_handlers(code: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (at, mark) in code.match_indices("select! {") {
        let body = &code[at + mark.len()..];
        for (start, handler) in handlers(body) {
            if handler.contains(".await") {
                let line = code[..at + mark.len() + start].matches('\n').count() + 1;
                found.push((line, handler.to_owned()));
            }
        }
    }
    found
}

/// The text behind each `=>` of a list of branches, up to the end of its branch.
fn handlers(body: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let (mut depth, mut begin) = (0_i32, None);
    let bytes = body.as_bytes();
    for (at, byte) in body.bytes().enumerate() {
        match byte {
            b'{' | b'(' | b'[' => depth += 1,
            b'}' | b')' | b']' => depth -= 1,
            b'=' if depth == 0 && bytes.get(at + 1) == Some(&b'>') => begin = Some(at + 2),
            _ => {}
        }
        let ends = depth < 0 || depth == 0 && (byte == b',' || byte == b'}');
        // A block that is called on, as in `match {…}.x`, or a struct, goes on behind its brace; a branch ends there.
        if ends && let Some(start) = begin.take() {
            found.push((start, &body[start..=at]));
        }
        if depth < 0 {
            break;
        }
    }
    found
}

/// The name of the function that a line is in.
fn function_at(code: &str, line: usize) -> String {
    let before: Vec<&str> = code.lines().take(line).collect();
    let named = before.iter().rev().find_map(|line| line.split_once("fn "));
    named.map_or_else(String::new, |(_, rest)| rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect())
}

/// Invariant: no wait blocks the session that would end it.
#[test]
fn branches_of_select_do_not_wait() {
    let mut faults = Vec::new();
    for source in sources() {
        let code = Source::production(&source);
        for (line, _) in waiting_handlers(&code) {
            let place = format!("{}:{}", source.path, function_at(&code, line));
            faults.push((place, format!("{}:{line}", source.path)));
        }
    }
    hold(
        "a branch of `select!` must not wait for what another branch has to do: queue it, and add a branch (docs/architecture.md)",
        &faults,
        WAITING_BRANCHES,
    );
}

#[test]
fn waiting_branch_is_found_wherever_it_stands() {
    let code = "
        loop {
            tokio::select! {
                biased;
                result = &mut work => break result,
                Some(x) = asked.recv(), if open => {
                    if let Some(y) = take(x) {
                        out.send(y).await;
                    }
                }
                frame = async { reader.next().await } => match frame {
                    Some(_) => {}
                    None => return,
                },
                () = pause() => self.tell(1).await,
                _ = tick() => done(),
            }
        }
        other().await;
    ";
    let lines: Vec<usize> = waiting_handlers(code).into_iter().map(|(line, _)| line).collect();
    assert_eq!(lines, [6, 15]);
}
