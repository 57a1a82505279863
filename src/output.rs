//! Writing a file as a whole or not at all.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufWriter, Write},
    os::unix::fs::FileTypeExt,
    path::{Path, PathBuf},
};

use nix::unistd::{AccessFlags, access};
use tempfile::NamedTempFile;
use thiserror::Error;

/// As many links as the system follows.
const MAX_LINKS: usize = 40;

const STDOUT: u32 = 1;
const STDERR: u32 = 2;

/// A file cannot be written.
#[derive(Debug, Error)]
#[error("cannot write {path}: {source}")]
pub struct OutputError {
    path: String,
    source: io::Error,
}

/// A file that was found writable and is not written yet.
///
/// A regular file is replaced only when the new content is complete; anything else is written directly.
#[derive(Debug)]
pub struct OutputFile {
    /// As it was given.
    path: PathBuf,
    target: Target,
}

#[derive(Debug)]
enum Target {
    Stdout,
    Direct(File),
    /// A named pipe, opened when there is something to write: opening it waits for a reader.
    Pipe,
    /// What takes the place of the file at this path.
    Replace(NamedTempFile, PathBuf),
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
        let target = target(path).map_err(|source| OutputError { path: path.display().to_string(), source })?;
        Ok(Self { path: path.to_owned(), target })
    }

    /// Writes the content. May wait for whoever reads it.
    ///
    /// # Errors
    /// If writing fails, such as on a full disk; a regular file is then as it was before.
    pub fn write(self, content: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), OutputError> {
        let Self { path, target } = self;
        let result = match target {
            Target::Stdout => buffered(io::stdout().lock(), content),
            Target::Direct(file) => buffered(file, content),
            Target::Pipe => OpenOptions::new().write(true).open(&path).and_then(|pipe| buffered(pipe, content)),
            Target::Replace(file, place) => replace(&place, file, content),
        };
        result.map_err(|source| OutputError { path: path.display().to_string(), source })
    }
}

fn target(path: &Path) -> io::Result<Target> {
    let place = followed(path);
    let descriptor = descriptor(&place);
    if descriptor == Some(STDOUT) {
        return Ok(Target::Stdout);
    }
    match fs::metadata(&place) {
        Ok(found) if found.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
        Ok(found) if found.file_type().is_fifo() => {
            access(&place, AccessFlags::W_OK)?;
            Ok(Target::Pipe)
        }
        // Whoever opened it has written to it, or will.
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

/// Where a path leads. A link is not replaced: the file that it names would stay as it was.
fn followed(path: &Path) -> PathBuf {
    let mut path = path.to_owned();
    for _ in 0..MAX_LINKS {
        // What an open descriptor leads to may have no name, or one that is gone.
        if descriptor(&path).is_some() {
            break;
        }
        let Ok(next) = fs::read_link(&path) else { break };
        path = folder(&path).join(next);
    }
    path
}

/// The number of one of our own descriptors, if the path is a name of it.
fn descriptor(path: &Path) -> Option<u32> {
    match path.to_str()? {
        "/dev/stdout" => Some(STDOUT),
        "/dev/stderr" => Some(STDERR),
        path => path.strip_prefix("/dev/fd/").or_else(|| path.strip_prefix("/proc/self/fd/"))?.parse().ok(),
    }
}

/// The folder of a path.
fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A temporary file in the folder of the target, so that it can take its place in one step.
fn beside(path: &Path) -> io::Result<NamedTempFile> {
    tempfile::Builder::new().prefix(".ckworker-").permissions(permissions(path)).tempfile_in(folder(path))
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

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::{io::Read, os::unix::fs::symlink, thread};

    use super::*;

    fn write(path: &Path, text: &str) -> Result<(), OutputError> {
        OutputFile::create(path)?.write(|out| out.write_all(text.as_bytes()))
    }

    #[test]
    fn the_file_behind_links_is_replaced_and_the_links_stay() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("data")).unwrap();
        let file = folder.path().join("data/graph");
        let (near, far) = (folder.path().join("near"), folder.path().join("far"));
        symlink("data/graph", &near).unwrap();
        symlink(&near, &far).unwrap();
        for text in ["new", "newer"] {
            write(&far, text).unwrap();
            assert_eq!(fs::read_to_string(&file).unwrap(), text);
        }
        assert!(far.is_symlink() && near.is_symlink() && !file.is_symlink());
        assert_eq!(fs::read_dir(folder.path().join("data")).unwrap().count(), 1, "nothing else is left there");
    }

    #[test]
    fn a_link_to_itself_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("link");
        symlink(&link, &link).unwrap();
        assert!(OutputFile::create(&link).is_err());
    }

    #[test]
    fn standard_output_is_known_by_all_its_names() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("link");
        symlink("/dev/stdout", &link).unwrap();
        for path in [Path::new("/dev/stdout"), Path::new("/dev/fd/1"), Path::new("/proc/self/fd/1"), &link] {
            assert!(matches!(target(path).unwrap(), Target::Stdout), "{}", path.display());
        }
    }

    #[test]
    fn another_descriptor_is_written_to_where_its_file_ends() {
        use std::os::fd::AsRawFd;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let mut file = File::create(&path).unwrap();
        file.write_all(b"head,").unwrap();
        write(&PathBuf::from(format!("/dev/fd/{}", file.as_raw_fd())), "graph").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "head,graph");
    }

    #[test]
    fn a_named_pipe_is_found_writable_at_once_and_written_when_it_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pipe");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        // Nobody reads yet.
        let output = OutputFile::create(&path).unwrap();
        let reader = thread::spawn({
            let path = path.clone();
            move || {
                let mut text = String::new();
                File::open(path).unwrap().read_to_string(&mut text).unwrap();
                text
            }
        });
        output.write(|out| out.write_all(b"graph")).unwrap();
        assert_eq!(reader.join().unwrap(), "graph");
        assert!(fs::symlink_metadata(&path).unwrap().file_type().is_fifo());
    }
}
