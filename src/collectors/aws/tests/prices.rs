//! The price list and its failures.

use std::sync::atomic::{AtomicU32, Ordering};

use super::*;

const DENIED: &str = r#"{"__type":"AccessDeniedException","message":"no"}"#;
const THROTTLED: &str = r#"{"__type":"ThrottlingException","message":"later"}"#;

macro_rules! instances {
    ($($kind:literal),*) => {
        concat!(
            "<DescribeInstancesResponse><reservationSet><item><instancesSet>",
            $("<item><instanceId>i-", $kind, "</instanceId><instanceType>", $kind, "</instanceType>\
               <instanceState><name>running</name></instanceState><cpuOptions><coreCount>1</coreCount></cpuOptions></item>",)*
            "</instancesSet></item></reservationSet></DescribeInstancesResponse>",
        )
    };
}

macro_rules! product {
    ($kind:literal, $location:literal, $cores:literal) => {
        concat!(
            r#"{\"product\":{\"attributes\":{\"instanceType\":\""#,
            $kind,
            r#"\",\"vcpu\":\""#,
            $cores,
            r#"\",\"memory\":\"8 GiB\",\"tenancy\":\"Shared\",\"locationType\":\""#,
            $location,
            r#"\"}},\"terms\":{}}"#
        )
    };
}

#[tokio::test]
async fn instances_are_collected_without_prices() {
    let collected = collect_only(&["instances"], |call, _| match call {
        "iam:ListAccountAliases" => (200, ALIASES),
        "ec2:DescribeInstances" => {
            (200, instances!("a1.large", "c5.large", "m5.large", "p3.large", "r5.large", "t3.large"))
        }
        _ => (400, DENIED),
    })
    .await;
    assert_eq!(collected.result, Ok(()));
    assert_eq!(collected.ids("aws_ec2_instance").len(), 12);
    assert_eq!(collected.node("i-m5.large")["reported"]["instance_cores"], 1);
    assert_eq!(collected.ids("aws_ec2_instance_type").len(), 12, "the types are there without prices");
    let kind = &collected.node("m5.large")["reported"];
    assert!(["instance_cores", "instance_memory", "ondemand_cost"].iter().all(|fact| kind[fact].is_null()), "{kind}");
    let mut gaps = collected.gaps();
    gaps.sort_unstable();
    let [operation, code] = ["GetProducts", "AccessDeniedException"];
    assert_eq!(
        gaps,
        [("us-east-1", operation, code), ("us-west-2", operation, code)],
        "each region says what it lacks"
    );
    let asked = collected.asked("pricing:").len();
    assert!((1..=8).contains(&asked), "a list that refuses is not asked again: {asked}");
}

#[tokio::test]
async fn failed_price_of_one_type_leaves_others_priced() {
    let orders: [Cloud; 2] = [
        |call, _| price(call, instances!("a1.large", "m5.large", "z1.large")),
        |call, _| price(call, instances!("z1.large", "m5.large", "a1.large")),
    ];
    for cloud in orders {
        let collected = collect_in("aws", &["us-east-1"], &["instances"], cloud).await;
        assert_eq!(collected.result, Ok(()));
        let mut types = collected.ids("aws_ec2_instance_type");
        types.sort_unstable();
        assert_eq!(types, ["a1.large", "m5.large", "z1.large"]);
        assert_eq!(collected.node("m5.large")["reported"]["instance_cores"], 2);
        assert!(collected.node("a1.large")["reported"]["instance_cores"].is_null());
        assert_eq!(collected.gaps(), [("us-east-1", "GetProducts", "ThrottlingException")]);
        assert_eq!(collected.asked("pricing:").len(), 3);
        assert_eq!(collected.counted, 2, "each type that is lacking is counted");
    }
}

