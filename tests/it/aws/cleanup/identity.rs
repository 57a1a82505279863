//! Cleanup of users, policies and roles.

use super::*;

/// A document that allows a little.
const DOCUMENT: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"*"}]}"#;

/// Makes a user that has everything that a user can have.
async fn make_user(scene: &Scene, name: &str) {
    let user = ("UserName", name);
    scene.iam(&[("Action", "CreateUser"), user]).await;
    let policy = [("Action", "CreatePolicy"), ("PolicyName", "of-a-user"), ("PolicyDocument", DOCUMENT)];
    let policy = scene.iam(&policy).await;
    scene.iam(&[("Action", "AttachUserPolicy"), user, ("PolicyArn", element(&policy, "Arn"))]).await;
    let inline = [("Action", "PutUserPolicy"), user, ("PolicyName", "inline"), ("PolicyDocument", DOCUMENT)];
    scene.iam(&inline).await;
    scene.iam(&[("Action", "AddUserToGroup"), user, ("GroupName", "group-0")]).await;
    scene.iam(&[("Action", "CreateAccessKey"), user]).await;
    scene.iam(&[("Action", "CreateLoginProfile"), user, ("Password", "wordpass")]).await;
    let device = scene.iam(&[("Action", "CreateVirtualMFADevice"), ("VirtualMFADeviceName", name)]).await;
    let codes = [("AuthenticationCode1", "123456"), ("AuthenticationCode2", "654321")];
    let device = [("Action", "EnableMFADevice"), user, ("SerialNumber", element(&device, "SerialNumber"))];
    scene.iam(&[&device[..], &codes].concat()).await;
    let certificate = scene.iam(&[("Action", "GetServerCertificate"), ("ServerCertificateName", "cert-0")]).await;
    let certificate = ("CertificateBody", element(&certificate, "CertificateBody"));
    scene.iam(&[("Action", "UploadSigningCertificate"), user, certificate]).await;
    scene.iam(&[("Action", "UploadSSHPublicKey"), user, ("SSHPublicKeyBody", "ssh-rsa AAAA")]).await;
}

#[tokio::test]
async fn user_is_deleted_with_its_attachments_and_namesake_stays() {
    let scene = Scene::start(&[EAST]).await;
    make_user(&scene, "rich").await;
    scene.iam(&[("Action", "CreateUser"), ("UserName", "anew")]).await;
    scene.collect().await;
    let [rich, anew] = ["rich", "anew"].map(|name| scene.node("aws_iam_user", "global", name));
    for action in ["DeleteUser", "CreateUser"] {
        scene.iam(&[("Action", action), ("UserName", "anew")]).await;
    }
    scene.iam(&[("Action", "CreateAccessKey"), ("UserName", "anew")]).await;
    scene.clean(&[&rich, &anew]).await;
    assert!(scene.is_cleaned(&rich), "{}", scene.told(&rich));
    let mut calls = scene.aws.changes_in(ACCOUNT, EAST).await;
    assert_eq!(calls.pop().unwrap(), "DeleteUser");
    let deleted: Vec<_> = scene.aws.all_changes().await.into_iter().filter(|call| call.status != 200).collect();
    assert!(deleted.is_empty(), "{deleted:?}");
    calls.sort_unstable();
    let expected = [
        "DeactivateMFADevice",
        "DeleteAccessKey",
        "DeleteLoginProfile",
        "DeleteSSHPublicKey",
        "DeleteSigningCertificate",
        "DeleteUserPolicy",
        "DeleteVirtualMFADevice",
        "DetachUserPolicy",
        "RemoveUserFromGroup",
    ];
    assert_eq!(calls, expected);
    assert_eq!(scene.aws.ask("iam", EAST, &[("Action", "GetUser"), ("UserName", "rich")]).await.0, 404);
    assert!(
        !scene.is_cleaned(&anew) && scene.told(&anew).contains("another resource has its name now"),
        "{}",
        scene.told(&anew)
    );
    let keys = scene.iam(&[("Action", "ListAccessKeys"), ("UserName", "anew")]).await;
    assert!(keys.contains("<AccessKeyId>"), "{keys}");
    scene.stop().await;
}

#[tokio::test]
async fn policy_versions_are_deleted_and_roles_leave_their_profiles() {
    let scene = Scene::start(&[EAST]).await;
    let policy = [("Action", "CreatePolicy"), ("PolicyName", "old"), ("PolicyDocument", DOCUMENT)];
    let policy = scene.iam(&policy).await;
    let policy = ("PolicyArn", element(&policy, "Arn"));
    for newest in ["true", "false"] {
        let version = [("Action", "CreatePolicyVersion"), ("PolicyDocument", DOCUMENT), ("SetAsDefault", newest)];
        scene.iam(&[&version[..], &[policy]].concat()).await;
    }
    let (role, profile) = (("RoleName", "in-profile"), ("InstanceProfileName", "with-role"));
    scene.iam(&[("Action", "CreateRole"), role, ("AssumeRolePolicyDocument", TRUST)]).await;
    scene.iam(&[("Action", "CreateInstanceProfile"), profile]).await;
    scene.iam(&[("Action", "AddRoleToInstanceProfile"), role, profile]).await;
    scene.collect().await;
    let node = scene.node("aws_iam_policy", "global", "old");
    scene.clean(&[&node]).await;
    assert!(scene.is_cleaned(&node), "{}", scene.told(&node));
    let calls = scene.aws.changes_in(ACCOUNT, EAST).await;
    assert_eq!(calls, ["DeletePolicy", "DeletePolicyVersion", "DeletePolicyVersion", "DeletePolicy"]);
    let node = scene.node("aws_iam_role", "global", "in-profile");
    scene.clean(&[&node]).await;
    assert!(scene.is_cleaned(&node), "{}", scene.told(&node));
    assert_eq!(scene.aws.changes_in(ACCOUNT, EAST).await, ["RemoveRoleFromInstanceProfile", "DeleteRole"]);
    scene.iam(&[("Action", "GetInstanceProfile"), profile]).await;
    scene.stop().await;
}
