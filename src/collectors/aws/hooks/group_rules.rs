//! Rules of security groups that name another group: AWS does not delete a group that a rule of another group names.
//!
//! Rules are removed only after AWS has rejected the deletion, and only the part that names the group: address ranges
//! and other groups in the same permission stay. If the deletion fails in the end, the rules are restored with their
//! descriptions.

use std::{collections::BTreeSet, ops::Deref};

use serde_json::{Map, Value, json};
use worker_proto::Failure;

use crate::engine::{
    CallError, Tree,
    change::{Change, Undo},
};

/// The filters for groups with incoming and outgoing rules that name a group.
const FILTERS: [&str; 2] = ["ip-permission.group-id", "egress.ip-permission.group-id"];
/// The most rules that one deletion removes.
const MAX_RULES: usize = 1000;

/// The part of a rule that names a security group.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct GroupRule {
    /// The group with the rule.
    group: String,
    is_egress: bool,
    /// The permission with this part alone, as JSON.
    permission: String,
}

impl GroupRule {
    /// Returns the operation that removes the rule.
    fn revoke(&self) -> &'static str {
        if self.is_egress { "RevokeSecurityGroupEgress" } else { "RevokeSecurityGroupIngress" }
    }

    /// Returns the operation that restores the rule.
    fn authorize(&self) -> &'static str {
        if self.is_egress { "AuthorizeSecurityGroupEgress" } else { "AuthorizeSecurityGroupIngress" }
    }

    fn input(&self) -> Map<String, Value> {
        let permission: Value = serde_json::from_str(&self.permission).unwrap_or_default();
        Map::from_iter([
            ("GroupId".to_owned(), Value::from(self.group.as_str())),
            ("IpPermissions".to_owned(), json!([permission])),
        ])
    }

    /// Returns the call that restores the rule.
    fn undo(&self) -> Undo {
        Undo {
            label: self.label(),
            operation: self.authorize().to_owned(),
            input: self.input(),
            restored_codes: &["InvalidPermission.Duplicate"],
        }
    }

    /// Returns the rule as users read it.
    fn label(&self) -> String {
        let direction = if self.is_egress { "outgoing" } else { "incoming" };
        format!("{direction} rule of {}: {}", self.group, self.permission)
    }
}

/// A security group to delete.
pub(super) struct SecurityGroup<'c>(pub(super) &'c Change);

impl Deref for SecurityGroup<'_> {
    type Target = Change;

    fn deref(&self) -> &Change {
        self.0
    }
}

impl SecurityGroup<'_> {
    /// Removes the rules of other groups that name this one.
    pub(super) async fn revoke_rules(&self, removed: &mut Vec<Undo>) -> Result<(), Failure> {
        let rules = self.rules().await.map_err(|error| self.failure(&error))?;
        if rules.len() + removed.len() > MAX_RULES {
            return Err(self.failed(&format!("more than {MAX_RULES} rules name it")));
        }
        for rule in rules {
            let operation = rule.revoke();
            let resource = self.target.label();
            tracing::info!(
                operation,
                resource,
                rule = rule.label(),
                "removing a rule that blocks the deletion of a security group"
            );
            match self.call(operation, rule.input()).await {
                Ok(response) => {
                    let answer = response.tree().map_err(|error| self.failure(&error))?;
                    // If another operation has removed the rule meanwhile, that one also restores it.
                    if answer.at("UnknownIpPermissions[0]").is_none() {
                        removed.push(rule.undo());
                    }
                }
                Err(error) if error.means_deleted() => {}
                Err(error) => return Err(self.failure(&error)),
            }
        }
        Ok(())
    }

    async fn rules(&self) -> Result<BTreeSet<GroupRule>, CallError> {
        let mut rules = BTreeSet::new();
        for filter in FILTERS {
            let filters = json!([{ "Name": filter, "Values": [self.target.id] }]);
            let input = Map::from_iter([("Filters".to_owned(), filters)]);
            let mut pages = self.pages(self.request("DescribeSecurityGroups", input));
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

/// Adds the parts of a group's rules that name the wanted group. A group's own rules do not block its deletion.
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

/// Returns a permission with this pair alone.
fn part(permission: &Tree<'_>, pair: &Tree<'_>) -> Value {
    let mut part = Map::new();
    for name in ["IpProtocol", "FromPort", "ToPort"] {
        part.extend(permission.get(name).map(|value| (name.to_owned(), json!(value))));
    }
    // Responses have the status of a peering connection, requests do not.
    let members = pair.entries().iter().filter(|(name, _)| name != "PeeringStatus");
    let pair: Map<String, Value> = members.map(|(name, value)| (name.to_string(), json!(value))).collect();
    part.insert("UserIdGroupPairs".into(), json!([pair]));
    part.into()
}
