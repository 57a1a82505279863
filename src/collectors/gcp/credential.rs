//! One of the credentials in the supervisor, and its access tokens.
//!
//! Google's library gets the tokens. It has no timeouts and may panic, so that it runs in a task of its own with a
//! deadline. It does not tell when a token ends, and renews it in the background 240 s before; so a token is good for
//! about that time, and is asked for again and again. What it keeps is dropped when nobody has asked for some minutes:
//! an idle daemon sends no requests, and a replaced file is read at the next collection.

#[cfg(test)]
#[path = "credential_tests.rs"]
mod tests;

use std::{
    error::Error,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use google_cloud_auth::{
    credentials::{
        AccessTokenCredentials, external_account, external_account_authorized_user, impersonated, mds,
        service_account::{self, AccessSpecifier},
        user_account,
    },
    errors::CredentialsError,
};
use tokio::{
    sync::Mutex,
    task::JoinSet,
    time::{Instant, sleep, timeout},
};
use worker_proto::{Failure, FailureKind};

use super::{
    client::Token,
    key::Key,
    metadata::MetadataServer,
    source::{Found, Source, Variables},
};
use crate::engine::causes;

/// The scope of all tokens.
const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";

/// The timeout of a token with all attempts, less than the supervisor's for credentials.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The timeout of one attempt.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(20);

/// The pauses between attempts after transient failures.
const PAUSES: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(4)];

/// The time for which a token is good at least.
const LIFETIME: Duration = Duration::from_secs(240);

/// The least time between two renewals of rejected tokens.
const RENEWAL_PAUSE: Duration = Duration::from_secs(60);

/// The time without a request after which the library's state is dropped.
const IDLE: Duration = Duration::from_secs(600);

/// The longest reason for a missing token, in bytes.
const MAX_REASON: usize = 600;

/// What the library adds to its messages.
const OUTLOOKS: [&str; 2] = [" and future attempts will not succeed", " but future attempts may succeed"];

/// One of the credentials.
pub(crate) struct Credential {
    source: Source,
    variables: Variables,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    live: Option<Live>,
    /// The last failure, and when it came.
    failed: Option<(Instant, Failure)>,
    renewed: Option<Instant>,
    /// The task that drops `live`.
    idle: JoinSet<()>,
}

/// Credentials with tokens.
#[derive(Clone)]
struct Live {
    provider: AccessTokenCredentials,
    account: String,
    project: Option<String>,
    quota_project: Option<String>,
}

/// An access token, and whose it is.
#[derive(Clone)]
pub(crate) struct Issued {
    /// The account's name for messages, such as a service account's address.
    pub(crate) account: String,
    /// The project to which the account belongs, as far as its credentials tell.
    pub(crate) project: Option<String>,
    /// The token.
    pub(crate) token: Token,
}

impl Credential {
    /// Returns the credential of a source; reads and contacts nothing.
    pub(crate) fn new(source: Source, variables: Variables) -> Self {
        Self { source, variables, state: Arc::default() }
    }

    /// Returns the name for messages about credentials that cannot be used.
    pub(crate) fn label(&self) -> String {
        self.source.label()
    }

    /// Returns a token; another one after a service has rejected the current one. Requests at the same time share the
    /// token or the failure, and there is at most one renewal a minute.
    ///
    /// # Errors
    /// `NoCredentials` if there is no source of default credentials; `Credentials` if they cannot be read or are
    /// rejected; `Unavailable` if what issues the tokens does not respond.
    pub(crate) async fn token(&self, is_renewal: bool) -> Result<Issued, Failure> {
        let asked = Instant::now();
        let mut state = self.state.lock().await;
        if let Some((_, failure)) = state.failed.as_ref().filter(|(at, _)| *at > asked) {
            return Err(failure.clone());
        }
        if is_renewal && state.renewed.is_none_or(|renewed| asked.saturating_duration_since(renewed) > RENEWAL_PAUSE) {
            tracing::info!(credentials = self.label(), "renewing rejected access token of GCP");
            state.live = None;
            state.renewed = Some(Instant::now());
        }
        let issued = timeout(TIMEOUT, self.attempts(&mut state)).await;
        let issued = issued.unwrap_or_else(|_| Err(self.failure(FailureKind::Unavailable, "no response in time")));
        match &issued {
            Ok(_) => self.drop_when_idle(&mut state),
            Err(failure) => {
                state.live = None;
                state.failed = Some((Instant::now(), failure.clone()));
            }
        }
        issued
    }

    async fn attempts(&self, state: &mut State) -> Result<Issued, Failure> {
        let mut pauses = PAUSES.into_iter();
        loop {
            let live = match &state.live {
                Some(live) => live.clone(),
                None => state.live.insert(self.build().await?).clone(),
            };
            let provider = live.provider.clone();
            let (is_transient, cause) = match isolated(async move { provider.access_token().await }).await {
                Ok(Ok(token)) => {
                    let token = Token { token: token.token, quota_project: live.quota_project };
                    return Ok(Issued { account: live.account, project: live.project, token });
                }
                Ok(Err(error)) => (error.is_transient(), reason(&error)),
                Err(reason) => (true, reason),
            };
            // What the library keeps would return the same failure for some time.
            state.live = None;
            match pauses.next().filter(|_| is_transient) {
                Some(pause) => sleep(pause).await,
                None if is_transient => return Err(self.failure(FailureKind::Unavailable, &cause)),
                None => return Err(self.failure(FailureKind::Credentials, &cause)),
            }
        }
    }

