//! The sources as the tidy tests see them: text, code without comments and strings, and code without its tests.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// The folder of the repository.
pub(super) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// A file of the repository.
pub(super) struct Source {
    /// Its path from the root, such as `src/graph/id.rs`.
    pub(super) path: String,
    /// What is in it.
    pub(super) text: String,
}

/// A function of a source.
pub(super) struct Function {
    pub(super) name: String,
    pub(super) lines: usize,
    /// All of it, without comments and the content of strings.
    pub(super) code: String,
}

impl Source {
    /// Whether all of it is test code.
    pub(super) fn is_test(&self) -> bool {
        let name = self.path.rsplit('/').next().unwrap_or_default();
        name == "tests.rs"
            || name == "testing.rs"
            || name.ends_with("_tests.rs")
            || self.path.split('/').any(|part| part == "tests")
    }

    /// The code, line by line as in the file: comments and the content of strings are blank.
    pub(super) fn code(&self) -> String {
        blank(&self.text, Strings::Blank)
    }

    /// The code without comments and without what is built for tests only; the content of strings stays.
    pub(super) fn production_with_strings(&self) -> String {
        let (code, production) = (self.code(), self.production());
        let text = blank(&self.text, Strings::Keep);
        let mut is_test = false;
        let lines = text.lines().zip(code.lines()).zip(production.lines());
        lines.fold(String::new(), |out, ((line, code), production)| {
            // A line that is all string belongs to what is before it.
            if !code.trim().is_empty() {
                is_test = production.trim().is_empty();
            }
            out + if is_test { "" } else { line } + "\n"
        })
    }

    /// The code without what is built for tests only.
    pub(super) fn production(&self) -> String {
        let code = self.code();
        if self.is_test() { code.lines().map(|_| "\n").collect() } else { split_tests(&code).0 }
    }

    /// The code that is built for tests only.
    pub(super) fn test_code(&self) -> String {
        let code = self.code();
        if self.is_test() { code } else { split_tests(&code).1 }
    }

    /// Where `needle` is a word of its own in `code`, as `path:line`.
    pub(super) fn places(&self, code: &str, needle: &str) -> Vec<String> {
        let lines = (1..).zip(code.lines()).filter(|(_, line)| has_word(line, needle));
        lines.map(|(number, _)| format!("{}:{number}: {needle}", self.path)).collect()
    }

    /// The functions that have a body.
    pub(super) fn functions(&self) -> Vec<Function> {
        let code = self.code();
        let starts = code.match_indices("fn ").filter(|(at, _)| !is_word_end(&code[..*at]));
        starts.filter_map(|(at, _)| function(&code[at..])).collect()
    }
}

/// All files of the repository that people wrote: no build output, lock files, recordings or generated tables.
pub(super) fn files() -> Vec<Source> {
    let mut found = Vec::new();
    collect(&root(), &mut found);
    found.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(found.len() > 100, "the repository was not found");
    found
}

/// The Rust sources among them.
pub(super) fn sources() -> Vec<Source> {
    files().into_iter().filter(|file| file.path.ends_with(".rs")).collect()
}

/// Folders, by path or by name, that are not looked into.
const SKIPPED: &[&str] = &[
    ".git",
    ".venv",
    "__pycache__",
    "artifacts",
    "corpus",
    "src/collectors/aws/models",
    "src/collectors/gcp/models",
    "src/collectors/kinds",
    "target",
    "tests/golden",
];

/// What ends the name of a file that people wrote; scripts have no ending.
const ENDINGS: &[&str] = &["Dockerfile", "hex", "md", "py", "rs", "service", "sh", "toml", "txt", "yaml", "yml"];

fn collect(folder: &Path, found: &mut Vec<Source>) {
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        let from_root = path.strip_prefix(root()).unwrap().to_string_lossy().into_owned();
        let kind = entry.file_type().unwrap();
        if SKIPPED.contains(&name.as_str()) || SKIPPED.contains(&from_root.as_str()) {
            continue;
        }
        let script = !name.contains('.') && (from_root.starts_with("scripts/") || from_root.starts_with(".ci/"));
        if kind.is_dir() {
            collect(&path, found);
        } else if kind.is_file() && (script || ENDINGS.contains(&name.rsplit('.').next().unwrap_or_default())) {
            found.push(Source { path: from_root, text: fs::read_to_string(&path).unwrap() });
        }
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn is_word_end(text: &str) -> bool {
    text.bytes().next_back().is_some_and(is_word)
}

/// Whether `needle` is in the line and not a part of a longer word. Where it begins or ends with a sign, anything may
/// be beside it.
fn has_word(line: &str, needle: &str) -> bool {
    line.match_indices(needle).any(|(at, _)| {
        let (before, after) = (&line[..at], &line[at + needle.len()..]);
        let begins = needle.bytes().next().is_some_and(is_word) && is_word_end(before);
        let goes_on = is_word_end(needle) && after.bytes().next().is_some_and(is_word);
        !begins && !goes_on
    })
}

/// A function at the beginning of `code`, unless it has no body.
fn function(code: &str) -> Option<Function> {
    let name: String = code["fn ".len()..].chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    let open = body(code)?;
    let end = open + block(&code[open..])?;
    let code = &code[..end];
    (!name.is_empty()).then(|| Function { name, lines: code.lines().count(), code: code.to_owned() })
}

/// Where the body of a function begins: the first brace outside of brackets, unless a semicolon comes before it.
fn body(code: &str) -> Option<usize> {
    let mut depth = 0_i32;
    for (at, byte) in code.bytes().enumerate() {
        match byte {
            b'(' | b'[' => depth += 1,
            b')' | b']' => depth -= 1,
            b'{' if depth == 0 => return Some(at),
            b';' if depth == 0 => return None,
            _ => {}
        }
    }
    None
}

/// The length of the block that begins with the brace at the beginning.
fn block(code: &str) -> Option<usize> {
    let mut depth = 0_i32;
    for (at, byte) in code.bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some(at + 1);
        }
    }
    None
}

