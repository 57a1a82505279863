//! Paging: which tokens are followed, and what ends it.

#![expect(clippy::unwrap_used, reason = "tests")]

use super::super::testing::{Served, client};

fn vpcs(id: &str, token: &str) -> String {
    format!("<DescribeVpcsResponse><vpcSet><item><vpcId>{id}</vpcId></item></vpcSet>{token}</DescribeVpcsResponse>")
}

/// Returns the values at a path on each page, or the error that ended the pages.
async fn all(served: &Served, request: super::Request<'_>, path: &'static str) -> Vec<Result<Vec<String>, String>> {
    let client = client(served);
    let mut pages = client.pages(request);
    let mut found = Vec::new();
    while let Some(page) = pages.next().await {
        found.push(page.map_err(|error| error.message.into()).map(|response| {
            let tree = response.tree().unwrap();
            tree.path(path).iter().filter_map(|value| value.text()).map(str::to_owned).collect()
        }));
    }
    found
}

#[tokio::test]
async fn pages_follow_the_token() {
    let served = Served::new([
        (200, vpcs("vpc-1", "<nextToken>a b</nextToken>")),
        (200, vpcs("vpc-2", "<nextToken>c</nextToken>")),
        (200, vpcs("vpc-3", "<nextToken/>")),
    ]);
    let request = super::Request::new("ec2", "DescribeVpcs", "eu-central-1").with("MaxResults", 5);
    let found = all(&served, request, "Vpcs[].VpcId").await;
    assert_eq!(found, ["vpc-1", "vpc-2", "vpc-3"].map(|id| Ok(vec![id.to_owned()])));
    let tokens: Vec<_> =
        served.bodies().iter().map(|body| body.split_once("NextToken=").map(|(_, token)| token.to_owned())).collect();
    assert_eq!(tokens, [None, Some("a%20b".to_owned()), Some("c".to_owned())]);
    assert!(served.bodies().iter().all(|body| body.contains("MaxResults=5")));
}

/// Returns the parameters of a request with one page.
async fn asked(request: super::Request<'_>) -> String {
    let served = Served::new([(400, "")]);
    client(&served).pages(request).next().await.unwrap().unwrap_err();
    let asked = served.asked().remove(0);
    format!("{}?{}", asked.url, asked.body)
}

#[tokio::test]
async fn pages_have_the_largest_size_unless_items_are_named() {
    use super::Request;
    let here = |service, operation| Request::new(service, operation, "eu-central-1");
    for (service, operation, size) in [
        ("autoscaling", "DescribeAutoScalingGroups", "MaxRecords=100"),
        ("cloudwatch", "DescribeAlarms", "\"MaxRecords\":100"),
        ("ec2", "DescribeInstances", "MaxResults=1000"),
        ("ec2", "DescribeRouteTables", "MaxResults=100"),
        ("ec2", "DescribeVolumes", "MaxResults=1000"),
        ("eks", "ListClusters", "maxResults=100"),
        ("elbv2", "DescribeTargetGroups", "PageSize=400"),
        ("iam", "ListUsers", "MaxItems=1000"),
        ("rds", "DescribeDBInstances", "MaxRecords=100"),
        ("s3", "ListBuckets", "max-buckets=1000"),
    ] {
        let asked = asked(here(service, operation)).await;
        let is_last =
            asked.split(size).nth(1).is_some_and(|rest| !rest.starts_with(|next: char| next.is_ascii_digit()));
        assert!(is_last, "{service}:{operation} {asked}");
    }
    let owned = here("ec2", "DescribeSnapshots").with("OwnerIds", ["self"].as_slice());
    assert!(asked(owned).await.contains("MaxResults=1000"));
    let named = here("ec2", "DescribeInstances").with("InstanceIds", ["i-1"].as_slice());
    assert!(!asked(named).await.contains("MaxResults"));
    let chosen = here("ec2", "DescribeInstances").with("MaxResults", 7);
    assert!(asked(chosen).await.contains("MaxResults=7"));
    assert!(!asked(here("ec2", "DescribeKeyPairs")).await.contains("Max"), "it has no pages");
}

#[tokio::test]
async fn truncation_flag_overrides_token() {
    let users = |more: &str, token: &str| {
        format!(
            "<ListUsersResponse><ListUsersResult><Users><member><UserName>u</UserName></member></Users>\
            <IsTruncated>{more}</IsTruncated><Marker>{token}</Marker></ListUsersResult></ListUsersResponse>"
        )
    };
    let served = Served::new([(200, users("true", "m")), (200, users("false", "n"))]);
    let found = all(&served, super::Request::new("iam", "ListUsers", "us-east-1"), "Users[].UserName").await;
    assert_eq!(found.len(), 2);
    assert!(served.bodies()[1].contains("&Marker=m"));
}

