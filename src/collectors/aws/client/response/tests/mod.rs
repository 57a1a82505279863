//! Responses and errors of each protocol.

#![expect(clippy::unwrap_used, reason = "tests")]

mod foreign;

use bytes::Bytes;
use serde_json::{Value, json};

use super::{super::model::operation, *};
use crate::engine::CallErrorKind::{self, Credentials, Denied, NotFound, Throttled, Unavailable, Unexpected};

fn response(service: &str, name: &str, body: &str) -> Response {
    let body = Body::Bytes(Bytes::copy_from_slice(body.as_bytes()));
    let operation = operation(service, name).unwrap();
    Response { operation, region: "eu-central-1".into(), status: 200, headers: Vec::new(), body }
}

fn parsed(service: &str, name: &str, body: &str) -> Value {
    serde_json::to_value(response(service, name, body).tree().unwrap()).unwrap()
}

const INSTANCES: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<DescribeInstancesResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/">
  <requestId>8f7724cf-496f-496e-8fe3-example</requestId>
  <reservationSet>
    <item>
      <reservationId>r-1</reservationId>
      <groupSet/>
      <instancesSet>
        <item>
          <instanceId>i-1</instanceId>
          <amiLaunchIndex>0</amiLaunchIndex>
          <instanceState><code>16</code><name>running</name></instanceState>
          <launchTime>2021-11-01T00:00:00.000Z</launchTime>
          <ebsOptimized>false</ebsOptimized>
          <keyName/>
          <unheardOf><deep>1</deep></unheardOf>
          <groupSet><item><groupId>sg-1</groupId></item><item><groupId>sg-2</groupId></item></groupSet>
          <tagSet><item><key>Name</key><value>a &amp; b &#x263a; <![CDATA[<c>]]></value></item></tagSet>
        </item>
      </instancesSet>
    </item>
  </reservationSet>
</DescribeInstancesResponse>"#;

#[test]
fn ec2_becomes_a_tree_of_the_models_names() {
    let expected = json!({"Reservations": [{
        "ReservationId": "r-1",
        "Groups": [],
        "Instances": [{
            "InstanceId": "i-1",
            "AmiLaunchIndex": 0,
            "State": {"Code": 16, "Name": "running"},
            "LaunchTime": "2021-11-01T00:00:00Z",
            "EbsOptimized": false,
            "KeyName": "",
            "SecurityGroups": [{"GroupId": "sg-1"}, {"GroupId": "sg-2"}],
            "Tags": [{"Key": "Name", "Value": "a & b ☺ <c>"}],
        }],
    }]});
    assert_eq!(parsed("ec2", "DescribeInstances", INSTANCES), expected);
}

#[test]
fn text_without_entities_is_borrowed() {
    let response = response("ec2", "DescribeInstances", INSTANCES);
    let tree = response.tree().unwrap();
    let id = tree.at("Reservations[].Instances[].InstanceId").unwrap();
    assert!(matches!(id, Tree::Text(Cow::Borrowed("i-1"))));
    let groups = tree.path("Reservations[].Instances[].SecurityGroups[].GroupId");
    assert_eq!(groups.iter().filter_map(|group| group.text()).collect::<Vec<_>>(), ["sg-1", "sg-2"]);
    assert_eq!(tree.at("Reservations[0].Instances[-1].SecurityGroups[-1].GroupId").unwrap().text(), Some("sg-2"));
    assert!(tree.at("Reservations[1]").is_none());
    assert!(tree.at("Reservations[-2]").is_none());
}

