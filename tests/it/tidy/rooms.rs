//! The order of the rooms: a room imports only rooms below it, and no room above the collectors names a cloud.

use std::collections::BTreeSet;

use ckworker::collectors;

use super::{hold, source::sources};

/// The rooms of the crate, from top to bottom. A room is a folder or a file of `src`.
const ROOMS: &[&str] = &[
    "start",
    "actions",
    "supervisor",
    "cli",
    "worker",
    "delivery",
    "collectors",
    "rest",
    "engine",
    "web",
    "collector_api",
    "telemetry",
    "graph",
    "process",
    "report",
    "ckcore",
    "certificates",
    "settings",
];

/// The room of a source, or `None` for the roots of the crate and for files outside it.
fn room(path: &str) -> Option<&str> {
    let inside = path.strip_prefix("src/")?;
    let room = inside.split('/').next()?.trim_end_matches(".rs");
    (!["lib", "main"].contains(&room)).then_some(room)
}

/// The rooms that `code` in the file at `path` imports and that are not below its own.
fn upward_imports(path: &str, code: &str) -> Vec<String> {
    let Some(room) = room(path) else { return Vec::new() };
    let level = |name: &str| ROOMS.iter().position(|room| *room == name);
    let own = level(room).unwrap_or_else(|| panic!("{path} is in no room: add {room} to ROOMS"));
    let imported = imported_rooms(code).into_iter().filter(|name| name != room);
    imported.filter(|name| level(name).is_none_or(|level| level <= own)).collect()
}

/// The rooms that `code` names as `crate::…`.
fn imported_rooms(code: &str) -> BTreeSet<String> {
    let word = |text: &str| -> String { text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect() };
    let mut rooms = BTreeSet::new();
    for (at, mark) in code.match_indices("crate::") {
        let rest = &code[at + mark.len()..];
        match rest.strip_prefix('{') {
            Some(list) => rooms.extend(top_level(list).iter().map(|item| word(item.trim_start()))),
            None => _ = rooms.insert(word(rest)),
        }
    }
    rooms.remove("");
    rooms
}

/// The items of a list in braces whose opening brace was taken.
fn top_level(list: &str) -> Vec<String> {
    let mut items = vec![String::new()];
    let mut depth = 0_i32;
    for c in list.chars() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => items.push(String::new()),
            _ if depth == 0 => items.last_mut().unwrap().push(c),
            _ => {}
        }
    }
    items
}

#[test]
fn rooms_import_only_rooms_below_them() {
    let mut faults = Vec::new();
    for source in sources() {
        for name in upward_imports(&source.path, &source.production()) {
            faults.push((source.path.clone(), format!("{} imports crate::{name}", source.path)));
        }
    }
    hold("a room imports only rooms below it (docs/architecture.md)", &faults, &[]);
}

#[test]
fn upward_import_is_found() {
    let code = "use crate::{\n    graph::{Node, Edge},\n    settings,\n};\nfn a() { crate::worker::run(); }";
    assert_eq!(upward_imports("src/telemetry/log.rs", code), ["worker"]);
    assert_eq!(upward_imports("src/graph/id.rs", code), ["worker"]);
    assert_eq!(upward_imports("src/settings.rs", code), ["graph", "worker"]);
    assert_eq!(upward_imports("src/supervisor/run.rs", code), [""; 0]);
    assert_eq!(upward_imports("src/cli/mod.rs", "use crate::nowhere::Thing;"), ["nowhere"]);
    assert_eq!(upward_imports("tests/it/main.rs", "use crate::start::main;"), [""; 0]);
}

/// Names of clouds: of collectors that there are, and of those that there may be. The example's name is an ordinary
/// word.
fn clouds() -> Vec<&'static str> {
    let own = collectors::all().iter().map(|collector| collector.name()).filter(|name| *name != "example");
    own.chain(["azure", "digitalocean"]).collect()
}

/// The lines of `code` that name a cloud `but` this one, from 1. A library for TLS has the name of one.
fn lines_with_cloud(code: &str, but: &str) -> Vec<usize> {
    let clouds: Vec<_> = clouds().into_iter().filter(|cloud| *cloud != but).collect();
    let lines = (1..).zip(code.lines());
    let named = lines.filter(|(_, line)| {
        let line = line.to_lowercase().replace("aws_lc_rs", "").replace("aws-lc-rs", "");
        clouds.iter().any(|cloud| line.contains(cloud))
    });
    named.map(|(number, _)| number).collect()
}

#[test]
fn no_cloud_is_named_outside_the_collectors() {
    let mut faults = Vec::new();
    for source in sources() {
        if source.path.starts_with("src/") && !source.path.starts_with("src/collectors/") {
            let lines = lines_with_cloud(&source.production_with_strings(), "");
            faults.extend(lines.into_iter().map(|line| (source.path.clone(), format!("{}:{line}", source.path))));
        }
    }
    hold("a cloud is named in its own folder only: pass the fact down through `Collector`", &faults, &[]);
}

#[test]
fn no_collector_names_another_cloud() {
    let mut faults = Vec::new();
    for source in sources() {
        let Some((folder, _)) = source.path.strip_prefix("src/collectors/").and_then(|path| path.split_once('/'))
        else {
            continue;
        };
        let lines = lines_with_cloud(&source.production_with_strings(), folder);
        faults.extend(lines.into_iter().map(|line| (source.path.clone(), format!("{}:{line}", source.path))));
    }
    hold("a collector knows its own cloud only", &faults, &[]);
}

#[test]
fn planted_name_of_a_cloud_is_found() {
    let code = "use aws_lc_rs::digest;\nfn a() { say(\"--aws-region\"); }\nstruct GcpThing;\nfn b() {}";
    assert_eq!(lines_with_cloud(code, ""), [2, 3]);
    assert_eq!(lines_with_cloud(code, "gcp"), [2]);
}
