//! The user's definition files, which are read before everything else: they add collectors and options.

use std::{
    ffi::{OsStr, OsString},
    fs::{self, File},
    io::Read,
    path::{Path, PathBuf},
};

use super::{
    CliError,
    environment::Environment,
    options::{self, DEFINITIONS},
    secrets::{is_option, split},
};

/// The shortest prefix of the option's name that no other option has.
const PREFIX: &str = "def";

/// The largest file, and the most files. A definition has some kilobytes.
const MAX_FILE: u64 = 1 << 20;
const MAX_FILES: usize = 100;

/// The most bytes of all files. Workers get them in one frame.
const MAX_TOTAL: usize = 4 << 20;

/// Returns names and texts of the user's definition files; of a folder, those of its files that end in `.toml`.
///
/// # Errors
/// A path that cannot be read, and why.
pub fn definitions(
    arguments: &[OsString],
    variables: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Vec<(String, String)>, CliError> {
    if arguments.first().is_some_and(|first| first == "worker") {
        return Ok(Vec::new());
    }
    let mut paths: Vec<PathBuf> = Vec::new();
    for given in given(arguments, variables)? {
        paths.extend(files(Path::new(&given))?);
    }
    if paths.len() > MAX_FILES {
        return Err(wrong(&format!("more than {MAX_FILES} files")));
    }
    let mut texts = Vec::with_capacity(paths.len());
    for path in paths {
        let text = read(&path).map_err(|why| wrong(&format!("{}: {why}", path.display())))?;
        texts.push((path.display().to_string(), text));
    }
    if texts.iter().map(|(_, text)| text.len()).sum::<usize>() > MAX_TOTAL {
        return Err(wrong(&format!("the files have more than {} MiB", MAX_TOTAL >> 20)));
    }
    Ok(texts)
}

fn wrong(what: &str) -> CliError {
    CliError::new(format!("--{DEFINITIONS}: {what}"))
}

/// Returns the values of the option: the last ones on the command line, else those of the environment.
fn given(
    arguments: &[OsString],
    variables: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Vec<OsString>, CliError> {
    let mut given = None;
    let mut rest = arguments.iter().peekable();
    while let Some(argument) = rest.next() {
        let (name, joined) = split(argument);
        if !name.is_some_and(|name| name.starts_with(PREFIX) && DEFINITIONS.starts_with(name)) {
            continue;
        }
        given = Some(match joined {
            Some(value) => vec![value],
            None => std::iter::from_fn(|| rest.next_if(|next| !is_option(next))).cloned().collect(),
        });
    }
    if let Some(given) = given.filter(|given: &Vec<OsString>| given.iter().any(|value| !value.is_empty())) {
        return Ok(given.into_iter().filter(|value| !value.is_empty()).collect());
    }
    let Some(spec) = options::core().find(|spec| spec.name == DEFINITIONS) else { return Ok(Vec::new()) };
    let found = Environment::new(variables).find(spec)?;
    Ok(found.into_iter().flat_map(|found| found.values).map(OsString::from).collect())
}

/// Returns a file itself, or the definition files of a folder in the order of their names.
fn files(path: &Path) -> Result<Vec<PathBuf>, CliError> {
    let unreadable = |error: std::io::Error| wrong(&format!("{}: {error}", path.display()));
    let kind = fs::metadata(path).map_err(unreadable)?;
    if kind.is_file() {
        return Ok(vec![path.to_owned()]);
    }
    if !kind.is_dir() {
        return Err(wrong(&format!("{}: neither a file nor a folder", path.display())));
    }
    let entries = fs::read_dir(path).map_err(unreadable)?;
    let mut found = entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>().map_err(unreadable)?;
    found.retain(|file| file.extension() == Some(OsStr::new("toml")));
    found.sort();
    if found.is_empty() {
        return Err(wrong(&format!("{}: the folder has no file that ends in .toml", path.display())));
    }
    Ok(found)
}

fn read(path: &Path) -> Result<String, String> {
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(MAX_FILE + 1).read_to_string(&mut text));
    match read {
        Ok(length) if length as u64 > MAX_FILE => Err(format!("larger than {} MiB", MAX_FILE >> 20)),
        Ok(_) => Ok(text),
        Err(error) => Err(error.to_string()),
    }
}
