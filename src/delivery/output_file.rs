//! Writes a file as a whole or not at all.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufWriter, Write},
    os::{
        fd::AsFd,
        unix::fs::{FileTypeExt, MetadataExt},
    },
    path::{Path, PathBuf},
};

use nix::{
    fcntl::{FcntlArg, OFlag, fcntl},
    unistd::{AccessFlags, access},
};
use tempfile::{NamedTempFile, TempPath};
use thiserror::Error;

/// The limit of links to follow, which is that of the system.
const MAX_LINKS: usize = 40;

/// The name of standard output in errors.
const STANDARD_OUTPUT: &str = "standard output";
/// The error of a standard output that was closed at the start.
const CLOSED: &str = "it is closed, or is /dev/null without a shell's redirection, so that everything would be lost; redirect it \
                      to a file or a pipe, or give --output FILE";

const STDOUT: u32 = 1;
const STDERR: u32 = 2;

/// A file cannot be written.
#[derive(Debug, Error)]
#[error("cannot write {path}: {source}")]
pub struct OutputError {
    path: String,
    source: io::Error,
}

/// A file that was checked to be writable and is not written yet.
///
/// A regular file is replaced only when the new content is complete; anything else is written directly.
#[derive(Debug)]
pub struct OutputFile {
    /// The path as given.
    path: PathBuf,
    target: Target,
}

#[derive(Debug)]
enum Target {
    Direct(File),
    /// A named pipe. It is opened when there is something to write, because opening waits for a reader.
    Pipe,
    /// The temporary file, and the path that it replaces.
    Replace(NamedTempFile, PathBuf),
}

impl OutputFile {
    /// Opens standard output.
    ///
    /// # Errors
    /// If standard output is closed or cannot be written.
    pub fn stdout() -> Result<Self, OutputError> {
        let path = PathBuf::from(STANDARD_OUTPUT);
        let file = stdout().map_err(|source| OutputError { path: STANDARD_OUTPUT.to_owned(), source })?;
        Ok(Self { path, target: Target::Direct(file) })
    }

    /// Checks that the file can be written, before there is something to write.
    ///
    /// # Errors
    /// If the path is a directory, or its directory does not exist or cannot be written.
    pub fn create(path: &Path) -> Result<Self, OutputError> {
        let target = target(path).map_err(|source| OutputError { path: path.display().to_string(), source })?;
        Ok(Self { path: path.to_owned(), target })
    }

    /// Writes the content. May wait for a reader.
    ///
    /// # Errors
    /// If writing fails, such as on a full disk; a regular file is then unchanged.
    pub fn write(self, content: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), OutputError> {
        let (writing, placing) = self.split();
        writing.write(content)?;
        placing.place()
    }

    /// Splits the file, for content that is written by a thread which cannot be stopped. Dropping the [`Placing`]
    /// discards the content nevertheless, and leaves no file behind.
    #[must_use]
    pub fn split(self) -> (Writing, Placing) {
        let Self { path, target } = self;
        let (sink, beside) = match target {
            Target::Direct(file) => (Sink::Direct(file), None),
            Target::Pipe => (Sink::Pipe, None),
            Target::Replace(file, place) => {
                let (file, beside) = file.into_parts();
                (Sink::Beside(file), Some((beside, place)))
            }
        };
        (Writing { path: path.clone(), sink }, Placing { path, beside })
    }
}

/// The writer of an [`OutputFile`]'s content.
#[derive(Debug)]
pub struct Writing {
    path: PathBuf,
    sink: Sink,
}

#[derive(Debug)]
enum Sink {
    Direct(File),
    Pipe,
    Beside(File),
}

impl Writing {
    /// Writes the content.
    ///
    /// # Errors
    /// If writing fails, such as on a full disk.
    pub fn write(self, content: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), OutputError> {
        let result = match self.sink {
            Sink::Direct(file) => buffered(file, content),
            Sink::Pipe => OpenOptions::new().write(true).open(&self.path).and_then(|pipe| buffered(pipe, content)),
            Sink::Beside(mut file) => buffered(&mut file, content).and_then(|()| file.sync_all()),
        };
        result.map_err(|source| OutputError { path: self.path.display().to_string(), source })
    }
}

