//! Credentials of every kind, several of them, and what becomes of those that fail.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ckworker::{
    collector_api::{Broker, Collector},
    collectors::gcp::Gcp,
    settings::{Setting, Settings},
};
use serde_json::{Value, json};
use tempfile::TempDir;
use worker_proto::{Failure, Unit};

use crate::support::{
    core::TestCore,
    daemon::{Daemon, have},
    gcp::{LocalGcp, write_key},
    poll::becomes,
    program::{Output, Running, command, run},
};

/// The service accounts that the server knows.
const ACCOUNTS: [&str; 2] =
    ["collector-a@ck-host-861239.iam.gserviceaccount.com", "collector-b@ck-host-861239.iam.gserviceaccount.com"];

/// The projects of the server's organization.
const PROJECTS: [&str; 3] = ["ck-data-202959", "ck-host-861239", "ck-shop-851145"];

/// A server that knows two service accounts, and a directory with their keys and what else is needed.
struct Site {
    server: LocalGcp,
    directory: TempDir,
}

impl Site {
    fn start(options: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let keys = ["a.json", "b.json"].map(|name| directory.path().join(name));
        keys.iter().zip(ACCOUNTS).for_each(|(path, email)| write_key(path, email));
        let keys = keys.iter().flat_map(|path| ["--key", path.to_str().unwrap()]);
        let options: Vec<&str> = keys.chain(options.iter().copied()).collect();
        Self { server: LocalGcp::start(&options), directory }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Writes a file, and returns its path.
    fn write(&self, name: &str, content: &str) -> String {
        fs::write(self.path(name), content).unwrap();
        self.path(name).to_str().unwrap().to_owned()
    }

    fn key(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    fn user(&self, refresh_token: &str) -> Value {
        let token_uri = format!("{}/oauth2.googleapis.com/token", self.server.url());
        json!({
            "type": "authorized_user", "client_id": "c", "client_secret": "hunter2", "refresh_token": refresh_token,
            "token_uri": token_uri
        })
    }

    fn federation(&self) -> Value {
        let token_url = format!("{}/sts.googleapis.com/v1/token", self.server.url());
        let audience = "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/q";
        json!({
            "type": "external_account", "audience": audience, "token_url": token_url,
            "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
            "credential_source": { "file": self.write("subject", "subject") }
        })
    }

    fn impersonation_url(&self) -> String {
        let base = format!("{}/iamcredentials.googleapis.com/v1/projects/-/serviceAccounts", self.server.url());
        format!("{base}/{}:generateAccessToken", ACCOUNTS[1])
    }

    /// A collection of few kinds, without credentials.
    fn collection(&self) -> Command {
        let mut command = command(&["collect", "--collector", "gcp", "--gcp-collect", "networks", "--output", "-"]);
        self.server.serve(&mut command);
        command
    }

    fn collect(&self, prepare: impl FnOnce(&mut Command) -> &mut Command) -> Output {
        let mut command = self.collection();
        prepare(&mut command);
        run(&mut command)
    }
}

/// Adds the option with credentials.
fn option<'c>(command: &'c mut Command, value: &str) -> &'c mut Command {
    command.args(["--gcp-service-account", value])
}

/// The projects in an output.
fn projects(output: &Output) -> BTreeSet<String> {
    let lines = output.stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let projects = lines.filter(|line| line["reported"]["kind"] == "gcp_project");
    projects.map(|line| line["reported"]["id"].as_str().unwrap().to_owned()).collect()
}

fn set(ids: &[&str]) -> BTreeSet<String> {
    ids.iter().map(|id| (*id).to_owned()).collect()
}

/// Invariant: the core keeps what was not seen, and nothing else.
#[tokio::test]
async fn project_keeps_its_labels_while_list_is_denied() {
    let (site, core) = (Site::start(&[]), TestCore::start(None).await);
    let daemon = Daemon::start(&core, |command| {
        site.server.serve(command);
        option(command.args(["--collector", "gcp", "--gcp-collect", "networks"]), &site.key("a.json"))
    });
    let host = || {
        let nodes = core.nodes("ck").into_values().map(|node| node.reported);
        let found: Vec<Value> =
            nodes.filter(|node| node["id"] == PROJECTS[1] && node["kind"] == "gcp_project").collect();
        assert_eq!(found.len(), 1);
        [&found[0]["tags"], &found[0]["ctime"]].map(Value::clone)
    };
    assert_eq!(have(&core, "collect").await.0, "action_done", "{}", daemon.log());
    let before = host();
    assert_eq!(before[0], json!({ "env": "prod" }));
    site.server.fault("fault=denied&op=cloudresourcemanager.*").await;
    assert_eq!(have(&core, "collect").await.0, "action_error", "{}", daemon.log());
    assert_eq!(host(), before, "{}", daemon.log());
    assert_eq!(daemon.stop().await.0.code, 0);
}

