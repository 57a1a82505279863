//! The broker of credentials: it reads kubeconfig and tokens and runs exec plugins in the supervisor, and hands out what
//! a unit needs to reach its cluster.
//!
//! Files are read again for each request. A worker asks at most once a minute, so that a renewed token is used in time.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use worker_proto::{Credentials, Failure, FailureKind, Unit};

use super::{
    access::{Access, Login, PlanSecret, Route, write},
    clusters::{Environment, Selected, Selection, selection},
    exec::{self, Issued},
    kubeconfig::{Cluster, Exec, User},
    options::Options,
};
use crate::collector_api::{BoxFuture, Broker};

/// The lifetime of what comes from files, so that workers ask again.
const FILE_LIFETIME: Duration = Duration::from_secs(150);

/// The remaining lifetime below which a plugin runs again.
const MARGIN: Duration = Duration::from_secs(300);

/// The largest file with a token, a certificate or a key, in bytes.
const MAX_FILE: u64 = 1024 * 1024;

/// The broker of the Kubernetes collector.
pub(super) struct KubernetesBroker {
    options: Options,
    environment: Environment,
    /// The output of plugins, by context.
    issued: Mutex<HashMap<String, Arc<tokio::sync::Mutex<Option<Kept>>>>>,
    /// The tokens that were last read, by file.
    tokens: Mutex<HashMap<PathBuf, String>>,
}

/// The output of a plugin.
#[derive(Clone)]
struct Kept {
    exec: Exec,
    issued: Issued,
}

impl KubernetesBroker {
    /// Returns a broker; reads and contacts nothing.
    pub(super) fn new(options: Options, environment: Environment) -> Self {
        Self { options, environment, issued: Mutex::default(), tokens: Mutex::default() }
    }

    async fn issue(&self, unit: Option<&Unit>, is_renewal: bool) -> Result<Credentials, Failure> {
        let Selection { clusters, is_whole } = self.selection().await?;
        let Some(unit) = unit else {
            let clusters = clusters.into_iter().map(|cluster| cluster.name).collect();
            return Ok(Credentials { secret: write(&PlanSecret { clusters, is_whole })?, expires: None });
        };
        let selected = clusters.into_iter().find(|cluster| cluster.name == unit.id);
        let selected = selected.ok_or_else(|| Failure {
            kind: FailureKind::Configuration,
            message: format!(
                "Kubernetes cluster {} is not configured here; name it with --k8s-context or --k8s-cluster",
                unit.id
            ),
        })?;
        let (access, expires) = self.access(&selected, is_renewal).await?;
        Ok(Credentials { secret: write(&access)?, expires })
    }

    async fn selection(&self) -> Result<Selection, Failure> {
        let (options, environment) = (self.options.clone(), self.environment.clone());
        let read = tokio::task::spawn_blocking(move || selection(&options, &environment)).await;
        read.unwrap_or_else(|error| Err(Failure { kind: FailureKind::Internal, message: error.to_string() }))
    }

    async fn access(&self, selected: &Selected, is_renewal: bool) -> Result<(Access, Option<i64>), Failure> {
        let Selected { name, cluster, user } = selected;
        let failure = |why: String| Failure {
            kind: FailureKind::Credentials,
            message: format!("Kubernetes cluster {name}: {why}"),
        };
        let mut route =
            self.route(cluster).await.map_err(|why| Failure { kind: FailureKind::Configuration, ..failure(why) })?;
        route.identity = identity(user).await.map_err(failure)?;
        let mut expires = has_files(cluster, user).then(|| unix_time() + FILE_LIFETIME.as_secs().cast_signed());
        let token = match &user.token_file {
            Some(file) => self.token(file).await.or_else(|why| user.token.clone().ok_or(why)).map(Some),
            None => Ok(user.token.clone()),
        };
        let mut token = token.map_err(failure)?.filter(|token| !token.is_empty());
        if let Some(exec) = user.exec.as_ref().filter(|_| token.is_none() && route.identity.is_none()) {
            let issued = self.plugin(name, exec, (cluster, &user.folder), is_renewal).await?;
            token = issued.token;
            route.identity = issued.identity;
            expires = expires.into_iter().chain(issued.expires).min();
        }
        let basic = || Some((user.username.clone()?, user.password.clone().unwrap_or_default()));
        let login = match token {
            Some(token) => Login::Token(token),
            None => basic().map_or(Login::None, |(name, password)| Login::Basic(name, password)),
        };
        Ok((Access { route, login }, expires))
    }

