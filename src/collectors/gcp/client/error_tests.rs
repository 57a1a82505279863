//! What Google's errors mean.

#![expect(clippy::unwrap_used, reason = "tests")]

use serde_json::{Value, json};

use super::*;

fn project() -> Project {
    Project { id: "shop".into(), number: Some("123".into()) }
}

fn reported(error: Value) -> Reported {
    read(json!({ "error": error }).to_string().as_bytes()).unwrap()
}

fn error(service: &str, status: u16, error: Value) -> CallError {
    let project = project();
    reported(error).of(Asked { service, project: Some(&project) }, status)
}

/// An error in the older form.
fn old(status: u16, reason: &str, message: &str) -> CallError {
    let errors = json!([{"reason": reason, "domain": "global", "message": message}]);
    error("compute", status, json!({"code": status, "message": message, "errors": errors}))
}

/// An error in the newer form.
fn new(reason: &str, consumer: &str) -> Value {
    let info = json!({
        "@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason, "metadata": {"consumer": consumer}
    });
    let help = json!({"@type": "type.googleapis.com/google.rpc.Help", "links": []});
    json!({"code": 403, "message": "no", "status": "PERMISSION_DENIED", "details": [help, info]})
}

#[test]
fn codes_are_reasons_before_status() {
    assert_eq!(error("compute", 403, new("SERVICE_DISABLED", "projects/123")).code, "SERVICE_DISABLED");
    assert_eq!(old(403, "forbidden", "").code, "forbidden");
    assert_eq!(error("compute", 400, json!({"status": "INVALID_ARGUMENT"})).code, "INVALID_ARGUMENT");
    assert_eq!(error("compute", 418, json!({})).code, "418");
}

#[test]
fn disabled_api_is_not_in_use_only_in_the_asked_project() {
    let project = project();
    let asked = Asked { service: "sqladmin", project: Some(&project) };
    for consumer in ["projects/123", "projects/shop", "project_number:123"] {
        let reported = reported(new("SERVICE_DISABLED", consumer));
        assert!(reported.is_not_in_use(asked), "{consumer}");
        assert_eq!(reported.of(asked, 403).message.as_ref(), "no");
    }
    for consumer in ["projects/124", "projects/shop-2", ""] {
        let reported = reported(new("SERVICE_DISABLED", consumer));
        assert!(!reported.is_not_in_use(asked), "{consumer}");
        let error = reported.of(asked, 403);
        assert_eq!(error.kind, CallErrorKind::Denied);
        let named = consumer.strip_prefix("projects/").unwrap_or("of the credentials");
        assert!(error.message.contains(&format!("in project {named}, and not in shop")), "{error}");
        assert!(error.message.contains("quota_project_id"), "{error}");
    }
    assert!(!reported(new("SERVICE_DISABLED", "projects/123")).is_not_in_use(Asked { project: None, ..asked }));
    assert!(!reported(new("IAM_PERMISSION_DENIED", "projects/123")).is_not_in_use(asked));
}

#[test]
fn disabled_api_without_details_names_project_in_message() {
    let project = project();
    let asked = Asked { service: "compute", project: Some(&project) };
    let of = |number: &str| {
        let message = format!("Compute Engine API has not been used in project {number} before or it is disabled.");
        reported(json!({"message": message, "errors": [{"reason": "accessNotConfigured"}]})).is_not_in_use(asked)
    };
    assert!(of("123") && !of("124"));
}

#[test]
fn closed_billing_ends_the_service() {
    for closed in [new("BILLING_DISABLED", "projects/123"), json!({"errors": [{"reason": "accountDisabled"}]})] {
        assert!(reported(closed.clone()).ends_service());
        assert_eq!(error("storage", 403, closed).kind, CallErrorKind::Denied);
    }
    assert!(!reported(json!({"errors": [{"reason": "forbidden"}]})).ends_service());
}

