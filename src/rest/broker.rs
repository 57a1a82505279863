//! The broker of credentials: it holds them in the supervisor, and gives workers the header of their calls alone.

use std::{
    collections::HashMap,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use reqwest::{Url, header::HeaderMap};
use serde_json::Value;
use tokio::{sync::Mutex, time::Instant};
use worker_proto::{Credentials, Failure, FailureKind, Unit};

use super::{
    api::{Auth, ClientCredentials, Verb},
    client::{self, Authorization, Outgoing},
    code::{Token, TokenCaller, TokenOf},
    description::Description,
    options::Common,
};
use crate::{
    collector_api::{BoxFuture, Broker, Waits},
    engine::{
        CallError, CallErrorKind, Calls, Path, Request, Timeouts, Tree, call_failure, code,
        eval::{Item, Named},
        http::{self, Verify},
    },
    settings::Settings,
};

/// Tokens with less remaining lifetime are replaced.
const MARGIN: Duration = Duration::from_secs(300);

/// The most bytes of a server's message about a token.
const MAX_TOLD: usize = 500;

/// The timeout of an attempt to get a token.
const ATTEMPT: Duration = Duration::from_secs(30);

/// The broker of a collector by definition.
pub(super) struct RestBroker {
    description: &'static Description,
    settings: Settings,
    token: Mutex<Current>,
    /// Whether a call for a token has succeeded.
    is_reached: AtomicBool,
}

/// The current token.
#[derive(Default)]
struct Current {
    /// The token, and when it came.
    token: Option<(Credentials, Instant)>,
    /// Its number.
    number: u64,
    /// The number of the token that each unit has, by the unit's ID.
    given: HashMap<String, u64>,
}

impl RestBroker {
    /// Returns a broker; contacts nothing.
    pub(super) fn new(description: &'static Description, settings: &Settings) -> Self {
        Self { description, settings: settings.clone(), token: Mutex::default(), is_reached: AtomicBool::new(false) }
    }

    async fn issue(&self, unit: Option<&Unit>, is_renewal: bool) -> Result<Credentials, Failure> {
        if let Some(token) = self.description.code.token
            && let Some(credentials) = self.current(unit, is_renewal, self.composed(token)).await?
        {
            return Ok(credentials);
        }
        match self.description.api.auth.get_ref() {
            Auth::None {} => credentials("", String::new(), None),
            Auth::Bearer { token, scheme } => {
                credentials("Authorization", format!("{scheme} {}", self.needed(token)?), None)
            }
            Auth::Header { header, token } => credentials(header, self.needed(token)?.to_owned(), None),
            Auth::Basic { user, password } => {
                let pair = format!("{}:{}", self.needed(user)?, self.needed(password)?);
                credentials("Authorization", format!("Basic {}", STANDARD.encode(pair)), None)
            }
            Auth::ClientCredentials(call) => {
                let token = async { self.new_token(call).await.map(Some) };
                self.current(unit, is_renewal, token).await?.ok_or_else(|| Failure {
                    kind: FailureKind::Internal,
                    message: "a call for a token gave none; please report this bug".into(),
                })
            }
        }
    }

    /// Returns the value of an option without which there are no credentials.
    fn needed(&self, option: &str) -> Result<&str, Failure> {
        let defined = self.description.options.defined.iter().find(|defined| defined.name == option);
        let name = defined.map_or(option, |defined| defined.full_name);
        let title = self.description.cloud.title;
        let variable = name.to_uppercase().replace('-', "_");
        self.settings.text(name).ok_or_else(|| Failure {
            kind: FailureKind::NoCredentials,
            message: format!("there are no credentials for {title}: set --{name} or CKWORKER_{variable}"),
        })
    }

    /// Returns the token of the collector's code.
    async fn composed(&self, token: TokenOf) -> Result<Option<Credentials>, Failure> {
        let Some(Token { token, expires }) = token(self).await? else { return Ok(None) };
        credentials("Authorization", format!("Bearer {token}"), expires).map(Some)
    }

    /// Returns the current token, or a new one if that ends soon or was rejected.
    async fn current(
        &self,
        unit: Option<&Unit>,
        is_renewal: bool,
        new: impl Future<Output = Result<Option<Credentials>, Failure>>,
    ) -> Result<Option<Credentials>, Failure> {
        let unit = unit.map_or("", |unit| unit.id.as_str());
        let mut known = self.token.lock().await;
        // Several accounts that were refused with the same token share the next one.
        let is_refused = is_renewal && known.given.get(unit) == Some(&known.number);
        let current = known.token.as_ref().filter(|(token, came)| !is_refused && lasts(token, *came));
        let token = match current {
            Some((token, _)) => token.clone(),
            None => {
                let Some(token) = new.await? else { return Ok(None) };
                known.token = Some((token.clone(), Instant::now()));
                known.number += 1;
                token
            }
        };
        let number = known.number;
        known.given.insert(unit.to_owned(), number);
        Ok(Some(token))
    }

    async fn new_token(&self, call: &ClientCredentials) -> Result<Credentials, Failure> {
        let title = self.description.cloud.title;
        let (id, secret) = (self.needed(&call.client_id)?, self.needed(&call.client_secret)?);
        let request = Request::new(self.description.cloud.name, "token", "account");
        let (outgoing, headers, base) = self.token_request(call, id, secret).map_err(|error| {
            call_failure(
                &format!("{title}: cannot make the call for a token"),
                &error.of(self.description.cloud.name, "token", "account"),
            )
        })?;
        let http = self.connections()?;
        let secrets = [secret.to_owned(), STANDARD.encode(format!("{id}:{secret}"))];
        let called = self.called(&request, (&http, &base), &outgoing, &headers, (rejected, &secrets)).await;
        let answer: Value = called.map_err(|error| {
            let remedy = match error.kind {
                CallErrorKind::Credentials | CallErrorKind::Denied => "; check the client ID and its secret",
                _ => "",
            };
            let mut failure = call_failure(&format!("{title}: there is no token"), &error);
            failure.message.push_str(remedy);
            failure
        })?;
        let tree = Tree::from(answer);
        let Some(token) = Item::plain(&tree).path_text(&call.token) else {
            let told = self.description.api.response.message.as_ref();
            let told = told
                .and_then(|message| Item::plain(&tree).text(message))
                .map(|told| format!(": {}", client::cut(&told, MAX_TOLD)));
            let told = told.unwrap_or_default();
            let message = format!("{title}: the response to the call for a token has none at {}{told}", call.token);
            return Err(Failure { kind: FailureKind::Unavailable, message });
        };
        let lifetime = Item::plain(&tree).path_text(&call.expires_in).and_then(|seconds| seconds.parse::<i64>().ok());
        let expires = lifetime.map(|seconds| unix_time().saturating_add(seconds));
        credentials("Authorization", format!("{} {token}", call.scheme), expires)
    }

    /// Makes a call for a token, with retries. `judge` says what its errors mean, which have no secrets.
    async fn called(
        &self,
        request: &Request<'_>,
        (http, base): (&reqwest::Client, &Url),
        outgoing: &Outgoing,
        headers: &HeaderMap,
        (judge, secrets): (fn(CallError) -> CallError, &[String]),
    ) -> Result<Value, CallError> {
        let is_reached = self.is_reached.load(Ordering::Relaxed);
        let timeouts = if is_reached { Timeouts::default() } else { client::first_timeouts() };
        let calls = Calls::new(Waits::default().unit(0), Timeouts { attempt: ATTEMPT, ..timeouts });
        let attempt = || async {
            let answer = client::exchange(http, base, outgoing, headers, ATTEMPT).await;
            let answer = answer.map_err(|error| client::no_token_server(self.description, error));
            answer.and_then(|answer| client::token_tree(self.description, &answer)).map_err(judge).into()
        };
        let answer = calls.run(request, attempt).await.map_err(|error| client::redacted(error, secrets))?;
        self.is_reached.store(true, Ordering::Relaxed);
        Ok(answer)
    }

    fn connections(&self) -> Result<reqwest::Client, Failure> {
        let is_unverified = Common::of(&self.description.cloud, &self.settings).is_unverified;
        let verify = if is_unverified { Verify::Nothing } else { Verify::System };
        http::connections(verify).map_err(|message| Failure { kind: FailureKind::Configuration, message })
    }

    /// Returns the call for a token, its headers, and the address of its server.
    fn token_request(
        &self,
        call: &ClientCredentials,
        id: &str,
        secret: &str,
    ) -> Result<(Outgoing, HeaderMap, Url), CallError> {
        let description = self.description;
        let base = description.base(&self.settings).map_err(CallError::configuration)?;
        let names = Tree::Map(vec![
            (call.client_id.clone().into(), Tree::Text(id.to_owned().into())),
            (call.client_secret.clone().into(), Tree::Text(secret.to_owned().into())),
        ]);
        let options = description.options.tree(&self.settings);
        let item = Item { tree: &names, named: vec![Named::whole("option", &options)], failed: Vec::new() };
        let fill = |template| {
            item.fill(template).ok_or_else(|| CallError::configuration("a template of [api.auth] has an empty value"))
        };
        let path = fill(&call.url)?;
        let url = match path.contains("://") {
            true => Url::parse(&path),
            false => Url::parse(&format!("{}/{}", base.as_str().trim_end_matches('/'), path.trim_start_matches('/'))),
        };
        let url = url.map_err(|error| CallError::configuration(format!("the address for a token: {error}")))?;
        let mut headers = HeaderMap::new();
        for (name, value) in &call.headers {
            client::insert(&mut headers, name, &fill(value)?)?;
        }
        let of_secret = Path::parse(&call.client_secret).unwrap_or_default();
        let mut templates = call.headers.values().chain(call.parameters.values());
        if !templates.any(|template| template.paths().any(|path| *path == of_secret)) {
            let basic = format!("Basic {}", STANDARD.encode(format!("{id}:{secret}")));
            client::insert(&mut headers, "Authorization", &basic)?;
        }
        let parameters = call.parameters.iter().map(|(name, value)| Ok((name.clone(), fill(value)?)));
        let parameters = parameters.collect::<Result<Vec<_>, CallError>>()?;
        let body = Some(client::body(call.body, &parameters));
        let base = url.clone();
        Ok((Outgoing { verb: Verb::Post, url, body }, headers, base))
    }
}

/// Returns the error of a call for a token. What does not end by itself is a wrong ID or secret, by whatever code.
fn rejected(mut error: CallError) -> CallError {
    if matches!(error.kind, CallErrorKind::Denied | CallErrorKind::Unexpected) && error.code != code::INVALID_RESPONSE {
        error.kind = CallErrorKind::Credentials;
    }
    error
}

/// Returns whether a token lasts long enough to be given out again.
fn lasts(token: &Credentials, came: Instant) -> bool {
    let left =
        token.expires.map(|end| Duration::from_secs(u64::try_from(end.saturating_sub(unix_time())).unwrap_or(0)));
    let margin = left.map_or(MARGIN, |left| MARGIN.min((left + came.elapsed()) / 4));
    left.is_none_or(|left| left > margin)
}

fn credentials(header: &str, value: String, expires: Option<i64>) -> Result<Credentials, Failure> {
    let authorization = Authorization { header: header.to_owned(), value };
    let secret = serde_json::to_string(&authorization)
        .map_err(|_| Failure { kind: FailureKind::Internal, message: "cannot write credentials as JSON".into() })?;
    Ok(Credentials { secret, expires })
}

fn unix_time() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs().cast_signed()
}

