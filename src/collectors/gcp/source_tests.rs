//! Sources of credentials, and the files of keys.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::{fs, path::Path};

use serde_json::json;

use super::*;

const USER: &str = r#"{"type": "authorized_user", "client_id": "c", "client_secret": "hunter2", "refresh_token": "r"}"#;

fn all(values: &[&str]) -> Result<Vec<Source>, String> {
    Source::all(&values.iter().map(|value| (*value).to_owned()).collect::<Vec<_>>())
}

fn variables(set: &[(&str, &Path)]) -> Variables {
    Variables::of(|name| set.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_os_str().to_owned()))
}

fn found(source: &Source, variables: &Variables) -> Option<Key> {
    match source.find(variables).map_err(|failure| failure.message).unwrap() {
        Found::Key(key) => Some(key),
        Found::MetadataServer => None,
    }
}

#[test]
fn values_are_paths_json_or_default() {
    let key = Key::of(serde_json::from_str(USER).unwrap()).unwrap();
    let file = || Source::File("/keys/a b.json".into());
    assert!(all(&[]).unwrap() == [Source::Default]);
    assert!(all(&["", "/keys/a b.json", USER]).unwrap() == [Source::Default, file(), Source::Json(key.clone(), 3)]);
    // As the environment splits them.
    let split: Vec<&str> = USER.split(' ').chain(["/keys/a b.json"]).chain(USER.split(' ')).collect();
    assert!(all(&split).unwrap() == [Source::Json(key.clone(), 1), file(), Source::Json(key, 3)]);
}

#[test]
fn error_about_json_has_nothing_of_it() {
    let no_type = r#"{"client_secret": "hunter2"}"#;
    let broken = r#"{"client_secret": "hunter2" "x"}"#;
    let fragment = "hunter2\"},";
    for values in [&[no_type][..], &[broken], &[&broken[..20]], &["", fragment]] {
        let error = all(values).err().unwrap();
        assert!(error.starts_with("--gcp-service-account: ") && !error.contains("hunter2"), "{error}");
    }
    assert!(all(&[&"x".repeat(MAX_PATH + 1)]).is_err_and(|error| !error.contains("xx")));
}

#[test]
fn key_is_checked_before_it_is_used() {
    let service = |change: fn(&mut Value)| {
        let mut key = json!({
            "type": "service_account", "client_email": "a@b", "private_key_id": "1", "project_id": "p",
            "private_key": "-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----\n"
        });
        change(&mut key);
        Key::of(key).map(|key| [key.account(), key.project(), key.quota_project()].map(|text| text.map(str::to_owned)))
    };
    assert_eq!(service(|_| {}), Ok([Some("a@b".into()), Some("p".into()), None]));
    assert_eq!(service(|key| key["quota_project_id"] = "q".into()).unwrap()[2], Some("q".into()));
    assert!(service(|key| key["type"] = "x".into()).is_err_and(|error| error.contains("none of service_account")));
    assert!(service(|key| key["project_id"] = Value::Null).is_err_and(|error| error.contains("no \"project_id\"")));
    assert!(service(|key| key["universe_domain"] = "x.com".into()).is_err_and(|error| error.contains("universe")));
    assert!(service(|key| key["private_key"] = "hunter2".into()).is_err_and(|error| !error.contains("hunter2")));
}

#[test]
fn impersonated_account_is_known_by_its_address() {
    let url = "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/a@p.iam.gserviceaccount.com";
    let json = json!({
        "type": "impersonated_service_account", "source_credentials": {}, "quota_project_id": "q",
        "service_account_impersonation_url": format!("{url}:generateAccessToken")
    });
    let key = Key::of(json).unwrap();
    assert_eq!(key.account(), Some("a@p.iam.gserviceaccount.com"));
    assert_eq!(key.project(), Some("q"));
}

#[test]
fn default_chain_takes_the_first_source_that_exists() {
    let directory = tempfile::tempdir().unwrap();
    let [file, gcloud, home] = ["file", "gcloud", "home"].map(|name| directory.path().join(name));
    let user = |name: &str| USER.replace("hunter2", name);
    let secret =
        |set: &[(&str, &Path)]| found(&Source::Default, &variables(set)).map(|key| key.json()["client_secret"].clone());
    assert_eq!(secret(&[]), None);
    assert_eq!(secret(&[("CLOUDSDK_CONFIG", &gcloud), ("HOME", &home)]), None, "no file");
    assert_eq!(secret(&[("CLOUDSDK_CONFIG", Path::new("/dev/null"))]), None, "no directory");
    fs::create_dir_all(home.join(".config/gcloud")).unwrap();
    fs::create_dir_all(&gcloud).unwrap();
    fs::write(home.join(".config/gcloud").join(WELL_KNOWN), user("home")).unwrap();
    assert_eq!(secret(&[("CLOUDSDK_CONFIG", &gcloud), ("HOME", &home)]), None, "gcloud looks in one directory only");
    assert_eq!(secret(&[("HOME", &home)]), Some("home".into()));
    fs::write(gcloud.join(WELL_KNOWN), user("gcloud")).unwrap();
    assert_eq!(secret(&[("CLOUDSDK_CONFIG", &gcloud), ("HOME", &home)]), Some("gcloud".into()));
    fs::write(&file, user("file")).unwrap();
    let set = [("GOOGLE_APPLICATION_CREDENTIALS", &*file), ("CLOUDSDK_CONFIG", &gcloud)];
    assert_eq!(secret(&set), Some("file".into()));
}

#[test]
fn unreadable_file_is_named_without_its_content() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("key.json");
    let failure =
        |source: &Source| source.find(&variables(&[("GOOGLE_APPLICATION_CREDENTIALS", &path)])).err().unwrap();
    let file = Source::File(path.clone());
    for content in [None, Some("{\"private_key\": \"hunter2"), Some("{\"private_key\": \"hunter2\"}")] {
        if let Some(content) = content {
            fs::write(&path, content).unwrap();
        }
        let at_start = file.check().unwrap_err();
        for message in [at_start, failure(&file).message, failure(&Source::Default).message] {
            assert!(message.contains(path.to_str().unwrap()) && !message.contains("hunter2"), "{message}");
        }
        assert_eq!(failure(&Source::Default).kind, FailureKind::Credentials);
    }
    assert!(Source::File("/dev/zero".into()).check().unwrap_err().contains("too large"));
}
