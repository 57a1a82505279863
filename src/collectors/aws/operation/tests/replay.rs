//! Whole operations with recorded responses: their calls and outcomes. The clock of the runtime is paused, so that
//! waiting takes no time.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

use serde_json::json;
use time::format_description::well_known::Rfc3339;

use super::{
    super::{
        super::hooks::stack::{Progress, Stack},
        client::testing::{Served, client},
    },
    *,
};

pub(super) const MINUTE: Duration = Duration::from_secs(60);
pub(super) const DELETED: &str = "<{action}Response><return>true</return></{action}Response>";

/// Returns a change of a resource of this kind, with this much time.
pub(super) fn change(served: &Served, kind: &str, id: &str, reported: Value, time: Duration) -> Change {
    let home = |id: &str| ParentNode { id: id.into(), name: None, reported: Map::new() };
    let target = Target {
        kind: kind.into(),
        id: id.into(),
        name: reported["name"].as_str().unwrap_or("the-name").into(),
        reported: reported.as_object().unwrap().clone(),
        cloud: "aws".into(),
        account: home("123456789012"),
        region: Some(home("us-west-2")),
    };
    let api = Arc::new(client(served));
    // A second is reserved for the result.
    let limit = time + Duration::from_secs(1);
    Change::new(cloud().unwrap(), api, target, "us-west-2".into(), limit).unwrap()
}

pub(super) fn ok(body: impl Into<String>) -> (u16, String) {
    (200, body.into())
}

pub(super) fn ec2_error(status: u16, code: &str) -> (u16, String) {
    let error = format!("<Error><Code>{code}</Code><Message>it says</Message></Error>");
    (status, format!("<Response><Errors>{error}</Errors><RequestID>1</RequestID></Response>"))
}

/// Returns the actions of the calls in the query protocols.
pub(super) fn actions(served: &Served) -> Vec<String> {
    let action = |body: String| body.split('&').find_map(|part| part.strip_prefix("Action=").map(str::to_owned));
    served.bodies().into_iter().map(|body| action(body).unwrap_or_default()).collect()
}

pub(super) fn message<T: std::fmt::Debug>(result: Result<T, Failure>) -> String {
    result.unwrap_err().message
}

fn volume_is(state: &str) -> (u16, String) {
    let item = format!("<item><volumeId>vol-1</volumeId><status>{state}</status></item>");
    ok(format!("<DescribeVolumesResponse><volumeSet>{item}</volumeSet></DescribeVolumesResponse>"))
}

/// Snapshots with these IDs, ages in seconds and states.
fn snapshots(all: &[(&str, i64, &str)]) -> (u16, String) {
    let items = all.iter().map(|(id, age, state)| {
        let started = time::OffsetDateTime::now_utc() - time::Duration::seconds(*age);
        let started = started.format(&Rfc3339).unwrap();
        format!("<item><snapshotId>{id}</snapshotId><status>{state}</status><startTime>{started}</startTime></item>")
    });
    let items: String = items.collect();
    ok(format!("<DescribeSnapshotsResponse><snapshotSet>{items}</snapshotSet></DescribeSnapshotsResponse>"))
}

fn wanted() -> Value {
    json!({ "snapshot_before_delete": true })
}

#[tokio::test(start_paused = true)]
async fn old_snapshot_is_not_reused() {
    let made = "<CreateSnapshotResponse><snapshotId>snap-2</snapshotId></CreateSnapshotResponse>";
    let served = Served::new([
        volume_is("available"),
        snapshots(&[("snap-1", 2 * 3600, "completed")]),
        ok(made),
        snapshots(&[("snap-2", 0, "completed")]),
        ok(DELETED),
    ]);
    assert_eq!(change(&served, "aws_ec2_volume", "vol-1", wanted(), MINUTE).delete().await, Ok(Outcome::Done));
    assert_eq!(
        actions(&served),
        ["DescribeVolumes", "DescribeSnapshots", "CreateSnapshot", "DescribeSnapshots", "DeleteVolume"]
    );
}

#[tokio::test(start_paused = true)]
async fn interrupted_deletion_reuses_its_newest_snapshot() {
    let served = Served::new([
        volume_is("available"),
        snapshots(&[("snap-1", 900, "completed"), ("snap-3", 60, "pending"), ("snap-2", 300, "completed")]),
        snapshots(&[("snap-3", 60, "completed")]),
        ok(DELETED),
    ]);
    assert_eq!(change(&served, "aws_ec2_volume", "vol-1", wanted(), MINUTE).delete().await, Ok(Outcome::Done));
    assert!(served.bodies()[2].contains("snap-3"), "{:?}", served.bodies());
}

