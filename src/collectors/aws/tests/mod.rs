//! Collections with recorded responses: a failed call skips its kind in its region, and is a gap.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
use aws_smithy_runtime_api::client::{
    http::{HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn},
    orchestrator::HttpRequest,
};
use aws_smithy_types::body::SdkBody;
use serde_json::Value as Json;
use worker_proto::{Event, Failure, FailureKind, FromWorker, Gap};

use super::{
    account::AwsAccount,
    broker::Payload,
    client::{Client, ClientConfig, EndpointSettings},
    options::Options,
};
use crate::{
    collector_api::{CollectContext, SharedTable, Waits},
    engine::Timeouts,
    settings::{Setting, Settings},
};

mod accounts;
mod documented;
mod measured;
mod prices;
mod skipped;

/// A cloud: returns status and body of `service:Action` in a region. A batch of tags is `service:DescribeTags of many`,
/// and a product is `pricing:GetProducts of m5.large`. `{action}` in the body stands for the action.
type Cloud = fn(&str, &str) -> (u16, &'static str);

/// A cloud and its recorded calls.
#[derive(Debug, Clone)]
struct Fake(Arc<Cloud>, Arc<Mutex<Vec<Asked>>>);

/// A call of a [`Cloud`], with the body of the request.
#[derive(Debug, Clone)]
struct Asked {
    call: String,
    body: String,
}

impl HttpConnector for Fake {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let authorization = request.headers().get("authorization").unwrap_or_default();
        let mut scope = authorization.split('/').skip(2);
        let (region, service) = (scope.next().unwrap_or_default(), scope.next().unwrap_or_default());
        let body = String::from_utf8_lossy(request.body().bytes().unwrap_or_default()).into_owned();
        let target = request.headers().get("x-amz-target").and_then(|target| target.rsplit('.').next());
        let form = body.split('&').find_map(|field| field.strip_prefix("Action="));
        let action = target.or(form).unwrap_or_default();
        let call = format!("{service}:{action}{}", object(action, &body));
        let (status, answer) = self.0(&call, region);
        self.1.lock().unwrap().push(Asked { call, body: body.clone() });
        let response =
            http::Response::builder().status(status).body(SdkBody::from(answer.replace("{action}", action))).unwrap();
        HttpConnectorFuture::ready(Ok(response.try_into().unwrap()))
    }
}

/// Returns the subject of a call whose name does not say it.
fn object(action: &str, body: &str) -> String {
    match action {
        "DescribeTags" if body.contains("member.2=") => " of many".to_owned(),
        "GetProducts" => {
            let request: Json = serde_json::from_str(body).unwrap();
            let filters = request["Filters"].as_array().unwrap();
            let name = filters
                .iter()
                .find(|filter| matches!(filter["Field"].as_str(), Some("instanceType" | "volumeApiName")));
            format!(" of {}", name.unwrap()["Value"].as_str().unwrap())
        }
        _ => String::new(),
    }
}

/// The result of a collection.
struct Collected {
    result: Result<(), Failure>,
    nodes: Vec<Json>,
    edges: usize,
    gaps: Vec<Gap>,
    counted: u64,
    asked: Vec<Asked>,
}

impl Collected {
    fn ids(&self, kind: &str) -> Vec<&str> {
        let of_kind = self.nodes.iter().filter(|node| node["reported"]["kind"] == kind);
        of_kind.map(|node| node["reported"]["id"].as_str().unwrap()).collect()
    }

    fn node(&self, id: &str) -> &Json {
        self.nodes.iter().find(|node| node["reported"]["id"] == id).unwrap()
    }

    /// Returns the calls whose names begin like this.
    fn asked(&self, call: &str) -> Vec<&Asked> {
        self.asked.iter().filter(|asked| asked.call.starts_with(call)).collect()
    }

    fn gaps(&self) -> Vec<(&str, &str, &str)> {
        self.gaps.iter().map(|gap| (gap.region.as_str(), gap.operation.as_str(), gap.code.as_str())).collect()
    }
}

