//! Failing attempts through the official runtime: at random, with an unknown host, and with clock skew.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::{
    fmt,
    sync::{
        Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, SystemTime},
};

use aws_smithy_runtime_api::client::{
    http::{HttpConnector, HttpConnectorFuture},
    orchestrator::HttpRequest,
    result::ConnectorError,
};
use aws_smithy_types::{DateTime, body::SdkBody, date_time::Format};
use tokio::time::Instant;

use super::super::{testing::connected, *};
use crate::engine::CallErrorKind;

/// Responds with a function's result for a request and the number of requests before it.
struct Answering<F>(F, AtomicU32);

type Said = Result<(u16, &'static str, Option<String>), ConnectorError>;

impl<F> fmt::Debug for Answering<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Answering")
    }
}

impl<F: Fn(&HttpRequest, u32) -> Said + Send + Sync> HttpConnector for Answering<F> {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let said = self.0(&request, self.1.fetch_add(1, Ordering::Relaxed));
        HttpConnectorFuture::ready(said.map(|(status, body, date)| {
            let mut response = http::Response::builder().status(status);
            if let Some(date) = date {
                response = response.header("date", date);
            }
            response.body(SdkBody::from(body)).unwrap().try_into().unwrap()
        }))
    }
}

fn at_once() -> Timeouts {
    Timeouts { pause: Duration::ZERO, ..Timeouts::default() }
}

fn here() -> EndpointSettings {
    EndpointSettings::all("http://nowhere.example:1")
}

fn vpcs() -> Request<'static> {
    Request::new("ec2", "DescribeVpcs", "eu-central-1")
}

const VPCS: &str = "<DescribeVpcsResponse><vpcSet><item><vpcId>vpc-1</vpcId></item></vpcSet></DescribeVpcsResponse>";

/// Returns a transient failure of an attempt.
fn failed(way: usize) -> Said {
    match way {
        0 => Ok((503, "<Response><Errors><Error><Code>RequestLimitExceeded</Code></Error></Errors></Response>", None)),
        1 => Ok((500, "<Response><Errors><Error><Code>InternalError</Code></Error></Errors></Response>", None)),
        2 => Ok((400, "<Response><Errors><Error><Code>RequestTimeout</Code></Error></Errors></Response>", None)),
        3 => Err(ConnectorError::io("connection reset by peer".into())),
        4 => Ok((200, &VPCS[..VPCS.len() - 30], None)),
        5 => Ok((200, "", None)),
        6 => Ok((200, "<html><body>Try later</body></html>", None)),
        7 => Ok((302, "", None)),
        8 => Ok((502, "<html/>", None)),
        _ => Err(ConnectorError::timeout("too slow".into())),
    }
}

