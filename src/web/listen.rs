//! Opens the port.

use std::{
    io::{self, ErrorKind},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use tokio::{
    net::{TcpListener, TcpSocket, lookup_host},
    time::timeout,
};

/// The timeout for resolving the host's name.
const LOOKUP: Duration = Duration::from_secs(5);
/// The number of connections that may wait to be accepted.
const BACKLOG: u32 = 1024;

/// The port could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum WebError {
    /// The host's name has no address.
    #[error("--web-host {host}: {reason}; give an address of this machine")]
    Host {
        /// The host's name.
        host: String,
        /// The cause.
        reason: String,
    },
    /// The system rejected a call.
    #[error("cannot listen on {address}: {source}; {advice}")]
    Listen {
        /// The address and the port.
        address: SocketAddr,
        /// The system's error.
        source: io::Error,
        /// The remedy.
        advice: &'static str,
    },
}

/// Listens on a host's port; port 0 is any free one. `::` is every address, IPv4 included unless the system is
/// configured otherwise (`net.ipv6.bindv6only`). Without IPv6, `::` falls back to IPv4.
///
/// # Errors
/// If the host has no address, or the port cannot be opened. The message names both and the option to change.
pub async fn bind(host: &str, port: u16) -> Result<TcpListener, WebError> {
    let addresses = resolve(host, port).await?;
    let mut last = None;
    for address in addresses {
        match listen(address) {
            Ok(listener) => return Ok(listener),
            Err(source) => last = Some((address, source)),
        }
    }
    let Some((address, source)) = last else { return Err(host_error(host, "has no address")) };
    Err(WebError::Listen { address, advice: advice(&source), source })
}

async fn resolve(host: &str, port: u16) -> Result<Vec<SocketAddr>, WebError> {
    let plain = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    if let Ok(address) = plain.parse::<IpAddr>() {
        return Ok(with_fallback(address, port));
    }
    match timeout(LOOKUP, lookup_host((plain, port))).await {
        Ok(Ok(addresses)) => Ok(addresses.collect()),
        Ok(Err(error)) => Err(host_error(host, &error.to_string())),
        Err(_) => Err(host_error(host, "its address could not be found in time")),
    }
}

/// Returns the addresses to try. Without IPv6, listening on `::` fails, and IPv4 is tried. An occupied port is not
/// retried with IPv4, because the same program would hold both.
fn with_fallback(address: IpAddr, port: u16) -> Vec<SocketAddr> {
    let mut addresses = vec![SocketAddr::new(address, port)];
    if address == IpAddr::V6(Ipv6Addr::UNSPECIFIED) && !has_ipv6() {
        addresses.push(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port));
    }
    addresses
}

fn has_ipv6() -> bool {
    std::net::UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).is_ok()
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    // A restart must not wait until the system has forgotten the last process's connections.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

fn host_error(host: &str, reason: &str) -> WebError {
    WebError::Host { host: host.to_owned(), reason: reason.to_owned() }
}

fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        ErrorKind::AddrInUse => "another program uses the port, choose a free one with --web-port (0 for any)",
        ErrorKind::PermissionDenied => "choose a port above 1023 with --web-port",
        ErrorKind::AddrNotAvailable => "give an address of this machine with --web-host",
        _ => "choose another address with --web-host and --web-port",
    }
}
