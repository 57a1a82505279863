//! The API in the head of a definition file: its address, how calls are authorized and paged, limits and errors.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

use crate::engine::{
    Path,
    definition::{Condition, Source, Template},
};

/// An API.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Api {
    /// The address in front of all paths. Braces hold options.
    pub(super) url: Spanned<Template>,
    /// The method of operations that name none.
    #[serde(default)]
    pub(super) method: Verb,
    /// The form of the parameters of a POST.
    #[serde(default)]
    pub(super) body: BodyForm,
    /// Headers of each call.
    #[serde(default)]
    pub(super) headers: BTreeMap<String, String>,
    /// The seconds after its start in which a failed call may start another attempt. A call that was one too many has
    /// all its time.
    #[serde(default = "retry")]
    pub(super) retry: u16,
    /// How calls are authorized.
    pub(super) auth: Spanned<Auth>,
    /// How lists are continued.
    #[serde(default)]
    pub(super) pages: Paging,
    /// Limits of the rate of calls.
    #[serde(default)]
    pub(super) limits: Limits,
    /// Whether answers are kept with their ETags.
    #[serde(default)]
    pub(super) etags: bool,
    /// What a successful response must have, and where others have their code and message.
    #[serde(default)]
    pub(super) response: ResponseForm,
    /// What error codes and statuses mean.
    #[serde(default)]
    pub(super) errors: Errors,
    /// Remedies by error code.
    #[serde(default)]
    pub(super) advice: BTreeMap<String, String>,
    /// What differs for single operations.
    #[serde(default)]
    pub(super) operations: BTreeMap<Spanned<String>, Exception>,
}

/// The method of a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(super) enum Verb {
    /// The parameters are the query.
    #[default]
    Get,
    /// The parameters are the body.
    Post,
}

/// The form of the parameters of a POST.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum BodyForm {
    /// One JSON object.
    #[default]
    Json,
    /// As HTML forms are sent.
    Form,
}

/// How calls are authorized. The strings in it that name options have their values in the supervisor only.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Auth {
    /// Not at all.
    None {},
    /// A token that does not change.
    Bearer {
        /// The option with the token.
        #[serde(default = "token")]
        token: String,
        /// What stands before it in the header.
        #[serde(default = "bearer")]
        scheme: String,
    },
    /// A name and a password.
    Basic {
        /// The option with the name.
        #[serde(default = "user")]
        user: String,
        /// The option with the password.
        #[serde(default = "password")]
        password: String,
    },
    /// A token in a header of its own.
    Header {
        /// The header.
        header: String,
        /// The option with the token.
        #[serde(default = "token")]
        token: String,
    },
    /// A token that a call gives for an ID and a secret, as in OAuth 2.
    ClientCredentials(Box<ClientCredentials>),
}

/// The call that gives a token.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ClientCredentials {
    /// The path of the call below the API's address, or a whole address.
    pub(super) url: Template,
    /// The option with the ID.
    #[serde(default = "client_id")]
    pub(super) client_id: String,
    /// The option with the secret.
    #[serde(default = "client_secret")]
    pub(super) client_secret: String,
    /// Headers; the names of the two options in braces are the credentials. If neither headers nor parameters have the
    /// secret, the header `Authorization: Basic` does.
    #[serde(default)]
    pub(super) headers: BTreeMap<String, Template>,
    /// The parameters.
    #[serde(default = "grant")]
    pub(super) parameters: BTreeMap<String, Template>,
    /// The form of the parameters.
    #[serde(default = "form")]
    pub(super) body: BodyForm,
    /// The path to the token.
    #[serde(default = "access_token")]
    pub(super) token: Path,
    /// The path to the token's lifetime in seconds.
    #[serde(default = "expires_in")]
    pub(super) expires_in: Path,
    /// What stands before the token in the header of calls.
    #[serde(default = "bearer")]
    pub(super) scheme: String,
}

/// How lists are continued.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Paging {
    /// They have one page.
    #[default]
    None,
    /// Each page has a value for the call of the next one; an absent or empty one ends.
    Cursor {
        /// The path to the value in the body.
        next: Option<Path>,
        /// The header with the value.
        header: Option<String>,
        /// The parameter that takes it.
        parameter: String,
        /// Whether the parameter replaces all others.
        #[serde(default)]
        alone: bool,
        /// Whether the value is a query string in base64, whose parameters are those of the next call, if it can be
        /// read as one.
        #[serde(default)]
        is_query: bool,
        /// The size of pages.
        limit: Option<PageLimit>,
    },
    /// Pages have numbers. The list ends with its total, or with an empty page.
    Page {
        /// The parameter that takes the number.
        #[serde(default = "page")]
        parameter: String,
        /// The number of the first page.
        #[serde(default = "one")]
        first: i64,
        /// The path to the number of the last page.
        last: Option<Path>,
        /// The size of pages.
        limit: Option<PageLimit>,
    },
    /// A page begins after a number of items. The list ends with its total, or with an empty page.
    Offset {
        /// The parameter that takes the number.
        #[serde(default = "offset")]
        parameter: String,
        /// The path to the number of all items.
        total: Option<Path>,
        /// The size of pages.
        limit: Option<PageLimit>,
    },
    /// Each page has the address of the next one, in the header `Link` or in the body.
    Link {
        /// The path to the address in the body.
        next: Option<Path>,
        /// The size of pages.
        limit: Option<PageLimit>,
    },
}

