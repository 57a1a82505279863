//! Endpoints, and calls through the official runtime with recorded responses.

#![expect(clippy::unwrap_used, reason = "tests")]

mod protocol;
mod retry;

use std::time::Duration;

use aws_credential_types::provider::{
    ProvideCredentials, error::CredentialsError, future::ProvideCredentials as Provided,
};

use super::{
    super::http,
    testing::{Served, client, client_with},
    *,
};
use crate::{collector_api::Waits, engine::CallErrorKind};

fn at(service: &str, region: &str) -> Option<(String, String)> {
    let endpoint = resolve(service, region, &EndpointSettings::default()).ok()?;
    Some((endpoint.url.strip_prefix("https://").unwrap().to_owned(), endpoint.signing_region))
}

#[test]
fn endpoints_are_those_of_aws() {
    for (service, region, host, signing) in [
        ("ec2", "eu-central-1", "ec2.eu-central-1.amazonaws.com", "eu-central-1"),
        ("ec2", "cn-north-1", "ec2.cn-north-1.amazonaws.com.cn", "cn-north-1"),
        ("ec2", "eu-future-7", "ec2.eu-future-7.amazonaws.com", "eu-future-7"),
        ("iam", "eu-central-1", "iam.amazonaws.com", "us-east-1"),
        ("iam", "cn-northwest-1", "iam.cn-north-1.amazonaws.com.cn", "cn-north-1"),
        ("iam", "us-gov-east-1", "iam.us-gov.amazonaws.com", "us-gov-west-1"),
        ("iam", "us-iso-west-1", "iam.us-iso-east-1.c2s.ic.gov", "us-iso-east-1"),
        ("elbv2", "us-west-2", "elasticloadbalancing.us-west-2.amazonaws.com", "us-west-2"),
        ("cloudwatch", "us-isob-east-1", "monitoring.us-isob-east-1.sc2s.sgov.gov", "us-isob-east-1"),
        ("pricing", "us-east-1", "api.pricing.us-east-1.amazonaws.com", "us-east-1"),
        ("service-quotas", "us-gov-west-1", "servicequotas.us-gov-west-1.amazonaws.com", "us-gov-west-1"),
        ("s3", "us-east-1", "s3.us-east-1.amazonaws.com", "us-east-1"),
        ("sts", "eusc-de-east-1", "sts.eusc-de-east-1.amazonaws.eu", "eusc-de-east-1"),
    ] {
        assert_eq!(at(service, region), Some((host.to_owned(), signing.to_owned())), "{service} {region}");
    }
    for region in ["", "moon-base-1", "eu-central", "us-east-1.evil.example", "eu-central-1/", "undefined"] {
        assert_eq!(at("ec2", region), None, "{region}");
    }
}

#[test]
fn regions_have_names_and_partitions() {
    let found = region("eu-central-1").unwrap();
    assert_eq!((found.description, found.partition), ("Europe (Frankfurt)", "aws"));
    assert_eq!(region("us-gov-west-1").unwrap().partition, "aws-us-gov");
    assert_eq!(region("global"), None);
    assert_eq!(partition("ap-future-9"), Some("aws"));
    assert_eq!(partition("us-isob-west-9"), Some("aws-iso-b"));
    assert_eq!(partition("global"), None);
    assert!(regions().count() > 40);
    assert!(regions().all(|region| partition(region.name) == Some(region.partition)));
}

#[tokio::test]
async fn requests_are_signed_for_service_and_region() {
    for (service, operation, region, scope, url) in [
        (
            "elbv2",
            "DescribeLoadBalancers",
            "eu-central-1",
            "eu-central-1/elasticloadbalancing",
            "elasticloadbalancing.eu-central-1",
        ),
        ("cloudwatch", "DescribeAlarms", "eu-central-1", "eu-central-1/monitoring", "monitoring.eu-central-1"),
        ("iam", "ListUsers", "eu-central-1", "us-east-1/iam", "iam"),
        ("service-quotas", "ListServices", "us-west-2", "us-west-2/servicequotas", "servicequotas.us-west-2"),
        ("pricing", "DescribeServices", "us-east-1", "us-east-1/pricing", "api.pricing.us-east-1"),
        ("s3", "ListBuckets", "us-east-1", "us-east-1/s3", "s3.us-east-1"),
    ] {
        let served = Served::new([(400, String::new())]);
        let client = client_with(&served, EndpointSettings::default(), false);
        client.call(Request::new(service, operation, region)).await.unwrap_err();
        let asked = served.asked().remove(0);
        assert!(asked.authorization.contains(&format!("/{scope}/aws4_request")), "{}", asked.authorization);
        assert_eq!(asked.url, format!("https://{url}.amazonaws.com/"));
    }
}

