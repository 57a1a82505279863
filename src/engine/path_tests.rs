//! Paths: what they lead to, and what is no path.

#![expect(clippy::unwrap_used, reason = "tests")]

use super::*;

fn texts(path: &str, tree: &Tree<'_>) -> Vec<String> {
    let mut found = Vec::new();
    let _ = parse(path).unwrap().walk(tree, &mut |value| {
        if let Tree::Text(text) = value {
            found.push(text.to_string());
        }
        ControlFlow::Continue(())
    });
    found
}

fn text(value: &str) -> Tree<'_> {
    Tree::Text(value.into())
}

#[test]
fn paths_go_down_members_and_lists() {
    let tag = |key, value| Tree::Map(vec![("Key".into(), text(key)), ("Value".into(), text(value))]);
    let tree = Tree::Map(vec![
        ("Id".into(), text("i-1")),
        ("State".into(), Tree::Map(vec![("Name".into(), text("running"))])),
        ("Tags".into(), Tree::List(vec![tag("owner", "me"), tag("Name", "box")])),
        ("None".into(), Tree::Null),
    ]);
    assert_eq!(texts("Id", &tree), ["i-1"]);
    assert_eq!(texts("State.Name", &tree), ["running"]);
    assert_eq!(texts("Tags[].Key", &tree), ["owner", "Name"]);
    assert_eq!(texts("Tags[Key=Name].Value", &tree), ["box"]);
    assert_eq!(texts("Tags[Key=x].Value", &tree), [""; 0]);
    assert_eq!(texts("None.Deeper", &tree), [""; 0]);
    assert_eq!(texts(".", &text("x")), ["x"]);
}

#[test]
fn values_of_maps_are_taken_by_each_key() {
    let scope = |ids: &[&'static str]| {
        let disks = ids.iter().map(|id| Tree::Map(vec![("id".into(), text(id))])).collect();
        Tree::Map(vec![("disks".into(), Tree::List(disks))])
    };
    let scopes =
        vec![("zones/a".into(), scope(&["1", "2"])), ("zones/b".into(), Tree::Null), ("c".into(), scope(&["3"]))];
    let tree = Tree::Map(vec![("items".into(), Tree::Map(scopes))]);
    assert_eq!(texts("items[*].disks[].id", &tree), ["1", "2", "3"]);
    let found = parse("items[*].disks[].id").unwrap();
    assert_eq!(found.values(&tree).len(), 3);
    assert!(found.is_list());
    assert_eq!(found.to_string(), "items[*].disks[].id");
}

#[test]
fn parts_of_strings_are_taken() {
    for (path, text, part) in [
        ("zone|last_part", "https://compute/projects/p/zones/eu-1a", Some("eu-1a")),
        ("zone|last_part", "x:sns:eu-west-1:1:topic", Some("topic")),
        ("zone|last_part", "eu-1a", Some("eu-1a")),
        ("zone|last_part", "zones/", None),
        ("link|after_slash", "x:loadbalancer/app/a/1", Some("app/a/1")),
        ("link|after_slash", "none", None),
    ] {
        let parsed = parse(path).unwrap();
        assert_eq!(parsed.to_string(), path);
        assert_eq!(parsed.take(text.into()).as_deref(), part, "{path} of {text}");
        assert_eq!(parsed.take(text.to_owned().into()).as_deref(), part, "{path} of an owned {text}");
    }
}

#[test]
fn malformed_paths_are_rejected() {
    for text in
        ["", "A.", ".A", "A..B", "A[", "A[x]", "A[1x]", "A[]B", "@", "@.A", "A B", "[=x]", "A|first", "|last_part"]
    {
        assert!(parse(text).is_err(), "{text}");
    }
    assert_eq!(parse("@user.Name").unwrap().root.as_deref(), Some("user"));
    assert!(parse("@user[].Name").unwrap().is_list());
}

#[test]
fn index_selects_one_element() {
    let tree = Tree::Map(vec![("Ids".into(), Tree::List(["a", "b", "c"].map(text).into()))]);
    for (path, found) in [("Ids[0]", "a"), ("Ids[-1]", "c"), ("Ids[2]", "c")] {
        assert_eq!(texts(path, &tree), [found], "{path}");
    }
    for path in ["Ids[3]", "Ids[-4]", "Id[0]", "Ids[0][0]"] {
        assert_eq!(texts(path, &tree), [""; 0], "{path}");
    }
}

#[test]
fn display_is_the_parsed_text() {
    for path in [".", "A", "A.B[].C", "@item", "@item.A[0][-1]", "@item[].B[C=d].E", "[].A"] {
        assert_eq!(parse(path).unwrap().to_string(), path);
    }
}

/// All literals given to `Tree::path` and `Tree::at` in the sources of the collector.
fn literals(folder: &std::path::Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            literals(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            for call in [".path(\"", ".at(\""] {
                let calls = text.split(call).skip(1).filter_map(|rest| rest.split_once("\")"));
                found.extend(calls.map(|(literal, _)| literal.to_owned()));
            }
        }
    }
}

#[test]
fn literals_in_code_are_paths() {
    let mut found = Vec::new();
    literals(&std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut found);
    assert!(found.len() > 20, "{found:?}");
    for literal in found.iter().filter(|literal| !literal.contains('\\')) {
        assert!(parse(literal).is_ok(), "{literal}");
    }
}
