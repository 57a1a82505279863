//! One way to arrange modules and tests. A module with parts is a folder with `mod.rs`. Unit tests are a module
//! `tests`: inline at the end of the file while they are short, else in `NAME_tests.rs` beside `NAME.rs`, and in
//! `tests.rs` or `tests/` inside the folder of a `mod.rs`.

use std::collections::BTreeSet;

use super::{
    hold,
    source::{Source, sources},
};

/// Lines of unit tests that stand in the file they test.
const INLINE_TESTS: usize = 100;

/// Whether `path` is a file of a crate, and not of its integration tests.
fn is_in_crate(path: &str) -> bool {
    path.starts_with("src/") || path.contains("/src/")
}

/// The folder and the name of a file.
fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

/// The files that have a folder of the same name beside them.
fn modules_beside_their_folder(paths: &[&str]) -> Vec<String> {
    let folders: BTreeSet<&str> = paths.iter().map(|path| split(path).0).collect();
    let beside = paths.iter().filter(|path| path.strip_suffix(".rs").is_some_and(|stem| folders.contains(stem)));
    beside.map(|path| (*path).to_owned()).collect()
}

#[test]
fn modules_with_parts_are_folders_with_mod_rs() {
    let sources = sources();
    let paths: Vec<&str> = sources.iter().map(|source| source.path.as_str()).collect();
    let faults: Vec<_> = modules_beside_their_folder(&paths).into_iter().map(|path| (path.clone(), path)).collect();
    hold("a module with parts is a folder, and its own code is in `mod.rs`", &faults, &[]);
}

#[test]
fn planted_module_beside_its_folder_is_found() {
    let paths =
        ["src/lib.rs", "src/a/mod.rs", "src/a/b.rs", "src/a.rs", "tests/it/c.rs", "tests/it/c/d.rs", "src/e.rs"];
    assert_eq!(modules_beside_their_folder(&paths), ["src/a.rs", "tests/it/c.rs"]);
}

/// What is wrong with the arrangement of the unit tests in a file, or with the file, if it is one of tests.
/// `read` returns the text of another file.
fn style_faults(source: &Source, read: &dyn Fn(&str) -> Option<String>) -> Vec<String> {
    let (folder, name) = split(&source.path);
    let mut faults = Vec::new();
    if let Some(stem) = name.strip_suffix("_tests.rs") {
        let tested = read(&format!("{folder}/{stem}.rs")).unwrap_or_default();
        if !tested.contains(&format!("#[cfg(test)]\n#[path = \"{name}\"]\nmod tests;\n")) {
            faults.push(format!("{stem}.rs does not have it as its module `tests`"));
        }
    }
    if ["#[test]", "#[tokio::test"].iter().any(|mark| source.production().contains(mark)) {
        faults.push("a test outside of the module `tests`".to_owned());
    }
    let code = source.code();
    for (at, mark) in code.match_indices("#[cfg(test)]\n").filter(|(at, _)| *at == 0 || code[..*at].ends_with('\n')) {
        let (rest, text) = (&code[at + mark.len()..], &source.text);
        let line = code[..at].matches('\n').count();
        let item = text.lines().skip(line + 1).take(2).collect::<Vec<_>>().join("\n");
        faults.extend(module_fault(name, rest, &item));
    }
    faults
}

/// What is wrong with the item behind `#[cfg(test)]`, if it is a module: `code` begins with it, and `item` has its
/// first two lines with strings.
fn module_fault(name: &str, code: &str, item: &str) -> Option<String> {
    let first = item.lines().next().unwrap_or_default();
    let is_folder = ["mod.rs", "lib.rs", "main.rs"].contains(&name);
    if first == "mod tests {" {
        let lines = code.split("\n}\n").next().unwrap_or_default().lines().count() + 1;
        let is_last = code.split_once("\n}\n").is_some_and(|(_, rest)| rest.trim().is_empty());
        return if !is_last {
            Some("the module `tests` is not at the end".to_owned())
        } else if lines > INLINE_TESTS {
            Some(format!("{lines} lines of inline tests: move them to a file"))
        } else {
            None
        };
    }
    if first == "mod tests;" {
        return (!is_folder).then(|| "`mod tests;` without a path".to_owned());
    }
    if first.starts_with("#[path") {
        let stem = name.trim_end_matches(".rs");
        let expected = format!("#[path = \"{stem}_tests.rs\"]\nmod tests;");
        return (is_folder || item != expected).then(|| format!("tests in a file beside: expected {expected}"));
    }
    if first.starts_with("#[") {
        return Some(format!("{first} stands inside of the tests: `#!{}`", &first[1..]));
    }
    let module = first.split_once("mod ").map(|(_, name)| name.trim_end_matches([';', ' ', '{']));
    module.filter(|name| *name != "testing").map(|name| format!("a module `{name}` of tests: name it `tests`"))
}

