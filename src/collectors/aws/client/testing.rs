//! A client whose answers are given beforehand and whose requests are kept.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};

use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
use aws_smithy_runtime_api::client::{
    http::{HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn},
    orchestrator::HttpRequest,
};
use aws_smithy_types::body::SdkBody;

use super::{Client, ClientConfig, Overrides, Timeouts};
use crate::collectors::Waits;

/// Answers in their order, and what was asked.
#[derive(Clone, Debug, Default)]
pub(in crate::collectors::aws) struct Served(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    answers: VecDeque<(u16, SdkBody)>,
    /// Said in a header of all answers that are refusals: where the bucket is.
    region: Option<&'static str>,
    asked: Vec<Asked>,
}

/// One request as it went out.
#[derive(Clone, Debug)]
pub(in crate::collectors::aws) struct Asked {
    pub url: String,
    pub authorization: String,
    pub body: String,
}

impl Served {
    pub(in crate::collectors::aws) fn new(answers: impl IntoIterator<Item = (u16, String)>) -> Self {
        let served = Self::default();
        let answers = answers.into_iter().map(|(status, body)| (status, SdkBody::from(body)));
        served.0.lock().unwrap().answers.extend(answers);
        served
    }

    /// The same with refusals that name the region of the bucket.
    pub(in crate::collectors::aws) fn bucket_in(self, region: &'static str) -> Self {
        self.0.lock().unwrap().region = Some(region);
        self
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
            body: String::from_utf8_lossy(request.body().bytes().unwrap_or_default()).into_owned(),
        });
        let (status, body) = state.answers.pop_front().unwrap();
        let mut response = http::Response::builder().status(status);
        if let Some(region) = state.region.filter(|_| status >= 300) {
            response = response.header("x-amz-bucket-region", region);
        }
        let response = response.body(body).unwrap();
        HttpConnectorFuture::ready(Ok(response.try_into().unwrap()))
    }
}

/// A client of a server that settings name.
pub(in crate::collectors::aws) fn client(served: &Served) -> Client {
    client_with(served, Overrides { all: Some("http://127.0.0.1:1".into()), ..Overrides::default() }, 1)
}

/// A client with these endpoints that tries each call so often, without pauses.
pub(in crate::collectors::aws) fn client_with(served: &Served, overrides: Overrides, attempts: u32) -> Client {
    let connector = SharedHttpConnector::new(served.clone());
    Client::new(ClientConfig {
        credentials: SharedCredentialsProvider::new(Credentials::new("AKID", "secret", None, None, "test")),
        overrides,
        account: "123456789012".into(),
        timeouts: Timeouts { pause: Duration::ZERO, ..Timeouts::default() },
        attempts,
        http: http_client_fn(move |_, _| connector.clone()),
        waits: Waits::default().unit(0),
    })
}