#[tokio::test]
async fn bucket_is_in_host_at_aws_and_in_path_elsewhere() {
    let request = || Request::new("s3", "GetBucketTagging", "eu-central-1").with("Bucket", "my-bucket");
    let served = Served::new([(404, String::new()), (404, String::new())]);
    client_with(&served, EndpointSettings::default(), false).call(request()).await.unwrap_err();
    client(&served).call(request()).await.unwrap_err();
    let urls: Vec<_> = served.asked().into_iter().map(|asked| asked.url).collect();
    let expected = ["https://my-bucket.s3.eu-central-1.amazonaws.com/?tagging", "http://127.0.0.1:1/my-bucket?tagging"];
    assert_eq!(urls, expected);
}

#[tokio::test]
async fn only_transient_errors_are_retried() {
    let empty = || "<DescribeVpcsResponse><vpcSet/></DescribeVpcsResponse>".to_owned();
    let overrides = || EndpointSettings::all("http://127.0.0.1:1");
    let served = Served::new([(503, String::new()), (200, empty())]);
    client_with(&served, overrides(), true).call(Request::new("ec2", "DescribeVpcs", "eu-central-1")).await.unwrap();
    assert_eq!(served.asked().len(), 2);
    let served = Served::new([(403, String::new()), (200, empty())]);
    let error = client_with(&served, overrides(), true).call(Request::new("ec2", "DescribeVpcs", "eu-central-1")).await;
    assert_eq!((error.unwrap_err().kind, served.asked().len()), (CallErrorKind::Denied, 1));
}

#[tokio::test]
async fn throttling_is_retried_for_every_code() {
    let served = Served::new([
        (429, "<R/>".to_owned()),
        (200, "<DescribeVpcsResponse><vpcSet/></DescribeVpcsResponse>".to_owned()),
    ]);
    let overrides = EndpointSettings::all("http://127.0.0.1:1");
    let client = client_with(&served, overrides, true);
    client.call(Request::new("ec2", "DescribeVpcs", "eu-central-1")).await.unwrap();
    assert_eq!(served.asked().len(), 2);
}

#[tokio::test]
async fn bucket_location_is_answered_in_any_region() {
    let location = "<LocationConstraint>eu-west-1</LocationConstraint>".to_owned();
    let served = Served::new([(200, location)]);
    let request = Request::new("s3", "GetBucketLocation", "us-east-1").with("Bucket", "my-bucket");
    client_with(&served, EndpointSettings::default(), false).call(request).await.unwrap();
    assert_eq!(served.asked().remove(0).url, "https://s3.us-east-1.amazonaws.com/my-bucket?location");
}

#[tokio::test]
async fn error_names_call_without_secrets() {
    let body =
        "<Response><Errors><Error><Code>UnauthorizedOperation</Code><Message>no</Message></Error></Errors></Response>";
    let served = Served::new([(403, body.to_owned())]);
    let error = client(&served).call(Request::new("ec2", "DescribeVpcs", "eu-central-1")).await.unwrap_err();
    assert_eq!(error.to_string(), "ec2:DescribeVpcs in eu-central-1 failed: UnauthorizedOperation: no");
    assert!(!format!("{error:?} {:?}", client(&served)).contains("secret"));
}

