//! Cleanup of every kind: the calls are those of the Python worker.

use std::collections::BTreeSet;

use super::*;

/// Where a kind is deleted by other calls than the original's, and why. Marks of the original that are no facts of the
/// cloud (`cleaned`) are compared too.
const OTHERWISE: [(&str, &[&str], bool, &str); 6] = [
    (
        "aws_iam_user",
        &["DeleteUser", "DeleteUserPolicy", "DetachUserPolicy", "RemoveUserFromGroup", "DeleteAccessKey"],
        true,
        "the original left what keeps a user",
    ),
    (
        "aws_iam_group",
        &["DeleteGroup", "DeleteGroupPolicy", "DetachGroupPolicy", "RemoveUserFromGroup"],
        true,
        "the same of groups",
    ),
    ("aws_s3_bucket", &["DeleteBucket", "DeleteObjects"], true, "versions are deleted too"),
    (
        "aws_iam_role",
        &["DeleteRole", "DetachRolePolicy", "DeleteRolePolicy", "RemoveRoleFromInstanceProfile"],
        true,
        "profiles are looked for in the cloud",
    ),
    ("aws_iam_policy", &["DeletePolicy", "DeletePolicyVersion"], true, "versions keep a policy"),
    (
        "aws_ec2_security_group",
        &["DeleteSecurityGroup"],
        false,
        "network interfaces keep it in AWS, and its own rules stay",
    ),
];

fn text<'v>(case: &'v Value, field: &str) -> &'v str {
    case[field].as_str().unwrap_or_default()
}

fn kind(case: &Value) -> &str {
    text(case, "kind")
}

/// What the original called.
fn calls_of(case: &Value) -> BTreeSet<String> {
    case["calls"].as_array().unwrap().iter().filter_map(|call| Some(call.as_str()?.to_owned())).collect()
}

/// Which calls are allowed and whether it is cleaned, if that is not as the original has it.
fn otherwise(case: &Value) -> Option<(&'static [&'static str], bool)> {
    let (_, allowed, cleaned, _) = OTHERWISE.iter().find(|(known, ..)| *known == kind(case))?;
    Some((allowed, *cleaned))
}

/// Whether it is tried in vain: something else keeps the resource, and a cleanup waits half a minute for that.
fn is_kept(case: &Value) -> bool {
    match otherwise(case) {
        Some((_, cleaned)) => !cleaned,
        None => case["cleaned"] == json!(false) && !calls_of(case).is_empty(),
    }
}

/// Cleans up one kind after the other, those that something else keeps or the rest of them.
async fn is_done_as_by_the_original(kept: bool) {
    let golden = std::fs::read_to_string("tests/golden/aws/cleanup.json").unwrap();
    let golden: Vec<Value> = serde_json::from_str(&golden).unwrap();
    let scene = Scene::start(&["--cleanup"]).await;
    let mut wrong = Vec::new();
    for case in golden.iter().filter(|case| is_kept(case) == kept) {
        let node = scene.one(kind(case), text(case, "name"));
        scene.aws.reset().await;
        assert_eq!(scene.clean(&[&node]).await, done(), "{case}: {}", scene.daemon.log());
        let calls: BTreeSet<String> = scene.aws.changes().await.into_keys().collect();
        let metadata = scene.metadata(&node);
        let cleaned = metadata["cleaned"] == json!(true);
        let right = match otherwise(case) {
            Some((allowed, wanted)) => cleaned == wanted && calls.iter().all(|call| allowed.contains(&call.as_str())),
            None => calls == calls_of(case) && json!(cleaned) == case["cleaned"],
        };
        if !right {
            wrong.push(format!("{calls:?} cleaned {cleaned}, the original {case}; {:?}", events(&metadata)));
        }
        assert!(!events(&metadata).is_empty(), "{case} says nothing of what happened");
        // A mark that was not acted on must not disturb the following kinds.
        scene.core.set_metadata("ck", &node, "cleaned", json!(true));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    scene.stop().await;
}

#[tokio::test]
async fn every_kind_is_deleted_by_the_calls_of_python_worker() {
    is_done_as_by_the_original(false).await;
}

#[tokio::test]
async fn resource_in_use_stays_after_the_calls_of_python_worker() {
    is_done_as_by_the_original(true).await;
}