#[test]
fn query_is_found_below_its_wrapper() {
    let body = "<GetAccountSummaryResponse xmlns='https://iam.amazonaws.com/doc/2010-05-08/'>\
        <ResponseMetadata><RequestId>x</RequestId></ResponseMetadata>\
        <GetAccountSummaryResult><SummaryMap><entry><key>Users</key><value>32</value></entry>\
        <entry><key>a&quot;b</key><value>1</value></entry></SummaryMap></GetAccountSummaryResult>\
        </GetAccountSummaryResponse>";
    assert_eq!(parsed("iam", "GetAccountSummary", body), json!({"SummaryMap": {"Users": 32, "a\"b": 1}}));
    let body = "<DescribeDBInstancesResponse><DescribeDBInstancesResult><DBInstances><DBInstance>\
        <DBInstanceIdentifier>a</DBInstanceIdentifier><AllocatedStorage></AllocatedStorage>\
        <InstanceCreateTime>2021-11-01 10:20:30+00:00</InstanceCreateTime></DBInstance></DBInstances>\
        </DescribeDBInstancesResult></DescribeDBInstancesResponse>";
    let expected = json!({"DBInstances": [
        {"DBInstanceIdentifier": "a", "InstanceCreateTime": "2021-11-01T10:20:30Z"}
    ]});
    assert_eq!(parsed("rds", "DescribeDBInstances", body), expected);
}

#[test]
fn s3_has_flat_lists_attributes_headers_and_a_lone_root() {
    let buckets = "<ListAllMyBucketsResult xmlns='http://s3.amazonaws.com/doc/2006-03-01/'>\
        <Owner><DisplayName>d</DisplayName><ID>1</ID></Owner><Buckets><Bucket>\
        <CreationDate>2021-11-01T00:00:00.000Z</CreationDate><Name>b</Name></Bucket></Buckets></ListAllMyBucketsResult>";
    let expected = json!({
        "Buckets": [{"CreationDate": "2021-11-01T00:00:00Z", "Name": "b"}],
        "Owner": {"DisplayName": "d", "ID": "1"},
    });
    assert_eq!(parsed("s3", "ListBuckets", buckets), expected);
    let objects = "<ListBucketResult><IsTruncated>true</IsTruncated><Contents><Key>a</Key><Size>1</Size></Contents>\
        <Name>b</Name><Contents><Key>c</Key></Contents></ListBucketResult>";
    let expected = json!({"IsTruncated": true, "Contents": [{"Key": "a", "Size": 1}, {"Key": "c"}], "Name": "b"});
    assert_eq!(parsed("s3", "ListObjects", objects), expected);
    let acl = "<AccessControlPolicy><AccessControlList><Grant><Grantee xmlns:xsi='http://www.w3.org/x' \
        xsi:type='CanonicalUser'><ID>1</ID></Grantee><Permission>READ</Permission></Grant></AccessControlList>\
        </AccessControlPolicy>";
    let expected = json!({"Grants": [{"Grantee": {"Type": "CanonicalUser", "ID": "1"}, "Permission": "READ"}]});
    assert_eq!(parsed("s3", "GetBucketAcl", acl), expected);
    let location = "<?xml version='1.0'?><LocationConstraint xmlns='x'>eu-central-1</LocationConstraint>";
    assert_eq!(parsed("s3", "GetBucketLocation", location), json!({"LocationConstraint": "eu-central-1"}));
    assert_eq!(parsed("s3", "GetBucketLocation", "<LocationConstraint/>"), json!({}));
    assert_eq!(parsed("s3", "GetBucketPolicy", "{\"a\": 1}"), json!({"Policy": "{\"a\": 1}"}));
    let mut head = response("s3", "HeadObject", "");
    head.headers = [("content-length", "5"), ("x-amz-meta-a", "b"), ("last-modified", "Mon, 01 Nov 2021 00:00:00 GMT")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec();
    let expected = json!({"ContentLength": 5, "Metadata": {"a": "b"}, "LastModified": "2021-11-01T00:00:00Z"});
    assert_eq!(serde_json::to_value(head.tree().unwrap()).unwrap(), expected);
}

#[test]
fn json_follows_the_model_too() {
    let products = r#"{"FormatVersion":"aws_v1","PriceList":["{\"a\":1}","x"],"NextToken":null,"New":{"a":[1]}}"#;
    let expected = json!({"FormatVersion": "aws_v1", "PriceList": ["{\"a\":1}", "x"]});
    assert_eq!(parsed("pricing", "GetProducts", products), expected);
    let metrics = r#"{"MetricDataResults":[{"Id":"a","Timestamps":[1635724800.5,"2021-11-01T00:00:00Z"],"Values":[1,2.5,"NaN"]}]}"#;
    let response = response("cloudwatch", "GetMetricData", metrics);
    let tree = response.tree().unwrap();
    let times: Vec<_> = tree.path("MetricDataResults[].Timestamps[]").iter().filter_map(|time| time.time()).collect();
    assert_eq!(
        times.iter().map(|time| time.unix_timestamp_nanos() / 1_000_000).collect::<Vec<_>>(),
        [1_635_724_800_500, 1_635_724_800_000]
    );
    let values: Vec<_> = tree.path("MetricDataResults[].Values[]").iter().filter_map(|value| value.float()).collect();
    assert_eq!(values[..2], [1.0, 2.5]);
    assert!(values[2].is_nan());
    let cluster = r#"{"cluster":{"name":"c","createdAt":1.6357248E9,"tags":{"a\n":"b"},
        "certificateAuthority":{"data":"LS0t"},"resourcesVpcConfig":{"endpointPublicAccess":true}}}"#;
    let expected = json!({"cluster": {
        "name": "c",
        "createdAt": "2021-11-01T00:00:00Z",
        "tags": {"a\n": "b"},
        "certificateAuthority": {"data": "LS0t"},
        "resourcesVpcConfig": {"endpointPublicAccess": true},
    }});
    assert_eq!(parsed("eks", "DescribeCluster", cluster), expected);
}

