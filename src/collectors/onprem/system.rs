//! What is new: operating system, disks and file systems, which one script tells. Nothing needs to be installed.
//!
//! An account that may not run a shell tells nothing, which is a gap only if the core has such parts. A section of the
//! script that did not end is a gap.

use std::collections::BTreeMap;

use time::OffsetDateTime;
use worker_proto::{Failure, Why};

use super::{
    kinds::schema,
    server::Server,
    ssh::{SCRIPT as COMMAND, SERVICE, Session},
};
use crate::{
    engine::{CallError, CallErrorKind, code},
    graph::{Resource, ResourceError, Value},
};

/// The script.
const SCRIPT: &str = include_str!("system.sh");
/// The beginning of a section.
const MARKER: &str = "=ckworker= ";
/// The most disks, and the most file systems, of a server.
const MOST: usize = 500;
/// The bytes of a block, in the kernel's numbers of disks.
const BLOCK: i64 = 512;

/// The kinds of the parts.
pub(crate) const KINDS: [&str; 3] = [SYSTEM_KIND, DISK_KIND, FILESYSTEM_KIND];
const SYSTEM_KIND: &str = "onprem_operating_system";
const DISK_KIND: &str = "onprem_disk";
const FILESYSTEM_KIND: &str = "onprem_filesystem";

/// The parts of a server.
pub(crate) struct System {
    /// The nodes below the server's.
    pub(crate) resources: Vec<Resource<'static>>,
    /// The kinds of which nodes may be missing.
    pub(crate) unseen: Vec<&'static str>,
    /// The reason for the core.
    pub(crate) why: Why,
    /// What is reported of it, if that is a gap in any case.
    pub(crate) error: Option<CallError>,
}

impl Default for System {
    fn default() -> Self {
        Self { resources: Vec::new(), unseen: Vec::new(), why: Why::Unseen, error: None }
    }
}

/// The complete sections by name.
type Sections<'t> = BTreeMap<&'t str, Vec<&'t str>>;