async fn collect_only(collectors: &[&str], cloud: Cloud) -> Collected {
    collect_in("aws", &["us-east-1", "us-west-2"], collectors, cloud).await
}

async fn collect_in(partition: &str, regions: &[&str], collectors: &[&str], cloud: Cloud) -> Collected {
    let mut settings = settings(collectors);
    settings.set("aws-region", list(regions));
    run(settings, payload(partition, regions), cloud).await
}

fn list(values: &[&str]) -> Setting {
    Setting::List(values.iter().map(|value| (*value).to_owned()).collect())
}

fn settings(collectors: &[&str]) -> Settings {
    let mut settings = Settings::defaults(crate::collectors::aws::options::OPTIONS);
    settings.set("aws-collect", list(collectors));
    settings.set("aws-no-collect", list(&["quotas"]));
    settings
}

fn payload(partition: &str, regions: &[&str]) -> Payload {
    Payload {
        account: "123456789012".into(),
        role: Some("Reader".into()),
        partition: partition.into(),
        regions: regions.iter().map(|region| (*region).to_owned()).collect(),
        verify: false,
    }
}

async fn run(settings: Settings, payload: Payload, cloud: Cloud) -> Collected {
    run_sharing(settings, payload, cloud, Arc::default()).await
}

async fn run_sharing(settings: Settings, payload: Payload, cloud: Cloud, shared: Arc<SharedTable>) -> Collected {
    let fake = Fake(Arc::new(cloud), Arc::default());
    let connector = SharedHttpConnector::new(fake.clone());
    let client = Client::new(ClientConfig {
        credentials: SharedCredentialsProvider::new(Credentials::new("AKID", "secret", None, None, "test")),
        endpoints: EndpointSettings::default(),
        app_id: None,
        timeouts: Timeouts { retry: Duration::ZERO, ..Timeouts::default() },
        http: http_client_fn(move |_, _| connector.clone()),
        waits: Waits::default().unit(0),
    });
    let (context, mut frames) = CollectContext::recording_with(settings, None, shared);
    let options = Options::of(context.settings());
    let account = AwsAccount { payload, selected: options.regions.clone() };
    let result = account.run(&context, client, &options).unwrap().collect().await;
    context.finish().await.unwrap();
    drop(context);
    let asked = std::mem::take(&mut *fake.1.lock().unwrap());
    let mut collected = Collected { result, nodes: Vec::new(), edges: 0, gaps: Vec::new(), counted: 0, asked };
    while let Some(frame) = frames.next().await {
        match frame {
            FromWorker::Nodes { nodes, .. } => {
                collected.nodes.extend(nodes.iter().map(|node| serde_json::from_slice::<Json>(&node.line).unwrap()));
            }
            FromWorker::Edges { edges, .. } => collected.edges += edges.len(),
            FromWorker::Gap { gap, .. } => collected.gaps.push(gap),
            FromWorker::Event(Event::Count { by, .. }) => collected.counted += by,
            _ => {}
        }
    }
    collected
}

/// An empty response in XML.
const NOTHING: (u16, &str) = (200, "<{action}Response><{action}Result/></{action}Response>");
const ALIASES: &str = "<ListAccountAliasesResponse><ListAccountAliasesResult><AccountAliases><member>prod</member>\
    </AccountAliases></ListAccountAliasesResult></ListAccountAliasesResponse>";
const VPCS: &str = "<DescribeVpcsResponse><vpcSet><item><vpcId>vpc-1</vpcId><isDefault>true</isDefault></item></vpcSet>\
    </DescribeVpcsResponse>";
const SUBNETS: &str = "<DescribeSubnetsResponse><subnetSet><item><subnetId>subnet-1</subnetId><vpcId>vpc-1</vpcId>\
    <tagSet><item><key>Name</key><value>left</value></item></tagSet></item></subnetSet></DescribeSubnetsResponse>";
