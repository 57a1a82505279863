//! Entries of the option, and the servers that they make.

#![expect(clippy::unwrap_used, reason = "tests")]

use super::*;

fn entry(parts: [&str; 5], port: Option<u16>) -> Entry {
    let [location, region, network, user, host] = parts.map(str::to_owned);
    let some = |text: String| Some(text).filter(|text| !text.is_empty());
    Entry { location: some(location), region: some(region), network: some(network), user: some(user), host, port }
}

#[test]
fn entries_have_all_their_parts() {
    for (text, expected) in [
        ("host", entry(["", "", "", "", "host"], None)),
        ("root@127.0.0.1:6540", entry(["", "", "", "root", "127.0.0.1"], Some(6540))),
        ("Berlin%dc1%lan%root@localhost:6540", entry(["Berlin", "dc1", "lan", "root", "localhost"], Some(6540))),
        ("Berlin%dc 1%host", entry(["Berlin", "dc 1", "", "", "host"], None)),
        ("Berlin%host:22", entry(["Berlin", "", "", "", "host"], Some(22))),
        ("Berlin%%lan%host", entry(["Berlin", "", "lan", "", "host"], None)),
        ("[2001:db8::1]:22", entry(["", "", "", "", "2001:db8::1"], Some(22))),
        (
            "Berlin%dc1%lan%root@[fe80::1%eth0]:2222",
            entry(["Berlin", "dc1", "lan", "root", "fe80::1%eth0"], Some(2222)),
        ),
        ("a%[2001:db8::1]", entry(["a", "", "", "", "2001:db8::1"], None)),
        ("me@example.com@host", entry(["", "", "", "me@example.com", "host"], None)),
    ] {
        assert_eq!(Entry::parse(text), Ok(expected), "{text}");
    }
}

#[test]
fn wrong_entries_are_rejected_with_the_reason() {
    for (text, why) in [
        ("", "no host"),
        ("a%", "no host"),
        ("root@", "no host"),
        ("@host", "no user"),
        ("host:", "not a port"),
        ("host:0", "not a port"),
        ("host:70000", "not a port"),
        ("2001:db8::1", "in brackets"),
        ("[2001:db8::1]22", "not a port"),
        ("a[2001:db8::1]", "must follow"),
        ("a%b%c%d%host", "more than"),
        ("-oProxyCommand=x", "dash"),
        ("host*", "not the name"),
        ("a b", "not the name"),
        ("-x@host", "not the name of a user"),
        ("$(x)@host", "not the name of a user"),
    ] {
        let error = Entry::parse(text).unwrap_err();
        assert!(error.contains(why), "{text}: {error}");
    }
}

fn all(entries: &[&str]) -> (Vec<Server>, Vec<String>) {
    let servers = entries.iter().map(|entry| (*entry).to_owned()).collect();
    let (location, region) = ("Default location".to_owned(), "Default region".to_owned());
    Server::all(&Options { servers, location, region, ..Options::default() }).unwrap()
}

#[test]
fn second_port_of_host_is_a_node_of_its_own() {
    let (servers, warnings) = all(&["h", "h:22", "h:2222", "a%h:2222", "[::1]:1", "[::1]:2"]);
    let ids: Vec<_> = servers.iter().map(|server| server.id.as_str()).collect();
    assert_eq!(ids, ["h", "h:2222", "h", "::1", "[::1]:2"]);
    assert_eq!(warnings.len(), 3, "{warnings:?}");
}

#[test]
fn server_without_port_is_the_one_with_port_22() {
    for entries in [["h", "h:22"], ["h:22", "h"], ["root@h:22", "h"], ["[::1]", "[::1]:22"], ["a%b%c%h", "a%b%c%h:22"]]
    {
        let (servers, warnings) = all(&entries);
        assert_eq!((servers.len(), warnings.len()), (1, 1), "{entries:?}: {warnings:?}");
        assert_eq!(servers[0].id, servers[0].host, "{entries:?}");
    }
    let (servers, warnings) = all(&["h:22", "h:2222", "h"]);
    let ids: Vec<_> = servers.iter().map(|server| server.id.as_str()).collect();
    assert_eq!((ids, warnings.len()), (vec!["h", "h:2222"], 2), "also with another port between them");
}

#[test]
fn server_without_place_is_in_the_default_region() {
    let (servers, _) = all(&["h", "Berlin%h", "Berlin%dc1%h"]);
    let places: Vec<_> = servers.iter().map(|server| (server.location.as_str(), server.region.as_deref())).collect();
    assert_eq!(places, [("Default location", Some("Default region")), ("Berlin", None), ("Berlin", Some("dc1"))]);
}