#[test]
fn credentials_of_every_kind_collect_all_projects() {
    let site = Site::start(&[]);
    let impersonated = json!({
        "type": "impersonated_service_account", "service_account_impersonation_url": site.impersonation_url(),
        "source_credentials": site.user("1//refresh")
    });
    let mut federated = site.federation();
    federated["service_account_impersonation_url"] = site.impersonation_url().into();
    let key = fs::read_to_string(site.path("a.json")).unwrap();
    let gcloud = site.path("gcloud");
    fs::create_dir(&gcloud).unwrap();
    fs::write(gcloud.join("application_default_credentials.json"), site.user("1//refresh").to_string()).unwrap();
    let host = site.server.url().strip_prefix("http://").unwrap();
    type Prepare<'a> = Box<dyn Fn(&mut Command) -> &mut Command + 'a>;
    let file = |name: &str, json: &Value| -> Prepare {
        let path = site.write(name, &json.to_string());
        Box::new(move |command| option(command, &path))
    };
    let kinds: Vec<(&str, Prepare)> = vec![
        ("key file", Box::new(|command| option(command, &site.key("a.json")))),
        ("key on the command line", Box::new(|command| option(command, &key))),
        ("key in the environment", Box::new(|command| command.env("CKWORKER_GCP_SERVICE_ACCOUNT", &key))),
        ("variable", Box::new(|command| command.env("GOOGLE_APPLICATION_CREDENTIALS", site.path("b.json")))),
        ("gcloud", Box::new(|command| command.env("CLOUDSDK_CONFIG", &gcloud))),
        ("metadata server", Box::new(|command| command.env("GCE_METADATA_HOST", host))),
        ("federation", file("federation.json", &site.federation())),
        ("federation with impersonation", file("federated.json", &federated)),
        ("impersonation", file("impersonated.json", &impersonated)),
    ];
    for (kind, prepare) in kinds {
        let output = site.collect(|command| prepare(command));
        assert_eq!(output.code, 0, "{kind}: {}", output.stderr);
        assert_eq!(projects(&output), set(&PROJECTS), "{kind}");
    }
}

#[test]
fn several_credentials_collect_the_projects_of_all() {
    let grants =
        [format!("{}={},{}", ACCOUNTS[0], PROJECTS[0], PROJECTS[1]), format!("{}={}", ACCOUNTS[1], PROJECTS[1])];
    let site = Site::start(&["--grant", &grants[0], "--grant", &grants[1]]);
    let collect = |names: &[&str]| {
        let values: Vec<String> = names.iter().map(|name| site.key(name)).collect();
        site.collect(|command| command.arg("--gcp-service-account").args(values))
    };
    let both = collect(&["b.json", "a.json"]);
    assert_eq!((both.code, projects(&both)), (0, set(&PROJECTS[..2])), "{}", both.stderr);
    // The credentials of one fail, and cost its projects.
    site.write("broken.json", &site.user("1//gone").to_string());
    let one = collect(&["broken.json", "b.json"]);
    assert_eq!((one.code, projects(&one)), (3, set(&PROJECTS[1..2])), "{}", one.stderr);
    assert!(one.stderr.contains("broken.json") && one.stderr.contains("invalid_grant"), "{}", one.stderr);
    let none = collect(&["broken.json"]);
    assert!(none.code == 4 && none.stderr.contains("invalid_grant"), "{}", none.stderr);
}

