//! AWS's own cases of the endpoint rules, and what settings make of an endpoint.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::{
    collections::BTreeSet,
    io::{BufRead, BufReader},
};

use flate2::read::GzDecoder;
use serde_json::{Value, json};

use super::{super::model, rules, value::Value as Given, *};

/// See `tests/aws/README.md`.
const CASES: &[u8] = include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/aws/endpoints.ndjson.gz"));

/// Properties without what goes without saying, which rules and cases may leave out: signatures with the service's own
/// name and for the region that was asked for.
fn brief(service: &str, region: &Value, mut properties: Value) -> Value {
    let own = model::service(service).map_or(service, |service| service.signing);
    let Some(schemes) = properties.get_mut("authSchemes").and_then(Value::as_array_mut) else { return properties };
    for scheme in schemes.iter_mut().filter(|scheme| scheme["name"] == "sigv4") {
        let scheme = scheme.as_object_mut().unwrap();
        scheme.retain(|name, value| {
            !(name == "signingName" && *value == own || name == "signingRegion" && value == region)
        });
    }
    if *schemes == [json!({"name": "sigv4"})] {
        properties.as_object_mut().unwrap().remove("authSchemes");
    }
    if properties == json!({}) { Value::Null } else { properties }
}

/// The parameters of a case.
fn given(parameters: &Value) -> Parameters<'_> {
    fn given(value: &Value) -> Given<'_> {
        value.as_bool().map_or_else(|| Given::text(value.as_str().unwrap()), Given::Bool)
    }
    parameters.as_object().unwrap().iter().map(|(name, value)| (name.as_str(), given(value))).collect()
}

#[test]
fn rules_decide_as_aws_cases_say() {
    let mut services = BTreeSet::new();
    let mut count = 0;
    for line in BufReader::new(GzDecoder::new(CASES)).lines() {
        let case: Value = serde_json::from_str(&line.unwrap()).unwrap();
        let service = case["service"].as_str().unwrap().to_owned();
        let region = &case["params"]["Region"];
        let found = rules::resolve(&service, given(&case["params"]));
        let found = match found {
            Ok(rules::Found { url, properties }) => {
                (Value::from(url), brief(&service, region, properties), Value::Null)
            }
            Err(error) => (Value::Null, Value::Null, Value::from(error)),
        };
        let expected =
            (case["url"].clone(), brief(&service, region, case["properties"].clone()), case["error"].clone());
        assert_eq!(found, expected, "{case}");
        services.insert(service);
        count += 1;
    }
    assert_eq!(count, 953);
    assert_eq!(services.len(), 14, "{services:?}");
}

#[test]
fn unknown_service_has_no_rules() {
    assert!(rules::resolve("mars", Vec::new()).unwrap_err().contains("mars"));
}

/// Settings after a change of the defaults.
fn with(change: impl FnOnce(&mut EndpointSettings)) -> EndpointSettings {
    let mut settings = EndpointSettings::default();
    change(&mut settings);
    settings
}

fn at(service: &str, region: &str, settings: &EndpointSettings) -> (String, String) {
    resolve(service, region, settings).map(|found| (found.url, found.signing_region)).unwrap()
}

#[test]
fn settings_choose_the_variant_of_each_service() {
    let fips = with(|settings| settings.use_fips = true);
    let dual = with(|settings| settings.use_dual_stack = true);
    let both = with(|settings| (settings.use_fips, settings.use_dual_stack) = (true, true));
    let sts = with(|settings| settings.sts_global = true);
    let s3 = with(|settings| settings.s3.us_east_1_global = true);
    let s3_dual = with(|settings| settings.s3.use_dual_stack = Some(true));
    let s3_single = with(|settings| (settings.use_dual_stack, settings.s3.use_dual_stack) = (true, Some(false)));
    for (service, region, settings, url, signing) in [
        ("ec2", "us-east-2", &fips, "https://ec2-fips.us-east-2.amazonaws.com", "us-east-2"),
        ("ec2", "us-east-2", &dual, "https://ec2.us-east-2.api.aws", "us-east-2"),
        ("ec2", "us-east-2", &both, "https://ec2-fips.us-east-2.api.aws", "us-east-2"),
        ("s3", "us-east-2", &both, "https://s3-fips.dualstack.us-east-2.amazonaws.com", "us-east-2"),
        ("iam", "us-west-2", &fips, "https://iam-fips.amazonaws.com", "us-east-1"),
        ("organizations", "eu-west-1", &fips, "https://organizations-fips.us-east-1.amazonaws.com", "us-east-1"),
        ("sts", "us-west-2", &EndpointSettings::default(), "https://sts.us-west-2.amazonaws.com", "us-west-2"),
        ("sts", "us-west-2", &sts, "https://sts.amazonaws.com", "us-east-1"),
        ("sts", "il-central-1", &sts, "https://sts.il-central-1.amazonaws.com", "il-central-1"),
        ("s3", "us-east-1", &s3, "https://s3.amazonaws.com", "us-east-1"),
        ("s3", "eu-west-1", &s3, "https://s3.eu-west-1.amazonaws.com", "eu-west-1"),
        ("s3", "eu-west-1", &s3_dual, "https://s3.dualstack.eu-west-1.amazonaws.com", "eu-west-1"),
        ("ec2", "eu-west-1", &s3_dual, "https://ec2.eu-west-1.amazonaws.com", "eu-west-1"),
        ("s3", "eu-west-1", &s3_single, "https://s3.eu-west-1.amazonaws.com", "eu-west-1"),
    ] {
        assert_eq!(at(service, region, settings), (url.to_owned(), signing.to_owned()), "{service} {region}");
    }
}

