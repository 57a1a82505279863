//! The servers: what an entry of `--onprem-server` says, and the names of their nodes.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

use super::options::Options;

/// The port of SSH.
const PORT: u16 = 22;

/// An entry of `--onprem-server`: `[location%[region%[network%]]][user@]host[:port]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Entry {
    location: Option<String>,
    region: Option<String>,
    network: Option<String>,
    user: Option<String>,
    host: String,
    port: Option<u16>,
}

/// A server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Server {
    /// The ID of its node, unique in its region.
    pub(crate) id: String,
    /// The location's ID.
    pub(crate) location: String,
    /// The region's ID, if it is in one.
    pub(crate) region: Option<String>,
    /// The network's ID, if it is in one.
    pub(crate) network: Option<String>,
    /// The user who logs in; `None` for that of ssh_config or the option.
    pub(crate) user: Option<String>,
    /// The name or address, without brackets.
    pub(crate) host: String,
    /// The port; `None` for that of ssh_config.
    pub(crate) port: Option<u16>,
}

impl Entry {
    /// Parses an entry.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        // The host may have the separators, in brackets.
        let bracket = text.rfind('[').filter(|_| text.contains(']'));
        let (before, host, port) = match bracket {
            Some(at) => {
                let (before, rest) = text.split_at(at);
                let (host, port) = rest.get(1..).and_then(|rest| rest.split_once(']')).unwrap_or_default();
                let port = match port.strip_prefix(':') {
                    Some(port) => Some(port),
                    None if port.is_empty() => None,
                    None => return Err(format!("{port:?} after the address is not a port")),
                };
                (before, host, port)
            }
            None => {
                let at = text.rfind(['%', '@']).map_or(0, |at| at + 1);
                let (before, rest) = text.split_at(at);
                match rest.split_once(':') {
                    Some((_, port)) if port.contains(':') => {
                        return Err("an IPv6 address must be in brackets: [2001:db8::1] or [2001:db8::1]:22".to_owned());
                    }
                    Some((host, port)) => (before, host, Some(port)),
                    None => (before, rest, None),
                }
            }
        };
        let (path, user) = match before.strip_suffix('@') {
            Some(before) => before.rsplit_once('%').map_or(("", before), |(path, user)| (path, user)),
            None => (before.strip_suffix('%').unwrap_or(before), ""),
        };
        if bracket.is_some() && !before.is_empty() && !before.ends_with(['%', '@']) {
            return Err("the address in brackets must follow a % or an @".to_owned());
        }
        let mut places = path.split('%').map(|part| Some(part).filter(|part| !part.is_empty()).map(str::to_owned));
        let [location, region, network] = [0; 3].map(|_| places.next().flatten());
        if places.next().is_some() {
            return Err("more than a location, a region and a network before the host".to_owned());
        }
        let port = port.map(|port| port.parse().ok().filter(|port| *port != 0).ok_or_else(|| not_a_port(port)));
        let user = Some(user).filter(|user| !user.is_empty()).map(str::to_owned);
        if before.ends_with('@') && user.is_none() {
            return Err("no user before the @".to_owned());
        }
        check_host(host)?;
        user.as_deref().map_or(Ok(()), check_user)?;
        Ok(Self { location, region, network, user, host: host.to_owned(), port: port.transpose()? })
    }
}

fn not_a_port(port: &str) -> String {
    format!("{port:?} is not a port; expected a number from 1 to 65535")
}

/// Checks that the client of SSH cannot take a host for an option or a pattern.
fn check_host(host: &str) -> Result<(), String> {
    let is_allowed = |c: char| c.is_alphanumeric() || ".-_:%".contains(c);
    match host {
        "" => Err("no host; expected [location%[region%[network%]]][user@]host[:port]".to_owned()),
        _ if host.starts_with('-') => Err("a host cannot begin with a dash".to_owned()),
        _ if !host.chars().all(is_allowed) => Err(format!("{host:?} is not the name or address of a host")),
        _ => Ok(()),
    }
}

/// Checks that the client of SSH cannot take a user for an option or a command.
pub(crate) fn check_user(user: &str) -> Result<(), String> {
    let is_bad = |c: char| c.is_whitespace() || c.is_control() || "'\"`$\\;&<>|(){}%#".contains(c);
    if user.starts_with('-') || user.contains(is_bad) {
        return Err(format!("{user:?} is not the name of a user"));
    }
    Ok(())
}

impl Server {
    /// Returns the servers of all entries, each once, and warnings about entries that name a server again.
    ///
    /// # Errors
    /// The entry that cannot be parsed.
    pub(crate) fn all(options: &Options) -> Result<(Vec<Self>, Vec<String>), String> {
        let (mut servers, mut warnings): (Vec<Self>, Vec<String>) = Default::default();
        // The first port of each host in a region, whose node has the host's name alone.
        let mut ports: BTreeMap<(String, Option<String>, String), u16> = BTreeMap::new();
        for text in &options.servers {
            let entry = Entry::parse(text).map_err(|why| format!("--onprem-server {text}: {why}"))?;
            let mut server = Self::of(entry, options);
            let port = server.port.unwrap_or(PORT);
            let key = (server.location.clone(), server.region.clone(), server.host.clone());
            if *ports.entry(key).or_insert(port) != port {
                server.id = server.address();
                warnings.push(format!("another port of {} is a node of its own: {}", server.host, server.id));
            }
            if servers.iter().any(|known| known.is_same(&server)) {
                warnings.push(format!("{} is named twice in --onprem-server", server.id));
            } else {
                servers.push(server);
            }
        }
        Ok((servers, warnings))
    }

    fn of(entry: Entry, options: &Options) -> Self {
        let Entry { location, region, network, user, host, port } = entry;
        let is_placed = location.is_some() || region.is_some() || network.is_some();
        Self {
            id: host.clone(),
            location: location.unwrap_or_else(|| options.location.clone()),
            region: region.or_else(|| (!is_placed).then(|| options.region.clone())),
            network,
            user,
            host,
            port,
        }
    }

    /// Returns whether it is the same machine, by its address, at the same place.
    fn is_same(&self, other: &Self) -> bool {
        let place = |server: &Self| (server.location.clone(), server.region.clone(), server.network.clone());
        let ports = [self, other].map(|server| server.port.unwrap_or(PORT));
        self.host == other.host && ports[0] == ports[1] && place(self) == place(other)
    }

    /// Returns host and port.
    fn address(&self) -> String {
        let port = self.port.unwrap_or(PORT);
        if self.host.contains(':') { format!("[{}]:{port}", self.host) } else { format!("{}:{port}", self.host) }
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.address())
    }
}

#[cfg(test)]
#[path = "server_tests.rs"]
mod tests;