#[test]
fn unit_tests_are_arranged_in_one_way() {
    let sources = sources();
    let read = |path: &str| sources.iter().find(|source| source.path == path).map(|source| source.text.clone());
    let mut faults = Vec::new();
    for source in sources.iter().filter(|source| is_in_crate(&source.path)) {
        let found = style_faults(source, &read);
        faults.extend(found.into_iter().map(|fault| (source.path.clone(), format!("{}: {fault}", source.path))));
    }
    hold("unit tests are arranged in one way (docs/architecture.md)", &faults, &[]);
}

/// The number of faults in a file with this text; another file has the tests in `a_tests.rs`.
fn planted(path: &str, text: &str) -> usize {
    let source = Source { path: path.into(), text: text.into() };
    let read = |path: &str| {
        (path == "src/a.rs").then(|| "fn a() {}\n#[cfg(test)]\n#[path = \"a_tests.rs\"]\nmod tests;\n".to_owned())
    };
    style_faults(&source, &read).len()
}

#[test]
fn planted_second_style_of_tests_is_found() {
    let inline = "fn a() {}\n\n#[cfg(test)]\nmod tests {\n    #[test]\n    fn b() {}\n}\n";
    let beside = "#[cfg(test)]\n#[path = \"a_tests.rs\"]\nmod tests;\n";
    let folder = "#[cfg(test)]\nmod tests;\nmod b;\n";
    let long = format!("#[cfg(test)]\nmod tests {{\n{}}}\n", "    // line\n".repeat(INLINE_TESTS));
    let cases = [
        ("src/a.rs", inline, 0),
        ("src/a.rs", beside, 0),
        ("src/a/mod.rs", folder, 0),
        ("src/a_tests.rs", "#[test]\nfn a() {}\n", 0),
        ("src/a/tests/b.rs", "#[test]\nfn a() {}\n", 0),
        ("src/a.rs", "#[cfg(test)]\nfn helper() {}\n\n#[cfg(test)]\npub(super) mod testing;\n", 0),
        ("src/a.rs", &inline.replace("mod tests", "mod test"), 1),
        ("src/a.rs", &format!("{inline}\nfn c() {{}}\n"), 1),
        ("src/a.rs", &inline.replace("mod tests", "#[expect(lint, reason = \"tests\")]\nmod tests"), 1),
        ("src/a.rs", &long, 1),
        ("src/a.rs", folder, 1),
        ("src/b.rs", beside, 1),
        ("src/a/mod.rs", beside, 1),
        ("src/a/mod.rs", "#[cfg(test)]\nmod b_tests;\n", 1),
        ("src/b_tests.rs", "#[test]\nfn a() {}\n", 1),
        ("src/a.rs", "#[test]\nfn a() {}\n", 1),
    ];
    for (path, text, expected) in cases {
        assert_eq!(planted(path, text), expected, "{path}:\n{text}");
    }
}

/// Characters of a test's name.
const TEST_NAME: usize = 60;

/// Words that no name of a test begins with: a name begins with its subject.
const NO_SUBJECTS: &[&str] = &[
    "a",
    "an",
    "everything",
    "it",
    "its",
    "nobody",
    "nothing",
    "others",
    "that",
    "the",
    "they",
    "those",
    "what",
    "whatever",
    "whoever",
];

/// The names of the tests in `code`.
fn test_names(code: &str) -> Vec<&str> {
    let marks = ["#[test]", "#[tokio::test"].iter().flat_map(|mark| code.match_indices(mark));
    let names = marks.filter_map(|(at, _)| code[at..].split_once("fn ").map(|(_, rest)| rest));
    names.map(|rest| rest.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default()).collect()
}

/// What is wrong with a test's name.
fn name_fault(name: &str) -> Option<String> {
    let first = name.split('_').next().unwrap_or_default();
    if name.len() > TEST_NAME {
        Some(format!("{name}: {} characters of {TEST_NAME}", name.len()))
    } else if NO_SUBJECTS.contains(&first) {
        Some(format!("{name}: begin with the subject and not with {first:?}"))
    } else {
        None
    }
}

#[test]
fn names_of_tests_say_subject_and_behaviour() {
    let mut faults = Vec::new();
    for source in sources() {
        let code = source.code();
        let found = test_names(&code).into_iter().filter_map(name_fault);
        faults.extend(found.map(|fault| (source.path.clone(), format!("{}: {fault}", source.path))));
    }
    hold(
        "a test's name is `subject_condition_result`, so that the list of tests reads as a specification",
        &faults,
        &[],
    );
}

#[test]
fn planted_name_without_subject_is_found() {
    let code =
        "#[test]\nfn lease_passes_on() {}\n#[tokio::test(start_paused = true)]\n#[expect(x)]\nasync fn what_is() {}";
    let names = test_names(code);
    assert_eq!(names, ["lease_passes_on", "what_is"]);
    let faults: Vec<bool> = names.iter().map(|name| name_fault(name).is_some()).collect();
    assert_eq!(faults, [false, true]);
    assert!(name_fault(&"x".repeat(TEST_NAME + 1)).is_some() && name_fault("another_version_is_named").is_none());
}