    async fn route(&self, cluster: &Cluster) -> Result<Route, String> {
        let server = self.options.endpoint.as_ref().or(cluster.server.as_ref());
        let server = server.filter(|server| !server.is_empty()).ok_or("the kubeconfig has no server of it")?;
        let authorities =
            pem("the CA certificate", &cluster.certificate_authority_data, &cluster.certificate_authority);
        Ok(Route {
            server: server.trim_end_matches('/').to_owned(),
            authorities: authorities.await?,
            is_insecure: cluster.insecure_skip_tls_verify == Some(true),
            server_name: cluster.tls_server_name.clone().filter(|name| !name.is_empty()),
            proxy: cluster.proxy_url.clone().filter(|url| !url.is_empty()),
            identity: None,
        })
    }

    /// Reads a token from a file. If that fails, the last one is kept.
    async fn token(&self, file: &Path) -> Result<String, String> {
        let read = read(file).await.and_then(|text| match text.trim() {
            "" => Err(format!("{} is empty", file.display())),
            token => Ok(token.to_owned()),
        });
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        match (read, tokens.get(file)) {
            (Ok(token), _) => {
                tokens.insert(file.to_owned(), token.clone());
                Ok(token)
            }
            (Err(error), Some(last)) => {
                tracing::warn!(error, "cannot read a Kubernetes token; still using the last one");
                Ok(last.clone())
            }
            (Err(error), None) => Err(format!("cannot read its token: {error}")),
        }
    }

    /// Returns the credentials of a plugin, which runs again before they expire.
    async fn plugin(
        &self,
        context: &str,
        exec: &Exec,
        (cluster, folder): (&Cluster, &Path),
        is_renewal: bool,
    ) -> Result<Issued, Failure> {
        let cell = {
            let mut issued = self.issued.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(issued.entry(context.to_owned()).or_default())
        };
        let mut kept = cell.lock().await;
        let usable = kept.as_ref().filter(|kept| kept.exec == *exec && kept.is_valid() && !is_renewal);
        if let Some(kept) = usable {
            return Ok(kept.issued.clone());
        }
        let issued = exec::run(context, exec, cluster, folder).await?;
        *kept = Some(Kept { exec: exec.clone(), issued: issued.clone() });
        Ok(issued)
    }
}

impl Kept {
    fn is_valid(&self) -> bool {
        self.issued.expires.is_none_or(|end| end - unix_time() > MARGIN.as_secs().cast_signed())
    }
}

/// Returns whether something is read from a file that may be renewed.
fn has_files(cluster: &Cluster, user: &User) -> bool {
    cluster.certificate_authority.is_some()
        || user.token_file.is_some()
        || user.client_certificate.is_some()
        || user.client_key.is_some()
}

/// Returns the client's certificate and its key.
async fn identity(user: &User) -> Result<Option<(String, String)>, String> {
    let certificate = pem("the client certificate", &user.client_certificate_data, &user.client_certificate).await?;
    let key = pem("the client key", &user.client_key_data, &user.client_key).await?;
    match (certificate, key) {
        (Some(certificate), Some(key)) => Ok(Some((certificate, key))),
        (None, None) => Ok(None),
        _ => Err("a client certificate and its key belong together, and one of both is missing".to_owned()),
    }
}

/// Returns a text in PEM from base64 or a file; the first one counts.
///
/// # Errors
/// What cannot be read, without its content.
async fn pem(what: &str, data: &Option<String>, file: &Option<PathBuf>) -> Result<Option<String>, String> {
    let data = data.as_ref().filter(|data| !data.is_empty());
    match (data, file) {
        (Some(data), _) => {
            let decoded = STANDARD.decode(data.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
            decoded.map(Some).ok_or_else(|| format!("{what} in the kubeconfig is no PEM in base64"))
        }
        (None, Some(file)) => read(file).await.map(Some).map_err(|error| format!("cannot read {what}: {error}")),
        (None, None) => Ok(None),
    }
}

/// Reads a small file.
async fn read(file: &Path) -> Result<String, String> {
    let named = |error: &dyn std::fmt::Display| format!("{}: {error}", file.display());
    let length = tokio::fs::metadata(file).await.map_err(|error| named(&error))?.len();
    if length > MAX_FILE {
        return Err(named(&format!("the file is larger than {} MiB", MAX_FILE >> 20)));
    }
    tokio::fs::read_to_string(file).await.map_err(|error| named(&error))
}

fn unix_time() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    now.as_secs().cast_signed()
}

impl Broker for KubernetesBroker {
    fn credentials<'a>(&'a self, unit: Option<&'a Unit>) -> BoxFuture<'a, Result<Credentials, Failure>> {
        Box::pin(self.issue(unit, false))
    }

    fn renewed<'a>(&'a self, unit: Option<&'a Unit>) -> BoxFuture<'a, Result<Credentials, Failure>> {
        Box::pin(self.issue(unit, true))
    }
}

#[cfg(test)]
#[path = "broker_tests.rs"]
mod tests;