#[tokio::test]
async fn second_alternative_is_used_if_first_is_absent() {
    let first = "<ListBucketResult><IsTruncated>true</IsTruncated><Contents><Key>a</Key></Contents>\
        <Contents><Key>b</Key></Contents></ListBucketResult>";
    let second =
        "<ListBucketResult><IsTruncated>false</IsTruncated><Contents><Key>c</Key></Contents></ListBucketResult>";
    let served = Served::new([(200, first), (200, second)]);
    let request = super::Request::new("s3", "ListObjects", "us-east-1").with("Bucket", "bucket");
    let found = all(&served, request, "Contents[].Key").await;
    assert_eq!(found.concat_ok(), ["a", "b", "c"]);
    assert_eq!(served.targets(), ["/bucket", "/bucket?marker=b"]);
}

/// Invariant: an endless list ends with an error.
#[tokio::test]
async fn repeated_token_is_an_error() {
    let page = |token: &str| (200, vpcs("vpc-1", &format!("<nextToken>{token}</nextToken>")));
    let served = Served::new([page("a"), page("b"), page("a")]);
    let found = all(&served, super::Request::new("ec2", "DescribeVpcs", "eu-central-1"), "Vpcs[].VpcId").await;
    assert_eq!(found.last().unwrap(), &Err("the token for the next page was repeated".to_owned()));
    assert_eq!(found.len(), 3);
}

/// Returns the number of pages of an endless list before its error, and the error.
async fn endless(request: super::Request<'_>, page: impl Fn(usize) -> String) -> (usize, String) {
    let served = Served::new((0..3000).map(|number| (200, page(number))));
    let client = client(&served);
    let mut pages = client.pages(request);
    let mut found = 0;
    while let Some(page) = pages.next().await {
        match page {
            Ok(_) => found += 1,
            Err(error) => return (found, error.message.into()),
        }
    }
    (found, String::new())
}

/// Invariant: an endless list ends with an error.
#[tokio::test]
async fn endless_empty_pages_end_with_error() {
    use super::Request;
    let ec2 = |number: usize| {
        let token = format!("<nextToken>{number}</nextToken>");
        format!("<DescribeVpcsResponse><vpcSet/>{token}</DescribeVpcsResponse>")
    };
    let iam = |number: usize| {
        let page = format!("<Users/><IsTruncated>true</IsTruncated><Marker>{number}</Marker>");
        format!("<ListUsersResponse><ListUsersResult>{page}</ListUsersResult></ListUsersResponse>")
    };
    let eks = |number: usize| format!("{{\"clusters\": [], \"nextToken\": \"{number}\"}}");
    let absent = |number: usize| format!("{{\"nextToken\": \"{number}\"}}");
    let of = |service, operation| Request::new(service, operation, "eu-central-1");
    for (name, (pages, error)) in [
        ("ec2", endless(of("ec2", "DescribeVpcs"), ec2).await),
        ("iam", endless(of("iam", "ListUsers"), iam).await),
        ("eks", endless(of("eks", "ListClusters"), eks).await),
        ("eks without list", endless(of("eks", "ListClusters"), absent).await),
    ] {
        assert_eq!(pages, 999, "{name}: {error}");
        assert!(error.contains("1000 consecutive pages without an item"), "{name}: {error}");
    }
}

#[tokio::test]
async fn empty_pages_between_others_are_followed() {
    let page = |number: usize| {
        let item = if number % 900 == 899 { "<item><vpcId>vpc-1</vpcId></item>" } else { "" };
        let token = if number == 2699 { String::new() } else { format!("<nextToken>{number}</nextToken>") };
        format!("<DescribeVpcsResponse><vpcSet>{item}</vpcSet>{token}</DescribeVpcsResponse>")
    };
    let request = super::Request::new("ec2", "DescribeVpcs", "eu-central-1");
    assert_eq!(endless(request, page).await, (2700, String::new()));
}

#[tokio::test]
async fn error_ends_paging() {
    let served = Served::new([(200, vpcs("vpc-1", "<nextToken>a</nextToken>")), (403, String::new())]);
    let found = all(&served, super::Request::new("ec2", "DescribeVpcs", "eu-central-1"), "Vpcs[].VpcId").await;
    assert_eq!((found.len(), found[1].is_err()), (2, true));
}

#[tokio::test]
async fn operation_without_paginator_has_one_page() {
    let served = Served::new([(200, "<{action}Response><regionInfo/></{action}Response>")]);
    let found = all(&served, super::Request::new("ec2", "DescribeRegions", "us-east-1"), "Regions[].RegionName").await;
    assert_eq!(found, [Ok(Vec::new())]);
}

trait ConcatOk {
    fn concat_ok(self) -> Vec<String>;
}

impl ConcatOk for Vec<Result<Vec<String>, String>> {
    fn concat_ok(self) -> Vec<String> {
        self.into_iter().flat_map(Result::unwrap).collect()
    }
}