/// Asks a server for its parts.
///
/// # Errors
/// `Internal` for a bug.
pub(crate) async fn read(session: &Session<'_>, server: &Server) -> Result<System, Failure> {
    let (output, error) = session.script(SCRIPT).await;
    let sections = sections(&output.stdout);
    if error.is_none() && !output.stdout.contains(MARKER) {
        tracing::info!(
            server = server.id,
            code = output.code,
            "server runs no script; only its basic facts are collected"
        );
        let why = Why::NotInUse { service: SERVICE.to_owned(), operation: COMMAND.to_owned() };
        return Ok(System { unseen: KINDS.to_vec(), why, ..System::default() });
    }
    let mut system = System { error, ..System::default() };
    let parts: [(&'static str, &str, Build); 3] =
        [(SYSTEM_KIND, "packages", operating_system), (DISK_KIND, "disks", disks), (FILESYSTEM_KIND, "mounts", mounts)];
    for (kind, last, build) in parts {
        match sections.get(last) {
            Some(lines) => {
                system.resources.extend(build(&server.id, &sections)?);
                if lines.len() > MOST {
                    system.unseen.push(kind);
                    let message = format!("{} lines of {last}, and only {MOST} are read", lines.len());
                    let error = CallError::new(CallErrorKind::Unexpected, code::RESPONSE_TOO_LARGE, message);
                    system.error = system.error.or(Some(error.of(SERVICE, COMMAND, &server.id)));
                }
            }
            None => system.unseen.push(kind),
        }
    }
    if system.error.is_none() && !system.unseen.is_empty() {
        let message = format!("the script ended early, with exit code {}", output.code);
        let error = CallError::new(CallErrorKind::Unexpected, super::ssh::code::COMMAND_FAILED, message);
        system.error = Some(error.of(SERVICE, COMMAND, &server.id));
    }
    Ok(system)
}

/// Makes the nodes of a kind.
type Build = fn(&str, &Sections<'_>) -> Result<Vec<Resource<'static>>, Failure>;

/// Returns the sections that another one follows.
fn sections(text: &str) -> Sections<'_> {
    let mut sections = Sections::new();
    let mut current: Option<(&str, Vec<&str>)> = None;
    for line in text.lines() {
        match line.strip_prefix(MARKER) {
            Some(name) => sections.extend(current.replace((name, Vec::new()))),
            None if line.trim().is_empty() => {}
            None => current.iter_mut().for_each(|(_, lines)| lines.push(line)),
        }
    }
    sections
}

fn resource(kind: &str, id: String, name: &str) -> Result<Resource<'static>, Failure> {
    let mut resource = Resource::new(schema()?.require(kind)?, id);
    resource.name(name);
    Ok(resource)
}

/// Sets fields that have values.
fn set<const N: usize>(
    resource: &mut Resource<'static>,
    fields: [(&str, Option<Value>); N],
) -> Result<(), ResourceError> {
    for (field, value) in fields {
        if let Some(value) = value {
            resource.set(field, value)?;
        }
    }
    Ok(())
}

fn text(text: &str) -> Option<Value> {
    Some(text.trim()).filter(|text| !text.is_empty()).map(|text| Value::Text(text.to_owned()))
}

fn number(text: &str, unit: i64) -> Option<i64> {
    text.trim().parse::<i64>().ok().filter(|number| *number >= 0)?.checked_mul(unit)
}

fn operating_system(server: &str, sections: &Sections<'_>) -> Result<Vec<Resource<'static>>, Failure> {
    let lines = |name: &str| sections.get(name).map(Vec::as_slice).unwrap_or_default();
    let release = |name: &str| {
        let found = lines("os").iter().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        found.map(|value| value.trim().trim_matches(['"', '\'']))
    };
    let kernel = |line: usize| lines("kernel").get(line).and_then(|line| text(line));
    let booted = lines("boot").iter().find_map(|line| line.strip_prefix("btime "));
    let booted = booted.and_then(|seconds| OffsetDateTime::from_unix_timestamp(number(seconds, 1)?).ok());
    let packages = lines("packages").first().and_then(|line| line.split_once(' '));
    let name = release("PRETTY_NAME").or_else(|| release("NAME")).unwrap_or("operating system");
    let mut resource = resource(SYSTEM_KIND, format!("{server}/os"), name)?;
    let fields = [
        ("os_id", release("ID").and_then(text)),
        ("os_version", release("VERSION_ID").and_then(text)),
        ("kernel_name", kernel(0)),
        ("kernel_release", kernel(1)),
        ("architecture", kernel(2)),
        ("package_manager", packages.and_then(|(manager, _)| text(manager))),
        ("package_count", packages.and_then(|(_, count)| number(count, 1)).map(Value::Int)),
        ("booted_at", booted.map(Value::Time)),
    ];
    set(&mut resource, fields)?;
    Ok(vec![resource])
}

fn disks(server: &str, sections: &Sections<'_>) -> Result<Vec<Resource<'static>>, Failure> {
    let lines = sections.get("disks").into_iter().flatten().take(MOST);
    let mut disks = Vec::new();
    for line in lines {
        let mut columns = line.split('\t');
        let [name, blocks, rotational, model] = [0; 4].map(|_| columns.next().unwrap_or_default());
        let bytes = number(blocks, BLOCK).filter(|bytes| *bytes > 0);
        let (Some(bytes), false) = (bytes, name.is_empty()) else { continue };
        let kind = match rotational.trim() {
            "0" => "ssd",
            "1" => "hdd",
            _ => "",
        };
        let mut disk = resource(DISK_KIND, format!("{server}/disk/{name}"), name)?;
        let fields = [
            ("volume_size", Some(Value::Int(bytes >> 30))),
            ("volume_type", text(kind)),
            ("volume_status", text("in-use")),
            ("disk_model", text(model)),
            ("disk_bytes", Some(Value::Int(bytes))),
        ];
        set(&mut disk, fields)?;
        disks.push(disk);
    }
    Ok(disks)
}

fn mounts(server: &str, sections: &Sections<'_>) -> Result<Vec<Resource<'static>>, Failure> {
    let lines = sections.get("mounts").into_iter().flatten().take(MOST);
    let mut mounts: BTreeMap<String, Resource<'static>> = BTreeMap::new();
    for line in lines {
        let mut columns = line.splitn(5, '\t');
        let [device, path, kind, options, usage] = [0; 5].map(|_| columns.next().unwrap_or_default());
        if path.is_empty() {
            continue;
        }
        let path = unescaped(path);
        // The device may have spaces: the numbers are the first after it.
        let mut numbers = usage.split_whitespace().skip(1).map(|word| number(word, 1024)).skip_while(Option::is_none);
        let [size, used, available] = [0; 3].map(|_| numbers.next().flatten().map(Value::Int));
        let mut mount = resource(FILESYSTEM_KIND, format!("{server}/mount{path}"), &path)?;
        let fields = [
            ("filesystem_device", text(&unescaped(device))),
            ("filesystem_type", text(kind)),
            ("filesystem_read_only", Some(Value::Bool(options.split(',').any(|option| option == "ro")))),
            ("filesystem_bytes", size),
            ("filesystem_used_bytes", used),
            ("filesystem_available_bytes", available),
        ];
        set(&mut mount, fields)?;
        // What is mounted last on a directory is what it shows.
        mounts.insert(path, mount);
    }
    Ok(mounts.into_values().collect())
}

/// Returns a path of the kernel's list of mounts with the characters that are octal numbers there.
fn unescaped(path: &str) -> String {
    ["\\040", "\\011", "\\012", "\\134"]
        .iter()
        .zip([" ", "\t", "\n", "\\"])
        .fold(path.to_owned(), |path, (from, to)| path.replace(from, to))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::{
        io::Write,
        process::{Command, Stdio},
    };

    use super::*;

    const SAID: &str = "motd\n\n=ckworker= os\nPRETTY_NAME=\"Debian GNU/Linux 12\"\nID=debian\nVERSION_ID=\"12\"\n\
        \n=ckworker= kernel\nLinux\n6.1.0\nx86_64\n\n=ckworker= boot\nbtime 1764000000\n\n=ckworker= disks\n\
        sda\t2097152000\t0\tQEMU HARDDISK   \nsdb\t0\t1\t\n\n=ckworker= packages\ndpkg 312\n\n=ckworker= mounts\n\
        /dev/sda1\t/\text4\trw,relatime\t/dev/sda1 1000 400 500 45% /\n\
        /dev/sdc1\t/mnt/a\\040b\txfs\tro\t\n\n=ckworker= end\n";

    fn field(resource: &Resource<'_>, name: &str) -> Value {
        resource.get(name).unwrap().clone()
    }

    #[test]
    fn sections_become_nodes() {
        let sections = sections(SAID);
        let system = operating_system("h", &sections).unwrap().remove(0);
        assert_eq!((system.id(), system.name_value()), ("h/os", Some("Debian GNU/Linux 12")));
        assert_eq!(field(&system, "os_version"), Value::Text("12".into()));
        assert_eq!(field(&system, "package_count"), Value::Int(312));
        assert!(matches!(field(&system, "booted_at"), Value::Time(_)));
        let disks = disks("h", &sections).unwrap();
        assert_eq!((disks.len(), disks[0].id()), (1, "h/disk/sda"));
        assert_eq!(field(&disks[0], "volume_size"), Value::Int(1000));
        assert_eq!(field(&disks[0], "disk_model"), Value::Text("QEMU HARDDISK".into()));
        let mounts = mounts("h", &sections).unwrap();
        let ids: Vec<_> = mounts.iter().map(Resource::id).collect();
        assert_eq!(ids, ["h/mount/", "h/mount/mnt/a b"]);
        assert_eq!(field(&mounts[0], "filesystem_used_bytes"), Value::Int(400 * 1024));
        assert_eq!(field(&mounts[1], "filesystem_read_only"), Value::Bool(true));
    }

    #[test]
    fn section_that_did_not_end_is_missing() {
        let cut = SAID.split("=ckworker= end").next().unwrap();
        let sections = sections(cut);
        assert!(sections.contains_key("packages") && !sections.contains_key("mounts"));
    }

    #[test]
    fn script_runs_in_the_shell_of_this_machine() {
        let mut shell = Command::new("sh");
        shell.arg("-s").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut shell = shell.spawn().unwrap();
        shell.stdin.take().unwrap().write_all(SCRIPT.as_bytes()).unwrap();
        let output = shell.wait_with_output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let sections = sections(&text);
        for name in ["os", "kernel", "boot", "disks", "packages", "mounts"] {
            assert!(sections.contains_key(name), "{name}: {text}");
        }
        assert_eq!(operating_system("h", &sections).unwrap().len(), 1);
        assert!(disks("h", &sections).is_ok() && mounts("h", &sections).is_ok());
    }
}
