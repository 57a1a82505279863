//! Google's errors: what they mean for a call.

use serde::Deserialize;
use worker_proto::{Failure, FailureKind};

use super::Project;
use crate::engine::{CallError, CallErrorKind, ErrorFacts, code};

/// The longest message of a service in an error, in bytes.
const MAX_MESSAGE: usize = 2000;

/// The reasons of an API that is not enabled in the project that is charged for the call.
const DISABLED: [&str; 2] = ["SERVICE_DISABLED", "accessNotConfigured"];

/// The reasons of a project without billing. All of its services reject calls, although its resources exist.
const CLOSED: [&str; 4] = ["BILLING_DISABLED", "accountDisabled", "billingNotEnabled", "billingDisabled"];

/// The reasons of a project, other than the collected one or not, to which no call of a service may be charged.
const UNCHARGED: [&str; 3] = ["CONSUMER_INVALID", "CONSUMER_SUSPENDED", "USER_PROJECT_DENIED"];

/// The reasons of a resource that has changed since it was read: of a call, and of an operation.
const CHANGED: [&str; 2] = ["conditionNotMet", "CONDITION_NOT_MET"];

/// The status of a change whose condition is not met.
const PRECONDITION_FAILED: u16 = 412;

/// The reasons of too many calls. They come with status 403 and 429.
const THROTTLING: [&str; 7] = [
    "RATE_LIMIT_EXCEEDED",
    "RESOURCE_EXHAUSTED",
    "concurrentLimitExceeded",
    "dailyLimitExceeded",
    "quotaExceeded",
    "rateLimitExceeded",
    "userRateLimitExceeded",
];

/// The reasons of a change that another resource or another change prevents for now.
const IN_USE: [&str; 5] = [
    "RESOURCE_IN_USE_BY_ANOTHER_RESOURCE",
    "RESOURCE_NOT_READY",
    "operationInProgress",
    "resourceInUseByAnotherResource",
    "resourceNotReady",
];

/// The body of an error response.
#[derive(Deserialize)]
#[serde(untagged)]
enum Answer {
    One {
        error: Reported,
    },
    /// Some APIs send a list of one.
    List([ListedAnswer; 1]),
}

#[derive(Deserialize)]
struct ListedAnswer {
    error: Reported,
}

/// An error as a service reports it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Reported {
    message: String,
    /// The name of the status, such as `PERMISSION_DENIED`.
    status: String,
    errors: Vec<Item>,
    details: Vec<Detail>,
}

/// An error in the older form.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Item {
    reason: String,
}

/// A part of an error in the newer form. Only `google.rpc.ErrorInfo` has a reason.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Detail {
    reason: String,
    metadata: Metadata,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Metadata {
    consumer: String,
}

/// What a call asked for.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The service's name.
    pub service: &'a str,
    /// The project that was asked about, if the call is about one.
    pub project: Option<&'a Project>,
}

/// Returns the error of a response with this status; `None` if the body is not an error of Google's.
pub(super) fn read(body: &[u8]) -> Option<Reported> {
    match serde_json::from_slice(body).ok()? {
        Answer::One { error } | Answer::List([ListedAnswer { error }]) => Some(error),
    }
}

impl Reported {
    /// Iterates over all reasons, the newer form first.
    fn reasons(&self) -> impl Iterator<Item = &str> {
        let reasons = self.details.iter().map(|detail| &detail.reason);
        let reasons = reasons.chain(self.errors.iter().map(|item| &item.reason)).chain([&self.status]);
        reasons.map(String::as_str).filter(|reason| !reason.is_empty())
    }

    fn has(&self, reasons: &[&str]) -> bool {
        self.reasons().any(|reason| reasons.contains(&reason))
    }

    /// Returns the project whose APIs and quotas count for the call: its ID or number.
    fn consumer(&self) -> Option<&str> {
        let consumers = self.details.iter().map(|detail| detail.metadata.consumer.as_str());
        let named = consumers.filter(|consumer| !consumer.is_empty()).find_map(|consumer| {
            ["projects/", "project_number:", "project:"].iter().find_map(|prefix| consumer.strip_prefix(prefix))
        });
        // Errors without details name the number in a sentence.
        let told = || self.message.split_once(" in project ").and_then(|(_, rest)| rest.split(' ').next());
        let told = || told().map(|project| project.trim_end_matches(['.', ',', ';', ':']));
        named.or_else(told)
    }

    /// Returns whether the API is not enabled in the project that was asked about, so that nothing of it exists there.
    /// With a user's credentials the error can name their quota project instead, and then says nothing about the other.
    #[must_use]
    pub fn is_not_in_use(&self, asked: Asked<'_>) -> bool {
        self.has(&DISABLED) && self.consumer().is_some() && self.is_about_asked(asked)
    }

    /// Returns whether the project to which the call was charged is the one that was asked about. Only a disabled API
    /// always names it.
    fn is_about_asked(&self, asked: Asked<'_>) -> bool {
        match self.consumer() {
            Some(consumer) => asked.project.is_some_and(|project| project.is(consumer)),
            None => !self.has(&DISABLED),
        }
    }

    /// Returns whether the service rejects all calls for the project: its billing is closed, or the project to which
    /// the calls are charged must not or cannot use the service.
    #[must_use]
    pub fn ends_service(&self) -> bool {
        [&CLOSED[..], &DISABLED, &UNCHARGED].iter().any(|reasons| self.has(reasons))
    }