const INSTANCES: &str = "<DescribeInstancesResponse><reservationSet><item><instancesSet><item>\
    <instanceId>i-1</instanceId><instanceType>m5.large</instanceType><instanceState><name>terminated</name></instanceState>\
    <cpuOptions><coreCount>1</coreCount></cpuOptions></item></instancesSet></item></reservationSet></DescribeInstancesResponse>";
const EC2_DENIED: &str =
    "<Response><Errors><Error><Code>UnauthorizedOperation</Code><Message>no</Message></Error></Errors></Response>";
const EC2_REFUSED: &str =
    "<Response><Errors><Error><Code>AuthFailure</Code><Message>no</Message></Error></Errors></Response>";
const IAM_DENIED: &str = "<ErrorResponse><Error><Code>AccessDenied</Code><Message>no</Message></Error></ErrorResponse>";
const IAM_REFUSED: &str =
    "<ErrorResponse><Error><Code>InvalidClientTokenId</Code><Message>no</Message></Error></ErrorResponse>";

#[tokio::test]
async fn resources_are_collected_and_connected() {
    let collected = collect_only(&["vpcs", "subnets"], |call, _| match call {
        "iam:ListAccountAliases" => (200, ALIASES),
        "ec2:DescribeVpcs" => (200, VPCS),
        "ec2:DescribeSubnets" => (200, SUBNETS),
        _ => (500, ""),
    })
    .await;
    assert_eq!(collected.result, Ok(()));
    assert_eq!(collected.gaps(), []);
    assert_eq!(collected.ids("aws_ec2_subnet"), ["subnet-1", "subnet-1"]);
    let account = &collected.nodes[0]["reported"];
    assert_eq!((account["name"].as_str(), account["role"].as_str()), (Some("prod"), Some("Reader")));
    let vpc = collected.nodes.iter().find(|node| node["reported"]["kind"] == "aws_vpc").unwrap();
    assert_eq!(vpc["metadata"]["protected"], true);
    // The account's three regions; in each of two the quota, its VPC, the subnet, and quota to VPC to subnet.
    assert_eq!(collected.edges, 3 + 2 * 5);
}

#[tokio::test]
async fn denied_call_skips_its_kind_in_its_region() {
    let collected = collect_only(&["vpcs", "subnets"], |call, region| match (call, region) {
        ("iam:ListAccountAliases", _) => (200, ALIASES),
        ("ec2:DescribeVpcs", _) => (200, VPCS),
        ("ec2:DescribeSubnets", "us-west-2") => (403, EC2_DENIED),
        ("ec2:DescribeSubnets", _) => (200, SUBNETS),
        _ => (500, ""),
    })
    .await;
    assert_eq!(collected.result, Ok(()));
    assert_eq!(collected.gaps(), [("us-west-2", "DescribeSubnets", "UnauthorizedOperation")]);
    assert_eq!(collected.counted, 1);
    assert_eq!((collected.ids("aws_vpc").len(), collected.ids("aws_ec2_subnet").len()), (2, 1));
}

#[tokio::test]
async fn disabled_region_is_one_gap() {
    let collected = collect_only(&["vpcs", "subnets", "keypairs"], |call, region| match (call, region) {
        ("iam:ListAccountAliases", _) => (200, ALIASES),
        (_, "us-west-2") => (401, EC2_REFUSED),
        ("ec2:DescribeVpcs", _) => (200, VPCS),
        ("ec2:DescribeSubnets", _) => (200, SUBNETS),
        _ => (200, "<DescribeKeyPairsResponse/>"),
    })
    .await;
    assert_eq!(collected.result, Ok(()));
    assert_eq!(collected.gaps.len(), 1, "{:?}", collected.gaps());
    assert_eq!((collected.gaps[0].region.as_str(), collected.gaps[0].code.as_str()), ("us-west-2", "AuthFailure"));
    assert_eq!(collected.ids("aws_vpc").len(), 1);
}