#[test]
fn project_that_must_not_be_charged_ends_the_service() {
    let project = project();
    let asked = Asked { service: "sqladmin", project: Some(&project) };
    for (reason, consumer, state) in [
        ("SERVICE_DISABLED", "projects/quota", "is not enabled in project quota"),
        ("BILLING_DISABLED", "projects/quota", "in project quota"),
        ("USER_PROJECT_DENIED", "projects/quota", "cannot be used in project quota"),
        ("CONSUMER_SUSPENDED", "projects/quota", "cannot be used in project quota"),
    ] {
        let error = reported(new(reason, consumer)).of(asked, 403);
        assert!(error.facts.ends_service && !error.facts.is_not_in_use, "{reason}");
        assert_eq!((error.kind, error.code.as_str()), (CallErrorKind::Denied, reason));
        assert!(error.message.contains(state) && error.message.contains("quota_project_id"), "{error}");
    }
    let own = reported(new("BILLING_DISABLED", "projects/123")).of(asked, 403);
    assert_eq!(own.message.as_ref(), "no");
}

#[test]
fn changed_resource_is_recognised_by_status_or_any_reason() {
    let detail = json!([{"reason": "SOMETHING"}]);
    for (status, body) in [
        (412, json!({"status": "FAILED_PRECONDITION"})),
        (412, json!({})),
        (412, json!({"details": detail, "errors": [{"reason": "conditionNotMet"}]})),
        (400, json!({"details": detail, "errors": [{"reason": "conditionNotMet"}]})),
    ] {
        assert!(error("compute", status, body.clone()).means_changed(), "{status} {body}");
    }
    assert!(!error("compute", 409, json!({"errors": [{"reason": "conflict"}]})).means_changed());
    let of = |code: &str, status| of_operation(&[(code.to_owned(), String::new())], status, None).means_changed();
    assert!(of("CONDITION_NOT_MET", None) && of("OTHER", Some(412)) && !of("OTHER", Some(400)));
}

#[test]
fn kinds_follow_from_reasons_and_status() {
    use CallErrorKind::{Credentials, Denied, NotFound, Throttled, Unavailable, Unexpected};
    for (status, reason, kind) in [
        (403, "rateLimitExceeded", Throttled),
        (403, "userRateLimitExceeded", Throttled),
        (403, "quotaExceeded", Throttled),
        (429, "rateLimitExceeded", Throttled),
        (429, "unknown", Throttled),
        (401, "authError", Credentials),
        (403, "forbidden", Denied),
        (404, "notFound", NotFound),
        (400, "invalid", Unexpected),
        (409, "conflict", Unexpected),
        (412, "conditionNotMet", Unexpected),
        (500, "internalError", Unavailable),
        (502, "badGateway", Unavailable),
        (503, "backendError", Unavailable),
    ] {
        let error = old(status, reason, "");
        assert_eq!((error.kind, error.code.as_str()), (kind, reason), "{status} {reason}");
        assert_eq!(error.is_retryable(), matches!(kind, Throttled | Unavailable), "{status} {reason}");
    }
    assert_eq!(error("compute", 429, json!({"status": "RESOURCE_EXHAUSTED"})).kind, Throttled);
    assert_eq!(error("compute", 403, new("RATE_LIMIT_EXCEEDED", "projects/123")).kind, Throttled);
    assert!(!old(403, "dailyLimitExceeded", "").is_retryable());
}

#[test]
fn missing_resource_means_deleted() {
    assert!(old(404, "notFound", "The resource 'projects/p/zones/z/disks/d' was not found").means_deleted());
    assert!(old(404, "instanceDoesNotExist", "The Cloud SQL instance does not exist.").means_deleted());
    assert!(error("sqladmin", 404, json!({"status": "NOT_FOUND"})).means_deleted());
    assert!(!error("sqladmin", 404, json!({"status": "NOT_FOUND", "message": "Method not found."})).means_deleted());
    assert!(!error("sqladmin", 404, json!({})).means_deleted());
    assert!(!old(400, "notFound", "").means_deleted());
}

#[test]
fn resource_in_use_is_known() {
    assert!(old(400, "resourceInUseByAnotherResource", "").means_in_use());
    assert!(old(400, "resourceNotReady", "").means_in_use());
    let conflict =
        json!({"errors": [{"reason": "conflict"}], "message": "The bucket you tried to delete is not empty."});
    assert!(error("storage", 409, conflict.clone()).means_in_use());
    assert!(!error("compute", 409, conflict).means_in_use());
    assert!(!old(412, "conditionNotMet", "").means_in_use());
}

