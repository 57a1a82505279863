//! What the Python worker knew of a server: processors, memory, and its address in each family.
//!
//! Each command is a channel of its own with the words of the Python worker, so that accounts which may run only these
//! commands work.

use super::{
    server::Server,
    ssh::{Output, Session, unusable},
};
use crate::engine::CallError;

/// The commands for the memory and the processors.
const MEMORY: &str = "cat /proc/meminfo";
const PROCESSORS: &str = "cat /proc/cpuinfo";

/// The addresses of which the route is asked for: one of each family.
const FAR: [&str; 2] = ["8.8.8.8", "2001:4860:4860::8888"];

/// The commands for the route to an address, and for the addresses of a device; the next one if there is no such
/// command or it has other words.
const ROUTE: [&str; 3] = ["ip r g", "ip route get", "/sbin/ip route get"];
const ADDRESSES: [&str; 3] = ["ip a s dev", "ip address show dev", "/sbin/ip address show dev"];

/// The facts about a server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Facts {
    /// The number of processors.
    pub(crate) cores: i64,
    /// The memory in GiB.
    pub(crate) memory: i64,
    /// The model of the first processor.
    pub(crate) model: Option<String>,
    /// The device of the route in the last family that has one.
    pub(crate) device: Option<String>,
    /// The source addresses of IPv4 and IPv6 routes, with the length of their prefix.
    pub(crate) addresses: [Option<String>; 2],
}

/// Asks a server for its facts.
///
/// # Errors
/// If the connection breaks, a command does not end, or processors or memory are unknown.
pub(crate) async fn read(session: &Session<'_>, server: &Server) -> Result<Facts, CallError> {
    let mut facts = Facts::default();
    let output = session.run(MEMORY).await?;
    facts.memory = memory(&output.stdout).ok_or_else(|| unusable(&output, server, MEMORY, "there is no MemTotal"))?;
    let output = session.run(PROCESSORS).await?;
    (facts.cores, facts.model) = processors(&output.stdout);
    if facts.cores == 0 {
        return Err(unusable(&output, server, PROCESSORS, "there is no processor"));
    }
    for (far, slot) in FAR.into_iter().zip(&mut facts.addresses) {
        let Some(output) = first(session, ROUTE, far).await? else { continue };
        let Some((device, source)) = route(&output.stdout, far) else { continue };
        if let Some(output) = first(session, ADDRESSES, &device).await? {
            *slot = address(&output.stdout, &source);
        }
        facts.device = Some(device);
    }
    Ok(facts)
}

/// Returns the output of the first of several commands that works; `None` if none does, or there is no route.
async fn first(session: &Session<'_>, commands: [&str; 3], argument: &str) -> Result<Option<Output>, CallError> {
    for command in commands {
        let output = session.run(&format!("{command} {argument}")).await?;
        if output.code == 0 {
            return Ok(Some(output));
        }
        // The command is known, and there is no route or device.
        if output.stderr.contains("RTNETLINK") || output.stderr.contains("unreachable") {
            return Ok(None);
        }
    }
    Ok(None)
}

/// Returns the value of a line such as `name : value`.
fn value<'t>(line: &'t str, name: &str) -> Option<&'t str> {
    let (key, value) = line.split_once(':')?;
    (key.trim() == name).then_some(value.trim())
}

/// Returns the memory in GiB, half of one rounded to the even number.
fn memory(meminfo: &str) -> Option<i64> {
    let total = meminfo.lines().find_map(|line| value(line, "MemTotal"))?;
    let kib: i64 = total.split_whitespace().next()?.parse().ok().filter(|kib| *kib >= 0)?;
    let (whole, rest) = (kib >> 20, kib & 0xf_ffff);
    let is_up = rest > 1 << 19 || (rest == 1 << 19 && whole % 2 == 1);
    Some(whole + i64::from(is_up))
}