#[tokio::test]
async fn denied_list_leaves_the_project_of_the_key() {
    let site = Site::start(&["--deleted-project"]);
    let collect = || site.collect(|command| command.args(["--gcp-service-account", &site.key("a.json")]));
    let all = collect();
    assert_eq!((all.code, projects(&all)), (0, set(&PROJECTS)), "no project that is about to be deleted");
    site.server.fault("fault=denied&op=cloudresourcemanager.projects.list").await;
    let own = collect();
    assert_eq!((own.code, projects(&own)), (3, set(&PROJECTS[1..2])), "{}", own.stderr);
    assert!(own.stderr.contains("projects.list: forbidden"), "{}", own.stderr);
    site.server.mend().await;
    site.server.fault("fault=empty&op=cloudresourcemanager.projects.list").await;
    let empty = collect();
    assert!(empty.code == 4 && empty.stderr.contains("sees no GCP project"), "{}", empty.stderr);
    site.server.mend().await;
    site.server.fault("fault=loop&op=cloudresourcemanager.projects.list").await;
    assert_eq!(collect().code, 4, "pages without an end");
}

#[test]
fn projects_are_selected_by_id() {
    let site = Site::start(&["--page-size", "1"]);
    let collect = |options: &[&str]| {
        site.collect(|command| command.args(["--gcp-service-account", &site.key("a.json")]).args(options))
    };
    let some = collect(&["--gcp-project", PROJECTS[2], PROJECTS[0]]);
    assert_eq!((some.code, projects(&some)), (0, set(&[PROJECTS[0], PROJECTS[2]])), "{}", some.stderr);
    let others = collect(&["--gcp-exclude-project", "ck-d*", PROJECTS[2]]);
    assert_eq!((others.code, projects(&others)), (0, set(&PROJECTS[1..2])), "{}", others.stderr);
    let unknown = collect(&["--gcp-project", PROJECTS[0], "ck-unknown"]);
    assert_eq!((unknown.code, projects(&unknown)), (3, set(&PROJECTS[..1])), "{}", unknown.stderr);
    assert!(unknown.stderr.contains("no credentials see project ck-unknown"), "{}", unknown.stderr);
}

#[tokio::test]
async fn tokens_that_end_during_collection_are_renewed_once() {
    for option in [&[][..], &["--gcp-fork"]] {
        let site = Site::start(&[]);
        let user = site.write("user.json", &site.user("1//refresh").to_string());
        // All three projects wait there.
        site.server.fault("fault=slow&seconds=3&times=3&op=compute.regions.list").await;
        let mut command = site.collection();
        command.args(["--gcp-service-account", &user, "-v"]).args(option);
        let running = Running::start(&mut command);
        assert!(
            becomes(async || site.server.control("stats").await["calls"]["cloudresourcemanager.projects.list"] == 1)
                .await
        );
        assert!(becomes(async || site.server.control("faults").await["rules"][0]["seen"] == 3).await);
        site.server.control("expire").await;
        let output = running.wait();
        assert_eq!((output.code, projects(&output)), (0, set(&PROJECTS)), "{}", output.stderr);
        assert_eq!(site.server.control("stats").await["tokens"], 2, "one renewal for all projects");
        assert!(output.stderr.contains("renewing rejected access token"), "{}", output.stderr);
    }
}

