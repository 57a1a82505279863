//! Responses from something else than the service, in each protocol.

#![expect(clippy::unwrap_used, reason = "tests")]

use bytes::Bytes;

use super::super::{super::model::operation, *};
use crate::engine::CallErrorKind::{Denied, NotFound, Unavailable, Unexpected};

/// An operation of each protocol with an empty response.
const NOTHING: [(&str, &str, &str); 6] = [
    ("ec2", "DescribeVpcs", "<DescribeVpcsResponse><requestId>1</requestId></DescribeVpcsResponse>"),
    ("iam", "ListUsers", "<ListUsersResponse xmlns='x'><ListUsersResult/></ListUsersResponse>"),
    ("s3", "ListBuckets", "<?xml version='1.0'?>\n<ListAllMyBucketsResult/>"),
    ("s3", "GetBucketLocation", "<LocationConstraint/>"),
    ("pricing", "GetProducts", "{}"),
    ("eks", "ListClusters", " {\"clusters\": []}\n"),
];

fn check(service: &str, name: &str, status: u16, headers: &[(&str, &str)], body: &[u8]) -> Result<Bytes, String> {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let body = checked(operation(service, name).unwrap(), status, &headers, Bytes::copy_from_slice(body))?;
    Ok(Bytes::copy_from_slice(body.bytes()))
}

fn refusal(service: &str, name: &str, status: u16, headers: &[(&str, &str)], body: &str) -> CallError {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    failure(operation(service, name).unwrap(), status, &headers, body.as_bytes())
}