#[tokio::test(start_paused = true)]
async fn volume_in_use_is_neither_copied_nor_deleted() {
    let served = Served::new([volume_is("in-use")]);
    let result = change(&served, "aws_ec2_volume", "vol-1", wanted(), Duration::ZERO).delete().await;
    assert!(message(result).contains("it is in-use"));
    assert_eq!(actions(&served), ["DescribeVolumes"]);
}

#[tokio::test(start_paused = true)]
async fn deleted_volume_needs_no_snapshot() {
    let gone = || ec2_error(400, "InvalidVolume.NotFound");
    let served = Served::new([gone(), gone()]);
    assert_eq!(change(&served, "aws_ec2_volume", "vol-1", wanted(), MINUTE).delete().await, Ok(Outcome::Done));
    assert_eq!(actions(&served), ["DescribeVolumes", "DeleteVolume"]);
}

#[tokio::test(start_paused = true)]
async fn transient_failure_does_not_end_deletion_wait() {
    let terminated = "<instanceState><name>terminated</name></instanceState>";
    let terminated = format!(
        "<DescribeInstancesResponse><reservationSet><item><instancesSet><item>{terminated}</item></instancesSet></item>\
         </reservationSet></DescribeInstancesResponse>"
    );
    let served = Served::new([ok(DELETED), ec2_error(503, "Unavailable"), ok(terminated)]);
    assert_eq!(change(&served, "aws_ec2_instance", "i-1", json!({}), MINUTE).delete().await, Ok(Outcome::Done));
    let served = Served::new([ok(DELETED), ec2_error(503, "Unavailable")]);
    let message = message(change(&served, "aws_ec2_instance", "i-1", json!({}), Duration::ZERO).delete().await);
    assert!(message.contains("the deletion is not complete: ec2:DescribeInstances"), "{message}");
}

#[tokio::test(start_paused = true)]
async fn bucket_is_deleted_in_region_named_by_redirect() {
    let elsewhere = "<Error><Code>AuthorizationHeaderMalformed</Code><Region>eu-west-1</Region></Error>";
    let served = Served::new([(400, elsewhere.into()), (204, String::new())]);
    let served = served.bucket_in("eu-west-1");
    assert_eq!(change(&served, "aws_s3_bucket", "b", json!({}), MINUTE).delete().await, Ok(Outcome::Done));
    let asked = served.asked();
    assert!(asked[0].authorization.contains("/us-west-2/s3/"), "{asked:?}");
    assert!(asked[1..].iter().all(|call| call.authorization.contains("/eu-west-1/s3/")), "{asked:?}");
}

pub(super) fn not_empty() -> (u16, String) {
    (409, "<Error><Code>BucketNotEmpty</Code><Message>it says</Message></Error>".into())
}