#[test]
fn malformed_responses_are_unexpected_with_reason() {
    let truncated = &INSTANCES[..INSTANCES.len() - 60];
    for (service, name, body, expected) in [
        ("ec2", "DescribeInstances", truncated, "the XML ends too early"),
        ("ec2", "DescribeInstances", "<a><b></a>", "broken XML"),
        ("ec2", "DescribeInstances", "no xml", "the body is not XML"),
        ("ec2", "DescribeInstances", "<!-- nothing -->", "the body has no XML element"),
        (
            "ec2",
            "DescribeSubnets",
            "<r><subnetSet><item><availableIpAddressCount>many</availableIpAddressCount></item></subnetSet></r>",
            "\"many\" is not a whole number",
        ),
        ("iam", "ListUsers", "<ListUsersResponse></ListUsersResponse>", "there is no ListUsersResult"),
        ("pricing", "GetProducts", "{\"PriceList\":[", "broken JSON"),
        ("pricing", "GetProducts", "{\"PriceList\":{}}", "expected list"),
        ("eks", "ListClusters", "<html>", "broken JSON"),
        ("eks", "ListClusters", "{} {}", "trailing"),
    ] {
        let response = response(service, name, body);
        let error = response.tree().unwrap_err();
        assert_eq!((error.kind, &*error.service, &*error.operation), (Unexpected, service, name));
        assert!(error.message.contains(expected), "{expected}: {}", error.message);
    }
}

