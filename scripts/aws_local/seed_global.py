"""Resources that an account has once: identities and buckets."""

from __future__ import annotations

import datetime
import json
from functools import lru_cache

from aws_local.seed_account import Account, tags


def document(**statement: object) -> str:
    """Returns a policy document with one statement, which allows."""
    return json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **statement}]})


MANAGEMENT_TRUST = document(Principal={"AWS": "arn:aws:iam::123456789012:root"}, Action="sts:AssumeRole")
MACHINE_TRUST = document(Principal={"Service": "ec2.amazonaws.com"}, Action="sts:AssumeRole")
BUCKET_POLICY = document(Action="s3:*", Resource="*")


def seed_global(account: Account) -> None:
    """Makes the resources of an account that belong to no region."""
    settings(account)
    policies = [
        account.make(
            "iam_policy",
            account.client("iam").create_policy,
            PolicyName=f"pol-{number}",
            PolicyDocument=BUCKET_POLICY,
            Path="/",
        )["Policy"]["Arn"]
        for number in account.scaled(3)
    ]
    groups(account, policies)
    roles(account, policies)
    users(account, policies)
    certificates(account)
    for number in account.scaled(3):
        account.make("s3_bucket", account.client("s3").create_bucket, Bucket=f"ck-{account.id}-b{number}")


def settings(account: Account) -> None:
    """Makes an alias and a password policy in some accounts, and the role to assume in all."""
    iam = account.client("iam")
    if account.index % 2 == 0:
        account.make("account_alias", iam.create_account_alias, AccountAlias=f"acct-{account.index}-alias")
    if account.index % 3 != 2:
        account.make(
            "password_policy",
            iam.update_account_password_policy,
            MinimumPasswordLength=12 + account.index,
            RequireSymbols=True,
            RequireNumbers=True,
            RequireUppercaseCharacters=True,
            RequireLowercaseCharacters=False,
            AllowUsersToChangePassword=True,
            MaxPasswordAge=90,
            PasswordReusePrevention=5,
            HardExpiry=False,
        )
    account.make("iam_role", iam.create_role, RoleName=account.plan.role, AssumeRolePolicyDocument=MANAGEMENT_TRUST)


def groups(account: Account, policies: list[str]) -> None:
    """Makes groups with attached, inline and managed policies."""
    iam = account.client("iam")
    for number in account.scaled(3):
        group = f"group-{number}"
        account.make("iam_group", iam.create_group, GroupName=group)
        if number % 2 == 0:
            account.make(
                "iam_group_inline",
                iam.put_group_policy,
                GroupName=group,
                PolicyName=f"inl-{number}",
                PolicyDocument=BUCKET_POLICY,
            )
        policy = policies[number % len(policies)]
        account.make("iam_group_attach", iam.attach_group_policy, GroupName=group, PolicyArn=policy)
    account.call(iam.attach_group_policy, GroupName="group-0", PolicyArn="arn:aws:iam::aws:policy/ReadOnlyAccess")


def roles(account: Account, policies: list[str]) -> None:
    """Makes instance profiles, and roles, of which some are in a profile."""
    iam = account.client("iam")
    profiles = account.scaled(2)
    for number in profiles:
        account.make("iam_instance_profile", iam.create_instance_profile, InstanceProfileName=f"prof-{number}")
    for number in account.scaled(4):
        role = f"role-{number}"
        account.make(
            "iam_role",
            iam.create_role,
            RoleName=role,
            AssumeRolePolicyDocument=MACHINE_TRUST,
            Tags=tags(role, owner="team-a") if number % 2 == 0 else [],
        )
        if number % 2 == 0:
            account.make(
                "iam_role_inline",
                iam.put_role_policy,
                RoleName=role,
                PolicyName=f"rinl-{number}",
                PolicyDocument=BUCKET_POLICY,
            )
        policy = policies[number % len(policies)]
        account.make("iam_role_attach", iam.attach_role_policy, RoleName=role, PolicyArn=policy)
    cluster_policy = "arn:aws:iam::aws:policy/AmazonEKSClusterPolicy"
    account.call(iam.attach_role_policy, RoleName="role-1", PolicyArn=cluster_policy)
    for number in profiles:
        account.make(
            "iam_profile_role",
            iam.add_role_to_instance_profile,
            InstanceProfileName=f"prof-{number}",
            RoleName=f"role-{number}",
        )


def users(account: Account, policies: list[str]) -> None:
    """Makes users in groups; every other one has tags and a second, inactive access key."""
    iam = account.client("iam")
    group_count = len(account.scaled(3))
    for number in account.scaled(4):
        user, odd = f"user-{number}", number % 2 == 1
        user_tags = tags(user, email=f"{user}@example.test") if odd else []
        account.make("iam_user", iam.create_user, UserName=user, Tags=user_tags)
        if not odd:
            account.make(
                "iam_user_inline",
                iam.put_user_policy,
                UserName=user,
                PolicyName=f"uinl-{number}",
                PolicyDocument=BUCKET_POLICY,
            )
        policy = policies[number % len(policies)]
        account.make("iam_user_attach", iam.attach_user_policy, UserName=user, PolicyArn=policy)
        group = f"group-{number % group_count}"
        account.make("iam_user_group", iam.add_user_to_group, GroupName=group, UserName=user)
        account.make("iam_access_key", iam.create_access_key, UserName=user)
        if odd:
            second = account.make("iam_access_key", iam.create_access_key, UserName=user)["AccessKey"]
            account.call(iam.update_access_key, UserName=user, AccessKeyId=second["AccessKeyId"], Status="Inactive")


def certificates(account: Account) -> None:
    """Makes server certificates for the load balancers."""
    certificate, key = self_signed()
    for number in account.scaled(2):
        account.make(
            "iam_server_certificate",
            account.client("iam").upload_server_certificate,
            ServerCertificateName=f"cert-{number}",
            CertificateBody=certificate,
            PrivateKey=key,
            Path="/",
        )


@lru_cache(maxsize=1)
def self_signed() -> tuple[str, str]:
    """Returns a certificate and its key; new in each run, as no collected ID or date depends on it."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import rsa
    from cryptography.x509.oid import NameOID

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "example.test")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(datetime.datetime(2021, 1, 1))
        .not_valid_after(datetime.datetime(2031, 1, 1))
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    return certificate.public_bytes(serialization.Encoding.PEM).decode(), private.decode()
