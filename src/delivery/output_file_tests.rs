//! Files that appear whole or not at all, by real files.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::{io::Read, os::unix::fs::symlink, thread};

use super::*;

fn write(path: &Path, text: &str) -> Result<(), OutputError> {
    OutputFile::create(path)?.write(|out| out.write_all(text.as_bytes()))
}

#[test]
fn file_behind_links_is_replaced_and_links_stay() {
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
fn link_to_itself_is_an_error() {
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
        // The target depends on how the test is run; only the fact that it is not opened by its name is checked.
        let found = target(path);
        assert!(!matches!(found, Ok(Target::Replace(..) | Target::Pipe)), "{}", path.display());
        assert_eq!(found.is_ok(), stdout().is_ok(), "{}", path.display());
    }
}

#[test]
fn file_of_open_descriptor_is_appended_to() {
    use std::os::fd::AsRawFd;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    let mut file = File::create(&path).unwrap();
    file.write_all(b"head,").unwrap();
    write(&PathBuf::from(format!("/dev/fd/{}", file.as_raw_fd())), "graph").unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "head,graph");
}

#[test]
fn named_pipe_is_accepted_at_once_and_written_when_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pipe");
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
    // The pipe has no reader yet.
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

#[test]
fn abandoned_write_leaves_file_unchanged_and_nothing_behind() {
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
fn new_content_replaces_existing_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("graph");
    fs::write(&path, "from before").unwrap();
    OutputFile::create(&path).unwrap().write(|out| out.write_all(b"new")).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "new");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}
