//! A running server, called as a collection calls it.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::{
    collections::BTreeSet,
    io::{Read, Write},
    net::TcpStream,
    path::Path,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use replay::{Config, Replay, StartError, Tls};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, pem::PemObject},
};

const VOLUMES: &str = "Action=DescribeVolumes&Version=2016-11-15&MaxResults=1000";
const TARGET_GROUPS: &str = "Action=DescribeTargetGroups&Version=2015-12-01&PageSize=400";

fn start(accounts: usize, regions: usize) -> Replay {
    Replay::start(Config { accounts, regions, ..Config::default() }).unwrap()
}

/// Returns a request with these lines in addition to the usual ones.
fn text(key: &str, region: &str, service: &str, more: &str, body: &str) -> String {
    format!(
        "POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nContent-Length: {}\r\n{more}Authorization: \
         AWS4-HMAC-SHA256 Credential={key}/20211101/{region}/{service}/aws4_request, SignedHeaders=host, \
         Signature=0\r\n\r\n{body}",
        body.len()
    )
}

/// Returns status and body of the response.
fn exchange(mut stream: impl Read + Write, request: &str) -> (u16, String) {
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    // With TLS the connection may end without a close notification.
    let _ = stream.read_to_end(&mut answer);
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").expect("an answer");
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

fn connect(replay: &Replay) -> TcpStream {
    TcpStream::connect(replay.endpoint().rsplit('/').next().unwrap()).unwrap()
}

fn ask(replay: &Replay, key: &str, region: &str, service: &str, body: &str) -> (u16, String) {
    exchange(connect(replay), &text(key, region, service, "", body))
}

/// Returns the access key of a role in an account.
fn key(replay: &Replay, account: &str) -> String {
    let body = format!("Action=AssumeRole&RoleArn=arn%3Aaws%3Aiam%3A%3A{account}%3Arole%2FCloudkeeper");
    let (status, answer) = ask(replay, "testing", "us-east-1", "sts", &body);
    assert_eq!(status, 200, "{answer}");
    elements(&answer, "AccessKeyId").pop_first().unwrap()
}

/// Returns the content of all elements with this name.
fn elements(xml: &str, name: &str) -> BTreeSet<String> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    xml.split(&open).skip(1).map(|rest| rest.split(&close).next().unwrap().to_owned()).collect()
}

#[test]
fn accounts_and_regions_have_distinct_ids() {
    let replay = start(3, 2);
    let mut seen = BTreeSet::new();
    let mut counts = BTreeSet::new();
    for account in replay.accounts() {
        let key = key(&replay, account);
        for region in replay.regions() {
            let (status, answer) = ask(&replay, &key, region, "ec2", VOLUMES);
            assert_eq!(status, 200, "{answer}");
            assert!(answer.contains(&format!("{region}a")), "{answer}");
            let volumes = elements(&answer, "volumeId");
            counts.insert(volumes.len());
            for volume in volumes {
                assert!(seen.insert(volume.clone()), "{volume} of {account} in {region} is not its own");
            }
        }
    }
    assert_eq!(counts.len(), 1, "{counts:?}");
    assert!(seen.len() > 6, "{seen:?}");
    assert_eq!(replay.stats().by["ec2:DescribeVolumes"], 6);
    assert_eq!(replay.stats().unmatched, 0);
}

#[test]
fn rendered_id_is_known_only_in_its_account_and_region() {
    let replay = start(2, 3);
    let key = key(&replay, &replay.accounts()[1]);
    let region = &replay.regions()[2];
    let (status, answer) = ask(&replay, &key, region, "elasticloadbalancing", TARGET_GROUPS);
    assert_eq!(status, 200, "{answer}");
    let group = elements(&answer, "TargetGroupArn").pop_first().unwrap();
    assert!(group.contains(&format!("{region}:{}", replay.accounts()[1])), "{group}");
    let escaped = group.replace(':', "%3A").replace('/', "%2F");
    let health = format!("Action=DescribeTargetHealth&Version=2015-12-01&TargetGroupArn={escaped}");
    assert_eq!(ask(&replay, &key, region, "elasticloadbalancing", &health).0, 200);
    assert_eq!(replay.stats().unmatched, 0);
    assert_eq!(ask(&replay, "testing", region, "elasticloadbalancing", &health).0, 400);
    assert_eq!(ask(&replay, &key, "us-east-1", "elasticloadbalancing", &health).0, 400);
    assert_eq!(replay.stats().unmatched, 2);
}

