//! The locations that a page says did not answer, in all forms that Google's services have.

use crate::engine::{Partial, Tree};

/// The code of a warning that says that a location has nothing on this page.
const NOTHING_HERE: &str = "NO_RESULTS_ON_PAGE";

/// The code of locations for which a page has no code.
const UNREACHABLE: &str = "UNREACHABLE";

/// The message of locations for which a page has no message.
const NO_ANSWER: &str = "the location did not answer, so that its resources are missing in the list";

/// The lists of locations that did not answer, by their names in the responses.
const LISTS: [&str; 4] = ["unreachables", "unreachable", "missingZones", "failedLocations"];

/// Returns the locations that did not answer, each once.
pub(super) fn partial(page: &Tree<'_>) -> Vec<Partial> {
    let mut found = Vec::new();
    if let Some(Tree::Map(scopes)) = page.get("items") {
        for (name, scope) in scopes {
            if let Some((code, message)) = scope.get("warning").and_then(warning) {
                add(&mut found, located(name), code, message);
            }
        }
    }
    // The list has an entry of its own for each region and each zone.
    found.iter_mut().for_each(|one| one.is_alone = true);
    for name in LISTS.iter().flat_map(|list| page.get(list).map(Tree::list).unwrap_or_default()) {
        // Older services list structures.
        let name = name.text().or_else(|| name.get("name").and_then(Tree::text)).unwrap_or_default();
        add(&mut found, located(name), UNREACHABLE, NO_ANSWER);
    }
    for (warned, (code, message)) in warnings(page) {
        let data = warned.get("data").map(Tree::list).unwrap_or_default();
        let scopes = data.iter().filter(|entry| entry.get("key").and_then(Tree::text) == Some("scope"));
        let scopes = scopes.filter_map(|entry| entry.get("value").and_then(Tree::text));
        let mut places: Vec<_> = warned.get("region").and_then(Tree::text).into_iter().chain(scopes).collect();
        // A warning about the whole list with the same code repeats what was said of its locations.
        if places.is_empty() && !found.iter().any(|one| one.code == code) {
            places.push("");
        }
        places.into_iter().for_each(|place| add(&mut found, located(place), code, message));
    }
    found
}

/// Returns the warnings about the whole list, with their codes and messages.
fn warnings<'t>(page: &'t Tree<'_>) -> Vec<(&'t Tree<'t>, (&'t str, &'t str))> {
    let listed = page.get("warnings").map(Tree::list).unwrap_or_default();
    page.get("warning").into_iter().chain(listed).filter_map(|tree| Some((tree, warning(tree)?))).collect()
}

/// Returns code and message of a warning that something is missing.
fn warning<'t>(warning: &'t Tree<'_>) -> Option<(&'t str, &'t str)> {
    let text = |name: &str| warning.get(name).and_then(Tree::text);
    let code = text("code").unwrap_or(UNREACHABLE);
    (code != NOTHING_HERE).then(|| (code, text("message").unwrap_or(NO_ANSWER)))
}

fn add(found: &mut Vec<Partial>, (scope, id): (Option<&str>, &str), code: &str, message: &str) {
    let scope = scope.map(str::to_owned);
    if !found.iter().any(|known| known.id == id && known.scope == scope) {
        let (id, code, message) = (id.to_owned(), code.to_owned(), message.to_owned());
        found.push(Partial { scope, id, code, message, is_alone: false });
    }
}

/// Returns level and ID of a location, from a scope such as `zones/us-central1-a`, a resource's name with
/// `locations/us-central1` in it, or the name itself.
fn located(text: &str) -> (Option<&str>, &str) {
    let mut parts = text.split('/');
    while let Some(part) = parts.next() {
        let level = match part {
            "zones" => Some("zone"),
            "regions" => Some("region"),
            "locations" => None,
            _ => continue,
        };
        if let Some(name) = parts.next().filter(|name| !name.is_empty()) {
            return (level.or_else(|| level_of(name)), name);
        }
    }
    let last = text.rsplit('/').next().unwrap_or(text);
    match level_of(last) {
        Some(level) => (Some(level), last),
        None => (None, text),
    }
}

