//! The account and the parameters of calls.

#![expect(clippy::unwrap_used, reason = "tests")]

mod detach;
mod replay;
mod tags;

use serde_json::{Map, json};

use super::*;
use crate::{
    collector_api::ParentNode,
    engine::{Tree, change::fields::Fields, definition::Input, fill::MissingValue},
};

fn home(id: &str, reported: Value) -> ParentNode {
    ParentNode { id: id.into(), name: None, reported: reported.as_object().unwrap().clone() }
}

fn target(kind: &str, reported: Value) -> Target {
    Target {
        kind: kind.into(),
        id: "the-id".into(),
        name: "the-name".into(),
        reported: reported.as_object().unwrap().clone(),
        cloud: "aws".into(),
        account: home("123456789012", json!({ "role": "Stored" })),
        region: Some(home("eu-west-1", json!({}))),
    }
}

fn payload(options: &Options, target: &Target) -> Payload {
    Payload::read(&unit(options, target).unwrap()).unwrap()
}

#[test]
fn stored_role_is_assumed_unless_overridden() {
    let volume = target("aws_ec2_volume", json!({}));
    let mut options = Options { role: Some("Given".into()), ..Options::default() };
    assert_eq!(payload(&options, &volume).role.as_deref(), Some("Stored"));
    options.role_override = true;
    assert_eq!(payload(&options, &volume).role.as_deref(), Some("Given"));
    let mut without = volume;
    without.account.reported.clear();
    assert_eq!(payload(&Options::default(), &without).role, None);
}

#[test]
fn partition_comes_from_arn_or_region() {
    let arn = json!({ "arn": "arn:aws-cn:iam::123456789012:user/x" });
    assert_eq!(payload(&Options::default(), &target("aws_iam_user", arn)).partition, "aws-cn");
    let mut volume = target("aws_ec2_volume", json!({}));
    volume.region = Some(home("us-gov-west-1", json!({})));
    assert_eq!(payload(&Options::default(), &volume).partition, "aws-us-gov");
}

#[test]
fn uncertain_target_is_rejected() {
    let rejected = |target: &Target| unit(&Options::default(), target).unwrap_err().message;
    let mut volume = target("aws_ec2_volume", json!({}));
    volume.region = None;
    assert!(rejected(&volume).contains("region is uncertain"));
    let elsewhere = json!({ "arn": "arn:aws:elasticloadbalancing:us-east-1:123456789012:loadbalancer/app/a/1" });
    assert!(rejected(&target("aws_alb", elsewhere)).contains("region us-east-1"));
    let foreign = json!({ "arn": "arn:aws:elasticloadbalancing:eu-west-1:210987654321:loadbalancer/app/a/1" });
    assert!(rejected(&target("aws_alb", foreign)).contains("account 210987654321"));
    for kind in ["aws_account", "aws_region", "aws_ec2_instance_type", "aws_vpc_quota", "no_such_kind"] {
        assert!(rejected(&target(kind, json!({}))).contains("this kind cannot be changed"), "{kind}");
    }
}

#[test]
fn user_needs_no_region() {
    let mut user = target("aws_iam_user", json!({}));
    user.region = None;
    assert_eq!(unit(&Options::default(), &user).unwrap().id, "123456789012");
}

fn input(text: &str) -> Input {
    toml::from_str(text).unwrap()
}

#[test]
fn parameter_without_value_fails_operation() {
    let address = target("aws_ec2_elastic_ip", json!({ "allocation_id": "", "public_ip": "192.0.2.1" }));
    let fields = Fields::of(&address);
    let release = input("AllocationId = '{allocation_id}'");
    assert_eq!(fields.input(&release), Err(MissingValue("allocation_id".into())));
    let list = input("AllocationIds = ['{allocation_id}']");
    assert_eq!(fields.input(&list), Err(MissingValue("allocation_id".into())));
    let nested = input("Filters = [{ Name = 'x', Values = ['a {arn|after_slash}'] }]");
    assert_eq!(fields.input(&nested), Err(MissingValue("arn|after_slash".into())));
}

#[test]
fn tag_keys_and_values_are_literal() {
    let fields = Fields::of(&target("aws_eks_cluster", json!({ "arn": "arn:x", "key": "odd", "value": "odd" })));
    let tag = Tree::from(json!({ "key": "{id}", "value": "" }));
    let filled =
        fields.input_for_tag(&tag, None, &input("resourceArn = '{arn}'\ntags = { '{key}' = '{value}' }")).unwrap();
    assert_eq!(Value::Object(filled), json!({ "resourceArn": "arn:x", "tags": { "{id}": "" } }));
}

#[test]
fn structure_of_a_response_is_sent_back_whole() {
    let fields = Fields::of(&target("aws_ec2_security_group", json!({})));
    let permission = json!({ "FromPort": 443, "UserIdGroupPairs": [{ "GroupId": "sg-1" }], "Open": true });
    let item = Tree::from(permission.clone());
    let filled = fields.input_for(&item, &input("GroupId = '{id}'\nIpPermissions = ['{@item}']")).unwrap();
    assert_eq!(Value::Object(filled), json!({ "GroupId": "the-id", "IpPermissions": [permission] }));
}

#[test]
fn only_explicit_not_found_means_deleted() {
    let error = |status, code: &str, message: &str| client::error::reported(code, status, message);
    assert!(error(400, "InvalidVolume.NotFound", "").means_deleted());
    assert!(error(404, "NoSuchEntity", "").means_deleted());
    assert!(error(400, "ValidationError", "Stack with id x does not exist").means_deleted());
    assert!(!error(404, "404", "no such page").means_deleted());
    assert!(!error(400, "ValidationError", "No updates are to be performed").means_deleted());
    assert!(!error(400, "DependencyViolation", "").means_deleted());
}
