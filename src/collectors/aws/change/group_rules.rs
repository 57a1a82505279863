//! Rules of security groups that name another group: AWS does not delete a group that a rule of another one names.
//!
//! A rule is removed only after AWS has refused the deletion, and only the part of it that names the group; ranges of
//! addresses and other groups in the same permission stay. If the group is not deleted in the end, the rule is put back
//! with its description.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};
use worker_proto::Failure;

use super::Change;
use crate::collectors::aws::client::{CallError, Tree};

/// The filters that find groups with incoming and outgoing rules that name a group.
const FILTERS: [&str; 2] = ["ip-permission.group-id", "egress.ip-permission.group-id"];
/// The most rules that one deletion removes.
const MAX_RULES: usize = 1000;

/// A part of a rule that names a security group.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct GroupRule {
    /// The group that has the rule.
    group: String,
    is_egress: bool,
    /// The permission with this part alone, as JSON.
    permission: String,
}

impl GroupRule {
    /// The operation that does this to it: `Revoke` or `Authorize`.
    fn operation(&self, verb: &str) -> String {
        format!("{verb}SecurityGroup{}", if self.is_egress { "Egress" } else { "Ingress" })
    }

    fn input(&self) -> Map<String, Value> {
        let permission: Value = serde_json::from_str(&self.permission).unwrap_or_default();
        Map::from_iter([
            ("GroupId".to_owned(), Value::from(self.group.as_str())),
            ("IpPermissions".to_owned(), json!([permission])),
        ])
    }

    /// The rule for people.
    pub(super) fn label(&self) -> String {
        let direction = if self.is_egress { "outgoing" } else { "incoming" };
        format!("{direction} rule of {}: {}", self.group, self.permission)
    }
}

impl Change {
    /// Removes the rules of other groups that name this one.
    pub(super) async fn revoke_rules(&self, removed: &mut Vec<GroupRule>) -> Result<(), Failure> {
        let rules = self.rules().await.map_err(|error| self.failure(&error))?;
        if rules.len() + removed.len() > MAX_RULES {
            return Err(self.failed(&format!("more than {MAX_RULES} rules name it")));
        }
        for rule in rules {
            let operation = rule.operation("Revoke");
            let resource = self.target.label();
            tracing::info!(operation, resource, rule = rule.label(), "removing a rule that keeps a security group");
            match self.call(&operation, rule.input()).await {
                Ok(reply) => {
                    let answer = reply.tree().map_err(|error| self.failure(&error))?;
                    // Removed by another operation in the meantime, which also puts it back.
                    if answer.at("UnknownIpPermissions[0]").is_none() {
                        removed.push(rule);
                    }
                }
                Err(error) if error.means_deleted() => {}
                Err(error) => return Err(self.failure(&error)),
            }
        }
        Ok(())
    }

    /// Puts rules back, and returns those for which that failed with the reason.
    pub(super) async fn put_back(&self, removed: Vec<GroupRule>) -> Vec<String> {
        let mut lost = Vec::new();
        for rule in removed {
            match self.call(&rule.operation("Authorize"), rule.input()).await {
                Ok(_) => tracing::info!(rule = rule.label(), "put a rule back: its security group is not deleted"),
                Err(error) if error.code == "InvalidPermission.Duplicate" => {}
                // One of the two groups has been deleted by another operation.
                Err(error) if error.means_deleted() => {}
                Err(error) => lost.push(format!("{} ({})", rule.label(), error.code)),
            }
        }
        lost
    }

    async fn rules(&self) -> Result<BTreeSet<GroupRule>, CallError> {
        let mut rules = BTreeSet::new();
        for filter in FILTERS {
            let filters = json!([{ "Name": filter, "Values": [self.target.id] }]);
            let input = Map::from_iter([("Filters".to_owned(), filters)]);
            let mut pages = self.client.pages(self.request("DescribeSecurityGroups", input));
            while let Some(page) = pages.next().await {
                let page = page?;
                for group in page.tree()?.path("SecurityGroups[]") {
                    of_group(group, &self.target.id, &mut rules);
                }
            }
        }
        Ok(rules)
    }
}

/// Adds the parts of a group's rules that name the wanted group. A group's own rules do not keep it.
fn of_group(group: &Tree<'_>, wanted: &str, rules: &mut BTreeSet<GroupRule>) {
    let Some(id) = group.get("GroupId").and_then(Tree::text).filter(|id| *id != wanted) else { return };
    for (path, is_egress) in [("IpPermissions[]", false), ("IpPermissionsEgress[]", true)] {
        for permission in group.path(path) {
            let naming = permission.path("UserIdGroupPairs[]").into_iter();
            for pair in naming.filter(|pair| pair.get("GroupId").and_then(Tree::text) == Some(wanted)) {
                rules.insert(GroupRule {
                    group: id.to_owned(),
                    is_egress,
                    permission: part(permission, pair).to_string(),
                });
            }
        }
    }
}

/// A permission with nothing but this pair.
fn part(permission: &Tree<'_>, pair: &Tree<'_>) -> Value {
    let mut part = Map::new();
    for name in ["IpProtocol", "FromPort", "ToPort"] {
        part.extend(permission.get(name).map(|value| (name.to_owned(), json!(value))));
    }
    // The status of a peering connection is told and not taken.
    let members = pair.entries().iter().filter(|(name, _)| name != "PeeringStatus");
    let pair: Map<String, Value> = members.map(|(name, value)| (name.to_string(), json!(value))).collect();
    part.insert("UserIdGroupPairs".into(), json!([pair]));
    part.into()
}
