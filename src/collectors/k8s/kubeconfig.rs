//! Kubeconfig files: their form, and how several become one.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// The largest file that is read, in bytes.
const MAX_FILE: u64 = 8 * 1024 * 1024;

/// The content of kubeconfig files.
#[derive(Clone, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub(super) struct Kubeconfig {
    clusters: Option<Vec<NamedCluster>>,
    users: Option<Vec<NamedUser>>,
    contexts: Option<Vec<NamedContext>>,
    /// The name of the context that counts if none is chosen.
    pub(super) current_context: Option<String>,
}

#[derive(Clone, Deserialize)]
struct NamedCluster {
    name: String,
    cluster: Option<Cluster>,
}

#[derive(Clone, Deserialize)]
struct NamedUser {
    name: String,
    user: Option<User>,
}

#[derive(Clone, Deserialize)]
struct NamedContext {
    name: String,
    context: Option<Context>,
}

/// A cluster: how its API server is reached.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "kebab-case")]
pub(super) struct Cluster {
    /// The URL of the API server.
    pub(super) server: Option<String>,
    /// The name in the server's certificate, if it is not the host's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tls_server_name: Option<String>,
    /// Whether the server's certificate is not verified.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) insecure_skip_tls_verify: Option<bool>,
    /// A file with the certificates of authorities.
    #[serde(skip_serializing)]
    pub(super) certificate_authority: Option<PathBuf>,
    /// The same in base64.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) certificate_authority_data: Option<String>,
    /// The URL of a proxy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) proxy_url: Option<String>,
}

/// A user: how to log in. There is no `Debug`: it holds secrets.
#[derive(Clone, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub(super) struct User {
    /// A token.
    pub(super) token: Option<String>,
    /// A file with a token, which may be renewed.
    #[serde(rename = "tokenFile")]
    pub(super) token_file: Option<PathBuf>,
    /// A file with a client certificate.
    pub(super) client_certificate: Option<PathBuf>,
    /// The same in base64.
    pub(super) client_certificate_data: Option<String>,
    /// A file with the key of the client certificate.
    pub(super) client_key: Option<PathBuf>,
    /// The same in base64.
    pub(super) client_key_data: Option<String>,
    /// The name for basic authentication.
    pub(super) username: Option<String>,
    /// The password for basic authentication.
    pub(super) password: Option<String>,
    /// A program that prints credentials.
    pub(super) exec: Option<Exec>,
    /// Whether it has a way to log in that Kubernetes has removed.
    #[serde(deserialize_with = "is_present")]
    pub(super) auth_provider: bool,
    /// The user that it acts for.
    #[serde(rename = "as")]
    pub(super) impersonated: Option<String>,
    /// The folder of its file, to which paths are relative.
    #[serde(skip)]
    pub(super) folder: PathBuf,
}

/// A program that prints credentials.
#[derive(Clone, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Exec {
    /// The version of its output.
    pub(super) api_version: Option<String>,
    /// The program.
    pub(super) command: String,
    /// The arguments.
    pub(super) args: Option<Vec<String>>,
    /// Additional variables.
    pub(super) env: Option<Vec<Variable>>,
    /// How to install it.
    pub(super) install_hint: Option<String>,
    /// Whether it is told about the cluster.
    pub(super) provide_cluster_info: Option<bool>,
    /// Whether it needs a terminal: `Never`, `IfAvailable` or `Always`.
    pub(super) interactive_mode: Option<String>,
}

/// A variable of a program.
#[derive(Clone, PartialEq, Eq, Hash, Deserialize)]
pub(super) struct Variable {
    /// The name.
    pub(super) name: String,
    /// The value.
    pub(super) value: String,
}

/// A context: a cluster and a user by name.
#[derive(Clone, Default, Deserialize)]
#[serde(default)]
struct Context {
    cluster: String,
    user: Option<String>,
}

/// Notes whether a member is there, without its content.
fn is_present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    Option::<serde::de::IgnoredAny>::deserialize(deserializer).map(|value| value.is_some())
}

