//! The private directory: what it has, where it is, and who removes it.

#![expect(clippy::unwrap_used, reason = "tests")]

use super::*;

fn create(access: &Access) -> Directory {
    Directory::create(access, &Options::default(), &[]).unwrap()
}

#[test]
fn directory_is_private_and_removed_at_its_end() {
    let directory = create(&Access { passphrase: Some("sesame".into()), ..Access::default() });
    let path = directory.path().to_owned();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
    for entry in fs::read_dir(&path).unwrap() {
        assert!(!fs::read_to_string(entry.unwrap().path()).unwrap().contains("sesame"));
    }
    drop(directory);
    assert!(!path.exists());
}

#[test]
fn abandoned_directory_is_removed_and_used_one_is_kept() {
    let used = create(&Access::default());
    let Directory { directory, _lock } = create(&Access::default());
    let abandoned = directory.keep();
    drop(_lock);
    let other = create(&Access::default());
    assert!(used.path().exists() && other.path().exists() && !abandoned.exists());
}

#[test]
fn unfinished_directory_is_removed_when_it_is_old() {
    let parent = tempfile::tempdir().unwrap();
    let unfinished = parent.path().join("ckworker-ssh-unfinished");
    fs::create_dir(&unfinished).unwrap();
    write(&unfinished.join(NEW_LOCK), 0o600, "").unwrap();
    let (used, _lock) = Directory::locked(parent.path()).unwrap();
    remove_abandoned(parent.path(), UNFINISHED);
    assert!(unfinished.exists(), "its owner may be about to lock it");
    remove_abandoned(parent.path(), Duration::ZERO);
    assert!(!unfinished.exists() && used.path().exists());
}

#[test]
fn things_of_others_are_not_removed() {
    let parent = tempfile::tempdir().unwrap();
    let path = |name: &str| parent.path().join(name);
    fs::create_dir(path("precious")).unwrap();
    write(&path("precious/lock"), 0o600, "").unwrap();
    std::os::unix::fs::symlink(path("precious"), path("ckworker-ssh-link")).unwrap();
    write(&path("ckworker-ssh-file"), 0o600, "").unwrap();
    fs::create_dir(path("ckworker-ssh-pipe")).unwrap();
    nix::unistd::mkfifo(&path("ckworker-ssh-pipe/lock"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    remove_abandoned(parent.path(), Duration::ZERO);
    for name in ["precious/lock", "ckworker-ssh-link", "ckworker-ssh-file", "ckworker-ssh-pipe/lock"] {
        assert!(fs::symlink_metadata(path(name)).is_ok(), "{name}");
    }
}

/// A lock belongs to an open file, so that threads exclude each other as processes do.
#[test]
fn directories_made_at_the_same_time_all_stay() {
    let parent = tempfile::tempdir().unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..100 {
                    remove_abandoned(parent.path(), UNFINISHED);
                    let (directory, _lock) = Directory::locked(parent.path()).unwrap();
                    let config = directory.path().join("config");
                    write(&config, 0o600, "x").unwrap();
                    remove_abandoned(parent.path(), UNFINISHED);
                    assert!(config.exists());
                }
            });
        }
    });
    assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0);
}

#[test]
fn parent_is_short_and_lets_the_helper_run() {
    let [first, second, long] = [0; 3].map(|_| tempfile::tempdir().unwrap());
    let long = long.path().join("x".repeat(MAX_PATH));
    let [first, second] = [first.path().to_owned(), second.path().to_owned()];
    let candidates = [long, first.clone(), second.clone()];
    let forbids = |path: &Path| path == first;
    assert_eq!(parent(&candidates, false, forbids), first);
    assert_eq!(parent(&candidates, true, forbids), second);
    assert_eq!(parent(&candidates, true, |_| true), first, "the failure says why");
}

#[test]
fn configuration_of_user_comes_first() {
    let access = Access { home: Some("/home/a 100%".into()), is_other_home: true, ..Access::default() };
    let server = Server::all(&Options { servers: vec!["h".into()], ..Options::default() }).unwrap().0;
    let options = Options { user: Some("root".into()), key: Some("/k".into()), ..Options::default() };
    let text = configuration(&access, &options, &server);
    let lines: Vec<&str> = text.lines().skip(OPTIONS.len() + 1).take(7).collect();
    let expected = [
        "  IdentityFile \"/k\"",
        "Include \"/home/a 100%/.ssh/config\"",
        "Include /etc/ssh/ssh_config",
        "Host h",
        "  User root",
        "Host *",
        "  UserKnownHostsFile \"/home/a 100%%/.ssh/known_hosts\" \"/home/a 100%%/.ssh/known_hosts2\"",
    ];
    assert_eq!(lines, expected);
    let own = configuration(&Access::default(), &Options::default(), &[]);
    assert!(own.contains("\nInclude ~/.ssh/config\n") && own.starts_with("Host *\n  BatchMode yes\n"));
}
