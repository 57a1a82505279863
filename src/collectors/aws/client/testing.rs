//! A client with prepared responses and recorded requests.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};

use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
use aws_smithy_runtime_api::client::{
    http::{HttpConnector, HttpConnectorFuture, SharedHttpClient, SharedHttpConnector, http_client_fn},
    orchestrator::HttpRequest,
};
use aws_smithy_types::body::SdkBody;

use super::{Client, ClientConfig, EndpointSettings, Timeouts};
use crate::collector_api::Waits;

/// Responses in their order, and the recorded requests.
#[derive(Clone, Debug, Default)]
pub(in crate::collectors::aws) struct Served(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    answers: VecDeque<(u16, Vec<u8>)>,
    /// The region of the bucket in a header of all error responses.
    region: Option<&'static str>,
    asked: Vec<Asked>,
}

/// A recorded request.
#[derive(Clone, Debug)]
pub(in crate::collectors::aws) struct Asked {
    pub url: String,
    pub authorization: String,
    /// All headers that identify the sender.
    pub agent: String,
    pub body: String,
}

impl Served {
    /// Returns responses of a status and a body; `{action}` in a body stands for the requested action.
    pub(in crate::collectors::aws) fn new<B: Into<Vec<u8>>>(answers: impl IntoIterator<Item = (u16, B)>) -> Self {
        let served = Self::default();
        let answers = answers.into_iter().map(|(status, body)| (status, body.into()));
        served.0.lock().unwrap().answers.extend(answers);
        served
    }

    /// Returns the same with error responses that name the region of the bucket.
    pub(in crate::collectors::aws) fn bucket_in(self, region: &'static str) -> Self {
        self.0.lock().unwrap().region = Some(region);
        self
    }

    /// Returns an HTTP client whose requests are recorded here.
    pub(in crate::collectors::aws) fn http(&self) -> SharedHttpClient {
        let connector = SharedHttpConnector::new(self.clone());
        http_client_fn(move |_, _| connector.clone())
    }

    pub(in crate::collectors::aws) fn asked(&self) -> Vec<Asked> {
        self.0.lock().unwrap().asked.clone()
    }

    pub(in crate::collectors::aws) fn bodies(&self) -> Vec<String> {
        self.asked().into_iter().map(|asked| asked.body).collect()
    }

    pub(in crate::collectors::aws) fn targets(&self) -> Vec<String> {
        let path = |url: String| url.splitn(4, '/').nth(3).map(|path| format!("/{path}")).unwrap_or_default();
        self.asked().into_iter().map(|asked| path(asked.url)).collect()
    }
}

impl HttpConnector for Served {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let mut state = self.0.lock().unwrap();
        state.asked.push(Asked {
            url: request.uri().to_owned(),
            authorization: request.headers().get("authorization").unwrap_or_default().to_owned(),
            agent: ["user-agent", "x-amz-user-agent"]
                .map(|name| request.headers().get(name).unwrap_or_default())
                .join(" "),
            body: String::from_utf8_lossy(request.body().bytes().unwrap_or_default()).into_owned(),
        });
        let (status, body) = state.answers.pop_front().unwrap();
        let body = named(&request, &body);
        let mut response = http::Response::builder().status(status);
        if let Some(region) = state.region.filter(|_| status >= 300) {
            response = response.header("x-amz-bucket-region", region);
        }
        let response = response.body(SdkBody::from(body)).unwrap();
        HttpConnectorFuture::ready(Ok(response.try_into().unwrap()))
    }
}

/// Fills in the action of the request.
fn named(request: &HttpRequest, body: &[u8]) -> Vec<u8> {
    let form = String::from_utf8_lossy(request.body().bytes().unwrap_or_default()).into_owned();
    let action = form.split('&').find_map(|field| field.strip_prefix("Action="));
    match (action, std::str::from_utf8(body)) {
        (Some(action), Ok(text)) => text.replace("{action}", action).into_bytes(),
        _ => body.to_vec(),
    }
}

/// Returns a client of a server that the settings name.
pub(in crate::collectors::aws) fn client(served: &Served) -> Client {
    client_with(served, EndpointSettings::all("http://127.0.0.1:1"), false)
}

/// Returns a client with these endpoints that retries without pauses, or not at all.
pub(in crate::collectors::aws) fn client_with(served: &Served, endpoints: EndpointSettings, retries: bool) -> Client {
    let retry = if retries { Timeouts::default().retry } else { Duration::ZERO };
    connected(served.clone(), endpoints, Timeouts { pause: Duration::ZERO, retry, ..Timeouts::default() })
}

/// Returns a client of this connector.
pub(in crate::collectors::aws) fn connected(
    connector: impl HttpConnector + 'static,
    endpoints: EndpointSettings,
    timeouts: Timeouts,
) -> Client {
    Client::new(config(connector, endpoints, timeouts))
}

/// Returns a client with these endpoints and an application name.
pub(in crate::collectors::aws) fn client_of(
    served: &Served,
    endpoints: EndpointSettings,
    app_id: Option<String>,
) -> Client {
    let timeouts = Timeouts { retry: Duration::ZERO, ..Timeouts::default() };
    Client::new(ClientConfig { app_id, ..config(served.clone(), endpoints, timeouts) })
}

fn config(connector: impl HttpConnector + 'static, endpoints: EndpointSettings, timeouts: Timeouts) -> ClientConfig {
    let connector = SharedHttpConnector::new(connector);
    ClientConfig {
        credentials: SharedCredentialsProvider::new(Credentials::new("AKID", "secret", None, None, "test")),
        endpoints,
        app_id: None,
        timeouts,
        http: http_client_fn(move |_, _| connector.clone()),
        waits: Waits::default().unit(0),
    }
}
