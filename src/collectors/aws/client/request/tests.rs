//! Requests of each protocol, as the services expect them.

#![expect(clippy::unwrap_used, reason = "tests")]

use serde_json::json;

use super::{super::model::operation, *};

fn build(service: &str, name: &str, input: Value) -> Result<Outgoing, String> {
    let Value::Object(input) = input else { return Err("not an object".into()) };
    outgoing(operation(service, name).unwrap(), &input)
}

fn body(service: &str, name: &str, input: Value) -> String {
    String::from_utf8(build(service, name, input).unwrap().body).unwrap()
}

fn header<'o>(outgoing: &'o Outgoing, name: &str) -> Option<&'o str> {
    outgoing.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

#[test]
fn ec2_numbers_lists_and_capitalises_names() {
    let input = json!({
        "Filters": [{"Name": "tag:a b", "Values": ["x&y", "ü"]}],
        "InstanceIds": ["i-1", "i-2"],
        "MaxResults": 5,
        "DryRun": false,
    });
    assert_eq!(
        body("ec2", "DescribeInstances", input),
        "Action=DescribeInstances&Version=2016-11-15&DryRun=false&Filter.1.Name=tag%3Aa%20b&Filter.1.Value.1=x%26y\
         &Filter.1.Value.2=%C3%BC&InstanceId.1=i-1&InstanceId.2=i-2&MaxResults=5"
    );
    let tags = json!({"Resources": ["vpc-1"], "Tags": [{"Key": "a", "Value": ""}]});
    let expected = "Action=CreateTags&Version=2016-11-15&ResourceId.1=vpc-1&Tag.1.Key=a&Tag.1.Value=";
    assert_eq!(body("ec2", "CreateTags", tags), expected);
    assert_eq!(
        body("ec2", "DescribeSnapshots", json!({"OwnerIds": []})),
        "Action=DescribeSnapshots&Version=2016-11-15"
    );
}

#[test]
fn query_writes_members_entries_and_empty_lists() {
    let tags = json!({"Tags": [{"Key": "k", "PropagateAtLaunch": true}]});
    assert_eq!(
        body("autoscaling", "CreateOrUpdateTags", tags),
        "Action=CreateOrUpdateTags&Version=2011-01-01&Tags.member.1.Key=k&Tags.member.1.PropagateAtLaunch=true"
    );
    let filters = json!({"Filters": [{"Name": "engine", "Values": ["a", "b"]}]});
    assert_eq!(
        body("rds", "DescribeDBInstances", filters),
        "Action=DescribeDBInstances&Version=2014-10-31&Filters.Filter.1.Name=engine&Filters.Filter.1.Values.Value.1=a\
         &Filters.Filter.1.Values.Value.2=b"
    );
    let empty = body("elb", "DescribeLoadBalancers", json!({"LoadBalancerNames": []}));
    assert_eq!(empty, "Action=DescribeLoadBalancers&Version=2012-06-01&LoadBalancerNames=");
    let time = json!({"StartTime": "2021-11-01T01:00:00+01:00"});
    let text = body("autoscaling", "DescribeScheduledActions", time);
    assert!(text.ends_with("&StartTime=2021-11-01T00%3A00%3A00Z"), "{text}");
}

#[test]
fn json_has_its_target_and_seconds() {
    let query = json!({
        "StartTime": "2021-11-01T00:00:00Z",
        "EndTime": 1_635_728_400.5,
        "MetricDataQueries": [{"Id": "a", "ReturnData": true}],
    });
    let outgoing = build("cloudwatch", "GetMetricData", query).unwrap();
    assert_eq!(header(&outgoing, "x-amz-target"), Some("GraniteServiceVersion20100801.GetMetricData"));
    assert_eq!(header(&outgoing, "content-type"), Some("application/x-amz-json-1.0"));
    assert_eq!(header(&outgoing, "x-amzn-query-mode"), Some("true"));
    let sent: Value = serde_json::from_slice(&outgoing.body).unwrap();
    let expected = json!({
        "StartTime": 1_635_724_800,
        "EndTime": 1_635_728_400.5,
        "MetricDataQueries": [{"Id": "a", "ReturnData": true}],
    });
    assert_eq!(sent, expected);
    assert_eq!(body("pricing", "DescribeServices", json!({})), "{}");
}

