"""Deletions that AWS rejects and moto does not: defaults, roles of AWS, and resources that others refer to."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs

from aws_local.calls import Call
from aws_local.replies import Reply, error


def refuse(call: Call, path: str, body: bytes) -> Reply | None:
    """Returns the rejection of a deletion; none if moto decides."""
    if call.operation not in DELETIONS:
        return None
    given = {name: values[0] for name, values in parse_qs(body.decode("utf-8", "replace")).items()}
    given["path"] = path
    return DELETIONS[call.operation](call, given)


def security_group(call: Call, given: dict[str, str]) -> Reply | None:
    """Rejects a default group, a group that a rule of another group names, and a group of a network interface."""
    backend = ec2(call)
    wanted = given.get("GroupId", "")
    group = backend.get_security_group_from_id(wanted)
    if group is None:
        return None
    if group.name == "default":
        return error(call, 400, "CannotDelete", f"the specified group: {wanted} name: default cannot be deleted by a user")
    others = [other for groups in backend.groups.values() for other in groups.values() if other.id != wanted]
    rules = [rule for other in others for rule in (*other.ingress_rules, *other.egress_rules)]
    named = any(rule.source_group.get("GroupId") == wanted for rule in rules)
    used = any(wanted in {one.id for one in eni.group_set} for eni in backend.enis.values())
    return in_use(call, wanted) if named or used else None


def network_acl(call: Call, given: dict[str, str]) -> Reply | None:
    """Rejects a default access list."""
    wanted = given.get("NetworkAclId", "")
    found = ec2(call).network_acls.get(wanted)
    if found is None or not found.default:
        return None
    return error(call, 400, "InvalidParameterValue", f"cannot delete default network ACL {wanted}")


def route_table(call: Call, given: dict[str, str]) -> Reply | None:
    """Rejects a main route table."""
    wanted = given.get("RouteTableId", "")
    found = ec2(call).route_tables.get(wanted)
    return in_use(call, wanted) if found is not None and found.main_association_id else None


def policy(call: Call, given: dict[str, str]) -> Reply | None:
    """Rejects a policy with more than its default version."""
    from moto.iam.models import iam_backends

    wanted = given.get("PolicyArn", "")
    backend = iam_backends[call.account]["aws"]
    found = backend.managed_policies.get(wanted)
    if found is None or len(found.versions) < 2:
        return None
    return error(call, 409, "DeleteConflict", "This policy has more than one version")


def role(call: Call, given: dict[str, str]) -> Reply | None:
    """Rejects a role that is linked to a service, or one of IAM Identity Center."""
    from moto.iam.models import iam_backends

    roles = iam_backends[call.account]["aws"].roles.values()
    path = next((one.path for one in roles if one.name == given.get("RoleName")), "")
    if not path.startswith(("/aws-service-role/", "/aws-reserved/")):
        return None
    return error(call, 400, "UnmodifiableEntity", "Cannot perform the operation on the protected role")


def cluster(call: Call, given: dict[str, str]) -> Reply | None:
    """Rejects a cluster with Fargate profiles."""
    from moto.eks.models import eks_backends

    found = eks_backends[call.account][call.region].clusters.get(given["path"].rpartition("/")[2])
    if found is None or not found.fargate_profiles:
        return None
    return error(call, 409, "ResourceInUseException", "Cluster has Fargate profiles attached")


def in_use(call: Call, wanted: str) -> Reply:
    """Returns the rejection of a resource on which others depend."""
    return error(call, 400, "DependencyViolation", f"resource {wanted} has a dependent object")


def ec2(call: Call) -> Any:
    """Returns moto's EC2 backend of the account and region of a call."""
    from moto.ec2.models import ec2_backends

    return ec2_backends[call.account][call.region]


DELETIONS = {
    "DeleteCluster": cluster,
    "DeleteNetworkAcl": network_acl,
    "DeletePolicy": policy,
    "DeleteRole": role,
    "DeleteRouteTable": route_table,
    "DeleteSecurityGroup": security_group,
}