/// The account of the token that a broker gives for operations in a project.
async fn account_of(broker: &dyn Broker, project: &str) -> Result<String, Failure> {
    let payload = json!({ "project": project, "item": {} }).to_string();
    let (id, kind) = (project.to_owned(), "gcp_project".to_owned());
    let unit = Unit { label: id.clone(), id, kind, parts: 0, payload };
    let secret: Value = serde_json::from_str(&broker.credentials(Some(&unit)).await?.secret).unwrap();
    let claims = secret["token"].as_str().unwrap().split('.').nth(1).unwrap();
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap();
    Ok(claims["iss"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn operations_get_the_credentials_that_see_their_project() {
    let grants = [0, 1].map(|index| format!("{}={}", ACCOUNTS[index], PROJECTS[index]));
    let site = Site::start(&["--grant", &grants[0], "--grant", &grants[1]]);
    let mut settings = Settings::defaults(Gcp.options());
    settings.set("gcp-endpoint-url", Setting::Text(site.server.url().to_owned()));
    settings.set("gcp-service-account", Setting::List(["a.json", "b.json"].map(|name| site.key(name)).into()));
    let broker = Gcp.broker(&settings).unwrap();
    for _ in 0..2 {
        for (account, project) in ACCOUNTS.iter().zip(PROJECTS) {
            assert_eq!(account_of(&*broker, project).await.as_deref(), Ok(*account));
        }
    }
    assert_eq!(site.server.calls("cloudresourcemanager.projects.get").await, 3, "once for each project");
    let failure = account_of(&*broker, PROJECTS[2]).await.unwrap_err();
    let expected = format!("none of the GCP credentials can read project {}", PROJECTS[2]);
    assert!(failure.message.contains(&expected), "{}", failure.message);
}

#[test]
fn missing_credentials_skip_the_collector_unless_it_is_named() {
    let missing = run(&mut command(&["collect", "--output", "-", "--collector", "gcp"]));
    assert!(missing.code == 4 && missing.stderr.contains("--gcp-service-account"), "{}", missing.stderr);
    let empty = run(command(&["collect", "--output", "-"]).env("CKWORKER_GCP_SERVICE_ACCOUNT", ""));
    assert!(empty.code == 0 && empty.stderr.contains("no GCP credentials"), "{}", empty.stderr);
    // A source that is configured is not missing.
    let named = run(command(&["collect", "--output", "-"]).env("GOOGLE_APPLICATION_CREDENTIALS", "/no/such/key"));
    assert!(named.code == 3 && named.stderr.contains("/no/such/key"), "{}", named.stderr);
}

#[test]
fn unusable_key_is_rejected_at_start_without_its_content() {
    let directory = tempfile::tempdir().unwrap();
    let broken = directory.path().join("broken.json");
    fs::write(&broken, "{\"private_key\": \"hunter2\"").unwrap();
    for (value, expected) in [
        ("/no/such/key.json", "--gcp-service-account /no/such/key.json: No such file"),
        (broken.to_str().unwrap(), "broken.json: broken JSON: EOF while parsing"),
        ("{\"type\": \"service_account\", \"private_key\": \"hunter2\"}", "the JSON of value 1: it is of type"),
        ("{\"private_key\": \"hunter2\", x}", "the JSON of value 1: key must be a string"),
    ] {
        let output = run(&mut command(&["collect", "--output", "-", "--gcp-service-account", value]));
        assert!(output.code == 2 && output.stderr.contains(expected), "{}", output.stderr);
        assert!(!output.stderr.contains("hunter2"), "{}", output.stderr);
    }
}

/// What a process shows of itself: its command line or its environment.
fn shown(pid: i32, what: &str) -> String {
    String::from_utf8_lossy(&fs::read(Path::new("/proc").join(pid.to_string()).join(what)).unwrap()).into_owned()
}

/// Invariant: secrets are only in frames and in an allow-listed environment.
#[tokio::test]
async fn key_and_tokens_are_neither_in_processes_nor_in_log() {
    let site = Site::start(&[]);
    let key = fs::read_to_string(site.path("a.json")).unwrap();
    let parsed: Value = serde_json::from_str(&key).unwrap();
    let body = &parsed["private_key"].as_str().unwrap()[40..80];
    let user = site.user("1//refresh").to_string();
    site.server.fault("fault=slow&seconds=3&times=3&op=compute.regions.list").await;
    let mut command = site.collection();
    command.args(["-v", "--fork", "--gcp-fork", "--gcp-service-account", &key, &user]);
    let running = Running::start(&mut command);
    assert!(becomes(async || site.server.control("faults").await["rules"][0]["seen"] == 3).await);
    let workers = running.children();
    assert_eq!(workers.len(), 3, "one for each project");
    let is_secret = |text: &str| [body, "hunter2", "1//refresh", "eyJ", "ya29."].iter().any(|part| text.contains(part));
    let own = shown(running.pid(), "cmdline");
    assert!(own.contains("--gcp-fork") && !is_secret(&own), "{own}");
    assert!(is_secret(&shown(running.pid(), "environ")), "only its own user can read that");
    for worker in workers {
        for what in ["cmdline", "environ"] {
            let text = shown(worker, what);
            assert!(!text.is_empty() && !is_secret(&text), "{text}");
        }
    }
    let output = running.wait();
    assert_eq!((output.code, projects(&output)), (0, set(&PROJECTS)), "{}", output.stderr);
    assert!(output.stderr.contains("DEBUG") && !is_secret(&output.stderr), "{}", output.stderr);
    assert!(output.stderr.contains("use CKWORKER_GCP_SERVICE_ACCOUNT"), "{}", output.stderr);
}
