//! Writing a file as a whole or not at all.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

use tempfile::{NamedTempFile, TempPath};
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
        let (writing, placing) = self.split();
        writing.write(content)?;
        placing.place()
    }

    /// Takes it apart, for content that a thread writes which cannot be stopped: dropping the [`Placing`] ends it
    /// all the same, and nothing is left behind.
    #[must_use]
    pub fn split(self) -> (Writing, Placing) {
        let Self { path, target } = self;
        let (sink, beside) = match target {
            Target::Stdout => (Sink::Stdout, None),
            Target::Direct(file) => (Sink::Direct(file), None),
            Target::Replace(file) => {
                let (file, beside) = file.into_parts();
                (Sink::Beside(file), Some(beside))
            }
        };
        (Writing { path: path.clone(), sink }, Placing { path, beside })
    }
}

/// Where the content of an [`OutputFile`] is written to.
#[derive(Debug)]
pub struct Writing {
    path: PathBuf,
    sink: Sink,
}

#[derive(Debug)]
enum Sink {
    Stdout,
    Direct(File),
    Beside(File),
}

impl Writing {
    /// Writes the content.
    ///
    /// # Errors
    /// If writing fails, such as on a full disk.
    pub fn write(self, content: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), OutputError> {
        let result = match self.sink {
            Sink::Stdout => buffered(io::stdout().lock(), content),
            Sink::Direct(file) => buffered(file, content),
            Sink::Beside(mut file) => buffered(&mut file, content).and_then(|()| file.sync_all()),
        };
        result.map_err(|source| OutputError { path: self.path.display().to_string(), source })
    }
}

/// What lets the written content of an [`OutputFile`] count. Dropped, it leaves everything as it was before.
#[derive(Debug)]
pub struct Placing {
    path: PathBuf,
    beside: Option<TempPath>,
}

impl Placing {
    /// Puts the content in its place, in one step.
    ///
    /// # Errors
    /// If the file cannot be replaced.
    pub fn place(self) -> Result<(), OutputError> {
        let Self { path, beside } = self;
        let placed = beside.map_or(Ok(()), |beside| beside.persist(&path).map_err(|error| error.error));
        placed.map_err(|source| OutputError { path: path.display().to_string(), source })
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

fn buffered<W: Write>(out: W, content: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let mut out = BufWriter::with_capacity(1 << 16, out);
    content(&mut out)?;
    out.flush()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn what_is_given_up_while_it_is_written_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("graph");
        fs::write(&path, "from before").unwrap();
        let (writing, placing) = OutputFile::create(&path).unwrap().split();
        let written = writing.write(|out| {
            out.write_all(b"half")?;
            drop(placing);
            assert_eq!(fs::read_dir(folder.path())?.count(), 1, "only what was there before");
            out.write_all(b" and half")
        });
        assert!(written.is_ok());
        assert_eq!(fs::read_to_string(&path).unwrap(), "from before");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_is_written_takes_the_place_of_what_was_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("graph");
        fs::write(&path, "from before").unwrap();
        OutputFile::create(&path).unwrap().write(|out| out.write_all(b"new")).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
