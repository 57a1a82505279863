//! The content of a file of credentials: a service account's key, or what else Google's tools write.

use rustls::pki_types::{PrivatePkcs8KeyDer, pem::PemObject};
use serde_json::Value;

/// The only universe whose hosts the client calls.
const UNIVERSE: &str = "googleapis.com";

/// The members that a type of credentials must have. Google's library requires them.
const REQUIRED: [(&str, &[&str]); 5] = [
    ("service_account", &["client_email", "private_key", "private_key_id", "project_id"]),
    ("authorized_user", &["client_id", "client_secret", "refresh_token"]),
    ("external_account", &["audience", "subject_token_type", "token_url", "credential_source"]),
    ("external_account_authorized_user", &["client_id", "client_secret", "refresh_token", "token_url"]),
    ("impersonated_service_account", &["service_account_impersonation_url", "source_credentials"]),
];

/// The content of a file of credentials. There is no `Debug`: it is a secret.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Key(Value);

impl Key {
    /// Returns the credentials that a file's JSON describes.
    ///
    /// # Errors
    /// What is wrong with it, without its content.
    pub(crate) fn of(json: Value) -> Result<Self, String> {
        let kind = json.get("type").and_then(Value::as_str).ok_or("it has no \"type\"")?;
        let Some((kind, required)) = REQUIRED.into_iter().find(|(known, _)| *known == kind) else {
            let known = REQUIRED.map(|(known, _)| known).join(", ");
            return Err(format!("its \"type\" is none of {known}"));
        };
        if let Some(absent) = required.iter().find(|name| json.get(**name).is_none_or(Value::is_null)) {
            return Err(format!("it is of type {kind} and has no {absent:?}"));
        }
        let key = Self(json);
        if key.text("universe_domain").is_some_and(|universe| universe != UNIVERSE) {
            return Err(format!("its \"universe_domain\" is not {UNIVERSE}, the only one that ckworker supports"));
        }
        if key.text("private_key").is_some_and(|pem| PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes()).is_err()) {
            return Err("its \"private_key\" is not a PKCS #8 key in PEM".to_owned());
        }
        Ok(key)
    }

    /// Returns the type.
    pub(crate) fn kind(&self) -> &str {
        self.text("type").unwrap_or_default()
    }

    /// Returns the JSON, for Google's library.
    pub(crate) fn json(&self) -> Value {
        self.0.clone()
    }

    /// Returns the service account as which calls are made, if the file names one.
    pub(crate) fn account(&self) -> Option<&str> {
        let impersonated = || {
            let url = self.text("service_account_impersonation_url")?;
            url.rsplit_once("/serviceAccounts/")?.1.strip_suffix(":generateAccessToken")
        };
        self.text("client_email").or_else(impersonated)
    }

    /// Returns the project to which the credentials belong.
    pub(crate) fn project(&self) -> Option<&str> {
        self.text("project_id").or_else(|| self.quota_project())
    }

    /// Returns the project whose quotas calls count for.
    pub(crate) fn quota_project(&self) -> Option<&str> {
        self.text("quota_project_id")
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).and_then(Value::as_str).filter(|text| !text.is_empty())
    }
}
