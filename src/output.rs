//! Writing a file as a whole or not at all.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

use tempfile::NamedTempFile;
use thiserror::Error;

/// A file cannot be written.
#[derive(Debug, Error)]
#[error("cannot write {path}: {source}")]
pub struct OutputError {
    path: String,
    source: io::Error,
}

/// A file that was found writable and is not written yet.
///
/// A regular file is replaced only when the new content is complete; a pipe or a device is written directly.
#[derive(Debug)]
pub struct OutputFile {
    path: PathBuf,
    target: Target,
}

#[derive(Debug)]
enum Target {
    Stdout,
    Direct(File),
    Replace(NamedTempFile),
}

impl OutputFile {
    /// Standard output.
    #[must_use]
    pub fn stdout() -> Self {
        Self { path: "standard output".into(), target: Target::Stdout }
    }

    /// Checks that the file can be written, before there is something to write.
    ///
    /// # Errors
    /// If it is a folder, or its folder does not exist or cannot be written.
    pub fn create(path: &Path) -> Result<Self, OutputError> {
        let at = |source| OutputError { path: path.display().to_string(), source };
        let target = match fs::metadata(path) {
            Ok(found) if found.is_dir() => return Err(at(io::ErrorKind::IsADirectory.into())),
            Ok(found) if !found.is_file() => Target::Direct(OpenOptions::new().write(true).open(path).map_err(at)?),
            Ok(_) => {
                OpenOptions::new().append(true).open(path).map_err(at)?;
                Target::Replace(beside(path).map_err(at)?)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Target::Replace(beside(path).map_err(at)?),
            Err(error) => return Err(at(error)),
        };
        Ok(Self { path: path.to_owned(), target })
    }

    /// Writes the content.
    ///
    /// # Errors
    /// If writing fails, such as on a full disk; a regular file is then as it was before.
    pub fn write(self, content: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), OutputError> {
        let Self { path, target } = self;
        let result = match target {
            Target::Stdout => buffered(io::stdout().lock(), content).map(drop),
            Target::Direct(file) => buffered(file, content).map(drop),
            Target::Replace(file) => replace(&path, file, content),
        };
        result.map_err(|source| OutputError { path: path.display().to_string(), source })
    }
}

/// A temporary file in the folder of the target, so that it can take its place in one step.
fn beside(path: &Path) -> io::Result<NamedTempFile> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    tempfile::Builder::new().prefix(".ckworker-").permissions(permissions(path)).tempfile_in(folder)
}

/// Those of the file that is replaced, or what a new file usually gets (narrowed by the umask).
fn permissions(path: &Path) -> fs::Permissions {
    use std::os::unix::fs::PermissionsExt;
    fs::metadata(path).map_or_else(|_| fs::Permissions::from_mode(0o666), |found| found.permissions())
}

fn replace(
    path: &Path,
    mut file: NamedTempFile,
    content: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    buffered(file.as_file_mut(), content)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

fn buffered<W: Write>(out: W, content: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let mut out = BufWriter::with_capacity(1 << 16, out);
    content(&mut out)?;
    out.flush()
}