impl Kubeconfig {
    /// Reads files and merges them: the first one that has a name wins. Files that do not exist are left out unless
    /// they are `required`; `None` if there is none.
    ///
    /// # Errors
    /// The file that cannot be read, without its content.
    pub(super) fn read(files: &[PathBuf], required: bool) -> Result<Option<Self>, String> {
        let mut merged: Option<Self> = None;
        for file in files {
            match std::fs::metadata(file) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound && !required => continue,
                Err(error) => return Err(format!("cannot read the kubeconfig {}: {error}", file.display())),
                Ok(found) if found.len() > MAX_FILE => {
                    return Err(format!("the kubeconfig {} is larger than {} MiB", file.display(), MAX_FILE >> 20));
                }
                Ok(_) => {}
            }
            let text = std::fs::read_to_string(file);
            let text = text.map_err(|error| format!("cannot read the kubeconfig {}: {error}", file.display()))?;
            let read = Self::parse(&text, file.parent().unwrap_or(Path::new("")));
            let read = read.map_err(|place| format!("the kubeconfig {} is malformed{place}", file.display()))?;
            merged = Some(match merged {
                Some(first) => first.or(read),
                None => read,
            });
        }
        Ok(merged)
    }

    /// Parses a file; its paths are relative to `folder`.
    ///
    /// # Errors
    /// The line of a mistake, without the content.
    fn parse(text: &str, folder: &Path) -> Result<Self, String> {
        let read: Option<Self> = serde_saphyr::from_str(text).map_err(|error| {
            let place = error.location().map(|place| format!(" in line {}", place.line()));
            place.unwrap_or_default()
        })?;
        let mut read = read.unwrap_or_default();
        for cluster in read.clusters.iter_mut().flatten().filter_map(|named| named.cluster.as_mut()) {
            absolute(&mut cluster.certificate_authority, folder);
        }
        for user in read.users.iter_mut().flatten().filter_map(|named| named.user.as_mut()) {
            for path in [&mut user.token_file, &mut user.client_certificate, &mut user.client_key] {
                absolute(path, folder);
            }
            user.folder = folder.to_owned();
        }
        Ok(read)
    }

    /// Adds what is only in another one.
    fn or(mut self, other: Self) -> Self {
        self.clusters.get_or_insert_default().extend(other.clusters.unwrap_or_default());
        self.users.get_or_insert_default().extend(other.users.unwrap_or_default());
        self.contexts.get_or_insert_default().extend(other.contexts.unwrap_or_default());
        let is_set = |name: &String| !name.is_empty();
        self.current_context = self.current_context.filter(is_set).or(other.current_context);
        self
    }

    /// Returns the names of all contexts.
    pub(super) fn contexts(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.contexts.iter().flatten().map(|context| context.name.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Returns cluster and user of a context.
    ///
    /// # Errors
    /// What is missing, with the names that there are.
    pub(super) fn context(&self, name: &str) -> Result<(Cluster, User), String> {
        let found = self.contexts.iter().flatten().find(|context| context.name == name);
        let context = found.and_then(|found| found.context.as_ref()).ok_or_else(|| {
            let known = self.contexts();
            let known = if known.is_empty() { "there are none".to_owned() } else { known.join(", ") };
            format!("the kubeconfig has no context {name}; expected one of: {known}")
        })?;
        let of = |what: &str, name: &str| format!("the kubeconfig has no {what} {name}, which a context names");
        let cluster = self.clusters.iter().flatten().find(|cluster| cluster.name == context.cluster);
        let cluster = cluster.ok_or_else(|| of("cluster", &context.cluster))?.cluster.clone().unwrap_or_default();
        let user = match context.user.as_deref().filter(|name| !name.is_empty()) {
            None => User::default(),
            Some(name) => {
                let user = self.users.iter().flatten().find(|user| user.name == name);
                user.ok_or_else(|| of("user", name))?.user.clone().unwrap_or_default()
            }
        };
        user.check().map_err(|why| format!("context {name}: {why}"))?;
        Ok((cluster, user))
    }
}

impl User {
    /// # Errors
    /// A way to log in that ckworker does not have.
    fn check(&self) -> Result<(), String> {
        if self.auth_provider {
            return Err("its user has an auth-provider, which Kubernetes 1.26 removed; use an exec plugin".to_owned());
        }
        if self.impersonated.is_some() {
            return Err("its user acts for another one (as), which ckworker does not do; name that user".to_owned());
        }
        match self.exec.as_ref().and_then(|exec| exec.interactive_mode.as_deref()) {
            Some("Always") => Err("its exec plugin needs a terminal (interactiveMode: Always)".to_owned()),
            _ => Ok(()),
        }
    }
}

fn absolute(path: &mut Option<PathBuf>, folder: &Path) {
    *path = path.take().filter(|path| !path.as_os_str().is_empty()).map(|path| folder.join(path));
}

#[cfg(test)]
#[path = "kubeconfig_tests.rs"]
mod tests;