/// The parameter that sets the size of pages.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PageLimit {
    /// The parameter.
    pub(super) parameter: String,
    /// The number of items.
    pub(super) size: u32,
}

/// Limits of the rate of calls. `Retry-After` is always obeyed.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Limits {
    /// The most calls of an operation in a minute.
    pub(super) per_minute: Option<u32>,
    /// The header with the number of calls in a window.
    pub(super) limit: Option<String>,
    /// The header with the number of calls that are left in it.
    pub(super) remaining: Option<String>,
    /// The header with its end.
    pub(super) reset: Option<String>,
    /// The form of its end.
    #[serde(default)]
    pub(super) reset_form: ResetForm,
    /// The pause in seconds after a call that was one too many, if the response does not say how long.
    pub(super) pause: Option<u16>,
    /// The share of the limit that is left to others, in percent.
    #[serde(default)]
    pub(super) reserve: u8,
}

/// The form of a window's end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum ResetForm {
    /// Seconds from now.
    #[default]
    Seconds,
    /// Seconds since 1970.
    Epoch,
}

/// The form of responses.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ResponseForm {
    /// What a response with a status of success must have to be one.
    pub(super) success: Option<Condition>,
    /// The path to the error code; the status is the code if there is none.
    pub(super) code: Option<Path>,
    /// The message.
    pub(super) message: Option<Source>,
    /// A header that says that something is missing in a successful response.
    pub(super) partial: Option<PartialHeader>,
}

/// A header that says that something is missing.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PartialHeader {
    /// The header.
    pub(super) header: String,
    /// The part of its value that says so.
    pub(super) contains: String,
    /// The error code of the gap.
    pub(super) code: String,
}

/// What error codes and statuses mean, where the status alone does not tell.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Errors {
    /// The credentials are rejected.
    pub(super) credentials: Vec<String>,
    /// The credentials lack a permission.
    pub(super) denied: Vec<String>,
    /// Too many calls.
    pub(super) throttled: Vec<String>,
    /// Parts of messages that mean the same.
    pub(super) throttled_messages: Vec<String>,
    /// There is no such resource.
    pub(super) not_found: Vec<String>,
    /// A fault of the service that may end soon.
    pub(super) unavailable: Vec<String>,
    /// An answer that no other attempt changes.
    pub(super) r#final: Vec<String>,
}

/// What differs for one operation.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Exception {
    /// See [`Limits::per_minute`].
    pub(super) per_minute: Option<u32>,
    /// How the list is continued.
    pub(super) pages: Option<Paging>,
    /// The path to each item, for an operation that code calls.
    pub(super) items: Option<Path>,
}

impl Auth {
    /// Returns the options that it needs: name, help, and whether the value is a secret.
    pub(super) fn options(&self) -> Vec<(&str, &'static str, bool)> {
        match self {
            Self::None {} => Vec::new(),
            Self::Bearer { token, .. } | Self::Header { token, .. } => vec![(token, "Token for the API", true)],
            Self::Basic { user, password } => {
                vec![(user, "User of the API", false), (password, "Password of the user", true)]
            }
            Self::ClientCredentials(call) => {
                vec![(&call.client_id, "Client ID", false), (&call.client_secret, "Secret of the client ID", true)]
            }
        }
    }
}

impl Paging {
    /// Returns the parameter that continues a list.
    pub(super) fn parameter(&self) -> Option<&str> {
        match self {
            Self::None | Self::Link { .. } => None,
            Self::Cursor { parameter, .. } | Self::Page { parameter, .. } | Self::Offset { parameter, .. } => {
                Some(parameter)
            }
        }
    }

    /// Returns the parameter that sets the size of pages.
    pub(super) fn limit(&self) -> Option<&PageLimit> {
        match self {
            Self::None => None,
            Self::Cursor { limit, .. } | Self::Page { limit, .. } => limit.as_ref(),
            Self::Offset { limit, .. } | Self::Link { limit, .. } => limit.as_ref(),
        }
    }
}

fn retry() -> u16 {
    40
}

fn token() -> String {
    "token".to_owned()
}

fn bearer() -> String {
    "Bearer".to_owned()
}

fn user() -> String {
    "user".to_owned()
}

fn password() -> String {
    "password".to_owned()
}

fn client_id() -> String {
    "client-id".to_owned()
}

fn client_secret() -> String {
    "client-secret".to_owned()
}

fn page() -> String {
    "page".to_owned()
}

fn offset() -> String {
    "offset".to_owned()
}

fn one() -> i64 {
    1
}

fn form() -> BodyForm {
    BodyForm::Form
}

fn grant() -> BTreeMap<String, Template> {
    Template::try_from("client_credentials".to_owned())
        .map(|grant| ("grant_type".to_owned(), grant))
        .into_iter()
        .collect()
}

fn access_token() -> Path {
    Path::parse("access_token").unwrap_or_default()
}

fn expires_in() -> Path {
    Path::parse("expires_in").unwrap_or_default()
}
