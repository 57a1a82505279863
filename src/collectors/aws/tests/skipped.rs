//! Skipped calls and kinds, and their gaps.

use std::sync::{
    LazyLock,
    atomic::{AtomicU32, Ordering},
};

use super::*;

/// A thousand alarms.
static ALARMS: LazyLock<String> = LazyLock::new(|| {
    let alarm =
        |number: u32| format!(r#"{{"AlarmName":"a{number}","AlarmArn":"arn:aws:cloudwatch:x:1:alarm:a{number}"}}"#);
    let alarms: Vec<String> = (0..1000).map(alarm).collect();
    format!(r#"{{"MetricAlarms":[{}]}}"#, alarms.join(","))
});

/// Returns the response to a listing, or `other` to any other call, which is counted.
fn listed_or(call: &str, asked: &AtomicU32, other: (u16, &'static str)) -> (u16, &'static str) {
    match call {
        "iam:ListAccountAliases" => (200, ALIASES),
        "monitoring:DescribeAlarms" => (200, &ALARMS),
        _ => {
            asked.fetch_add(1, Ordering::Relaxed);
            other
        }
    }
}

/// Returns the number of calls for an alarm's tags, and their gaps.
async fn alarms(cloud: Cloud, asked: &AtomicU32) -> (u32, Vec<(String, String)>) {
    let collected = collect_in("aws", &["us-east-1"], &["cloudwatch_alarms"], cloud).await;
    assert_eq!(collected.result, Ok(()));
    assert_eq!(collected.ids("aws_cloudwatch_alarm").len(), 1000);
    let gaps = collected.gaps.iter().filter(|gap| gap.operation == "ListTagsForResource");
    (asked.load(Ordering::Relaxed), gaps.map(|gap| (gap.code.clone(), gap.message.clone())).collect())
}

#[tokio::test]
async fn unresponsive_operation_is_skipped_and_kind_continues() {
    static ASKED: AtomicU32 = AtomicU32::new(0);
    let cloud: Cloud = |call, _| listed_or(call, &ASKED, (503, ""));
    let (asked, gaps) = alarms(cloud, &ASKED).await;
    assert!((4..=8).contains(&asked), "{asked}");
    let message = format!("skipped {} more calls: several in a row had no response", 1000 - asked);
    assert_eq!(gaps.len(), 2, "{gaps:?}");
    assert!(gaps.contains(&("Skipped".to_owned(), message)), "{gaps:?}");
}

#[tokio::test]
async fn repeatedly_denied_operation_is_skipped() {
    static ASKED: AtomicU32 = AtomicU32::new(0);
    let cloud: Cloud = |call, _| listed_or(call, &ASKED, (400, r#"{"__type":"AccessDeniedException","message":"no"}"#));
    let (asked, gaps) = alarms(cloud, &ASKED).await;
    assert!((20..=24).contains(&asked), "{asked}");
    assert_eq!(gaps.iter().map(|(code, _)| code.as_str()).collect::<Vec<_>>(), ["AccessDeniedException", "Skipped"]);
}

#[tokio::test]
async fn given_up_region_names_its_skipped_kinds() {
    let collected = collect_only(&[], |call, region| match (call, region) {
        ("iam:ListAccountAliases", _) => (200, ALIASES),
        ("ec2:DescribeVpcs", "us-east-1") => (200, VPCS),
        _ => (503, ""),
    })
    .await;
    let of_region = |region: &str| -> Vec<&Gap> {
        collected.gaps.iter().filter(|gap| gap.region == region && gap.code == "Skipped").collect()
    };
    let silent = of_region("us-west-2");
    assert_eq!(silent.len(), 1, "{silent:?}");
    assert!(silent[0].message.contains("skipped kinds: "), "{silent:?}");
    assert!(silent[0].message.contains("aws_rds_instance"), "{silent:?}");
    assert!(of_region("us-east-1").is_empty());
}

#[tokio::test]
async fn region_with_expired_credentials_names_skipped_kinds() {
    static ASKED: AtomicU32 = AtomicU32::new(0);
    let collected = collect_in(
        "aws",
        &["us-east-1"],
        &["vpcs", "subnets", "keypairs", "volumes", "snapshots", "network_acls"],
        |call, _| match call {
            "iam:ListAccountAliases" => (200, ALIASES),
            _ if ASKED.fetch_add(1, Ordering::Relaxed) == 0 => (200, "<{action}Response/>"),
            _ => (401, EC2_REFUSED),
        },
    )
    .await;
    let codes: Vec<&str> = collected.gaps.iter().map(|gap| gap.code.as_str()).collect();
    assert_eq!(codes, ["AuthFailure", "Skipped"], "{:?}", collected.gaps);
}

#[tokio::test]
async fn shared_listing_is_called_once_even_if_it_fails() {
    static ASKED: AtomicU32 = AtomicU32::new(0);
    const BALANCERS: &str = "<DescribeLoadBalancersResponse><DescribeLoadBalancersResult><LoadBalancers><member>\
        <LoadBalancerArn>arn:aws:elasticloadbalancing:x:1:loadbalancer/app/a/1</LoadBalancerArn>\
        <LoadBalancerName>a</LoadBalancerName></member></LoadBalancers></DescribeLoadBalancersResult>\
        </DescribeLoadBalancersResponse>";
    let collected = collect_in("aws", &["us-east-1"], &["albs", "alb_target_groups"], |call, _| match call {
        "iam:ListAccountAliases" => (200, ALIASES),
        "elasticloadbalancing:DescribeLoadBalancers" => (200, BALANCERS),
        "elasticloadbalancing:DescribeTargetGroups" => {
            ASKED.fetch_add(1, Ordering::Relaxed);
            (503, "")
        }
        _ => (200, "<{action}Response><{action}Result/></{action}Response>"),
    })
    .await;
    assert_eq!(collected.ids("aws_alb").len(), 1);
    assert_eq!(ASKED.load(Ordering::Relaxed), 1);
    assert_eq!(collected.gaps(), [("us-east-1", "DescribeTargetGroups", "503")]);
}
