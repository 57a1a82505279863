//! Mistakes of the files of one collector, before they are put together.

use toml::Spanned;

use super::super::{files::Parsed, source::OptionType};
use crate::engine::definition::Service;

/// The longest name of a collector.
const MAX_NAME: usize = 30;

/// Returns the mistakes of the files of one collector, before they are put together.
pub(in super::super) fn files(parsed: &[Parsed<'_>], is_users: bool) -> Vec<String> {
    let mut mistakes = Vec::new();
    let name = parsed.first().map(|one| one.head.collector.get_ref().as_str()).unwrap_or_default();
    for one in parsed {
        let (head, file) = (&one.head, one.file);
        let mut add = |at: &Spanned<String>, what: String| mistakes.push(file.at(at.span().start, &what));
        if head.source.get_ref() != "rest" {
            add(&head.source, format!("there is no source {:?}; there is rest", head.source.get_ref()));
        }
        if !is_name(head.collector.get_ref()) {
            add(
                &head.collector,
                "the name of a collector has at most 30 small letters and digits, a letter first".into(),
            );
        }
        if head.collector.get_ref() != name {
            add(&head.collector, format!("{} and {name} are two collectors", head.collector.get_ref()));
        }
        if head.api.is_none() {
            let strayed = head.levels.iter().map(|level| &level.scope).chain(head.options.iter().map(|one| &one.name));
            strayed.for_each(|at| add(at, "levels and options belong in the file with [api]".into()));
        }
        if head.api.is_some() != head.account.is_some() {
            add(&head.collector, "[api] and [account] belong in the same file".into());
        }
        for option in &head.options {
            let name = option.name.get_ref();
            if !is_option(name) {
                add(&option.name, format!("the option {name:?}: small letters, digits and - only, a letter first"));
            }
            if option.default.is_some() && option.kind != OptionType::Text {
                add(&option.name, format!("the option {name}: only a text has a default"));
            }
            let own = format!("{}_", head.collector.get_ref().to_uppercase());
            let is_foreign = |variable: &&String| is_users && !variable.starts_with(&own);
            if let Some(variable) = option.variable.as_ref().filter(is_foreign) {
                add(&option.name, format!("the variable {variable}: variables of this collector begin with {own}"));
            }
        }
        if is_users {
            let found = changes(&one.service);
            found.into_iter().for_each(|(at, key)| add(at, format!("{key}: definitions of a user only read")));
        }
    }
    if let Some(second) = parsed.iter().filter(|one| one.head.api.is_some()).nth(1) {
        let at = second.head.collector.span().start;
        mistakes.push(second.file.at(at, &format!("another file of the collector {name} has [api] too")));
    }
    mistakes
}

fn is_name(name: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    name.len() <= MAX_NAME && name.starts_with(|c: char| c.is_ascii_lowercase()) && name.bytes().all(is_part)
}

fn is_option(name: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    name.starts_with(|c: char| c.is_ascii_lowercase()) && name.bytes().all(is_part)
}

/// Returns the keys that change resources, each with the kind that has it.
fn changes(service: &Service) -> Vec<(&Spanned<String>, &'static str)> {
    let of_service = [
        ("tag", service.tag.is_some()),
        ("untag", service.untag.is_some()),
        ("delete", service.delete.is_some()),
        ("identity", service.identity.is_some()),
        ("wait_deleted", service.wait_deleted.is_some()),
    ];
    let first = service.kinds.first().map(|kind| &kind.kind);
    let of_service = of_service.into_iter().filter(|(_, is_set)| *is_set).filter_map(|(key, _)| Some((first?, key)));
    let of_kinds = service.kinds.iter().flat_map(|kind| {
        let keys = [
            ("tagging", kind.tagging),
            ("deletable", kind.deletable),
            ("delete", kind.delete.is_some()),
            ("detach", !kind.detach.is_empty()),
            ("dependants", !kind.dependants.is_empty()),
            ("identity", kind.identity.is_some()),
            ("wait_deleted", kind.wait_deleted.is_some()),
            ("blocked_by", kind.blocked_by.is_some()),
            ("undeletable", !kind.undeletable.is_empty()),
            ("delete_hook", kind.delete_hook.is_some()),
            ("prepare_hook", kind.prepare_hook.is_some()),
            ("revoke_hook", kind.revoke_hook.is_some()),
            ("tag_hook", kind.tag_hook.is_some()),
        ];
        keys.into_iter().filter(|(_, is_set)| *is_set).map(move |(key, _)| (&kind.kind, key))
    });
    of_service.chain(of_kinds).collect()
}