/// Returns the number of processors, and the model of the first one.
fn processors(cpuinfo: &str) -> (i64, Option<String>) {
    // ARM has `Processor` for all of them.
    let is_processor = |line: &&str| value(line, "processor").is_some_and(|number| number.parse::<u32>().is_ok());
    let count = cpuinfo.lines().filter(is_processor).count();
    let lines = cpuinfo.lines().skip_while(|line| !is_processor(line));
    let first = lines.enumerate().take_while(|(index, line)| *index == 0 || !is_processor(line)).map(|(_, line)| line);
    let model = first.filter_map(|line| value(line, "model name")).find(|model| !model.is_empty());
    (i64::try_from(count).unwrap_or(i64::MAX), model.map(str::to_owned))
}

/// Returns device and source of a route.
fn route(text: &str, far: &str) -> Option<(String, String)> {
    let line = text.lines().find(|line| line.split_whitespace().next() == Some(far))?;
    let after = |name: &str| {
        let mut words = line.split_whitespace().skip_while(|word| *word != name);
        words.nth(1).map(str::to_owned)
    };
    let (device, source) = (after("dev")?, after("src")?);
    // It becomes a part of a command.
    let is_name = !device.starts_with('-') && device.chars().all(|c| c.is_ascii_alphanumeric() || "._-@:".contains(c));
    is_name.then_some((device, source))
}

/// Returns an address with the length of its prefix, from the addresses of a device.
fn address(text: &str, source: &str) -> Option<String> {
    let of_line = |line: &str| {
        let mut words = line.split_whitespace();
        words.next().filter(|word| *word == "inet" || *word == "inet6")?;
        words.next().map(str::to_owned)
    };
    text.lines().filter_map(of_line).find(|found| found.split('/').next() == Some(source))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_rounded_half_to_even() {
        for (kib, gib) in [("32768000 kB", 31), ("1572864 kB", 2), ("2621440 kB", 2), ("524288", 0), ("524289 kB", 1)] {
            assert_eq!(memory(&format!("MemTotal:       {kib}\nHugePages_Total:       0\n")), Some(gib), "{kib}");
        }
        assert_eq!(memory("MemFree: 1 kB\n"), None);
        assert_eq!(memory("MemTotal: -1 kB\n"), None);
    }

    #[test]
    fn processors_are_counted_and_arm_has_no_model() {
        let x86 = "processor\t: 0\nmodel name\t: Fast: CPU\nflags\t\t: fpu\n\nprocessor\t: 1\nmodel name\t: Other\n\n";
        assert_eq!(processors(x86), (2, Some("Fast: CPU".to_owned())));
        let arm = "processor\t: 0\nBogoMIPS\t: 48.00\n\nprocessor\t: 1\n\nHardware\t: BCM2835\nModel\t\t: Pi\n";
        assert_eq!(processors(arm), (2, None));
        let second_only = "processor : 0\n\nprocessor : 1\nmodel name : Second\n";
        assert_eq!(processors(second_only), (2, None));
        assert_eq!(processors(""), (0, None));
    }

    #[test]
    fn route_has_device_and_source() {
        let four = "8.8.8.8 via 10.0.0.1 dev eth0 src 10.0.0.7 uid 0 \n    cache \n";
        assert_eq!(route(four, FAR[0]), Some(("eth0".to_owned(), "10.0.0.7".to_owned())));
        let six = "2001:4860:4860::8888 from :: via fe80::1 dev eth0 src 2001:db8::7 metric 1024 pref medium\n";
        assert_eq!(route(six, FAR[1]), Some(("eth0".to_owned(), "2001:db8::7".to_owned())));
        assert_eq!(route("8.8.8.8 dev $(reboot) src 10.0.0.7\n", FAR[0]), None);
        assert_eq!(route("", FAR[0]), None);
    }

    #[test]
    fn address_is_compared_as_a_whole() {
        let device = "    inet 10.0.0.70/24 brd 10.0.0.255\n    inet 10.0.0.7/24 scope global\n    inet6 fe80::7/64\n";
        assert_eq!(address(device, "10.0.0.7").as_deref(), Some("10.0.0.7/24"));
        assert_eq!(address(device, "fe80::7").as_deref(), Some("fe80::7/64"));
        assert_eq!(address(device, "0.0.0.7"), None);
    }
}
