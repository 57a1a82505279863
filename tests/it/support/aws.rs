//! A local AWS with an organization in it.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
};

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
        command
            .env("AWS_ENDPOINT_URL", &self.endpoint)
            .env("AWS_REGION", "us-east-1")
            .env("AWS_ACCESS_KEY_ID", "testing")
            .env("AWS_SECRET_ACCESS_KEY", "testing")
    }

    /// The variable that leads a process to it.
    pub fn variable(&self) -> String {
        format!("AWS_ENDPOINT_URL={}", self.endpoint)
    }

    /// Puts a fault in force, such as `{"operation": "DescribeVolumes", "mode": "deny"}`. Answers its number.
    pub async fn fault(&self, fault: serde_json::Value) -> u64 {
        let request = reqwest::Client::new().post(format!("{}/_ctl/fault", self.endpoint)).json(&fault);
        let report = request.send().await.unwrap().error_for_status().unwrap();
        report.json::<serde_json::Value>().await.unwrap()["id"].as_u64().unwrap()
    }

    /// Keeps calls of an operation waiting until the fault is mended, and then answers them: all for 1.0, every second for 0.5.
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

    /// The counts of requests.
    pub async fn stats(&self) -> serde_json::Value {
        let request = reqwest::Client::new().get(format!("{}/_ctl/stats", self.endpoint));
        request.send().await.unwrap().json().await.unwrap()
    }
}

impl Drop for LocalAws {
    fn drop(&mut self) {
        // It ends with its standard input; waiting makes sure of it.
        drop(self.server.stdin.take());
        let _ = self.server.wait();
    }
}