    /// Returns the error of the call.
    pub(super) fn of(self, asked: Asked<'_>, status: u16) -> CallError {
        let code = self.reasons().next().map_or_else(|| status.to_string(), str::to_owned);
        let message = match self.ends_service() && !self.is_about_asked(asked) {
            true => self.rejected_elsewhere(asked),
            false => self.message.clone(),
        };
        let mut error = CallError::new(self.kind(status), &code, shortened(message));
        error.facts = self.facts(asked, status, error.kind);
        error
    }

    fn kind(&self, status: u16) -> CallErrorKind {
        match status {
            _ if self.has(&DISABLED) || self.has(&CLOSED) => CallErrorKind::Denied,
            400..500 if self.has(&THROTTLING) => CallErrorKind::Throttled,
            401 => CallErrorKind::Credentials,
            _ => CallErrorKind::of_status(status),
        }
    }

    fn facts(&self, asked: Asked<'_>, status: u16, kind: CallErrorKind) -> ErrorFacts {
        let is_missing = self.has(&["notFound", "NOT_FOUND"]) || self.reasons().any(|r| r.ends_with("DoesNotExist"));
        let has_objects = asked.service == "storage" && status == 409 && self.has(&["conflict"]);
        ErrorFacts {
            // The quota of a day does not return within a call.
            is_final: self.has(&["dailyLimitExceeded"]),
            // An unknown path is no resource.
            means_deleted: kind == CallErrorKind::NotFound
                && is_missing
                && !self.message.starts_with("Method not found"),
            means_in_use: has_objects || self.has(&IN_USE),
            means_changed: status == PRECONDITION_FAILED || self.has(&CHANGED),
            ends_service: self.ends_service() && !self.is_not_in_use(asked),
            is_not_in_use: self.is_not_in_use(asked),
            ..ErrorFacts::default()
        }
    }

    /// Returns the message of an API that cannot be used from a project other than the collected one.
    fn rejected_elsewhere(&self, asked: Asked<'_>) -> String {
        let (state, remedy) = match () {
            () if self.has(&DISABLED) => ("is not enabled", "enable the API there"),
            () if self.has(&CLOSED) => ("is closed, as billing is,", "open its billing"),
            () => ("cannot be used", "allow the account to use that project (roles/serviceusage.serviceUsageConsumer)"),
        };
        let consumer = self.consumer().unwrap_or("of the credentials");
        let about = asked.project.map(|project| format!(", and not in {}", project.id)).unwrap_or_default();
        // Without the collected project's number, both may be the same.
        let is_number = consumer.bytes().all(|byte| byte.is_ascii_digit());
        if let Some(project) = asked.project.filter(|project| project.number.is_none() && is_number) {
            return format!(
                "the API {} {state} in project {consumer}, which may be {}; {remedy}. The service's message: {}",
                asked.service, project.id, self.message
            );
        }
        format!(
            "the API {} {state} in project {consumer}{about}: the calls are charged to that project; {remedy}, or name \
             another quota project in the credentials (quota_project_id) or with GOOGLE_CLOUD_QUOTA_PROJECT. The service's \
             message: {}",
            asked.service, self.message
        )
    }
}

/// Returns the error of an operation that has failed: its first error's code, all messages, and the HTTP status that a
/// call would have had. `target` is the link of the resource that was to be changed.
pub(super) fn of_operation(errors: &[(String, String)], status: Option<u16>, target: Option<&str>) -> CallError {
    let code = errors.first().map(|(code, _)| code.as_str()).filter(|code| !code.is_empty());
    let messages: Vec<&str> =
        errors.iter().map(|(_, message)| message.as_str()).filter(|text| !text.is_empty()).collect();
    let message = messages.join("; ");
    let names_target = || {
        let path = target.and_then(|link| link.split_once("/projects/")).map(|(_, path)| path);
        path.is_some_and(|path| message.contains(path))
    };
    let is_missing = code == Some("RESOURCE_NOT_FOUND");
    let kind = match (code, status) {
        _ if is_missing => CallErrorKind::NotFound,
        (Some("INTERNAL_ERROR"), _) => CallErrorKind::Unavailable,
        (_, Some(status)) => CallErrorKind::of_status(status),
        _ => CallErrorKind::Unexpected,
    };
    let facts = ErrorFacts {
        is_final: true,
        means_deleted: is_missing && names_target(),
        means_in_use: code.is_some_and(|code| IN_USE.contains(&code)),
        means_changed: status == Some(PRECONDITION_FAILED) || code.is_some_and(|code| CHANGED.contains(&code)),
        ..ErrorFacts::default()
    };
    let mut error = CallError::new(kind, code.unwrap_or("OperationFailed"), shortened(message));
    error.facts = facts;
    error
}

/// Returns the error of a call without a token.
pub(super) fn no_token(failure: Failure) -> CallError {
    let kind = match failure.kind {
        FailureKind::Unavailable | FailureKind::Cancelled => CallErrorKind::Unavailable,
        _ => CallErrorKind::Credentials,
    };
    CallError::new(kind, code::NO_CREDENTIALS, failure.message)
}

fn shortened(mut message: String) -> String {
    if message.len() > MAX_MESSAGE {
        message.truncate(message.floor_char_boundary(MAX_MESSAGE));
        message.push('…');
    }
    message
}

#[cfg(test)]
#[path = "error_tests.rs"]
mod tests;