#[test]
fn rest_json_fills_path_query_and_body() {
    let outgoing = build("eks", "DescribeCluster", json!({"name": "a/b c"})).unwrap();
    assert_eq!((outgoing.method, outgoing.target.as_str()), ("GET", "/clusters/a%2Fb%20c"));
    assert!(outgoing.body.is_empty());
    let outgoing = build("eks", "ListClusters", json!({"maxResults": 10, "include": ["all"]})).unwrap();
    let mut fields: Vec<_> = outgoing.target.strip_prefix("/clusters?").unwrap().split('&').collect();
    fields.sort_unstable();
    assert_eq!(fields, ["include=all", "maxResults=10"]);
    let outgoing = build("eks", "TagResource", json!({"resourceArn": "arn:x", "tags": {"a": "b"}})).unwrap();
    assert_eq!((outgoing.method, outgoing.target.as_str()), ("POST", "/tags/arn%3Ax"));
    assert_eq!(outgoing.body, br#"{"tags":{"a":"b"}}"#);
    assert_eq!(header(&outgoing, "content-type"), Some("application/json"));
    let outgoing = build("eks", "UntagResource", json!({"resourceArn": "arn:x", "tagKeys": ["a", "b"]})).unwrap();
    assert_eq!((outgoing.method, outgoing.target.as_str()), ("DELETE", "/tags/arn%3Ax?tagKeys=a&tagKeys=b"));
}

#[test]
fn rest_xml_writes_payload_and_checksum() {
    let input = json!({
        "Bucket": "b",
        "Delete": {"Quiet": true, "Objects": [{"Key": "a<&>b", "VersionId": "1"}, {"Key": "c"}]},
    });
    let outgoing = build("s3", "DeleteObjects", input).unwrap();
    assert_eq!((outgoing.method, outgoing.target.as_str()), ("POST", "/b?delete"));
    assert_eq!(
        String::from_utf8(outgoing.body.clone()).unwrap(),
        "<Delete xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Object><Key>a&lt;&amp;&gt;b</Key>\
         <VersionId>1</VersionId></Object><Object><Key>c</Key></Object><Quiet>true</Quiet></Delete>"
    );
    let digest = base64::encode(digest::digest(&digest::SHA256, &outgoing.body));
    assert_eq!(header(&outgoing, "x-amz-checksum-sha256"), Some(digest.as_str()));
    let outgoing = build("s3", "DeleteObject", json!({"Bucket": "b", "Key": "x/y z", "VersionId": "v"})).unwrap();
    assert_eq!(outgoing.target, "/b/x/y%20z?versionId=v");
    let outgoing = build("s3", "ListObjectsV2", json!({"Bucket": "b", "Prefix": "p"})).unwrap();
    assert_eq!(outgoing.target, "/b?list-type=2&prefix=p");
}

#[test]
fn xml_text_arrives_unchanged_or_is_rejected() {
    let keys = |key: &str| {
        let input = json!({"Bucket": "b", "Delete": {"Objects": [{"Key": key}]}});
        build("s3", "DeleteObjects", input).map(|outgoing| String::from_utf8(outgoing.body).unwrap())
    };
    assert!(keys("a\rb\tc").unwrap().contains("<Key>a&#13;b\tc</Key>"));
    for (key, name) in [("a\u{1}", "U+0001"), ("\0", "U+0000"), ("\u{ffff}", "U+FFFF"), ("\u{1b}[0m", "U+001B")] {
        let refused = keys(key).unwrap_err();
        assert!(refused.contains(&format!("XML cannot hold the character {name}")), "{refused}");
    }
}

#[test]
fn mistakes_name_the_parameter() {
    for (service, name, input, expected) in [
        ("ec2", "DescribeVpcs", json!({"VpcId": "x"}), "DescribeVpcsRequest has no parameter VpcId"),
        ("ec2", "DescribeVpcs", json!({"VpcIds": "x"}), "the parameter VpcIds: must be a list, not a text"),
        (
            "ec2",
            "DescribeVpcs",
            json!({"MaxResults": "5"}),
            "the parameter MaxResults: must be of type integer, not a text",
        ),
        ("ec2", "DescribeVpcs", json!({"Filters": [{"Nam": 1}]}), "the parameter Filters: Filter has no parameter Nam"),
        ("eks", "DescribeCluster", json!({}), "the parameter name is missing"),
        ("eks", "DescribeCluster", json!({"name": ""}), "the parameter name is missing"),
        (
            "s3",
            "DeleteObjects",
            json!({"Bucket": "b", "Delete": {"Objects": [{"K": ""}]}}),
            "the parameter Delete: the parameter Objects: ObjectIdentifier has no parameter K",
        ),
    ] {
        assert_eq!(build(service, name, input).map(|_| ()), Err(expected.to_owned()));
    }
}