#[test]
fn unrecorded_request_is_named() {
    let replay = start(1, 1);
    let (status, answer) = ask(&replay, "testing", "us-east-1", "ec2", "Action=DescribeFleets&Version=2016-11-15");
    assert_eq!(status, 400);
    assert!(answer.contains("<Code>NotRecorded</Code>") && answer.contains("ec2 DescribeFleets"), "{answer}");
    let (status, answer) = ask(&replay, "testing", "eu-west-1", "ec2", VOLUMES);
    assert_eq!(status, 400);
    assert!(answer.contains("the region eu-west-1 is not one of the 1"), "{answer}");
    let stats = replay.stats();
    assert_eq!((stats.total, stats.unmatched), (2, 2));
    assert!(stats.unmatched_requests[0].starts_with("us-east-1 123456789012 ec2 DescribeFleets"), "{stats:?}");
    replay.reset();
    assert_eq!(replay.stats().total, 0);
}

#[test]
fn prices_are_those_of_the_region_in_the_body() {
    let replay = start(1, 2);
    let term = |field: &str, value: &str| format!(r#"{{"Field":"{field}","Type":"TERM_MATCH","Value":"{value}"}}"#);
    let mut terms = vec![term("operatingSystem", "Linux"), term("operation", "RunInstances")];
    terms.extend([term("capacitystatus", "Used"), term("instanceType", "m5.large"), term("regionCode", "us-west-2")]);
    terms.push(term("locationType", "AWS Region"));
    let body = format!(r#"{{"Filters":[{}],"MaxResults":100,"ServiceCode":"AmazonEC2"}}"#, terms.join(","));
    let target = "X-Amz-Target: AWSPriceListService.GetProducts\r\n";
    let (status, answer) = exchange(connect(&replay), &text("testing", "us-east-1", "pricing", target, &body));
    assert_eq!(status, 200, "{answer}");
    assert!(answer.contains("us-west-2") && !answer.contains("us-east-1"), "{answer}");
}

#[test]
fn control_endpoint_shows_counts_and_forgets_them() {
    let replay = start(1, 2);
    let control = |method: &str, what: &str| {
        let request = format!("{method} /_ctl/{what} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n");
        exchange(connect(&replay), &request)
    };
    ask(&replay, "testing", "us-west-2", "ec2", VOLUMES);
    let (status, stats) = control("GET", "stats");
    assert_eq!(status, 200);
    assert!(stats.contains(r#""by":{"ec2:DescribeVolumes":1}"#), "{stats}");
    assert_eq!(control("POST", "reset").0, 200);
    assert!(control("GET", "stats").1.contains(r#""total":0"#));
    assert_eq!(control("GET", "regions").1, r#"["us-east-1","us-west-2"]"#);
    assert_eq!(control("GET", "nothing").0, 404);
}

#[test]
fn every_answer_is_delayed() {
    let latency = Duration::from_millis(50);
    let replay = Replay::start(Config { latency, ..Config::default() }).unwrap();
    let begin = Instant::now();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| assert_eq!(ask(&replay, "testing", "us-east-1", "ec2", VOLUMES).0, 200));
        }
    });
    assert!(begin.elapsed() >= latency);
    let stats = replay.stats();
    assert_eq!((stats.total, stats.connections), (4, 4));
}

#[test]
fn dropped_server_closes_its_port() {
    let replay = start(1, 1);
    let address = replay.endpoint().rsplit('/').next().unwrap().to_owned();
    // An open connection does not delay the end.
    let _open = connect(&replay);
    drop(replay);
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn tls_is_served_with_the_given_certificate() {
    let file = |name: &str| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/certificates").join(name);
    let tls = Some(Tls { certificate: file("server.pem"), key: file("server.key") });
    let replay = Replay::start(Config { tls, ..Config::default() }).unwrap();
    assert!(replay.endpoint().starts_with("https://127.0.0.1:"));
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(file("authority.pem")).unwrap()).unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let config = builder.with_safe_default_protocol_versions().unwrap().with_root_certificates(roots);
    let client =
        ClientConnection::new(Arc::new(config.with_no_client_auth()), "127.0.0.1".try_into().unwrap()).unwrap();
    let stream = StreamOwned::new(client, connect(&replay));
    let (status, answer) = exchange(stream, &text("testing", "us-east-1", "ec2", "", VOLUMES));
    assert_eq!(status, 200, "{answer}");
}

#[test]
fn impossible_configurations_are_rejected() {
    let refused = |config: Config| Replay::start(config).err().unwrap();
    assert!(matches!(refused(Config { accounts: 0, ..Config::default() }), StartError::Config(_)));
    let error = refused(Config { regions: 129, ..Config::default() });
    assert_eq!(error.to_string(), "cannot replay 129 regions: expected a number from 1 to 128");
    let taken = start(1, 1);
    let port = taken.endpoint().rsplit(':').next().unwrap().parse().unwrap();
    assert!(matches!(refused(Config { port, ..Config::default() }), StartError::Listen(..)));
}