/// Returns the level of a location by the form of its name: `us-central1-a` is a zone, `us-central1` a region.
fn level_of(name: &str) -> Option<&'static str> {
    let is_region = |name: &str| {
        let ends = name.ends_with(|last: char| last.is_ascii_digit());
        let is_word =
            |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        ends && name.contains('-') && name.split('-').all(is_word)
    };
    match name.rsplit_once('-') {
        _ if name == "global" => Some("global"),
        Some((region, letter))
            if letter.len() == 1 && letter.as_bytes()[0].is_ascii_lowercase() && is_region(region) =>
        {
            Some("zone")
        }
        _ => is_region(name).then_some("region"),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn found(page: &str) -> Vec<(Option<String>, String, String)> {
        let tree: Tree<'_> = serde_json::from_str(page).unwrap();
        partial(&tree).into_iter().map(|one| (one.scope, one.id, one.code)).collect()
    }

    fn one(scope: &str, id: &str, code: &str) -> (Option<String>, String, String) {
        ((!scope.is_empty()).then(|| scope.to_owned()), id.to_owned(), code.to_owned())
    }

    #[test]
    fn scopes_of_aggregated_list_are_found_once() {
        let page = r#"{"items": {
            "global": {"warning": {"code": "UNREACHABLE", "message": "no"}},
            "zones/us-central1-a": {"warning": {"code": "UNREACHABLE", "message": "no"}},
            "regions/us-central1": {"warning": {"code": "INTERNAL", "message": "no"}},
            "zones/us-central1-b": {"warning": {"code": "NO_RESULTS_ON_PAGE", "message": "none"}},
            "zones/us-central1-c": {"instances": [{"name": "a"}]}},
            "unreachables": ["zones/us-central1-a"],
            "warning": {"code": "UNREACHABLE", "message": "some", "data": []}}"#;
        let expected = [
            one("global", "global", "UNREACHABLE"),
            one("zone", "us-central1-a", "UNREACHABLE"),
            one("region", "us-central1", "INTERNAL"),
        ];
        assert_eq!(found(page), expected);
    }

    #[test]
    fn warning_of_another_code_is_about_more_than_the_named_scopes() {
        let page = |code: &str| {
            format!(
                r#"{{"items": {{"zones/us-east1-a": {{"warning": {{"code": "UNREACHABLE", "message": "no"}}}}}},
                "warning": {{"code": "{code}", "message": "some"}}}}"#
            )
        };
        let zone = || one("zone", "us-east1-a", "UNREACHABLE");
        assert_eq!(found(&page("UNREACHABLE")), [zone()]);
        assert_eq!(found(&page("INTERNAL")), [zone(), one("", "", "INTERNAL")]);
    }

    #[test]
    fn every_form_is_understood() {
        for (page, expected) in [
            (r#"{"unreachable": ["projects/1/locations/europe-west1"]}"#, one("region", "europe-west1", "UNREACHABLE")),
            (r#"{"unreachable": ["projects/_/buckets/b"]}"#, one("", "projects/_/buckets/b", "UNREACHABLE")),
            (r#"{"missingZones": ["us-east1-b"]}"#, one("zone", "us-east1-b", "UNREACHABLE")),
            (
                r#"{"failedLocations": [{"name": "northamerica-northeast2"}]}"#,
                one("region", "northamerica-northeast2", "UNREACHABLE"),
            ),
            (
                r#"{"warnings": [{"code": "REGION_UNREACHABLE", "region": "us-east1"}]}"#,
                one("region", "us-east1", "REGION_UNREACHABLE"),
            ),
            (r#"{"warning": {"code": "UNREACHABLE"}}"#, one("", "", "UNREACHABLE")),
            (
                r#"{"warning": {"code": "UNREACHABLE", "data": [{"key": "scope", "value": "zones/us-east1-b"}]}}"#,
                one("zone", "us-east1-b", "UNREACHABLE"),
            ),
        ] {
            assert_eq!(found(page), [expected], "{page}");
        }
    }

    #[test]
    fn complete_pages_have_none() {
        for page in [
            r#"{"items": [{"warning": {"code": "OF_AN_ITEM"}}]}"#,
            r#"{"items": {"zones/a": {"warning": {"code": "NO_RESULTS_ON_PAGE"}}}, "unreachables": []}"#,
            r#"{"warning": {"code": "NO_RESULTS_ON_PAGE"}}"#,
            "{}",
        ] {
            assert_eq!(found(page), [], "{page}");
        }
    }

    #[test]
    fn levels_follow_from_names() {
        for (name, level) in [
            ("us-central1", Some("region")),
            ("us-central1-a", Some("zone")),
            ("me-central2", Some("region")),
            ("global", Some("global")),
            ("US", None),
            ("my-bucket-1-", None),
            ("eu", None),
            ("", None),
        ] {
            assert_eq!(level_of(name), level, "{name}");
        }
    }
}