#[tokio::test]
async fn mistakes_are_found_before_anything_is_sent() {
    let served = Served::default();
    let client = client_with(&served, EndpointSettings::default(), false);
    for request in [
        Request::new("ec3", "DescribeVpcs", "eu-central-1"),
        Request::new("ec2", "DescribeVpc", "eu-central-1"),
        Request::new("ec2", "DescribeVpcs", "moon-base-1"),
        Request::new("ec2", "DescribeVpcs", "eu-central-1").with("Colour", "blue"),
        Request::new("s3", "HeadBucket", "eu-central-1").with("Bucket", "arn:aws:s3:::x"),
    ] {
        assert_eq!(client.call(request).await.unwrap_err().kind, CallErrorKind::Configuration);
    }
    assert!(served.asked().is_empty());
}

#[tokio::test]
async fn s3_error_with_status_200_is_a_failure() {
    let body = "<?xml version=\"1.0\"?>\n<Error><Code>InternalError</Code><Message>later</Message></Error>";
    let served = Served::new([(200, body.to_owned())]);
    let error = client(&served).call(Request::new("s3", "ListBuckets", "us-east-1")).await.unwrap_err();
    assert_eq!((error.code.as_str(), &*error.message), ("InternalError", "later"));
}

#[tokio::test]
async fn response_above_limit_is_rejected() {
    let body = "x".repeat((64 << 20) + 1);
    let served = Served::new([(200, body)]);
    let error = client(&served).call(Request::new("ec2", "DescribeVpcs", "eu-central-1")).await.unwrap_err();
    assert_eq!((error.kind, error.code.as_str()), (CallErrorKind::Unexpected, "ResponseTooLarge"));
}

/// A provider without credentials, for this reason.
#[derive(Debug)]
struct Nobody(fn() -> CredentialsError);

impl ProvideCredentials for Nobody {
    fn provide_credentials<'a>(&'a self) -> Provided<'a>
    where
        Self: 'a,
    {
        Provided::ready(Err(self.0()))
    }
}

#[tokio::test]
async fn missing_credentials_and_closed_port_are_classified() {
    let config = |credentials: SharedCredentialsProvider| ClientConfig {
        credentials,
        endpoints: EndpointSettings::all("http://127.0.0.1:1"),
        app_id: None,
        timeouts: Timeouts { retry: Duration::ZERO, ..Timeouts::default() },
        http: http::client(None).unwrap(),
        waits: Waits::default().unit(0),
    };
    let request = || Request::new("ec2", "DescribeVpcs", "eu-central-1");
    let for_good = Nobody(|| CredentialsError::not_loaded("nobody is here"));
    let error = Client::new(config(SharedCredentialsProvider::new(for_good))).call(request()).await.unwrap_err();
    assert_eq!(error.kind, CallErrorKind::Credentials, "{error}");
    let for_now = Nobody(|| CredentialsError::provider_error(NoCredentialsNow("nobody answers".into())));
    let error = Client::new(config(SharedCredentialsProvider::new(for_now))).call(request()).await.unwrap_err();
    assert_eq!((error.kind, error.code.as_str()), (CallErrorKind::Unavailable, "NoCredentials"), "{error}");
    assert!(error.message.contains("nobody answers"), "{error}");
    let credentials = aws_credential_types::Credentials::new("AKID", "secret", None, None, "test");
    let client = Client::new(config(SharedCredentialsProvider::new(credentials)));
    let error = client.call(request()).await.unwrap_err();
    assert_eq!((error.kind, error.code.as_str()), (CallErrorKind::Unavailable, "ConnectionFailed"), "{error}");
}

/// A throttled response.
const SLOW: &str = "<Response><Errors><Error><Code>RequestLimitExceeded</Code></Error></Errors></Response>";

#[tokio::test]
async fn throttling_lowers_limit_of_service_and_region() {
    let served = Served::new([(503, SLOW.to_owned())]);
    let client = client(&served);
    let error = client.call(Request::new("ec2", "DescribeVpcs", "eu-central-1")).await.unwrap_err();
    assert_eq!(error.kind, CallErrorKind::Throttled);
    let limit = |region: &str| format!("{:?}", client.inner.calls.limiter("ec2", region));
    assert!(limit("eu-central-1").contains("limit: 8.0"), "{}", limit("eu-central-1"));
    assert!(limit("us-east-1").contains("limit: 16.0"), "{}", limit("us-east-1"));
}
