//! A local AWS with an organization in it.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
};

/// The members of the organization, the management account first.
pub const ACCOUNTS: [&str; 4] = ["123456789012", "812205225875", "949187844527", "223033715152"];
/// The account that is asked without a role, the only one of a server with one account.
pub const ACCOUNT: &str = ACCOUNTS[0];
/// The access key of that account.
const KEY: &str = "testing";

/// A call that changed something, or tried to.
#[derive(Clone, Debug, serde::Deserialize)]
pub struct Change {
    /// The account that was asked.
    pub account: String,
    /// The region that was asked.
    pub region: String,
    /// What was asked for.
    pub operation: String,
    /// How it was answered.
    pub status: u16,
    /// Where it went, parameters in the address included.
    pub path: String,
    /// Its parameters or body as they were sent, the first part of it.
    pub body: String,
}

/// A running server. Dropping it ends it.
pub struct LocalAws {
    server: Child,
    endpoint: String,
}

impl LocalAws {
    /// Starts a server whose clock stands at the time of the golden data, with so many accounts and these regions.
    pub fn start(accounts: usize, regions: &[&str]) -> Self {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/aws-local");
        let mut command = Command::new(script);
        command.args(["up", "--exit-with-stdin", "--freeze", "2021-11-01T00:00:00"]);
        command.args(["--accounts", &accounts.to_string(), "--regions"]).args(regions);
        let mut server = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(server.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let endpoint = line.trim().strip_prefix("ready ").expect("the local AWS must start; see scripts/aws-local");
        Self { endpoint: endpoint.to_owned(), server }
    }

    /// Lets a command use it.
    pub fn serve<'c>(&self, command: &'c mut Command) -> &'c mut Command {
        serve(&self.endpoint, command)
    }

    /// Its address.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Puts a fault in force, such as `{"operation": "DescribeVolumes", "mode": "deny"}`. Answers its number.
    pub async fn fault(&self, fault: serde_json::Value) -> u64 {
        let request = reqwest::Client::new().post(format!("{}/_ctl/fault", self.endpoint)).json(&fault);
        let report = request.send().await.unwrap().error_for_status().unwrap();
        report.json::<serde_json::Value>().await.unwrap()["id"].as_u64().unwrap()
    }

    /// Keeps calls of an operation waiting until the fault is mended, and then answers them: all for 1.0, every second
    /// for 0.5.
    pub async fn delay(&self, operation: &str, ratio: f64) -> u64 {
        let minute = 60_000;
        self.fault(serde_json::json!({"operation": operation, "mode": "slow", "ms": minute, "ratio": ratio})).await
    }

    /// Takes one fault out of force.
    pub async fn mend(&self, fault: u64) {
        let request = reqwest::Client::new().delete(format!("{}/_ctl/fault?id={fault}", self.endpoint));
        request.send().await.unwrap().error_for_status().unwrap();
    }

    /// Cuts every list into pages of so many items.
    pub async fn pages(&self, size: usize) {
        let request = reqwest::Client::new().post(format!("{}/_ctl/pages?size={size}", self.endpoint));
        request.send().await.unwrap().error_for_status().unwrap();
    }

    /// The faults in force, with how often each struck.
    pub async fn faults(&self) -> serde_json::Value {
        let request = reqwest::Client::new().get(format!("{}/_ctl/fault", self.endpoint));
        request.send().await.unwrap().json().await.unwrap()
    }

    /// Whether one of the faults in force has struck.
    pub async fn has_struck(&self) -> bool {
        self.faults().await.as_array().unwrap().iter().any(|fault| fault["strikes"].as_u64() > Some(0))
    }

    /// Takes all faults out of force and forgets all counts.
    pub async fn reset(&self) {
        let request = reqwest::Client::new().post(format!("{}/_ctl/reset", self.endpoint));
        request.send().await.unwrap().error_for_status().unwrap();
    }

    /// The calls since the last reset that change something, without those for credentials, with their counts.
    pub async fn changes(&self) -> std::collections::BTreeMap<String, u64> {
        let stats = self.stats().await;
        let calls = stats["by"].as_object().unwrap().iter();
        let changing = calls.filter_map(|(name, count)| Some((name.split_once(':')?.1.to_owned(), count.as_u64()?)));
        changing
            .filter(|(name, _)| {
                !["Describe", "List", "Get", "Head", "AssumeRole"].iter().any(|read| name.starts_with(read))
            })
            .collect()
    }

    /// The calls since the last reset that change something, in the order of their answers, without those for
    /// credentials.
    pub async fn all_changes(&self) -> Vec<Change> {
        let request = reqwest::Client::new().get(format!("{}/_ctl/changes", self.endpoint));
        request.send().await.unwrap().json().await.unwrap()
    }

    /// The operations of these calls, in their order. Every one must have been of this account and region.
    pub async fn changes_in(&self, account: &str, region: &str) -> Vec<String> {
        let changes = self.all_changes().await;
        let elsewhere: Vec<_> =
            changes.iter().filter(|change| change.account != account || change.region != region).collect();
        assert!(elsewhere.is_empty(), "not in {account} and {region}: {elsewhere:?}");
        changes.into_iter().map(|change| change.operation).collect()
    }

    /// Lets the clock go on with the real time.
    pub async fn unfreeze(&self) {
        let request = reqwest::Client::new().post(format!("{}/_ctl/unfreeze", self.endpoint));
        request.send().await.unwrap().error_for_status().unwrap();
    }

    /// An access key of an account of the organization.
    pub async fn key(&self, account: &str) -> String {
        if account == ACCOUNT {
            return KEY.to_owned();
        }
        let role = format!("arn:aws:iam::{account}:role/Cloudkeeper");
        let parameters = [("Action", "AssumeRole"), ("RoleArn", role.as_str()), ("RoleSessionName", "test")];
        element(&self.call("sts", "us-east-1", &parameters).await, "AccessKeyId").to_owned()
    }

    /// Makes a call of a service with a query protocol, and answers status and body.
    pub async fn ask(&self, service: &str, region: &str, parameters: &[(&str, &str)]) -> (u16, String) {
        self.ask_as(KEY, service, region, parameters).await
    }

    async fn ask_as(&self, key: &str, service: &str, region: &str, parameters: &[(&str, &str)]) -> (u16, String) {
        let version = match service {
            "ec2" => "2016-11-15",
            "iam" => "2010-05-08",
            "sts" => "2011-06-15",
            "elasticloadbalancing" => "2012-06-01",
            _ => panic!("which version has {service}?"),
        };
        let request = reqwest::Client::new().post(&self.endpoint);
        let form = [&[("Version", version)], parameters].concat();
        let form: Vec<String> = form.iter().map(|(name, value)| format!("{name}={}", escaped(value))).collect();
        let request = request.header("Content-Type", "application/x-www-form-urlencoded").body(form.join("&"));
        answered(signed(request, key, service, region)).await
    }

    /// The same for a call that must succeed.
    pub async fn call(&self, service: &str, region: &str, parameters: &[(&str, &str)]) -> String {
        self.call_as(KEY, service, region, parameters).await
    }

    /// The same with an access key.
    pub async fn call_as(&self, key: &str, service: &str, region: &str, parameters: &[(&str, &str)]) -> String {
        let (status, body) = self.ask_as(key, service, region, parameters).await;
        assert_eq!(status, 200, "{parameters:?}: {body}");
        body
    }

    /// Takes an account out of the organization.
    pub async fn leave_organization(&self, account: &str) {
        let request = reqwest::Client::new().post(&self.endpoint);
        let request = request.header("X-Amz-Target", "AWSOrganizationsV20161128.RemoveAccountFromOrganization");
        let request = request.header("Content-Type", "application/x-amz-json-1.1");
        let request = request.body(serde_json::json!({ "AccountId": account }).to_string());
        let (status, body) = answered(signed(request, KEY, "organizations", "us-east-1")).await;
        assert_eq!(status, 200, "{body}");
    }

    /// Makes a call of S3, and answers status and body.
    pub async fn s3(&self, region: &str, method: &str, path: &str, body: &str) -> (u16, String) {
        self.rest("s3", region, method, path, body).await
    }

    /// Makes a call of a service with a REST protocol, and answers status and body.
    pub async fn rest(&self, service: &str, region: &str, method: &str, path: &str, body: &str) -> (u16, String) {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let request = reqwest::Client::new().request(method, format!("{}/{path}", self.endpoint));
        answered(signed(request, KEY, service, region).body(body.to_owned())).await
    }

    /// The counts of requests.
    pub async fn stats(&self) -> serde_json::Value {
        let request = reqwest::Client::new().get(format!("{}/_ctl/stats", self.endpoint));
        request.send().await.unwrap().json().await.unwrap()
    }
}