#[tokio::test]
async fn attempts_that_fail_at_random_lose_no_call() {
    for seed in [1, 2] {
        let random = Mutex::new(fastrand::Rng::with_seed(seed));
        let (longest, row) = (AtomicU32::new(0), AtomicU32::new(0));
        let longest = Arc::new(longest);
        let seen = Arc::clone(&longest);
        let answer = move |_: &HttpRequest, _| {
            let mut random = random.lock().unwrap();
            if random.bool() {
                seen.fetch_max(row.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
                return failed(random.usize(..10));
            }
            row.store(0, Ordering::Relaxed);
            Ok((200, VPCS, None))
        };
        let client = connected(Answering(answer, AtomicU32::new(0)), here(), at_once());
        for call in 0..800 {
            let response = client.call(vpcs()).await;
            let found = response.as_ref().map(|response| response.tree().unwrap().path("Vpcs[].VpcId").len());
            assert_eq!(found, Ok(1), "seed {seed}, call {call}");
        }
        assert!(longest.load(Ordering::Relaxed) > 8, "eight attempts are too few for one of them");
    }
}

#[tokio::test(start_paused = true)]
async fn persistent_foreign_response_is_invalid() {
    for way in [4, 5, 6, 7] {
        let began = Instant::now();
        let asked = Arc::new(AtomicU32::new(0));
        let count = Arc::clone(&asked);
        let answer = move |_: &HttpRequest, before: u32| {
            count.store(before + 1, Ordering::Relaxed);
            failed(way)
        };
        let client = connected(Answering(answer, AtomicU32::new(0)), here(), Timeouts::default());
        let error = client.call(vpcs()).await.unwrap_err();
        assert_eq!((error.kind, error.code.as_str()), (CallErrorKind::Unavailable, "InvalidResponse"), "{error}");
        assert!((40..45).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
        assert!((20..60).contains(&asked.load(Ordering::Relaxed)), "{asked:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn unknown_host_is_reported_within_seconds() {
    for (said, code, seconds) in [
        ("Name or service not known", "UnknownHost", 0..5),
        ("Name does not resolve", "UnknownHost", 0..5),
        ("No address associated with hostname", "UnknownHost", 0..5),
        ("Temporary failure in name resolution", "ConnectionFailed", 40..45),
    ] {
        let began = Instant::now();
        let answer = move |_: &HttpRequest, _| {
            let cause = format!("dns error: failed to lookup address information: {said}");
            Err(ConnectorError::io(cause.into()))
        };
        let client = connected(Answering(answer, AtomicU32::new(0)), here(), Timeouts::default());
        let error = client.call(vpcs()).await.unwrap_err();
        assert_eq!((error.kind, error.code.as_str()), (CallErrorKind::Unavailable, code), "{error}");
        assert!(seconds.contains(&began.elapsed().as_secs()), "{said}: {:?}", began.elapsed());
        if code == "UnknownHost" {
            let expected =
                "the host of http://nowhere.example:1 does not exist; correct the endpoint URL in the settings";
            assert_eq!(&*error.message, expected);
        }
    }
}

/// Returns how far the time in a signature is ahead of this machine's clock, in seconds.
fn signed_ahead(request: &HttpRequest) -> i64 {
    let text = request.headers().get("x-amz-date").unwrap();
    let part = |from: usize, to: usize| &text[from..to];
    let (day, time) =
        ([part(0, 4), part(4, 6), part(6, 8)].join("-"), [part(9, 11), part(11, 13), part(13, 15)].join(":"));
    let signed = DateTime::from_str(&format!("{day}T{time}Z"), Format::DateTime).unwrap();
    signed.secs() - DateTime::from(SystemTime::now()).secs()
}

/// The header of a service whose clock is ahead by this time.
fn date(ahead: i64) -> Option<String> {
    let now = DateTime::from(SystemTime::now()).secs();
    Some(DateTime::from_secs(now + ahead).fmt(Format::HttpDate).unwrap())
}

#[tokio::test]
async fn clock_skew_is_corrected_for_every_service() {
    let refusals = [
        (
            "ec2",
            "DescribeVpcs",
            "<Response><Errors><Error><Code>RequestExpired</Code></Error></Errors></Response>",
            VPCS,
        ),
        ("ec2", "DescribeVpcs", "<Response><Errors><Error><Code>AuthFailure</Code></Error></Errors></Response>", VPCS),
        (
            "iam",
            "ListUsers",
            "<ErrorResponse><Error><Code>SignatureDoesNotMatch</Code></Error></ErrorResponse>",
            "<ListUsersResponse><ListUsersResult/></ListUsersResponse>",
        ),
        ("s3", "ListBuckets", "<Error><Code>RequestTimeTooSkewed</Code></Error>", "<ListAllMyBucketsResult/>"),
        ("eks", "ListClusters", r#"{"__type":"InvalidSignatureException"}"#, r#"{"clusters":[]}"#),
        ("pricing", "DescribeServices", r#"{"__type":"InvalidSignatureException"}"#, "{}"),
    ];
    for (service, operation, refusal, fine) in refusals {
        for ahead in [3600, -3600, 86_400] {
            let asked = Arc::new(AtomicU32::new(0));
            let count = Arc::clone(&asked);
            let answer = move |request: &HttpRequest, before| {
                count.store(before + 1, Ordering::Relaxed);
                let is_fine = (signed_ahead(request) - ahead).abs() < 300;
                Ok(if is_fine { (200, fine, date(ahead)) } else { (403, refusal, date(ahead)) })
            };
            let client = connected(Answering(answer, AtomicU32::new(0)), here(), at_once());
            for _ in 0..3 {
                client.call(Request::new(service, operation, "us-east-1")).await.unwrap();
            }
            assert_eq!(asked.load(Ordering::Relaxed), 4, "{service} learns once");
        }
    }
}

#[tokio::test]
async fn rejection_after_correction_names_clock_skew() {
    let refusal =
        "<Response><Errors><Error><Code>RequestExpired</Code><Message>old</Message></Error></Errors></Response>";
    let answer = move |_: &HttpRequest, _| Ok((400, refusal, date(-7200)));
    let client = connected(Answering(answer, AtomicU32::new(0)), here(), at_once());
    let error = client.call(vpcs()).await.unwrap_err();
    assert_eq!(error.kind, CallErrorKind::Credentials);
    assert!(error.message.starts_with("old; the clock of this machine is 7"), "{error}");
    assert!(error.message.ends_with(" s ahead of that of AWS"), "{error}");
}
