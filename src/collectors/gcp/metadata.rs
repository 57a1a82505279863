//! The metadata server of a machine of Google Cloud: whether there is one, and its project.

use std::time::Duration;

use super::source::Variables;

/// The host of the metadata server, if `GCE_METADATA_HOST` names no other.
const HOST: &str = "metadata.google.internal";

/// The timeout of one request. The server is on the same machine.
const TIMEOUT: Duration = Duration::from_secs(3);

/// The pause before the second request: the server of a new pod of Kubernetes needs some seconds.
const PAUSE: Duration = Duration::from_secs(1);

/// The longest response that is a project's ID.
const MAX_ID: usize = 100;

/// A metadata server that may exist.
pub(crate) struct MetadataServer {
    /// Its address, such as `http://metadata.google.internal`.
    pub(crate) url: String,
    /// Whether a variable names it, so that it must exist.
    is_named: bool,
}

impl MetadataServer {
    /// Returns the server that the variables name; `None` if they say that there is none.
    pub(crate) fn of(variables: &Variables) -> Option<Self> {
        let named = variables.text("GCE_METADATA_HOST");
        if named.is_none() && variables.text("NO_GCE_CHECK").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
            return None;
        }
        Some(Self { url: format!("http://{}", named.unwrap_or(HOST)), is_named: named.is_some() })
    }

    /// Whether a variable names it, so that it must exist.
    pub(crate) fn is_named(&self) -> bool {
        self.is_named
    }

    /// Looks for the server, for some seconds. Returns its project, if it tells.
    ///
    /// # Errors
    /// Why there is none.
    pub(crate) async fn project(&self) -> Result<Option<String>, String> {
        match self.ask().await {
            Ok(project) => Ok(project),
            Err(_) => {
                tokio::time::sleep(PAUSE).await;
                self.ask().await
            }
        }
    }

    async fn ask(&self) -> Result<Option<String>, String> {
        let client = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).timeout(TIMEOUT);
        let client = client.build().map_err(|error| error.to_string())?;
        let request = client.get(format!("{}/computeMetadata/v1/project/project-id", self.url));
        let answer = request.header("Metadata-Flavor", "Google").send().await;
        let answer = answer.map_err(|error| self.unreachable(&error))?;
        let is_google = answer.headers().get("Metadata-Flavor").is_some_and(|flavor| flavor == "Google");
        if !is_google {
            return Err(format!("{} is not the metadata server of a machine of Google Cloud", self.url));
        }
        if !answer.status().is_success() || answer.content_length().is_none_or(|length| length > MAX_ID as u64) {
            return Ok(None);
        }
        let text = answer.text().await.map_err(|error| self.unreachable(&error))?;
        Ok(Some(text.trim().to_owned()).filter(|id| !id.is_empty()))
    }

    fn unreachable(&self, error: &reqwest::Error) -> String {
        match error.is_timeout() {
            true => format!("no metadata server responds at {} within {} s", self.url, TIMEOUT.as_secs()),
            false => format!("there is no metadata server at {}", self.url),
        }
    }
}
