//! A kind is written in one place: its definition, with its schema there or in the list of its cloud.

use std::collections::BTreeSet;

use ckworker::collectors;

use super::{files, hold, source::sources};

/// Kinds that a file of code may name: a hook makes a few, and the levels of a cloud have nodes.
const KINDS: usize = 3;

/// The clouds whose kinds are definitions, by the prefix of their kinds and the folder of the collector.
fn defined() -> Vec<(String, String)> {
    let names = collectors::all().iter().map(|collector| collector.name());
    let folders = names.map(|name| (format!("{name}_"), format!("src/collectors/{name}/")));
    let files: Vec<String> = files().into_iter().map(|file| file.path).collect();
    let is_defined = |folder: &String| files.iter().any(|path| path.starts_with(&format!("{folder}definitions/")));
    folders.filter(|(_, folder)| is_defined(folder)).collect()
}

/// The kinds with this prefix that a text has in quotes.
fn named<'t>(text: &'t str, prefix: &str, kinds: &BTreeSet<&str>) -> BTreeSet<&'t str> {
    let words = text.split('"').filter(|word| word.starts_with(prefix));
    words.filter(|word| kinds.contains(word)).collect()
}

#[test]
fn code_has_no_list_of_kinds() {
    let schema = collectors::schema().unwrap();
    let kinds: BTreeSet<&str> = schema.kinds().map(|kind| kind.fqn.as_str()).collect();
    let clouds = defined();
    let folder = |cloud: &str| (format!("{cloud}_"), format!("src/collectors/{cloud}/"));
    let expected = ["aws", "gcp", "k8s", "github", "slack", "onelogin", "vsphere"].map(folder);
    assert_eq!(clouds, expected);
    let mut faults = Vec::new();
    let code = sources().into_iter().map(|source| (source.path.clone(), source.production_with_strings()));
    let scripts = files().into_iter().filter(|file| file.path.starts_with("scripts/"));
    for (path, text) in code.chain(scripts.map(|file| (file.path, file.text))) {
        for (prefix, _) in &clouds {
            let found = named(&text, prefix, &kinds);
            if found.len() > KINDS {
                faults.push((path.clone(), format!("{path} names {} kinds: {found:?}", found.len())));
            }
        }
    }
    hold("a kind needs no line but its definition (docs/collectors.md)", &faults, &[]);
}

#[test]
fn planted_list_of_kinds_is_found() {
    let kinds = BTreeSet::from(["aws_vpc", "aws_alb", "gcp_disk"]);
    let text = r#"["aws_vpc", "aws_alb", "aws_vpc", "gcp_disk", "aws_nothing"]"#;
    assert_eq!(named(text, "aws_", &kinds), BTreeSet::from(["aws_alb", "aws_vpc"]));
}
