//! The selected clusters, and where the credentials of each come from.

use std::path::{Path, PathBuf};

use worker_proto::{Failure, FailureKind};

use super::{
    kubeconfig::{Cluster, Kubeconfig, User},
    options::Options,
};

/// The folder with the credentials of a pod.
const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// What the environment says about Kubernetes.
#[derive(Clone, Debug, Default)]
pub(super) struct Environment {
    /// `KUBECONFIG`: files.
    pub(super) kubeconfig: Vec<PathBuf>,
    /// `HOME`.
    pub(super) home: Option<PathBuf>,
    /// Host and port of the API server in a pod: `KUBERNETES_SERVICE_HOST` and `KUBERNETES_SERVICE_PORT`.
    pub(super) service: Option<(String, String)>,
    /// The folder with the credentials of a pod.
    pub(super) service_account: PathBuf,
}

impl Environment {
    /// Returns the environment of this process.
    pub(super) fn of_process() -> Self {
        let path = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        let text = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let files = path("KUBECONFIG").map(|list| std::env::split_paths(&list).collect::<Vec<_>>());
        let host = text("KUBERNETES_SERVICE_HOST");
        Self {
            kubeconfig: files.unwrap_or_default().into_iter().filter(|file| !file.as_os_str().is_empty()).collect(),
            home: path("HOME").map(PathBuf::from),
            service: host.map(|host| (host, text("KUBERNETES_SERVICE_PORT").unwrap_or_else(|| "443".to_owned()))),
            service_account: SERVICE_ACCOUNT.into(),
        }
    }
}

/// A selected cluster. There is no `Debug`: it holds secrets.
#[derive(Clone)]
pub(super) struct Selected {
    /// The name, which is the ID of its account.
    pub(super) name: String,
    /// How it is reached.
    pub(super) cluster: Cluster,
    /// How to log in.
    pub(super) user: User,
}

/// The selected clusters.
pub(super) struct Selection {
    /// The clusters, in the order of the options.
    pub(super) clusters: Vec<Selected>,
    /// Whether options name all clusters that are to be collected. The current context and the cluster in which the
    /// program runs are single ones of many.
    pub(super) is_whole: bool,
}

/// Reads the kubeconfig; `None` if there is none and it is not `needed`.
///
/// # Errors
/// The file that cannot be read.
pub(super) fn kubeconfig(
    options: &Options,
    environment: &Environment,
    needed: bool,
) -> Result<Option<Kubeconfig>, String> {
    if let Some(file) = &options.config {
        return Kubeconfig::read(std::slice::from_ref(file), true);
    }
    let named = &environment.kubeconfig;
    // Without need, a file for other programs is none of ours.
    if !needed {
        return Ok(None);
    }
    let default = environment.home.as_ref().map(|home| home.join(".kube/config"));
    let files = if named.is_empty() { default.as_slice() } else { named };
    let found = Kubeconfig::read(files, false)?;
    let listed = || files.iter().map(|file| file.display().to_string()).collect::<Vec<_>>().join(", ");
    match found {
        None if !options.contexts.is_empty() => Err(format!(
            "--k8s-context needs a kubeconfig, and there is none ({}); name it with --k8s-config",
            listed()
        )),
        found => Ok(found),
    }
}

/// Returns the selected clusters. Reads the kubeconfig as it is now.
///
/// # Errors
/// `Configuration` for a mistake in options or the kubeconfig; `NoCredentials` if no cluster is configured at all.
pub(super) fn selection(options: &Options, environment: &Environment) -> Result<Selection, Failure> {
    let wrong = |message: String| Failure { kind: FailureKind::Configuration, message };
    let has_none = options.contexts.is_empty() && options.clusters.is_empty();
    let config = kubeconfig(options, environment, has_none || !options.contexts.is_empty()).map_err(wrong)?;
    let of_context = |config: &Kubeconfig, name: &str| {
        let (cluster, user) = config.context(name).map_err(wrong)?;
        Ok::<_, Failure>(Selected { name: name.to_owned(), cluster, user })
    };
    if has_none {
        let current = config.as_ref().and_then(|config| config.current_context.clone());
        let current = current.filter(|name| !name.is_empty());
        let (Some(config), Some(current)) = (&config, current) else { return Err(nothing(environment)) };
        return Ok(Selection { clusters: vec![of_context(config, &current)?], is_whole: false });
    }
    let config = config.unwrap_or_default();
    let mut clusters: Vec<_> =
        options.contexts.iter().map(|name| of_context(&config, name)).collect::<Result<_, _>>()?;
    match options.is_in_cluster() {
        true => {
            let name = options.clusters.first().cloned().unwrap_or_default();
            clusters.push(in_cluster(name, environment).map_err(wrong)?);
        }
        false => clusters.extend(listed(options)),
    }
    Ok(Selection { clusters, is_whole: !options.is_in_cluster() })
}

