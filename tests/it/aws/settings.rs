//! Settings of AWS's own tools, from variables and from a profile, in one process and in workers: the addresses that
//! are called behind a proxy that inspects TLS.

use std::{collections::BTreeSet, fs, path::Path};

use replay::{Config, Replay, Tls};

use crate::support::{
    program::{self, Output},
    proxy::Proxy,
    tls::certificate,
};

/// A setting: its name as a variable, its lines in a profile, and what must hold for the hosts.
struct Case {
    variables: &'static [(&'static str, &'static str)],
    profile: &'static str,
    holds: fn(&BTreeSet<String>) -> bool,
}

/// The settings that decide about addresses. The rest of the table is walked in `sdk_settings/tests/mod.rs`.
const CASES: &[Case] = &[
    Case {
        variables: &[],
        profile: "",
        holds: |hosts| {
            let expected = ["ec2.us-east-1.amazonaws.com", "iam.amazonaws.com", "s3.us-east-1.amazonaws.com"];
            expected.iter().all(|host| hosts.contains(*host)) && hosts.contains("sts.us-east-1.amazonaws.com")
        },
    },
    Case {
        variables: &[("AWS_USE_FIPS_ENDPOINT", "true")],
        profile: "use_fips_endpoint = true",
        holds: |hosts| hosts.len() >= 4 && hosts.iter().all(|host| host.contains("-fips.")),
    },
    Case {
        variables: &[("AWS_USE_DUALSTACK_ENDPOINT", "true")],
        profile: "use_dualstack_endpoint = true",
        holds: |hosts| {
            hosts.len() >= 4 && hosts.iter().all(|host| host.ends_with(".api.aws") || host.contains("dualstack"))
        },
    },
    Case {
        variables: &[("AWS_STS_REGIONAL_ENDPOINTS", "legacy")],
        profile: "sts_regional_endpoints = legacy",
        holds: |hosts| hosts.contains("sts.amazonaws.com") && !hosts.contains("sts.us-east-1.amazonaws.com"),
    },
    Case {
        variables: &[("AWS_REGION", ""), ("AWS_DEFAULT_REGION", "us-west-2")],
        profile: "region = us-west-2",
        holds: |hosts| hosts.contains("sts.us-west-2.amazonaws.com"),
    },
    Case {
        variables: &[
            ("AWS_ENDPOINT_URL_EC2", "https://ec2.own.example"),
            ("AWS_ENDPOINT_URL_STS", "https://sts.own.example"),
        ],
        profile: "services = own\n[services own]\nec2 =\n  endpoint_url = https://ec2.own.example\n\
                  sts =\n  endpoint_url = https://sts.own.example",
        holds: |hosts| {
            let of = |service: &str| hosts.iter().filter(|host| host.starts_with(service)).collect::<Vec<_>>();
            of("ec2") == ["ec2.own.example"] && of("sts") == ["sts.own.example"] && of("iam") == ["iam.amazonaws.com"]
        },
    },
    Case {
        variables: &[("AWS_ENDPOINT_URL", "https://all.own.example")],
        profile: "endpoint_url = https://all.own.example",
        holds: |hosts| hosts.iter().eq(["all.own.example"]),
    },
];

/// One collection behind the proxy, with this configuration file.
fn collect(proxy: &Proxy, folder: &Path, profile: &str, variables: &[(&str, &str)], more: &[&str]) -> Output {
    let config = folder.join("config");
    fs::write(&config, format!("[default]\n{profile}\n")).unwrap();
    let output = folder.join("graph.ndjson");
    let mut command = program::command(&["collect", "--collector", "aws", "--output", output.to_str().unwrap()]);
    command.args(["--aws-region", "us-east-1", "--aws-role", "Cloudkeeper", "--aws-scrape-org"]);
    command.args(["--aws-collect", "vpcs", "s3_buckets"]).args(more);
    command.env("HTTPS_PROXY", proxy.uri()).env("AWS_CONFIG_FILE", config).env("NO_PROXY", "");
    command.env("AWS_ACCESS_KEY_ID", "testing").env("AWS_SECRET_ACCESS_KEY", "testing");
    program::run(command.envs(variables.iter().copied()))
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_decide_addresses_in_every_process() {
    let tls = Tls { certificate: certificate("aws.pem"), key: certificate("aws.key") };
    let server = Replay::start(Config { accounts: 2, tls: Some(tls), ..Config::default() }).unwrap();
    let proxy = Proxy::start(server.endpoint().trim_start_matches("https://")).await;
    let folder = tempfile::tempdir().unwrap();
    let bundle = certificate("authority.pem");
    let bundle = bundle.to_str().unwrap();
    let style = "s3 =\n  addressing_style = path\n";
    for Case { variables, profile, holds } in CASES {
        let by_variables = [&[("AWS_CA_BUNDLE", bundle)], *variables].concat();
        let by_profile = format!("ca_bundle = {bundle}\n{style}{profile}");
        for more in [&["--fork", "--aws-fork"][..], &[]] {
            let mut found = Vec::new();
            for (profile, variables) in [(style, &by_variables[..]), (&by_profile, &[])] {
                let run = collect(&proxy, folder.path(), profile, variables, more);
                let hosts = proxy.hosts();
                assert_eq!(run.code, 0, "{profile} {variables:?} {more:?} {hosts:?}: {}", run.stderr);
                assert!(holds(&hosts), "{profile} {variables:?} {more:?}: {hosts:?}");
                found.push(hosts);
            }
            assert_eq!(found[0], found[1], "{variables:?} {more:?}");
        }
    }
    for (profile, variables) in [("", &[("AWS_CA_BUNDLE", "/nowhere.pem")][..]), ("ca_bundle = /nowhere.pem", &[])] {
        let run = collect(&proxy, folder.path(), profile, variables, &[]);
        assert_eq!((run.code, proxy.hosts().len()), (2, 0), "nothing is contacted: {}", run.stderr);
        assert!(run.stderr.contains("/nowhere.pem"), "{}", run.stderr);
    }
    let run = collect(&proxy, folder.path(), "", &[], &[]);
    assert_eq!(run.code, 4, "nothing else is trusted: {}", run.stderr);
    assert!(run.stderr.contains("AWS_CA_BUNDLE") && run.stderr.contains("UnknownIssuer"), "{}", run.stderr);
}
