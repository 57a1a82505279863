//! Each setting of the table as a variable and in a profile, and its effect on both clients.

#![expect(clippy::unwrap_used, reason = "tests")]

mod table;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
use table::{BUNDLE, TABLE, Treatment};
use tempfile::TempDir;

use super::{
    super::{
        client::{
            regions,
            testing::{Asked, Served, client_of},
        },
        identity::Secret,
        official_config,
    },
    *,
};
use crate::engine::Request;

/// A directory with configuration files.
struct Home(TempDir);

impl Home {
    /// Writes this configuration file, in which the profile is distinguishable from others.
    fn with(config: &str) -> Self {
        let home = Self(tempfile::tempdir().unwrap());
        fs::create_dir(home.0.path().join(".aws")).unwrap();
        fs::write(home.file(), format!("[profile frankfurt]\nregion = eu-central-1\n{config}\n")).unwrap();
        home
    }

    /// Writes these lines to the default profile, and these sections after it.
    fn default(lines: &str, sections: &str) -> Self {
        Self::with(&format!("[default]\n{lines}\n{sections}"))
    }

    fn file(&self) -> PathBuf {
        self.0.path().join(".aws/config")
    }

    fn read(&self, variables: &[(&str, &str)]) -> Result<ReadSettings, String> {
        let home = [("HOME", self.0.path().to_str().unwrap())];
        read(&Variables::of(&[&home[..], variables].concat()), false)
    }

    fn settings(&self, variables: &[(&str, &str)]) -> SdkSettings {
        self.read(variables).map(|read| read.settings).unwrap()
    }

    fn error(&self, variables: &[(&str, &str)]) -> String {
        self.read(variables).map(|_| ()).unwrap_err()
    }
}

/// A profile with a setting, as lines and as sections.
fn in_profile(key: &str, value: &str) -> (String, String) {
    match key.split_once('.') {
        Some(("services", service)) => {
            ("services = mine".into(), format!("[services mine]\n{service} =\n  endpoint_url = {value}\n"))
        }
        Some((block, inner)) => (format!("{block} =\n  {inner} = {value}"), String::new()),
        None => (format!("{key} = {value}"), String::new()),
    }
}

/// Returns settings that make the effect visible: a URL, if the setting decides whether URLs count.
fn background(variable: &str) -> &'static [(&'static str, &'static str)] {
    if variable == "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS" {
        &[("AWS_ENDPOINT_URL", "http://own.example:3")]
    } else {
        &[]
    }
}

/// The first request of a call: address, region and service in the signature, application name.
fn seen(asked: &Asked) -> (String, String, bool) {
    let scope = asked.authorization.split('/').skip(2).take(2).collect::<Vec<_>>().join("/");
    (asked.url.trim_end_matches('/').to_owned(), scope, asked.agent.contains("app/audit"))
}

/// Returns the requests of both clients for the same call.
async fn sent(settings: &SdkSettings) -> [(String, String, bool); 2] {
    let served = Served::new([(400, String::new()), (400, String::new())]);
    let credentials = SharedCredentialsProvider::new(Credentials::new("AKID", "secret", None, None, "test"));
    let config = official_config::with_client(settings, "sts", credentials, served.http()).unwrap().build();
    aws_sdk_sts::Client::new(&config).get_caller_identity().send().await.unwrap_err();
    let own = client_of(&served, settings.endpoints.clone(), settings.app_id.clone());
    own.call(Request::new("sts", "GetCallerIdentity", &settings.region)).await.unwrap_err();
    let asked = served.asked();
    [seen(&asked[0]), seen(&asked[1])]
}

/// Returns the settings as a worker receives them.
fn in_worker(settings: &SdkSettings) -> SdkSettings {
    let secret = Secret {
        access_key_id: "AKID".into(),
        secret_access_key: "secret".into(),
        session_token: None,
        settings: settings.clone(),
    };
    let secret = serde_json::to_string(&secret).unwrap();
    Secret::read(&worker_proto::Credentials { secret, expires: None }).unwrap().settings
}