fn listed(options: &Options) -> impl Iterator<Item = Selected> {
    let Options { clusters, servers, tokens, authorities, .. } = options;
    let listed = clusters.iter().zip(servers).zip(tokens.iter().zip(authorities));
    listed.map(|((name, server), (token, authority))| Selected {
        name: name.clone(),
        cluster: Cluster {
            server: Some(server.clone()),
            certificate_authority: Some(authority.into()),
            ..Cluster::default()
        },
        user: User { token: Some(token.clone()), ..User::default() },
    })
}

/// Returns the cluster in which this program runs.
fn in_cluster(name: String, environment: &Environment) -> Result<Selected, String> {
    let Some((host, port)) = &environment.service else {
        return Err(format!(
            "--k8s-cluster {name} alone is the cluster in which ckworker runs, and this is no pod (KUBERNETES_SERVICE_HOST \
             is not set); add --k8s-apiserver, --k8s-token and --k8s-cacert"
        ));
    };
    let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
    let file = |name: &str| Some(environment.service_account.join(Path::new(name)));
    Ok(Selected {
        name,
        cluster: Cluster {
            server: Some(format!("https://{host}:{port}")),
            certificate_authority: file("ca.crt"),
            ..Cluster::default()
        },
        user: User { token_file: file("token"), ..User::default() },
    })
}

fn nothing(environment: &Environment) -> Failure {
    let remedy = match environment.service {
        Some(_) => "name the cluster in which this pod runs with --k8s-cluster",
        None => "name a file with --k8s-config, or clusters with --k8s-cluster",
    };
    let message =
        format!("no Kubernetes cluster is configured: there is no kubeconfig with a current context; {remedy}");
    Failure { kind: FailureKind::NoCredentials, message }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    const CONFIG: &str = "{current-context: b, contexts: [{name: a, context: {cluster: c}}, {name: b, context: \
                          {cluster: c}}], clusters: [{name: c, cluster: {server: 'https://c'}}]}";

    fn names(selection: &Selection) -> Vec<&str> {
        selection.clusters.iter().map(|cluster| cluster.name.as_str()).collect()
    }

    fn failure(options: &Options, environment: &Environment) -> Failure {
        selection(options, environment).err().unwrap()
    }

    #[test]
    fn clusters_come_from_options_then_current_context() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join(".kube")).unwrap();
        std::fs::write(folder.path().join(".kube/config"), CONFIG).unwrap();
        let environment = Environment { home: Some(folder.path().to_owned()), ..Environment::default() };
        let current = selection(&Options::default(), &environment).unwrap();
        assert_eq!((names(&current), current.is_whole), (vec!["b"], false));
        let one = |text: &str| vec![text.to_owned()];
        let contexts = Options { contexts: one("a"), ..Options::default() };
        let listed = Options {
            clusters: one("l"),
            servers: one("https://l"),
            tokens: one("t"),
            authorities: one("ca.crt"),
            ..contexts.clone()
        };
        let both = selection(&listed, &environment).unwrap();
        assert_eq!((names(&both), both.is_whole), (vec!["a", "l"], true));
        let none = Environment::default();
        assert_eq!(failure(&Options::default(), &none).kind, FailureKind::NoCredentials);
        let absent = failure(&contexts, &none);
        assert!(absent.kind == FailureKind::Configuration && absent.message.contains("--k8s-config"), "{absent:?}");
    }

    #[test]
    fn cluster_of_pod_is_named_by_option() {
        let pod = Environment {
            service: Some(("fd00::1".into(), "443".into())),
            service_account: "/sa".into(),
            ..Environment::default()
        };
        let options = Options { clusters: vec!["here".into()], ..Options::default() };
        let found = selection(&options, &pod).unwrap();
        let Selected { name, cluster, user } = &found.clusters[0];
        assert_eq!((name.as_str(), cluster.server.as_deref()), ("here", Some("https://[fd00::1]:443")));
        assert_eq!((user.token_file.clone(), found.is_whole), (Some("/sa/token".into()), false));
        assert!(failure(&Options::default(), &pod).message.contains("--k8s-cluster"));
        assert!(failure(&options, &Environment::default()).message.contains("no pod"));
    }
}