#[test]
fn only_googles_errors_are_read() {
    for body in [
        "",
        "<html></html>",
        "{}",
        "[]",
        "{\"error\": \"invalid_grant\"}",
        "{\"error\": null}",
        "{\"message\": \"no\"}",
    ] {
        assert!(read(body.as_bytes()).is_none(), "{body}");
    }
    let listed = read(br#"[{"error": {"code": 403, "message": "no", "status": "PERMISSION_DENIED"}}]"#).unwrap();
    assert_eq!(listed.of(Asked { service: "compute", project: None }, 403).kind, CallErrorKind::Denied);
}

#[test]
fn errors_of_operations_keep_code_and_all_messages() {
    let errors = |code: &str, message: &str| vec![(code.to_owned(), message.to_owned())];
    let link = "https://www.googleapis.com/compute/v1/projects/p/zones/z/disks/d";
    let of = |code: &str, status| {
        of_operation(&errors(code, "The resource 'projects/p/zones/z/disks/d'"), status, Some(link))
    };
    assert!(of("RESOURCE_IN_USE_BY_ANOTHER_RESOURCE", Some(400)).means_in_use());
    let missing = of("RESOURCE_NOT_FOUND", Some(404));
    assert!(missing.means_deleted() && missing.kind == CallErrorKind::NotFound);
    let other = of_operation(
        &errors("RESOURCE_NOT_FOUND", "The resource 'projects/p/global/networks/n'"),
        Some(404),
        Some(link),
    );
    assert!(!other.means_deleted(), "another resource is missing");
    assert_eq!(of("PERMISSIONS_ERROR", Some(403)).kind, CallErrorKind::Denied);
    assert_eq!(of("QUOTA_EXCEEDED", Some(403)).code, "QUOTA_EXCEEDED");
    let several = [errors("A", "first"), errors("B", "second")].concat();
    let error = of_operation(&several, None, None);
    assert_eq!((error.code.as_str(), &*error.message, error.kind), ("A", "first; second", CallErrorKind::Unexpected));
    assert!(!of("INTERNAL_ERROR", Some(503)).is_retryable(), "the change may have happened");
}

#[test]
fn failures_of_the_source_of_tokens_are_told_apart() {
    for (kind, expected) in [
        (FailureKind::Unavailable, CallErrorKind::Unavailable),
        (FailureKind::Cancelled, CallErrorKind::Unavailable),
        (FailureKind::Credentials, CallErrorKind::Credentials),
        (FailureKind::Configuration, CallErrorKind::Credentials),
    ] {
        let error = no_token(Failure { kind, message: "no".into() });
        assert_eq!((error.kind, error.code.as_str(), error.is_retryable()), (expected, code::NO_CREDENTIALS, false));
    }
}

#[test]
fn long_messages_are_shortened() {
    let error = old(403, "forbidden", &"ü".repeat(5000));
    assert!(error.message.len() <= MAX_MESSAGE + '…'.len_utf8());
}

#[test]
fn number_of_unknown_project_may_be_the_asked_one() {
    let unnumbered = Project { number: None, ..project() };
    let asked = Asked { service: "sqladmin", project: Some(&unnumbered) };
    let error = reported(new("SERVICE_DISABLED", "projects/123")).of(asked, 403);
    assert!(!error.facts.is_not_in_use && error.kind == CallErrorKind::Denied);
    assert!(error.message.contains("in project 123, which may be shop; enable the API there"), "{error}");
    let error = reported(new("SERVICE_DISABLED", "projects/other")).of(asked, 403);
    assert!(error.message.contains("in project other, and not in shop"), "{error}");
}

#[test]
fn project_at_the_end_of_a_sentence_is_read() {
    for message in ["X has not been used in project 123 before", "X is disabled in project 123. Enable it."] {
        let errors = json!([{ "reason": "accessNotConfigured", "message": message }]);
        let error = error("compute", 403, json!({ "code": 403, "message": message, "errors": errors }));
        assert!(error.facts.is_not_in_use, "{message}");
    }
}