#[test]
fn response_of_the_service_is_accepted() {
    for (service, name, body) in NOTHING {
        let types = match operation(service, name).unwrap().service.protocol {
            Protocol::Json | Protocol::RestJson => ["application/json", "application/x-amz-json-1.1", ""],
            _ => ["text/xml;charset=UTF-8", "application/xml", "binary/octet-stream"],
        };
        assert_eq!(check(service, name, 200, &[], body.as_bytes()).unwrap(), body);
        for content_type in types {
            let answer = check(service, name, 200, &[("content-type", content_type)], body.as_bytes());
            assert_eq!(answer.unwrap(), body, "{content_type}");
        }
    }
    let more = "<DescribeVpcsResponse><new>1</new><vpcSet/></DescribeVpcsResponse><!-- end -->\n";
    assert!(check("ec2", "DescribeVpcs", 200, &[], more.as_bytes()).is_ok());
    assert!(check("eks", "ListClusters", 200, &[], br#"{"clusters":[],"message":"new"}"#).is_ok());
    assert!(check("eks", "DescribeCluster", 200, &[], br#"{"somethingNew":1}"#).is_ok());
}

#[test]
fn response_without_output_may_be_empty() {
    for (service, name) in [
        ("s3", "DeleteBucket"),
        ("s3", "HeadBucket"),
        ("s3", "HeadObject"),
        ("s3", "DeleteObject"),
        ("s3", "GetBucketPolicy"),
        ("ec2", "DeleteVolume"),
        ("iam", "DeleteUser"),
        ("eks", "TagResource"),
        ("cloudwatch", "DeleteAlarms"),
    ] {
        assert!(check(service, name, 204, &[], b"").is_ok(), "{service} {name}");
    }
    let done = b"<DeleteVolumeResponse><return>true</return></DeleteVolumeResponse>";
    assert!(check("ec2", "DeleteVolume", 200, &[], done).is_ok());
}

#[test]
fn empty_response_with_output_is_rejected() {
    for (service, name, _) in NOTHING {
        for body in ["", " \n"] {
            let error = check(service, name, 200, &[], body.as_bytes()).unwrap_err();
            assert_eq!(error, "the body is empty", "{service} {name}");
        }
    }
}

#[test]
fn body_of_wrong_type_is_rejected() {
    let foreign = [
        "<!DOCTYPE html><html><head><title>Sign in</title><meta charset=x></head><body>Hello",
        "<html><body>Hello</body></html>",
        "<HTML></HTML>",
        "<ListMetricsResponse/>",
        "<Response/>",
        "OK",
        "null",
        "[]",
        "true",
        "\"text\"",
        "{\"message\":\"Forbidden\"}",
        "{\"error\":{\"code\":1}}",
        "{\"__type\":\"InternalFailure\"}",
        "{\"clus",
        "\u{1}\u{2}",
    ];
    for (service, name, nothing) in NOTHING {
        for body in foreign {
            assert!(check(service, name, 200, &[], body.as_bytes()).is_err(), "{service} {name} {body}");
        }
        let cut = &nothing.trim_end().as_bytes()[..nothing.trim_end().len() - 1];
        assert!(check(service, name, 200, &[], cut).is_err(), "{service} {name} is cut");
        let twice = [nothing, nothing].concat();
        assert!(check(service, name, 200, &[], twice.as_bytes()).is_err(), "{service} {name} comes twice");
        for content_type in ["text/html", "Text/HTML; charset=utf-8", "image/gif", "application/xhtml+xml"] {
            let answer = check(service, name, 200, &[("Content-Type", content_type)], nothing.as_bytes());
            assert!(answer.is_err(), "{service} {name} {content_type}");
        }
        assert!(check(service, name, 302, &[], nothing.as_bytes()).is_err());
    }
    assert!(
        check("ec2", "DescribeVpcs", 200, &[("content-type", "application/json")], NOTHING[0].2.as_bytes()).is_err()
    );
    assert!(check("iam", "ListUsers", 200, &[], b"<ListUsersResponse/>").is_err(), "without the result");
    assert!(
        check("iam", "ListUsers", 200, &[], b"<ListUsersResponse><a><ListUsersResult/></a></ListUsersResponse>")
            .is_err()
    );
    for (service, name) in
        [("ec2", "DeleteVolume"), ("iam", "DeleteUser"), ("s3", "DeleteBucket"), ("eks", "TagResource")]
    {
        assert!(check(service, name, 200, &[], b"<html><body/></html>").is_err(), "{service} {name}");
    }
}

#[test]
fn every_xml_response_has_a_root_of_the_model() {
    for service in super::super::super::model::services().filter_map(super::super::super::model::service) {
        for operation in service.operations().filter_map(|name| service.operation(name)) {
            let has_members = operation.output.as_ref().is_some_and(|output| {
                output.get().payload.is_none()
                    && output.get().members.iter().any(|member| member.binding == Binding::Body)
            });
            if matches!(service.protocol, Protocol::Query | Protocol::Ec2 | Protocol::RestXml) && has_members {
                assert!(!operation.is_reply_root("Foreign"), "{} {}", service.name, operation.name);
            }
        }
    }
}

#[test]
fn error_without_code_is_foreign() {
    for (service, name, _) in NOTHING {
        for (status, body) in [
            (403, "<html><body>Forbidden by policy</body></html>"),
            (404, "Not Found"),
            (407, "{\"reason\":\"log in\"}"),
            (302, ""),
            (308, "<html/>"),
            (304, ""),
        ] {
            let headers = [("location", "https://login.example/?token=secret")];
            let error = refusal(service, name, status, &headers, body);
            assert_eq!((error.kind, error.code.as_str()), (Unavailable, "InvalidResponse"), "{service} {status}");
            assert!(error.message.contains("login.example") && !error.message.contains("secret"), "{error}");
        }
        assert_eq!(refusal(service, name, 403, &[], "").kind, Denied);
        assert_eq!(refusal(service, name, 502, &[], "<html/>").code, "502");
    }
    assert_eq!(refusal("s3", "HeadBucket", 404, &[], "").kind, NotFound);
}

#[test]
fn redirect_of_s3_is_accepted() {
    let moved = "<Error><Code>TemporaryRedirect</Code><Endpoint>b.s3.eu-west-1.amazonaws.com</Endpoint></Error>";
    let error = refusal("s3", "GetBucketTagging", 307, &[], moved);
    assert_eq!((error.kind, error.code.as_str()), (Unexpected, "TemporaryRedirect"));
    let head = refusal("s3", "HeadBucket", 301, &[("x-amz-bucket-region", "eu-west-1")], "");
    assert_eq!(head.moved_to.as_deref(), Some("eu-west-1"));
    assert_eq!(refusal("ec2", "DescribeVpcs", 307, &[], moved).code, "InvalidResponse");
}