/// Lets a command use the AWS at an endpoint.
pub fn serve<'c>(endpoint: &str, command: &'c mut Command) -> &'c mut Command {
    command.env("AWS_ENDPOINT_URL", endpoint).env("AWS_REGION", "us-east-1");
    command.env("AWS_ACCESS_KEY_ID", KEY).env("AWS_SECRET_ACCESS_KEY", KEY)
}

/// The server looks at who signs for what, and at no signature.
fn signed(request: reqwest::RequestBuilder, key: &str, service: &str, region: &str) -> reqwest::RequestBuilder {
    let scope = format!("{key}/20211101/{region}/{service}/aws4_request");
    request.header("Authorization", format!("AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0"))
}

/// A value as a form wants it.
fn escaped(value: &str) -> String {
    let escape = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    value.bytes().map(escape).collect()
}

async fn answered(request: reqwest::RequestBuilder) -> (u16, String) {
    let answer = request.send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

/// The text of the first element of this name.
pub fn element<'x>(xml: &'x str, name: &str) -> &'x str {
    let found = xml.split_once(&format!("<{name}>")).and_then(|(_, rest)| rest.split_once(&format!("</{name}>")));
    found.unwrap_or_else(|| panic!("no {name} in {xml}")).0
}

impl Drop for LocalAws {
    fn drop(&mut self) {
        // It ends with its standard input; waiting makes sure of it.
        drop(self.server.stdin.take());
        let _ = self.server.wait();
    }
}
