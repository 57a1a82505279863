//! The operating system's measurements of this process, under the names that all Prometheus clients use.

use std::time::{SystemTime, UNIX_EPOCH};

use nix::sys::{
    resource::{Resource, UsageWho, getrlimit, getrusage},
    time::TimeVal,
};

use super::text::single;

/// Writes the values that can be read, and omits the others.
pub(super) fn encode(out: &mut String, started: SystemTime) {
    if let Ok(status) = std::fs::read_to_string("/proc/self/status") {
        let memory = [
            ("VmSize:", "process_virtual_memory_bytes", "Virtual memory size in bytes."),
            ("VmRSS:", "process_resident_memory_bytes", "Resident memory size in bytes."),
        ];
        for (key, name, help) in memory {
            if let Some(bytes) = bytes(&status, key) {
                single(out, name, help, "gauge", bytes);
            }
        }
    }
    let started = started.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
    single(
        out,
        "process_start_time_seconds",
        "Start time of the process since unix epoch in seconds.",
        "gauge",
        started,
    );
    cpu(out, UsageWho::RUSAGE_SELF, "process_cpu_seconds_total", "Total user and system CPU time spent in seconds.");
    let children = "User and system CPU time of worker processes that have ended, in seconds.";
    cpu(out, UsageWho::RUSAGE_CHILDREN, "ckworker_workers_cpu_seconds_total", children);
    if let Ok(entries) = std::fs::read_dir("/proc/self/fd") {
        // Reading the directory takes a descriptor of its own.
        let open = entries.count().saturating_sub(1);
        single(out, "process_open_fds", "Number of open file descriptors.", "gauge", open as f64);
    }
    if let Ok((soft, _)) = getrlimit(Resource::RLIMIT_NOFILE) {
        single(out, "process_max_fds", "Maximum number of open file descriptors.", "gauge", soft as f64);
    }
}

fn cpu(out: &mut String, who: UsageWho, name: &str, help: &str) {
    if let Ok(usage) = getrusage(who) {
        single(out, name, help, "counter", seconds(usage.user_time()) + seconds(usage.system_time()));
    }
}

fn seconds(time: TimeVal) -> f64 {
    time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6
}

/// Returns the value of a line such as `VmRSS:     9400 kB`, in bytes.
fn bytes(status: &str, key: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix(key))?;
    let kib: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024.0)
}
