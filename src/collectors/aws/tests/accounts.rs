//! The account's name and its regions.

use super::*;

const GARBAGE: &str = "\u{fffd}<<< {not a document";
const THROTTLED: &str = "<ErrorResponse><Error><Code>Throttling</Code><Message>later</Message></Error></ErrorResponse>";

/// Three of the regions are enabled, and one of them is not planned.
const REGIONS: &str = "<DescribeRegionsResponse><regionInfo>\
    <item><regionName>us-east-1</regionName><optInStatus>opt-in-not-required</optInStatus></item>\
    <item><regionName>ap-east-1</regionName><optInStatus>not-opted-in</optInStatus></item>\
    <item><regionName>me-south-1</regionName><optInStatus>opted-in</optInStatus></item>\
    <item><regionName>eu-west-1</regionName></item></regionInfo></DescribeRegionsResponse>";

#[tokio::test]
async fn denied_alias_is_a_gap() {
    let collected = collect_only(&["vpcs"], |call, _| match call {
        "ec2:DescribeVpcs" => (200, VPCS),
        _ => (403, IAM_DENIED),
    })
    .await;
    assert_eq!(collected.result, Ok(()));
    assert_eq!(collected.nodes[0]["reported"]["name"], "123456789012");
    assert_eq!(collected.gaps(), [("global", "ListAccountAliases", "AccessDenied")]);
    assert_eq!(collected.ids("aws_vpc").len(), 2);
}

#[tokio::test]
async fn unavailable_alias_fails_account_instead_of_renaming_it() {
    let clouds: [Cloud; 3] = [
        |call, _| if call == "iam:ListAccountAliases" { (400, THROTTLED) } else { NOTHING },
        |call, _| if call == "iam:ListAccountAliases" { (503, "") } else { NOTHING },
        |call, _| if call == "iam:ListAccountAliases" { (200, GARBAGE) } else { NOTHING },
    ];
    for cloud in clouds {
        let collected = collect_only(&["vpcs"], cloud).await;
        let failure = collected.result.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Unavailable);
        assert!(
            failure.message.contains("123456789012") && failure.message.contains("ListAccountAliases"),
            "{failure:?}"
        );
        assert!(collected.nodes.is_empty());
    }
}

#[tokio::test]
async fn failed_account_summary_is_a_gap() {
    let collected = collect_only(&["iam_account_summary"], |call, _| match call {
        "iam:ListAccountAliases" => (200, ALIASES),
        "iam:GetAccountSummary" => (503, ""),
        _ => NOTHING,
    })
    .await;
    assert_eq!(collected.result, Ok(()));
    assert_eq!(collected.gaps(), [("global", "GetAccountSummary", "503")]);
}

async fn anywhere(role: Option<&str>, cloud: Cloud) -> Collected {
    let payload = Payload { role: role.map(str::to_owned), ..payload("aws", &["us-east-1", "us-west-2"]) };
    run(settings(&["vpcs"]), payload, cloud).await
}

/// Returns the regions besides the pseudo region, and the number of calls for them.
fn regions(collected: &Collected) -> (Vec<&str>, usize) {
    let mut regions = collected.ids("aws_region");
    regions.remove(0);
    (regions, collected.asked("ec2:DescribeRegions").len())
}

#[tokio::test]
async fn role_account_has_its_own_enabled_regions() {
    let cloud: Cloud = |call, _| if call == "ec2:DescribeRegions" { (200, REGIONS) } else { NOTHING };
    let collected = anywhere(Some("Reader"), cloud).await;
    assert_eq!((collected.result.clone(), collected.gaps()), (Ok(()), vec![]));
    assert_eq!(regions(&collected), (vec!["us-east-1", "me-south-1", "eu-west-1"], 1));
    assert_eq!(collected.asked("ec2:DescribeVpcs").len(), 3);
    // The plan has listed those of the base credentials.
    assert_eq!(regions(&anywhere(None, cloud).await), (vec!["us-east-1", "us-west-2"], 0));
    // Regions of the options are not checked.
    assert_eq!(regions(&collect_only(&["vpcs"], cloud).await), (vec!["us-east-1", "us-west-2"], 0));
}

#[tokio::test]
async fn regions_are_listed_in_the_planned_region() {
    let payload = Payload { role: Some("Reader".into()), ..payload("aws", &["eu-central-1", "us-east-1"]) };
    let collected = run(settings(&["vpcs"]), payload, |call, region| match (call, region) {
        ("ec2:DescribeRegions", "eu-central-1") => (200, REGIONS),
        ("ec2:DescribeRegions", _) => (403, EC2_DENIED),
        _ => NOTHING,
    });
    let collected = collected.await;
    assert_eq!(collected.gaps(), []);
    assert_eq!(regions(&collected).0, ["us-east-1", "me-south-1", "eu-west-1"]);
}

#[tokio::test]
async fn denied_region_list_falls_back_to_planned_regions() {
    let collected = anywhere(Some("Reader"), |call, _| match call {
        "ec2:DescribeRegions" => (403, EC2_DENIED),
        _ => NOTHING,
    })
    .await;
    assert_eq!(collected.result, Ok(()));
    assert_eq!(collected.gaps(), [("global", "DescribeRegions", "UnauthorizedOperation")]);
    assert_eq!(regions(&collected).0, ["us-east-1", "us-west-2"]);
}

#[tokio::test]
async fn unavailable_region_list_fails_account() {
    for cloud in [(|call, _| if call == "ec2:DescribeRegions" { (503, "") } else { NOTHING }) as Cloud, |_, _| NOTHING]
    {
        let failure = anywhere(Some("Reader"), cloud).await.result.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Unavailable);
        assert!(failure.message.contains("123456789012") && failure.message.contains("DescribeRegions"), "{failure:?}");
    }
}