#[tokio::test]
async fn rejected_credentials_fail_account() {
    let collected = collect_only(&["vpcs"], |_, _| (403, IAM_REFUSED)).await;
    let failure = collected.result.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Credentials);
    assert!(failure.message.contains("123456789012") && failure.message.contains("InvalidClientTokenId"));
    assert!(collected.nodes.is_empty());
}

#[tokio::test]
async fn same_operation_of_two_services_gives_two_gaps() {
    let collected =
        collect_in("aws", &["us-east-1"], &["elbs", "albs", "alb_target_groups", "vpcs"], |call, _| match call {
            "iam:ListAccountAliases" => (200, ALIASES),
            "ec2:DescribeVpcs" => (200, VPCS),
            _ => (403, IAM_DENIED),
        })
        .await;
    assert_eq!(collected.result, Ok(()));
    let gaps = collected.gaps.iter().map(|gap| (gap.service.as_str(), gap.operation.as_str()));
    let mut gaps: Vec<_> = gaps.collect();
    gaps.sort_unstable();
    let balancers = "DescribeLoadBalancers";
    assert_eq!(gaps, [("elb", balancers), ("elbv2", balancers), ("elbv2", "DescribeTargetGroups")]);
    assert_eq!(collected.counted, 3);
}

#[tokio::test]
async fn repeated_failure_is_counted_and_one_gap() {
    let collected = collect_in("aws", &["us-east-1"], &["iam_groups"], |call, _| match call {
        "iam:ListAccountAliases" => (200, ALIASES),
        "iam:ListGroups" => (
            200,
            "<ListGroupsResponse><ListGroupsResult><Groups><member><GroupId>g1</GroupId><GroupName>a</GroupName></member>\
             <member><GroupId>g2</GroupId><GroupName>b</GroupName></member></Groups></ListGroupsResult></ListGroupsResponse>",
        ),
        _ => (403, IAM_DENIED),
    })
    .await;
    assert_eq!(collected.ids("aws_iam_group").len(), 2);
    // The permission for the details of all is missing too, which is no gap.
    assert_eq!(collected.gaps.len(), 2, "{:?}", collected.gaps());
    assert_eq!(collected.counted, 4);
}

#[tokio::test]
async fn unresponsive_region_is_given_up() {
    let collected = collect_only(&[], |call, region| match (call, region) {
        ("iam:ListAccountAliases", _) => (200, ALIASES),
        ("ec2:DescribeVpcs", "us-east-1") => (200, VPCS),
        _ => (503, ""),
    })
    .await;
    assert_eq!(collected.result, Ok(()));
    assert_eq!(collected.ids("aws_vpc"), ["vpc-1"]);
    let silent = collected.gaps.iter().filter(|gap| gap.region == "us-west-2").count();
    let answering = collected.gaps.iter().filter(|gap| gap.region == "us-east-1").count();
    assert!(silent < 9 && answering > 15, "{silent} and {answering}");
}

#[tokio::test]
async fn failed_page_loses_only_later_pages() {
    let collected = collect_only(&["iam_groups"], |call, _| match call {
        "iam:ListAccountAliases" => (200, ALIASES),
        "iam:ListGroups" => (
            200,
            "<ListGroupsResponse><ListGroupsResult><Groups><member><GroupId>g1</GroupId><GroupName>g</GroupName></member>\
             </Groups><IsTruncated>true</IsTruncated><Marker>same</Marker></ListGroupsResult></ListGroupsResponse>",
        ),
        _ => (404, "<ErrorResponse><Error><Code>NoSuchEntity</Code><Message>gone</Message></Error></ErrorResponse>"),
    })
    .await;
    assert_eq!(collected.result, Ok(()));
    // The second page is the first again, which the client takes for an endless list; a deleted group has no details.
    assert_eq!(collected.ids("aws_iam_group"), ["g1"]);
    assert_eq!(collected.gaps.len(), 1, "{:?}", collected.gaps());
}