#[test]
fn unreadable_characters_are_replaced_in_values() {
    for damage in ["&#xD83D;", "&#57005;", "&#x110000;", "&bomb;"] {
        let item = |id: &str, name: &str| format!("<item><vpcId>{id}</vpcId><cidrBlock>{name}</cidrBlock></item>");
        let items = item("vpc-1", &format!("a{damage}b")) + &item("vpc-2", "c");
        let body = format!("<DescribeVpcsResponse><vpcSet>{items}</vpcSet></DescribeVpcsResponse>");
        let expected = json!({"Vpcs": [
            {"VpcId": "vpc-1", "CidrBlock": "a\u{fffd}b"},
            {"VpcId": "vpc-2", "CidrBlock": "c"},
        ]});
        assert_eq!(parsed("ec2", "DescribeVpcs", &body), expected, "{damage}");
    }
    for (service, name, body) in [
        ("eks", "ListClusters", &br#"{"clusters":["a\ud83d","b"]}"#[..]),
        ("eks", "ListClusters", b"{\"clusters\":[\"a\xff\",\"b\"]}"),
    ] {
        let operation = operation(service, name).unwrap();
        let body = checked(operation, 200, &Vec::new(), Bytes::copy_from_slice(body)).unwrap();
        let found = Response { body, ..response(service, name, "") };
        let found = serde_json::to_value(found.tree().unwrap()).unwrap();
        assert_eq!(found, json!({"clusters": ["a\u{fffd}", "b"]}));
    }
}

#[test]
fn deeply_nested_xml_does_not_overflow_stack() {
    let deep = "<configurations><item>".repeat(10_000);
    let body = format!("<r><instanceTypeSet><item>{deep}");
    assert!(response("ec2", "DescribeInstanceTypes", &body).tree().is_err());
    let json = format!("{{\"PriceList\":{}", "[".repeat(100_000));
    assert!(response("pricing", "GetProducts", &json).tree().is_err());
}

fn refusal(service: &str, name: &str, status: u16, headers: &[(&str, &str)], body: &str) -> CallError {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    failure(operation(service, name).unwrap(), status, &headers, body.as_bytes())
}

fn check(error: &CallError, code: &str, message: &str, kind: CallErrorKind) {
    assert_eq!((error.code.as_str(), &*error.message, error.kind), (code, message, kind));
}

#[test]
fn refusals_in_xml_give_code_and_message() {
    let ec2 = "<?xml version='1.0'?><Response><Errors><Error><Code>UnauthorizedOperation</Code><Message>You &lt;may&gt; not.\
        </Message></Error></Errors><RequestID>x</RequestID></Response>";
    check(&refusal("ec2", "DescribeVpcs", 403, &[], ec2), "UnauthorizedOperation", "You <may> not.", Denied);
    let iam = "<ErrorResponse xmlns='x'><Error><Type>Sender</Type><Code>ExpiredToken</Code><Message>old</Message></Error>\
        </ErrorResponse>";
    check(&refusal("iam", "ListUsers", 403, &[], iam), "ExpiredToken", "old", Credentials);
    let s3 = "<Error><Code>NoSuchTagSet</Code><Message>none</Message><BucketName>b</BucketName></Error>";
    check(&refusal("s3", "GetBucketTagging", 404, &[], s3), "NoSuchTagSet", "none", NotFound);
    check(&refusal("s3", "HeadBucket", 404, &[], ""), "404", "HTTP status 404 Not Found", NotFound);
    check(
        &refusal("ec2", "DescribeVpcs", 503, &[], "<html>x"),
        "503",
        "HTTP status 503 Service Unavailable",
        Unavailable,
    );
    let throttled = "<Response><Errors><Error><Code>RequestLimitExceeded</Code></Error></Errors></Response>";
    assert_eq!(refusal("ec2", "DescribeVpcs", 503, &[], throttled).kind, Throttled);
    let moved = refusal(
        "s3",
        "GetBucketTagging",
        301,
        &[("x-amz-bucket-region", "eu-west-1")],
        "<Error><Code>PermanentRedirect</Code></Error>",
    );
    check(&moved, "PermanentRedirect", "the bucket is in region eu-west-1; call that region", Unexpected);
    assert_eq!(moved.moved_to.as_deref(), Some("eu-west-1"));
}

#[test]
fn bucket_in_other_region_is_recognized() {
    let refused =
        |status, body| refusal("s3", "GetBucketLocation", status, &[("x-amz-bucket-region", "eu-west-1")], body);
    for (status, body) in [
        (400, "<Error><Code>AuthorizationHeaderMalformed</Code><Region>eu-west-1</Region></Error>"),
        (400, "<Error><Code>IllegalLocationConstraintException</Code></Error>"),
        (400, ""),
        (307, "<Error><Code>TemporaryRedirect</Code></Error>"),
    ] {
        assert_eq!(refused(status, body).moved_to.as_deref(), Some("eu-west-1"), "{status} {body}");
    }
    let expired = refused(400, "<Error><Code>ExpiredToken</Code><Message>old</Message></Error>");
    check(&expired, "ExpiredToken", "old", Credentials);
    assert_eq!(expired.moved_to, None);
    assert_eq!(refused(403, "<Error><Code>AccessDenied</Code></Error>").moved_to, None);
}

#[test]
fn seconds_with_a_fraction_are_read_to_the_nearest_microsecond() {
    let nanos = |text: &str| scalar::time(text).map(|time| (time.secs(), time.subsec_nanos()));
    assert_eq!(nanos("1635724800.123"), Some((1_635_724_800, 123_000_000)));
    assert_eq!(nanos("1635724800.9999999"), Some((1_635_724_801, 0)));
    assert_eq!(nanos("-0.25"), Some((-1, 750_000_000)));
    for milli in 0..1000 {
        let text = format!("1635724800.{milli:03}");
        assert_eq!(nanos(&text), Some((1_635_724_800, milli * 1_000_000)), "{text}");
        let body = format!(r#"{{"cluster":{{"createdAt":{text}}}}}"#);
        let response = response("eks", "DescribeCluster", &body);
        let tree = response.tree().unwrap();
        let time = scalar::time(&text).unwrap();
        assert!(
            matches!(tree.at("cluster.createdAt"), Some(found) if *found == scalar::instant(time)),
            "{text}: {tree:?}"
        );
    }
}

#[test]
fn refusals_in_json_give_code_and_message() {
    let body = r#"{"__type":"com.amazonaws.pricing#ThrottlingException:x","message":"slow","code":"other"}"#;
    check(&refusal("pricing", "GetProducts", 400, &[], body), "ThrottlingException", "slow", Throttled);
    let headers = [("x-amzn-errortype", "ResourceNotFoundException:http://internal.amazon.com/x")];
    let body = r#"{"Message":"no cluster"}"#;
    check(&refusal("eks", "DescribeCluster", 404, &headers, body), "ResourceNotFoundException", "no cluster", NotFound);
    let headers = [("x-amzn-query-error", "ResourceNotFound;Sender")];
    let body = r#"{"__type":"ResourceNotFoundException","message":"m"}"#;
    check(&refusal("cloudwatch", "DeleteAlarms", 404, &headers, body), "ResourceNotFound", "m", NotFound);
    check(&refusal("eks", "DescribeCluster", 403, &[], ""), "403", "HTTP status 403 Forbidden", Denied);
    let long = format!(r#"{{"code":"X","message":"{}"}}"#, "é".repeat(5000));
    assert!(refusal("eks", "DescribeCluster", 400, &[], &long).message.len() < 2100);
}

#[test]
fn times_are_read_in_every_form() {
    let new_year = 1_640_995_200.0;
    for text in [
        "2022-01-01T00:00:00Z",
        "2022-01-01T00:00:00.000Z",
        "2022-01-01T00:00:00",
        "2022-01-01 00:00:00",
        "2022-01-01T01:00:00+01:00",
        "2022-01-01T00:00:00+0000",
        "2021-12-31T19:00:00-05:00",
        "1640995200",
        "1640995200.0",
        "1.6409952E9",
        "Sat, 01 Jan 2022 00:00:00 GMT",
        "2022-01-01",
    ] {
        assert_eq!(scalar::time(text).map(|time| time.as_secs_f64()), Some(new_year), "{text}");
    }
    for text in ["", "yesterday", "2022-13-01T00:00:00Z", "2022-01-01T00:00:0é", "2022-01-0éT00:00:00Z", "NaN"] {
        assert_eq!(scalar::time(text), None, "{text}");
    }
}