fn price(call: &str, instances: &'static str) -> (u16, &'static str) {
    match call {
        "ec2:DescribeInstances" => (200, instances),
        "pricing:GetProducts of m5.large" => {
            (200, concat!(r#"{"PriceList":[""#, product!("m5.large", "AWS Region", "2"), r#""]}"#))
        }
        call if call.starts_with("pricing:") => (400, THROTTLED),
        _ => NOTHING,
    }
}

#[tokio::test]
async fn prices_are_of_the_region_itself() {
    let collected = collect_in("aws", &["eu-west-1", "eu-west-9"], &["instances", "volumes"], |call, _| match call {
        "ec2:DescribeInstances" => (200, INSTANCES),
        "pricing:GetProducts of m5.large" => (
            200,
            concat!(
                r#"{"PriceList":[""#,
                product!("m5.large", "AWS Local Zone", "96"),
                r#"",""#,
                product!("m5.large", "AWS Region", "2"),
                r#""]}"#
            ),
        ),
        _ => NOTHING,
    })
    .await;
    assert_eq!((collected.result.clone(), collected.gaps()), (Ok(()), vec![]));
    assert_eq!(collected.ids("aws_ec2_instance_type").len(), 2, "one in each region");
    assert_eq!(collected.node("m5.large")["reported"]["instance_cores"], 2);
    for region in ["eu-west-1", "eu-west-9"] {
        let filter = format!(r#"{{"Field":"regionCode","Type":"TERM_MATCH","Value":"{region}"}}"#);
        let wanted = serde_json::from_str::<Json>(&filter).unwrap();
        let is_asked = |asked: &&Asked| {
            let request: Json = serde_json::from_str(&asked.body).unwrap();
            request["Filters"].as_array().unwrap().contains(&wanted)
        };
        assert_eq!(collected.asked("pricing:").into_iter().filter(is_asked).count(), 1, "{region}");
    }
}

const VOLUMES: &str = "<DescribeVolumesResponse><volumeSet><item><volumeId>vol-1</volumeId><volumeType>gp3</volumeType>\
    <status>in-use</status></item></volumeSet></DescribeVolumesResponse>";

/// In the order of AWS: the prices of operations and throughput, then of storage.
const VOLUME_PRICES: &str = r#"{"PriceList":[
    "{\"product\":{\"productFamily\":\"System Operation\",\"attributes\":{\"volumeApiName\":\"gp3\"}},\"terms\":{\"OnDemand\":{\"a\":{\"priceDimensions\":{\"b\":{\"pricePerUnit\":{\"USD\":\"0.005\"}}}}}}}",
    "{\"product\":{\"productFamily\":\"Storage\",\"attributes\":{\"volumeApiName\":\"gp3\"}},\"terms\":{\"OnDemand\":{\"a\":{\"priceDimensions\":{\"b\":{\"pricePerUnit\":{\"USD\":\"0.08\"}}}}}}}"
]}"#;

#[tokio::test]
async fn volume_type_price_is_of_storage() {
    let collected = collect_in("aws", &["us-east-1"], &["volumes"], |call, _| match call {
        "ec2:DescribeVolumes" => (200, VOLUMES),
        "pricing:GetProducts of gp3" => (200, VOLUME_PRICES),
        _ => NOTHING,
    })
    .await;
    assert_eq!((collected.result.clone(), collected.gaps()), (Ok(()), vec![]));
    assert_eq!(collected.node("gp3")["reported"]["ondemand_cost"], 0.08);
    assert!(collected.asked("pricing:")[0].body.contains(r#""Storage""#));
}

#[tokio::test]
async fn volume_type_without_price_has_a_node() {
    let collected = collect_in("aws", &["us-east-1"], &["volumes"], |call, _| match call {
        "ec2:DescribeVolumes" => (200, VOLUMES),
        call if call.starts_with("pricing:") => (500, ""),
        _ => NOTHING,
    })
    .await;
    assert_eq!(collected.gaps(), [("us-east-1", "GetProducts", "500")]);
    assert_eq!(collected.ids("aws_ec2_volume_type"), ["gp3"]);
    assert!(collected.node("gp3")["reported"]["ondemand_cost"].is_null());
}

/// Collects accounts that share values through one table, as a supervisor's workers do. Returns the number of calls to
/// the list, and the gaps of each account.
async fn accounts_sharing(count: usize, cloud: Cloud) -> (usize, Vec<Vec<String>>) {
    const REGIONS: [&str; 2] = ["us-east-1", "us-west-2"];
    let shared = Arc::new(SharedTable::default());
    let collections = (0..count).map(|_| {
        let mut settings = settings(&["instances"]);
        settings.set("aws-region", list(&REGIONS));
        run_sharing(settings, payload("aws", &REGIONS), cloud, Arc::clone(&shared))
    });
    let all = futures_util::future::join_all(collections).await;
    let asked = all.iter().map(|collected| collected.asked("pricing:").len()).sum();
    let gaps = |collected: &Collected| {
        let gaps = collected.gaps.iter().filter(|gap| gap.service == "pricing");
        gaps.map(|gap| format!("{} {}", gap.region, gap.code)).collect()
    };
    assert!(all.iter().all(|collected| collected.ids("aws_ec2_instance_type").len() == 6), "every type is there");
    (asked, all.iter().map(gaps).collect())
}

const THREE: &str = instances!("a1.large", "c5.large", "m5.large");

#[tokio::test]
async fn failing_price_list_is_called_once_per_run() {
    let answers: [Cloud; 3] = [
        |call, _| if call.starts_with("pricing:") { (500, "") } else { listed(call) },
        |call, _| if call.starts_with("pricing:") { (200, "") } else { listed(call) },
        |call, _| if call.starts_with("pricing:") { (200, "<html/>") } else { listed(call) },
    ];
    for cloud in answers {
        let (asked, gaps) = accounts_sharing(5, cloud).await;
        assert_eq!(asked, 1, "{gaps:?}");
        assert!(gaps.iter().all(|gaps| gaps.len() == 2), "each account and region says what it lacks: {gaps:?}");
    }
}

#[tokio::test]
async fn price_list_failure_stops_calls_of_all_accounts() {
    static ASKED: AtomicU32 = AtomicU32::new(0);
    let (asked, gaps) = accounts_sharing(5, |call, _| match call {
        call if call.starts_with("pricing:") && ASKED.fetch_add(1, Ordering::Relaxed) > 0 => (500, ""),
        call if call.starts_with("pricing:") => {
            (200, concat!(r#"{"PriceList":[""#, product!("a1.large", "AWS Region", "2"), r#""]}"#))
        }
        call => listed(call),
    })
    .await;
    assert!((2..=6).contains(&asked), "{asked}");
    assert!(gaps.iter().all(|gaps| !gaps.is_empty()), "{gaps:?}");
}

#[tokio::test]
async fn denied_account_does_not_stop_calls_of_others() {
    let (asked, gaps) =
        accounts_sharing(3, |call, _| if call.starts_with("pricing:") { (400, DENIED) } else { listed(call) }).await;
    assert_eq!(asked, 3, "each account once");
    assert!(gaps.iter().all(|gaps| gaps.len() == 2), "{gaps:?}");
}

fn listed(call: &str) -> (u16, &'static str) {
    match call {
        "iam:ListAccountAliases" => (200, ALIASES),
        "ec2:DescribeInstances" => (200, THREE),
        _ => NOTHING,
    }
}