impl TokenCaller for RestBroker {
    fn option(&self, name: &str) -> Option<&str> {
        let defined = self.description.options.defined.iter().find(|defined| defined.name == name)?;
        self.settings.text(defined.full_name)
    }

    fn call<'a>(&'a self, posts: bool, path: &'a str, token: &'a str) -> BoxFuture<'a, Result<Value, CallError>> {
        Box::pin(async move {
            let unusable = |failure: Failure| CallError::configuration(failure.message);
            let http = self.connections().map_err(unusable)?;
            let base = self.description.base(&self.settings).map_err(CallError::configuration)?;
            let url = Url::parse(&format!("{}/{path}", base.as_str().trim_end_matches('/')));
            let url = url.map_err(|error| CallError::configuration(format!("the path {path}: {error}")))?;
            let outgoing = Outgoing { verb: if posts { Verb::Post } else { Verb::Get }, url, body: None };
            let mut headers = client::fixed_headers(self.description)?;
            client::insert(&mut headers, "Authorization", &format!("Bearer {token}"))?;
            let request = Request::new(self.description.cloud.name, path, "account");
            self.called(&request, (&http, &base), &outgoing, &headers, (|error| error, &[token.to_owned()])).await
        })
    }
}

impl Broker for RestBroker {
    fn credentials<'a>(&'a self, unit: Option<&'a Unit>) -> BoxFuture<'a, Result<Credentials, Failure>> {
        Box::pin(self.issue(unit, false))
    }

    fn renewed<'a>(&'a self, unit: Option<&'a Unit>) -> BoxFuture<'a, Result<Credentials, Failure>> {
        Box::pin(self.issue(unit, true))
    }
}
