//! What messages say about an invalid item: which one it is, what was found, and what was expected.

use super::super::{definition::Source, eval::Item, tree::Tree};
use crate::graph::{Resource, ResourceError, Value};

/// The most members of an item in a message.
const MAX_MEMBERS: usize = 12;

/// The most characters of a name or a value in a message.
const MAX_CHARACTERS: usize = 60;

/// Parts of the names of values that messages do not show.
const SECRET: [&str; 11] = [
    "secret",
    "passw",
    "passphrase",
    "token",
    "credential",
    "private",
    "key",
    "auth",
    "signature",
    "cookie",
    "session",
];

/// Returns what is wrong with an item without an ID. `index` is its place in the page.
pub(super) fn missing_id(item: &Item<'_>, source: &Source, index: Option<usize>) -> String {
    let which = index.map_or_else(|| "an item".to_owned(), |index| format!("item {} of a page", index + 1));
    let paths: Vec<String> = source.paths().iter().map(ToString::to_string).collect();
    let names = members(item.tree);
    let has = if names.is_empty() { String::new() } else { format!("; it has {}", listed(&names)) };
    format!("{which} has no ID: no string or whole number at {}{has}", paths.join(" or "))
}

/// Returns what is wrong with the value of a field.
pub(super) fn invalid_value(
    resource: &Resource<'_>,
    error: &ResourceError,
    (field, source): (&str, &Source),
    value: Option<&Value>,
) -> String {
    let paths: Vec<String> = source.paths().iter().map(ToString::to_string).collect();
    let at = if paths.is_empty() { String::new() } else { format!(" at {}", paths.join(" or ")) };
    format!("{}: {error}{at}{}", shortened(resource.id()), shown_value(field, &paths, value))
}

/// Returns the value of a field for a message; nothing if it may be a secret.
fn shown_value(field: &str, paths: &[String], value: Option<&Value>) -> String {
    let is_secret = paths.iter().map(String::as_str).chain([field]).any(is_secret);
    value.filter(|_| !is_secret).map(shown).unwrap_or_default()
}

/// Returns the names of the members of an item.
pub(super) fn members<'t>(tree: &'t Tree<'_>) -> Vec<&'t str> {
    tree.entries().iter().map(|(name, _)| name.as_ref()).collect()
}

/// Joins names, up to a number.
pub(super) fn listed(names: &[&str]) -> String {
    let mut shown: Vec<String> = names.iter().take(MAX_MEMBERS).map(|name| shortened(name)).collect();
    if names.len() > MAX_MEMBERS {
        shown.push("…".to_owned());
    }
    shown.join(", ")
}

fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    SECRET.iter().any(|part| name.contains(part))
}

/// Returns the value for a message. Structures are not shown: any of their members may be a secret.
fn shown(value: &Value) -> String {
    if matches!(value, Value::List(_) | Value::Map(_)) {
        return String::new();
    }
    let mut text = Vec::new();
    value.write(&mut text);
    let text = String::from_utf8_lossy(&text);
    // An address may have a password.
    let is_secret = text.contains("://") && text.contains('@');
    if is_secret { String::new() } else { format!(": {}", shortened(&text)) }
}

/// Cuts a text, and leaves out what is no character of a line.
pub(super) fn shortened(text: &str) -> String {
    let mut cut: String = text.chars().take(MAX_CHARACTERS).filter(|one| !one.is_control()).collect();
    if text.chars().nth(MAX_CHARACTERS).is_some() {
        cut.push('…');
    }
    cut
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn value_is_shown_unless_it_may_be_a_secret() {
        let text = |text: &str| Value::Text(text.to_owned());
        let long = text(&"x".repeat(500));
        for (field, path, value, shown) in [
            ("size", "disk.size", text("a lot"), ": \"a lot\""),
            ("size", "disk.size", text("a\nlot\u{7}"), ": \"a\\nlot\\u0007\""),
            ("size", "size", Value::Bool(true), ": true"),
            ("size", "size", long, &format!(": \"{}…", "x".repeat(MAX_CHARACTERS - 1))),
            ("size", "api_token", text("t0ken"), ""),
            ("size", "auth.size", text("t0ken"), ""),
            ("password_age", "age", text("t0ken"), ""),
            ("size", "url", text("https://ada:t0ken@api.test/"), ""),
            ("size", "config", Value::List(vec![text("t0ken")]), ""),
            ("size", "config", Value::Map(vec![("x".into(), text("t0ken"))].into_iter().collect()), ""),
        ] {
            let paths = [path.to_owned()];
            assert_eq!(shown_value(field, &paths, Some(&value)), shown, "{field} {path} {value:?}");
        }
        assert_eq!(shown_value("size", &[], None), "");
    }
}