/// Puts the written content of an [`OutputFile`] into place. Dropping it leaves everything unchanged.
#[derive(Debug)]
pub struct Placing {
    path: PathBuf,
    /// The temporary file, and the path that it replaces.
    beside: Option<(TempPath, PathBuf)>,
}

impl Placing {
    /// Replaces the file in one step.
    ///
    /// # Errors
    /// If the file cannot be replaced.
    pub fn place(self) -> Result<(), OutputError> {
        let Self { path, beside } = self;
        let placed = beside.map_or(Ok(()), |(beside, place)| beside.persist(place).map_err(|error| error.error));
        placed.map_err(|source| OutputError { path: path.display().to_string(), source })
    }
}

fn target(path: &Path) -> io::Result<Target> {
    let place = followed(path);
    let descriptor = descriptor(&place);
    if descriptor == Some(STDOUT) {
        return stdout().map(Target::Direct);
    }
    match fs::metadata(&place) {
        Ok(found) if found.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
        Ok(found) if found.file_type().is_fifo() => {
            access(&place, AccessFlags::W_OK)?;
            Ok(Target::Pipe)
        }
        // A descriptor of this file is open: its content is kept, and new content is appended.
        Ok(_) if descriptor.is_some() => OpenOptions::new().append(true).open(&place).map(Target::Direct),
        Ok(found) if !found.is_file() => OpenOptions::new().write(true).open(&place).map(Target::Direct),
        Ok(_) => {
            OpenOptions::new().append(true).open(&place)?;
            Ok(Target::Replace(beside(&place)?, place))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Target::Replace(beside(&place)?, place)),
        Err(error) => Err(error),
    }
}

/// Returns a copy of the descriptor of standard output. The standard library's handle ignores errors of a descriptor
/// that cannot be written to.
fn stdout() -> io::Result<File> {
    let file = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    let flags = OFlag::from_bits_truncate(fcntl(&file, FcntlArg::F_GETFL)?);
    match flags & OFlag::O_ACCMODE {
        OFlag::O_RDONLY => Err(io::Error::other("it is open for reading only; redirect it to a file or a pipe")),
        // The standard library opens /dev/null for reading and writing in place of a descriptor that is closed at the
        // start. A shell opens it for writing only.
        OFlag::O_RDWR if is_null(&file) => Err(io::Error::other(CLOSED)),
        _ => Ok(file),
    }
}

fn is_null(file: &File) -> bool {
    let device = |found: io::Result<fs::Metadata>| found.ok().map(|found| found.rdev());
    let null = device(fs::metadata("/dev/null"));
    file.metadata().is_ok_and(|found| found.file_type().is_char_device())
        && null.is_some()
        && device(file.metadata()) == null
}

/// Returns the target of a path. A link is followed, because replacing it would leave the target unchanged.
fn followed(path: &Path) -> PathBuf {
    let mut path = path.to_owned();
    for _ in 0..MAX_LINKS {
        // The target of an open descriptor may have no name, or a former one.
        if descriptor(&path).is_some() {
            break;
        }
        let Ok(next) = fs::read_link(&path) else { break };
        path = folder(&path).join(next);
    }
    path
}

/// Returns the number of an open descriptor of this process, if the path is a name of it.
fn descriptor(path: &Path) -> Option<u32> {
    match path.to_str()? {
        "/dev/stdout" => Some(STDOUT),
        "/dev/stderr" => Some(STDERR),
        path => path.strip_prefix("/dev/fd/").or_else(|| path.strip_prefix("/proc/self/fd/"))?.parse().ok(),
    }
}

/// Returns the directory of a path.
fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Creates a temporary file in the directory of the target, so that it can replace the target in one step.
fn beside(path: &Path) -> io::Result<NamedTempFile> {
    tempfile::Builder::new().prefix(".ckworker-").permissions(permissions(path)).tempfile_in(folder(path))
}

/// Returns the permissions of the file that is replaced, or those of a new file (narrowed by the umask).
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
#[path = "output_file_tests.rs"]
mod tests;