#[tokio::test(start_paused = true)]
async fn only_own_bucket_is_emptied() {
    let location =
        r#"<LocationConstraint xmlns="http://s3.amazonaws.com/doc/2006-03-01/">us-west-2</LocationConstraint>"#;
    let version = "<Version><Key>a</Key><VersionId>1</VersionId></Version>";
    let upload = "<Upload><Key>b</Key><UploadId>2</UploadId></Upload>";
    let served = Served::new([
        ok(location),
        not_empty(),
        ok(format!("<ListVersionsResult>{version}</ListVersionsResult>")),
        ok("<DeleteResult/>"),
        ok(format!("<ListMultipartUploadsResult>{upload}</ListMultipartUploadsResult>")),
        (204, String::new()),
        (204, String::new()),
    ]);
    assert_eq!(change(&served, "aws_s3_bucket", "b", json!({}), MINUTE).delete().await, Ok(Outcome::Done));
    let asked = served.asked();
    assert_eq!(asked.len(), 7);
    for call in &asked[1..] {
        assert!(call.authorization.contains("x-amz-expected-bucket-owner"), "{call:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn resource_with_same_name_is_not_deleted() {
    let other = "<DescribeLoadBalancersResponse><DescribeLoadBalancersResult><LoadBalancerDescriptions><member>\
                 <DNSName>lb-2.elb.example</DNSName></member></LoadBalancerDescriptions>\
                 </DescribeLoadBalancersResult></DescribeLoadBalancersResponse>";
    let served = Served::new([ok(other)]);
    let balancer = change(&served, "aws_elb", "lb-1.elb.example", json!({}), MINUTE);
    let Ok(Outcome::Nothing(why)) = balancer.delete().await else { panic!() };
    assert!(why.contains("another resource has its name now, with the id lb-2.elb.example"), "{why}");
    assert_eq!(actions(&served), ["DescribeLoadBalancers"]);
    let user = "<GetUserResponse><GetUserResult><User><UserId>AIDA2</UserId></User></GetUserResult></GetUserResponse>";
    let served = Served::new([ok(user)]);
    let outcome = change(&served, "aws_iam_user", "AIDA1", json!({}), MINUTE).pre_delete().await;
    assert!(matches!(outcome, Ok(Outcome::Nothing(_))), "{outcome:?}");
    assert_eq!(actions(&served), ["GetUser"]);
}

/// The description of a stack.
fn stack(status: &str, owner: &str, updated: &str) -> (u16, String) {
    let tag = |key: &str, value: &str| format!("<member><Key>{key}</Key><Value>{value}</Value></member>");
    let tags = tag("team", "a") + &tag("owner", owner);
    let capabilities = "<Capabilities><member>CAPABILITY_AUTO_EXPAND</member></Capabilities>";
    let stack = format!(
        "<StackStatus>{status}</StackStatus><LastUpdatedTime>{updated}</LastUpdatedTime><Tags>{tags}</Tags>{capabilities}"
    );
    ok(format!(
        "<DescribeStacksResponse><DescribeStacksResult><Stacks><member>{stack}</member></Stacks></DescribeStacksResult>\
         </DescribeStacksResponse>"
    ))
}

const BEFORE: &str = "2021-11-01T00:00:00Z";
const AFTER: &str = "2021-11-02T00:00:00Z";

/// Sets a tag of a stack with this description after the update, with time for one check.
async fn tagged(after: (u16, String)) -> (Result<Outcome, Failure>, Served) {
    let accepted = ok("<UpdateStackResponse><UpdateStackResult/></UpdateStackResponse>");
    let served = Served::new([stack("CREATE_COMPLETE", "alice", BEFORE), accepted, after]);
    let change = change(&served, "aws_cloudformation_stack", "arn:stack", json!({}), Duration::ZERO);
    (change.update_tag("owner", "bob").await, served)
}

#[tokio::test(start_paused = true)]
async fn stack_tag_is_done_when_updated_or_in_progress() {
    for status in ["UPDATE_COMPLETE", "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", "UPDATE_IN_PROGRESS"] {
        let (outcome, served) = tagged(stack(status, "bob", AFTER)).await;
        assert_eq!(outcome, Ok(Outcome::Done), "{status}");
        let update = &served.bodies()[1];
        assert!(update.contains("Capabilities.member.1=CAPABILITY_AUTO_EXPAND"), "{update}");
        assert!(update.contains("Capabilities.member.2=CAPABILITY_NAMED_IAM"), "{update}");
        assert!(update.contains("Tags.member.1.Value=a") && update.contains("Tags.member.2.Value=bob"), "{update}");
    }
    for (status, owner) in [("UPDATE_IN_PROGRESS", "alice"), ("UPDATE_ROLLBACK_IN_PROGRESS", "bob")] {
        let (outcome, _) = tagged(stack(status, owner, AFTER)).await;
        assert!(message(outcome).contains(status), "{status}");
    }
}

#[test]
fn stale_stack_description_is_ignored() {
    let stack = |status: &str, owner: &str, updated| Stack {
        status: status.into(),
        updated,
        tags: vec![("owner".into(), owner.into())],
        ..Stack::default()
    };
    let progress = |before: &Stack, now: &Stack| now.progress(before, "owner", Some("bob"));
    let created = stack("CREATE_COMPLETE", "alice", None);
    assert_eq!(progress(&created, &created), Progress::Unseen);
    assert_eq!(progress(&created, &stack("CREATE_COMPLETE", "bob", None)), Progress::Taken);
    let updated = stack("UPDATE_COMPLETE", "alice", Some(1));
    assert_eq!(progress(&updated, &updated), Progress::Unseen);
    assert_eq!(progress(&updated, &stack("UPDATE_COMPLETE", "alice", Some(2))), Progress::Failed);
    assert_eq!(progress(&updated, &stack("UPDATE_COMPLETE", "bob", Some(2))), Progress::Over);
    let rolled_back = stack("UPDATE_ROLLBACK_COMPLETE", "alice", Some(1));
    assert_eq!(progress(&rolled_back, &rolled_back), Progress::Unseen);
    assert_eq!(progress(&rolled_back, &stack("UPDATE_ROLLBACK_COMPLETE", "alice", Some(2))), Progress::Failed);
    assert_eq!(progress(&updated, &stack("UPDATE_FAILED", "bob", Some(2))), Progress::Failed);
}
