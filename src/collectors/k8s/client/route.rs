//! Connections to an API server, by the settings of its cluster.

use std::sync::Arc;

use hyper_util::client::proxy::matcher::Matcher;
use reqwest::{
    Proxy, Url,
    dns::{Addrs, Name, Resolve, Resolving},
};

use super::super::access::Route;
use crate::engine::{
    CallError,
    http::{Tls, Verify, connections_with},
};

/// Connections, and the address to which requests are sent.
#[derive(Clone)]
pub(super) struct Connected {
    /// The connections.
    pub(super) http: reqwest::Client,
    /// The URL of the API server, without a slash at its end.
    pub(super) base: String,
    /// The host for messages.
    pub(super) place: String,
}

impl Connected {
    /// Sets up connections; contacts nothing.
    ///
    /// # Errors
    /// `Configuration`: what cannot be used.
    pub(super) fn new(route: &Route) -> Result<Self, CallError> {
        Self::with(route, &Matcher::from_env())
    }

    /// Sets up connections with the proxies of an environment.
    fn with(route: &Route, environment: &Matcher) -> Result<Self, CallError> {
        let wrong = |why: String| CallError::configuration(why);
        let mut url = Url::parse(&route.server)
            .map_err(|_| wrong(format!("the address of the API server is no URL: {}", route.server)))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(wrong("the address of the API server has a user name or a password".to_owned()));
        }
        let place = url.authority().to_owned();
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let renamed = route.server_name.as_ref().filter(|_| url.scheme() == "https");
        if let Some(name) = renamed {
            // A proxy would be asked for the name in the certificate, and has to be found itself.
            let is_intercepted = || url.as_str().parse().is_ok_and(|uri| environment.intercept(&uri).is_some());
            if route.proxy.is_some() || is_intercepted() {
                return Err(wrong(format!(
                    "tls-server-name {name} cannot be used through a proxy; let the cluster's server be a name that its \
                     certificate has, or add {host} to NO_PROXY and remove proxy-url"
                )));
            }
            // Requests name the server as its certificate does, and the resolver leads them to its host.
            if name.parse::<std::net::IpAddr>().is_ok() || url.set_host(Some(name)).is_err() {
                return Err(wrong(format!("tls-server-name {name} is no name of a host")));
            }
        }
        let verify = if route.is_insecure { Verify::Nothing } else { Verify::System };
        let identity = route.identity.as_ref().map(|(certificate, key)| (certificate.as_str(), key.as_str()));
        let tls = Tls { verify, authorities: route.authorities.as_deref(), identity };
        let http = connections_with(tls, |mut builder| {
            if renamed.is_some() {
                builder = builder.no_proxy().dns_resolver(Arc::new(Fixed(host)));
            }
            match &route.proxy {
                // The URL may hold a password.
                Some(proxy) => Ok(builder.proxy(Proxy::all(proxy).map_err(|_| "its proxy-url cannot be used")?)),
                None => Ok(builder),
            }
        });
        let base = url.as_str().trim_end_matches('/').to_owned();
        Ok(Self { http: http.map_err(wrong)?, base, place })
    }
}

/// A resolver that knows one host.
struct Fixed(String);

impl Resolve for Fixed {
    fn resolve(&self, _: Name) -> Resolving {
        let host = self.0.clone();
        Box::pin(async move {
            let found: Vec<_> = tokio::net::lookup_host((host.as_str(), 0)).await?.collect();
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn route(server: &str) -> Route {
        Route { server: server.into(), ..Route::default() }
    }

    #[test]
    fn requests_name_the_server_as_its_certificate_does() {
        let named = Route { server_name: Some("api.example".into()), ..route("https://[::1]:6443/base/") };
        let connected = Connected::new(&named).unwrap();
        assert_eq!(
            (connected.base.as_str(), connected.place.as_str()),
            ("https://api.example:6443/base", "[::1]:6443")
        );
        let plain = Connected::new(&Route { server_name: Some("api".into()), ..route("http://127.0.0.1:1") }).unwrap();
        assert_eq!(plain.base, "http://127.0.0.1:1");
    }

    #[test]
    fn other_name_in_certificate_needs_a_direct_connection() {
        let named = |server: &str, proxy: Option<&str>| Route {
            server_name: Some("api.example".into()),
            proxy: proxy.map(str::to_owned),
            ..route(server)
        };
        let proxy = "http://me:hunter2@10.0.0.9:3128";
        let for_https = Matcher::builder().https(proxy).no("10.0.0.1").build();
        let none = Matcher::builder().build();
        for (route, environment, is_refused) in [
            (named("https://10.0.0.1", None), &none, false),
            (named("https://10.0.0.1", Some(proxy)), &none, true),
            (named("https://10.0.0.1", None), &for_https, false),
            (named("https://10.0.0.2", None), &for_https, true),
            (named("http://10.0.0.2", None), &for_https, false),
            (named("http://10.0.0.2", Some(proxy)), &for_https, false),
            (Route { proxy: Some(proxy.into()), ..route("https://10.0.0.2") }, &for_https, false),
            (route("https://10.0.0.2"), &for_https, false),
        ] {
            let connected = Connected::with(&route, environment);
            let case = format!("{} {:?} {:?}", route.server, route.server_name, route.proxy);
            assert_eq!(connected.is_err(), is_refused, "{case}");
            let message = connected.err().map(|error| error.to_string()).unwrap_or_default();
            assert!(!is_refused || message.contains("through a proxy") && !message.contains("hunter2"), "{message}");
        }
    }

    #[test]
    fn unusable_routes_are_refused_without_secrets() {
        let pem = |text: &str| Some(text.to_owned());
        for (route, expected) in [
            (route("nonsense"), "no URL"),
            (route("https://me:hunter2@api"), "a user name or a password"),
            (Route { server_name: pem("10.0.0.1"), ..route("https://api") }, "tls-server-name"),
            (Route { authorities: pem("hunter2"), ..route("https://api") }, "no CA certificate"),
            (Route { identity: pem("a").zip(pem("hunter2")), ..route("https://api") }, "client key"),
            (Route { proxy: pem("::hunter2"), ..route("https://api") }, "proxy-url"),
        ] {
            let error = Connected::new(&route).err().unwrap().to_string();
            assert!(error.contains(expected) && !error.contains("hunter2"), "{error}");
        }
    }
}