#[test]
fn own_url_excludes_variants_that_it_cannot_have() {
    let own = EndpointSettings { services: [("rds".into(), "http://own:1/".into())].into(), ..Default::default() };
    assert_eq!(at("rds", "nowhere", &own), ("http://own:1".into(), "nowhere".into()));
    assert_eq!(at("ec2", "eu-west-1", &own).0, "https://ec2.eu-west-1.amazonaws.com");
    assert_eq!(
        at("iam", "eu-west-1", &EndpointSettings::all("http://own:1/a/")),
        ("http://own:1/a".into(), "us-east-1".into())
    );
    for change in [
        |settings: &mut EndpointSettings| settings.use_fips = true,
        |settings: &mut EndpointSettings| settings.use_dual_stack = true,
    ] {
        let mut settings = own.clone();
        change(&mut settings);
        assert!(resolve("rds", "eu-west-1", &settings).unwrap_err().contains("custom endpoint"));
        assert!(resolve("ec2", "eu-west-1", &settings).is_ok());
    }
    for wrong in ["127.0.0.1:1", "ftp://own", "http://", "http://a b", "https://own?x", ""] {
        assert!(resolve("ec2", "eu-west-1", &EndpointSettings::all(wrong)).is_err(), "{wrong}");
    }
}

#[test]
fn bucket_goes_into_host_where_rules_and_settings_allow() {
    let own = EndpointSettings::all("http://own.example:1");
    let own_virtual = EndpointSettings {
        s3: S3Settings { addressing: S3Addressing::Virtual, ..S3Settings::default() },
        ..own.clone()
    };
    let path = with(|settings| settings.s3.addressing = S3Addressing::Path);
    for (bucket, settings, in_path, url) in [
        ("my-bucket", &EndpointSettings::default(), false, "https://my-bucket.s3.eu-west-1.amazonaws.com"),
        ("my-bucket", &EndpointSettings::default(), true, "https://s3.eu-west-1.amazonaws.com/my-bucket"),
        ("my.bucket", &EndpointSettings::default(), false, "https://s3.eu-west-1.amazonaws.com/my.bucket"),
        ("My_Bucket", &EndpointSettings::default(), false, "https://s3.eu-west-1.amazonaws.com/My_Bucket"),
        ("my-bucket", &path, false, "https://s3.eu-west-1.amazonaws.com/my-bucket"),
        ("my-bucket", &own, false, "http://own.example:1/my-bucket"),
        ("my-bucket", &own_virtual, false, "http://my-bucket.own.example:1"),
    ] {
        let endpoints = Endpoints::new(settings.clone());
        assert_eq!(endpoints.of_bucket(bucket, "eu-west-1", in_path).unwrap().url, url, "{bucket}");
    }
    let endpoints = Endpoints::new(EndpointSettings::default());
    let express = endpoints.of_bucket("data--use1-az4--x-s3", "us-east-1", false);
    assert!(express.unwrap_err().contains("sigv4-s3express"));
}

#[test]
fn global_regions_belong_to_their_partition() {
    for (region, name) in
        [("aws-cn-global", "aws-cn"), ("aws-global", "aws"), ("us-isof-new-3", "aws-iso-f"), ("x", "aws")]
    {
        assert_eq!(partition::of_rules(region).unwrap().attribute("name"), Given::text(name), "{region}");
    }
}

#[test]
fn endpoint_of_service_and_region_is_decided_once() {
    let endpoints = Endpoints::new(EndpointSettings::default());
    let first = endpoints.of("ec2", "eu-west-1").unwrap();
    assert!(Arc::ptr_eq(&first, &endpoints.of("ec2", "eu-west-1").unwrap()));
    assert_ne!(endpoints.of("ec2", "eu-west-2").unwrap(), first);
    assert_ne!(endpoints.of("rds", "eu-west-1").unwrap(), first);
    assert!(endpoints.of("ec2", "nowhere").is_err());
}

#[test]
fn bucket_at_own_url_is_signed_as_service() {
    let endpoints = Endpoints::new(EndpointSettings::all("http://own.example:1"));
    for region in ["eu-west-1", "nowhere"] {
        let bucket = endpoints.of_bucket("my-bucket", region, false).unwrap();
        assert_eq!((bucket.signing_region.as_str(), bucket.overridden), (region, true));
        assert_eq!(endpoints.of("s3", region).unwrap().signing_region, region);
    }
}