/// Code for everybody, and code behind `#[cfg(test)]`; both keep the lines of the file.
fn split_tests(code: &str) -> (String, String) {
    const MARK: &str = "#[cfg(test)]";
    let (mut production, mut tests) = (String::new(), String::new());
    let mut rest = code;
    while let Some(at) = rest.find(MARK) {
        let item = &rest[at + MARK.len()..];
        let end = body(item).map_or_else(
            || item.find(';').map_or(item.len(), |end| end + 1),
            |open| open + block(&item[open..]).unwrap_or(item.len() - open),
        );
        let end = at + MARK.len() + end;
        production += &rest[..at];
        tests += &only_lines(&rest[..at]);
        production += &only_lines(&rest[at..end]);
        tests += &rest[at..end];
        rest = &rest[end..];
    }
    production += rest;
    (production, tests)
}

fn only_lines(text: &str) -> String {
    text.matches('\n').collect()
}

/// What happens to the content of strings.
#[derive(Clone, Copy, PartialEq)]
enum Strings {
    Blank,
    Keep,
}

/// Replaces comments by blanks, and the content of strings and characters if wanted; line feeds stay.
fn blank(text: &str, strings: Strings) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") => comment(rest),
            '"' => string(rest),
            '\'' => character(rest),
            'r' if !is_word_end(&out) || out.ends_with('b') => raw_string(rest),
            _ => 0,
        };
        let (skipped, next) = if length > 0 { rest.split_at(length) } else { rest.split_at(first.len_utf8()) };
        if length > 0 && (strings == Strings::Blank || first == '/') {
            out.extend(skipped.chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
        } else {
            out += skipped;
        }
        rest = next;
    }
    out
}

/// The length of a block comment, inner ones counted.
fn comment(text: &str) -> usize {
    let (mut depth, mut at) = (0_i32, 0);
    while at < text.len() {
        if text[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if text[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
        } else {
            at += text[at..].chars().next().map_or(1, char::len_utf8);
        }
        if depth == 0 {
            break;
        }
    }
    at
}

/// The length of a string in quotes.
fn string(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            '"' if !escaped => return at + 1,
            _ => escaped = c == '\\' && !escaped,
        }
    }
    text.len()
}

/// The length of a character in quotes; 0 for a lifetime.
fn character(text: &str) -> usize {
    let mut chars = text.char_indices().skip(1);
    match chars.next() {
        Some((_, '\\')) => text[2..].char_indices().skip(1).find(|(_, c)| *c == '\'').map_or(0, |(at, _)| at + 3),
        Some(_) => chars.next().filter(|(_, c)| *c == '\'').map_or(0, |(at, _)| at + 1),
        None => 0,
    }
}

/// The length of a raw string; 0 if it is none.
fn raw_string(text: &str) -> usize {
    let hashes = text[1..].bytes().take_while(|byte| *byte == b'#').count();
    if !text[1 + hashes..].starts_with('"') {
        return 0;
    }
    let close = format!("\"{}", "#".repeat(hashes));
    let begin = 2 + hashes;
    text[begin..].find(&close).map_or(text.len(), |at| begin + at + close.len())
}

#[test]
fn comments_strings_and_characters_are_blank() {
    let text = "a /* b /* c */ \n d */ e // f\n\"g\\\"{\" r#\"h\"i\"# br\"j\" 'k' '\\'' '\\u{7f}' &'l ()";
    let expected = "a             \n      e     \n                    b         & 'l ()";
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(words(&blank(text, Strings::Blank)), words(expected).replace("& 'l", "&'l"));
    assert_eq!(blank(text, Strings::Blank).lines().count(), text.lines().count());
}

#[test]
fn strings_of_production_code_stay() {
    let text = "fn a() {\n  b(\"c\", // d\n    \"e\");\n}\n#[cfg(test)]\nmod tests {\n  fn f() { g(\n\"h\"\n); }\n}\nfn i() {}\n";
    let source = Source { path: "src/x.rs".into(), text: text.into() };
    let found = source.production_with_strings();
    assert!(["\"c\"", "\"e\"", "fn i"].iter().all(|part| found.contains(part)), "{found}");
    assert!(
        !found.contains('d') && !found.contains("\"h\"") && found.lines().count() == text.lines().count(),
        "{found}"
    );
}

#[test]
fn functions_are_measured_and_tests_are_separated() {
    let text = "fn a(x: [u8; 3]) -> u8 {\n  { 1 }\n}\ntrait T { fn b(&self); }\n#[cfg(test)]\nmod tests {\n  fn c() {}\n}\nfn d() {}\n";
    let source = Source { path: "src/x.rs".into(), text: text.into() };
    let found: Vec<_> = source.functions().into_iter().map(|function| (function.name, function.lines)).collect();
    assert_eq!(found, [("a".into(), 3), ("c".into(), 1), ("d".into(), 1)]);
    assert!(!source.production().contains("fn c") && source.production().contains("fn d"));
    assert!(source.test_code().contains("fn c") && !source.test_code().contains("fn d"));
    assert_eq!(source.places(&source.code(), "fn d"), ["src/x.rs:9: fn d"]);
    assert!(source.places(&source.code(), "mod test").is_empty(), "only whole words");
}