#[tokio::test]
async fn obeyed_settings_reach_both_clients_from_both_sources() {
    for (variable, key, treatment) in TABLE {
        let Treatment::Obeyed(value) = treatment else { continue };
        let background = background(variable);
        let usual = Home::default("", "").settings(background);
        let mut found = Vec::new();
        if !variable.is_empty() {
            found.push(Home::default("", "").settings(&[background, &[(*variable, *value)]].concat()));
        }
        if !key.is_empty() {
            let (lines, sections) = in_profile(key, value);
            found.push(Home::default(&lines, &sections).settings(background));
        }
        for settings in &found {
            assert_eq!(settings, &found[0], "{variable} and {key}");
            assert_ne!(settings, &usual, "{variable} and {key}");
            assert_eq!(&in_worker(settings), settings, "{variable} and {key}");
            let [official, own] = sent(settings).await;
            assert_eq!(official, own, "{variable} and {key}");
            let is_seen = settings.ca_bundle.is_none() && settings.endpoints.s3 == usual.endpoints.s3;
            assert_eq!(sent(&usual).await[0] != official, is_seen, "{variable} and {key}");
        }
    }
    let legacy =
        Home::default("", "").settings(&[("AWS_STS_REGIONAL_ENDPOINTS", "legacy"), ("AWS_REGION", "eu-west-1")]);
    let expected = ("https://sts.amazonaws.com".to_owned(), "us-east-1/sts".to_owned(), false);
    assert_eq!(sent(&legacy).await, [expected.clone(), expected]);
}

#[test]
fn variable_wins_over_profile() {
    for (variable, key, value, other) in [
        ("AWS_REGION", "region", "eu-west-1", "eu-west-2"),
        ("AWS_DEFAULT_REGION", "region", "eu-west-1", "eu-west-2"),
        ("AWS_USE_FIPS_ENDPOINT", "use_fips_endpoint", "true", "false"),
        ("AWS_USE_DUALSTACK_ENDPOINT", "use_dualstack_endpoint", "False", "true"),
        ("AWS_ENDPOINT_URL", "endpoint_url", "http://own:1", "http://own:2"),
        ("AWS_ENDPOINT_URL", "services.sts", "http://own:1", "http://own:2"),
        ("AWS_ENDPOINT_URL_STS", "services.sts", "http://own:1", "http://own:2"),
        ("AWS_CA_BUNDLE", "ca_bundle", BUNDLE, "/nowhere.pem"),
        ("AWS_SDK_UA_APP_ID", "sdk_ua_app_id", "one", "two"),
        ("AWS_STS_REGIONAL_ENDPOINTS", "sts_regional_endpoints", "regional", "legacy"),
    ] {
        let (lines, sections) = in_profile(key, other);
        let alone = Home::default("", "").settings(&[(variable, value)]);
        assert_eq!(Home::default(&lines, &sections).settings(&[(variable, value)]), alone, "{variable} and {key}");
        if !variable.starts_with("AWS_ENDPOINT_URL") && !other.starts_with('/') {
            let empty = Home::default(&lines, &sections).settings(&[(variable, "")]);
            assert_eq!(empty, Home::default(&lines, &sections).settings(&[]), "an empty {variable} counts as unset");
        }
    }
    let order = [("AWS_REGION", "eu-west-1"), ("AWS_DEFAULT_REGION", "eu-west-2")];
    assert_eq!(Home::default("", "").settings(&order).region, "eu-west-1");
    let order = [("AWS_PROFILE", "frankfurt"), ("AWS_DEFAULT_PROFILE", "nobody")];
    assert_eq!(Home::default("", "").settings(&order).region, "eu-central-1");
}