    /// Finds the credentials, and begins to get their tokens.
    async fn build(&self) -> Result<Live, Failure> {
        let found = self.source.find(&self.variables)?;
        // A service account calls in its own project, and need not be allowed to use another one.
        let is_default = self.source == Source::Default;
        let is_user = !matches!(&found, Found::Key(key) if key.kind() == "service_account");
        let quota_project = self.variables.text("GOOGLE_CLOUD_QUOTA_PROJECT").filter(|_| is_default || is_user);
        let (account, project, of_key, server) = match &found {
            Found::Key(key) => {
                let account = key.account().map_or_else(|| self.label(), str::to_owned);
                (account, key.project().map(str::to_owned), key.quota_project().map(str::to_owned), None)
            }
            Found::MetadataServer => {
                let server = self.server()?;
                let project = server.project().await.map_err(|reason| self.no_server(&server, &reason))?;
                (self.label(), project, None, Some(server.url))
            }
        };
        let quota_project = quota_project.map(str::to_owned).or(of_key);
        let key = match found {
            Found::Key(key) => Some(key),
            Found::MetadataServer => None,
        };
        let built = isolated(async move { provider(key, server) }).await;
        let built = built.map_err(|reason| self.failure(FailureKind::Internal, &reason))?;
        let provider = built.map_err(|reason| self.failure(FailureKind::Credentials, &reason))?;
        let project = project.or_else(|| quota_project.clone());
        Ok(Live { provider, account, project, quota_project })
    }

    fn server(&self) -> Result<MetadataServer, Failure> {
        MetadataServer::of(&self.variables).ok_or_else(|| none("NO_GCE_CHECK says that there is no metadata server"))
    }

    fn no_server(&self, server: &MetadataServer, reason: &str) -> Failure {
        match server.is_named() {
            true => self.failure(FailureKind::Unavailable, &format!("{reason} (GCE_METADATA_HOST)")),
            false => none(reason),
        }
    }

    fn failure(&self, kind: FailureKind, cause: &str) -> Failure {
        let remedy = match kind {
            FailureKind::Credentials if cause.contains("invalid_rapt") || cause.contains("reauth") => {
                "; sign in again with `gcloud auth application-default login`"
            }
            FailureKind::Credentials => "; check that the credentials are current and have not been deleted",
            FailureKind::Unavailable => "; check the network and the addresses in the credentials",
            _ => "",
        };
        let message = format!("cannot get an access token of GCP with {}: {cause}{remedy}", self.label());
        Failure { kind, message }
    }

    /// Drops what the library keeps, unless somebody asks before.
    fn drop_when_idle(&self, state: &mut State) {
        let weak = Arc::downgrade(&self.state);
        // Dropping the old set stops its task.
        state.idle = JoinSet::new();
        state.idle.spawn(async move {
            sleep(IDLE).await;
            if let Some(state) = weak.upgrade() {
                state.lock().await.live = None;
            }
        });
    }
}

/// Returns the time until which a token that was issued now is good, in seconds since 1970.
pub(crate) fn expiry() -> Option<i64> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from((now + LIFETIME).as_secs()).ok()
}

fn none(reason: &str) -> Failure {
    let message = format!(
        "no GCP credentials: no source is configured, and {reason}; give --gcp-service-account, set \
         GOOGLE_APPLICATION_CREDENTIALS, or run `gcloud auth application-default login`"
    );
    Failure { kind: FailureKind::NoCredentials, message }
}

/// Runs a future in a task of its own. Returns why it has no result: it panicked, or did not end in time.
async fn isolated<T: Send + 'static>(future: impl Future<Output = T> + Send + 'static) -> Result<T, String> {
    let mut task = JoinSet::new();
    task.spawn(future);
    match timeout(ATTEMPT_TIMEOUT, task.join_next()).await {
        Ok(Some(Ok(result))) => Ok(result),
        Ok(_) => Err("Google's library for credentials panicked; check the clock of this machine".to_owned()),
        Err(_) => Err(format!("no response within {} s", ATTEMPT_TIMEOUT.as_secs())),
    }
}

/// Returns the library's object for credentials. It begins to get a token at once.
fn provider(key: Option<Key>, server: Option<String>) -> Result<AccessTokenCredentials, String> {
    let Some(key) = key else {
        let builder = mds::Builder::default().with_endpoint(server.unwrap_or_default()).with_scopes([SCOPE]);
        return builder.build_access_token_credentials().map_err(|error| reason(&error));
    };
    let json = key.json();
    let built = match key.kind() {
        "service_account" => service_account::Builder::new(json)
            .with_access_specifier(AccessSpecifier::from_scopes([SCOPE]))
            .build_access_token_credentials(),
        "authorized_user" => user_account::Builder::new(json).build_access_token_credentials(),
        "external_account" => {
            external_account::Builder::new(json).with_scopes([SCOPE]).build_access_token_credentials()
        }
        "external_account_authorized_user" => {
            external_account_authorized_user::Builder::new(json).build_access_token_credentials()
        }
        _ => impersonated::Builder::new(json).with_scopes([SCOPE]).build_access_token_credentials(),
    };
    built.map_err(|error| reason(&error))
}

/// Returns why there is no token, in one line of bounded length.
fn reason(error: &(dyn Error + 'static)) -> String {
    // The library's own errors around it say only that it will try again, or not.
    let innermost = causes::causes(error).filter(|cause| cause.is::<CredentialsError>()).last().unwrap_or(error);
    let line = causes::chain(innermost).split_whitespace().collect::<Vec<_>>().join(" ");
    let mut line = OUTLOOKS.iter().fold(line, |line, outlook| line.replace(outlook, ""));
    line.truncate(line.floor_char_boundary(MAX_REASON));
    line
}