#[test]
fn endpoint_of_a_service_wins_within_each_source() {
    let sections = "[services mine]\nec2 =\n  endpoint_url = http://profile:2\nelastic_load_balancing_v2 =\n  \
                    endpoint_url = http://profile:3\norganizations =\n  endpoint_url = http://profile:4\n";
    let home = Home::default("services = mine\nendpoint_url = http://profile:1", sections);
    let url = |settings: &SdkSettings, service: &str| settings.endpoints.url(service).map(str::to_owned).unwrap();
    let found = home.settings(&[]);
    let services = ["rds", "ec2", "elbv2", "elb", "organizations"];
    let expected = ["http://profile:1", "http://profile:2", "http://profile:3", "http://profile:1", "http://profile:4"];
    assert_eq!(services.map(|service| url(&found, service)), expected);
    let found =
        home.settings(&[("AWS_ENDPOINT_URL_SERVICE_QUOTAS", "http://own:1"), ("AWS_ENDPOINT_URL_EC2", "http://own:2")]);
    assert_eq!(
        ["service-quotas", "ec2", "elbv2"].map(|name| url(&found, name)),
        ["http://own:1", "http://own:2", "http://profile:3"]
    );
    let found =
        home.settings(&[("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "TRUE"), ("AWS_ENDPOINT_URL_EC2", "http://own:2")]);
    assert_eq!(found.endpoints, EndpointSettings::default());
}

#[test]
fn rejected_settings_are_reported_at_start() {
    for (variable, key, treatment) in TABLE {
        let Treatment::Refused(value) = treatment else { continue };
        let error = match key.is_empty() {
            true => Home::default("", "").error(&[(variable, value)]),
            false => {
                Home::default(&format!("role_arn = arn:aws:iam::123456789012:role/R\n{key} = {value}"), "").error(&[])
            }
        };
        assert!(error.contains(if key.is_empty() { variable } else { key }), "{error}");
        let with_key = [(*variable, *value), ("AWS_ACCESS_KEY_ID", "AKID")];
        let with_key = &with_key[usize::from(variable.is_empty())..];
        let (lines, sections) = if key.is_empty() { Default::default() } else { in_profile(key, value) };
        assert!(Home::default(&lines, &sections).read(with_key).is_ok(), "credentials do not come from there");
    }
    let chain = "[profile source]\nmfa_serial = x\nrole_arn = y\nsource_profile = source";
    assert!(Home::default("role_arn = z\nsource_profile = source", chain).error(&[]).contains("mfa_serial"));
}

#[test]
fn unsupported_values_are_rejected() {
    for (variable, key, value, expected) in [
        ("AWS_USE_FIPS_ENDPOINT", "use_fips_endpoint", "yes", "true or false"),
        ("AWS_USE_DUALSTACK_ENDPOINT", "use_dualstack_endpoint", "1", "true or false"),
        ("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "ignore_configured_endpoint_urls", "y", "true or false"),
        ("AWS_ENDPOINT_URL", "endpoint_url", "127.0.0.1:5000", "is no URL"),
        ("AWS_ENDPOINT_URL_S3", "services.s3", "http://", "is no URL"),
        ("AWS_ENDPOINT_URL_SSO", "services.sso", "http://a b", "is no URL"),
        ("AWS_STS_REGIONAL_ENDPOINTS", "sts_regional_endpoints", "global", "legacy or regional"),
        ("AWS_S3_US_EAST_1_REGIONAL_ENDPOINT", "s3_us_east_1_regional_endpoint", "x", "legacy or regional"),
        ("", "s3.addressing_style", "host", "auto or path or virtual"),
        ("", "s3.use_dualstack_endpoint", "maybe", "true or false"),
        ("AWS_CA_BUNDLE", "ca_bundle", "/nowhere/ca.pem", "/nowhere/ca.pem"),
        ("REQUESTS_CA_BUNDLE", "", "/nowhere/ca.pem", "/nowhere/ca.pem"),
        ("AWS_REGION", "", "moon-base-1", "moon-base-1"),
        ("AWS_DEFAULT_REGION", "region", "us-east-1.example.org", "us-east-1.example.org"),
        ("AWS_PROFILE", "", "nobodys", "\"nobodys\""),
        ("AWS_CONFIG_FILE", "", "/", "AWS_CONFIG_FILE"),
    ] {
        let mut errors = Vec::new();
        if !variable.is_empty() {
            errors.push((variable, Home::default("", "").error(&[(variable, value)])));
        }
        if !key.is_empty() {
            let (lines, sections) = in_profile(key, value);
            errors.push((key.rsplit('.').next().unwrap(), Home::default(&lines, &sections).error(&[])));
        }
        for (name, error) in errors {
            assert!(error.contains(expected), "{name}: {error}");
            assert!(error.contains(name) || error.contains("AWS settings"), "{name}: {error}");
        }
    }
    for name in ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_STS", "AWS_ENDPOINT_URL_SIGNIN"] {
        assert!(Home::default("", "").error(&[(name, "")]).contains(name), "the official crates do not bear it");
    }
}

#[test]
fn variants_without_endpoint_are_rejected() {
    let url = ("AWS_ENDPOINT_URL_RDS", "http://own:1");
    for variant in ["AWS_USE_FIPS_ENDPOINT", "AWS_USE_DUALSTACK_ENDPOINT"] {
        let error = Home::default("", "").error(&[(variant, "true"), url]);
        assert!(error.contains("rds") && error.contains("custom endpoint") && error.contains(variant), "{error}");
    }
}

#[test]
fn ignored_settings_change_nothing() {
    for (variable, key, treatment) in TABLE {
        let Treatment::Ignored = treatment else { continue };
        for value in ["true", "1", "x"] {
            if !variable.is_empty() {
                assert_eq!(Home::default("", "").settings(&[(variable, value)]), SdkSettings::default(), "{variable}");
            }
            if !key.is_empty() {
                let (lines, sections) = in_profile(key, value);
                assert_eq!(Home::default(&lines, &sections).settings(&[]), SdkSettings::default(), "{key}");
            }
        }
    }
}

#[test]
fn document_has_the_table() {
    let document = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/aws.md"));
    let word = |treatment: &Treatment| match treatment {
        Treatment::Obeyed(_) | Treatment::Elsewhere => "obeyed",
        Treatment::Refused(_) => "refused",
        Treatment::Ignored => "ignored",
    };
    let code = |name: &str| if name.is_empty() { String::new() } else { format!("`{name}`") };
    let rows = TABLE.iter().map(|(variable, key, treatment)| {
        // One service stands for all.
        let variable = variable.replace("_URL_STS", "_URL_<SERVICE>");
        let key = key.replace("services.sts", "services");
        format!("| {} | {} | {} |", code(&variable), code(&key), word(treatment)).replace("|  |", "| |")
    });
    let rows: BTreeSet<String> = rows.collect();
    let lines = document
        .lines()
        .filter(|line| ["obeyed", "refused", "ignored"].iter().any(|word| line.contains(&format!("| {word} |"))));
    let documented: BTreeSet<String> =
        lines.map(|line| line.splitn(5, '|').take(4).collect::<Vec<_>>().join("|") + "|").collect();
    assert_eq!(documented, rows);
}

#[test]
fn files_are_read_as_the_tools_read_them() {
    let home = Home::default("region = eu-west-1", "[profile dev]\nregion = eu-west-2");
    assert_eq!(home.settings(&[]).region, "eu-west-1");
    assert_eq!(home.settings(&[("AWS_PROFILE", "dev")]).region, "eu-west-2");
    assert_eq!(home.settings(&[("AWS_CONFIG_FILE", "~/.aws/config"), ("AWS_PROFILE", "dev")]).region, "eu-west-2");
    let without = home.read(&[("AWS_CONFIG_FILE", "~/nowhere")]).unwrap();
    assert_eq!((without.settings.region.as_str(), without.warnings.len()), (DEFAULT_REGION, 1));
    fs::write(home.0.path().join(".aws/credentials"), "[other]\naws_access_key_id = hidden\nregion = eu-north-1\n")
        .unwrap();
    assert_eq!(home.settings(&[("AWS_PROFILE", "other")]).region, "eu-north-1");
    fs::write(home.file(), "[default]\nregion\n").unwrap();
    let error = home.error(&[]);
    assert!(error.contains(".aws/config") && !error.contains("hidden"), "{error}");
    fs::write(home.file(), [0xff, 0xfe]).unwrap();
    assert!(home.error(&[]).contains("UTF-8"));
    // A default path that cannot be read, as below a home that a service manager hides.
    fs::remove_file(home.file()).unwrap();
    fs::create_dir(home.file()).unwrap();
    assert_eq!(home.read(&[]).unwrap().warnings.len(), 1);
    assert!(home.error(&[("AWS_CONFIG_FILE", home.file().to_str().unwrap())]).contains("AWS_CONFIG_FILE"));
}

#[test]
fn worker_gets_whole_path_and_clean_name() {
    let folder = Path::new(BUNDLE).parent().unwrap().parent().unwrap().parent().unwrap();
    let relative = Path::new(BUNDLE).strip_prefix(folder).unwrap();
    let found = Home::default("", "").settings(&[("AWS_CA_BUNDLE", relative.to_str().unwrap())]);
    assert_eq!(found.ca_bundle.as_deref(), Some(Path::new(BUNDLE)));
    let long = "n\u{e4}me of\tours/".to_owned() + &"x".repeat(60);
    let found = Home::default("", "").settings(&[("AWS_SDK_UA_APP_ID", &long)]).app_id.unwrap();
    assert_eq!((found.len(), &found[..13]), (50, "n-me-of-ours-"));
}

/// Returns the address by the official crates' own copy of the rules.
macro_rules! official_address {
    ($sdk:ident, $region:expr, $settings:expr) => {{
        use $sdk::config::endpoint::{DefaultResolver, Params, ResolveEndpoint};
        let parameters = Params::builder().region($region).use_fips($settings.use_fips);
        let parameters = parameters.use_dual_stack($settings.use_dual_stack).build().unwrap();
        DefaultResolver::new().resolve_endpoint(&parameters).await.map(|found| found.url().to_owned()).ok()
    }};
}

#[tokio::test]
async fn addresses_equal_those_of_official_crates() {
    for region in regions() {
        for (use_fips, use_dual_stack) in [(false, false), (true, false), (false, true), (true, true)] {
            let settings = EndpointSettings { use_fips, use_dual_stack, ..EndpointSettings::default() };
            let own = |service: &str| resolve(service, region.name, &settings).map(|found| found.url).ok();
            assert_eq!(own("sts"), official_address!(aws_sdk_sts, region.name, settings), "{region:?} {settings:?}");
            let organizations = official_address!(aws_sdk_organizations, region.name, settings);
            assert_eq!(own("organizations"), organizations, "{region:?} {settings:?}");
        }
    }
}
