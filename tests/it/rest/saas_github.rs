//! One-shot collections of GitHub with the built program, compared with the graph that the Python worker made of the
//! same data.

use std::{collections::BTreeSet, fs, path::Path};

use aws_lc_rs::{
    encoding::AsDer,
    rsa::{KeyPair, KeySize},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use crate::support::{
    canned::{Canned, CannedServer, reply},
    compare,
    core::TestCore,
    daemon::{Daemon, have},
    program::{self, Output, command},
    saas::LocalSaas,
};

const GOLDEN: &str = include_str!("../../golden/github/graph.ndjson");

/// What the golden graph was made of.
const NAMED: &[&str] = &[
    "--github-repo",
    "org0/shared-name",
    "org1/shared-name",
    "org0/repo1",
    "org0/repo2",
    "user0/repo3",
    "org0/repo.4_-x",
    "org0/repo6",
    "org0/repo7",
    "--github-org",
    "org0",
    "org1",
    "--github-user",
    "user0",
    "user1",
    "user4",
    "org2",
];

fn collect(server: &LocalSaas, options: &[&str]) -> Output {
    let mut command = command(&["collect", "--output", "-"]);
    program::run(server.serve(&mut command, "github").args(options))
}

/// The nodes of a kind, by ID.
fn nodes(text: &str, kind: &str) -> Vec<(String, Value)> {
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["reported"].clone());
    let of_kind = lines.filter(|reported| reported["kind"] == kind);
    of_kind.map(|reported| (reported["id"].as_str().unwrap().to_owned(), reported)).collect()
}

/// Points in time have an offset, and the second repository of one name has an ID of its own.
#[tokio::test(flavor = "multi_thread")]
async fn github_equals_the_golden_graph() {
    let server = LocalSaas::github(&["--seed", "1"]).await;
    let mut seen = BTreeSet::new();
    let golden = GOLDEN.lines().filter(|line| seen.insert(*line));
    let golden: String = golden.filter(|line| !line.contains("org1/shared-name")).collect::<Vec<_>>().join("\n");
    for ways in [&[][..], &["--fork", "--github-fork"]] {
        let output = collect(&server, &[NAMED, ways].concat());
        assert_eq!(output.code, 0, "{}", output.stderr);
        let times = ["created_at", "updated_at", "pushed_at", "suspended_at"];
        let found = compare::graphs(&golden, &output.stdout, None);
        let is_new = |one: &String| one.contains("extra") && one.contains("shared-name");
        let unexpected: Vec<String> = found
            .into_iter()
            .filter(|one| !is_new(one) && !times.iter().any(|time| one.contains(&format!("reported.{time} "))))
            // What only owners see.
            .filter(|one| !one.contains("two_factor_requirement_enabled"))
            .collect();
        compare::assert_none(&unexpected);
        let ids: Vec<String> = nodes(&output.stdout, "github_repo").into_iter().map(|(id, _)| id).collect();
        assert!(ids.contains(&"shared-name".to_owned()) && ids.contains(&"org1/shared-name".to_owned()), "{ids:?}");
    }
    let log = server.log();
    assert!(log.contains("Bearer ghp_test") && !log.contains("token ghp_test"));
}

#[tokio::test(flavor = "multi_thread")]
async fn repositories_of_an_owner_are_listed_and_each_is_one() {
    let server = LocalSaas::github(&[]).await;
    let repositories = ["--github-repo", "org0/*", "user0/*", "org0/renamed", "org0/repo1"];
    let output = collect(&server, &[&repositories[..], &["--github-collect", "repositories"]].concat());
    assert_eq!(output.code, 0, "{}", output.stderr);
    let found = nodes(&output.stdout, "github_repo");
    assert_eq!(found.len(), 37 + 4, "{}", output.stderr);
    assert_eq!(server.calls("/orgs/org0/repos"), 1, "a page has a hundred");
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_entries_are_gaps_of_their_own() {
    let server = LocalSaas::github(&[]).await;
    let entries =
        ["--github-repo", "org0/repo1", "org0/no", "--github-org", "org0", "no1", "no2", "--github-user", "no3"];
    let output = collect(&server, &entries);
    assert_eq!(output.code, 3, "{}", output.stderr);
    for entry in ["org0/no:", "no1:", "no2:", "no3:", "fine-grained token"] {
        assert!(output.stderr.contains(entry), "{entry}: {}", output.stderr);
    }
    assert_eq!(nodes(&output.stdout, "github_repo").len() + nodes(&output.stdout, "github_org").len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_are_waited_for() {
    let plain = LocalSaas::github(&[]).await;
    let whole = collect(&plain, NAMED);
    let secondary: Vec<String> =
        ["/orgs/org0=secondary@1", "/orgs/org1=secondary403@1", "/users/user0=502@1", "/users/user1=drop@1"]
            .iter()
            .flat_map(|fault| ["--fault".to_owned(), (*fault).to_owned()])
            .collect();
    let secondary: Vec<&str> = secondary.iter().map(String::as_str).collect();
    for options in [&["--budget", "5"][..], &secondary] {
        let limited = LocalSaas::github(options).await;
        let output = collect(&limited, NAMED);
        assert_eq!(output.code, 0, "{}", output.stderr);
        compare::assert_none(&compare::graphs(&whole.stdout, &output.stdout, None));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_token_fails_and_names_the_option() {
    let server = LocalSaas::github(&[]).await;
    let mut command = command(&["collect", "--output", "-"]);
    let command = server.serve(&mut command, "github").env("CKWORKER_GITHUB_ACCESS_TOKEN", "wrong").args(NAMED);
    let output = program::run(command);
    assert!(output.code == 4 && output.stdout.is_empty(), "{} {}", output.code, output.stderr);
    assert!(output.stderr.contains("Bad credentials"), "{}", output.stderr);
}

/// Writes a private key in PEM form.
fn write_key(file: &Path) {
    let key = KeyPair::generate(KeySize::Rsa2048).unwrap();
    let der = AsDer::<aws_lc_rs::encoding::Pkcs8V1Der<'_>>::as_der(&key).unwrap();
    let text = STANDARD.encode(der.as_ref());
    fs::write(file, format!("-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----\n")).unwrap();
}

/// The tokens of an app end, and are renewed in the run.
#[tokio::test(flavor = "multi_thread")]
async fn app_gets_tokens_of_its_installation() {
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("key.pem");
    write_key(&key);
    let server = LocalSaas::github(&["--token-seconds", "20"]).await;
    let app = ["--github-app-id", "12", "--github-app-key", key.to_str().unwrap()];
    let collect = |arguments: &[&str]| {
        let mut command = command(&["collect", "--output", "-"]);
        let command = server.serve(&mut command, "github").env_remove("CKWORKER_GITHUB_ACCESS_TOKEN");
        program::run(command.args(arguments).args(["--github-repo", "org0/repo1"]))
    };
    let output = collect(&app);
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert!(server.calls("/app/installations/7/access_tokens") >= 1);
    assert!(server.log().contains("Bearer ghs_0") && !server.log().contains("ghp_test"));
    for (arguments, what) in [
        (&app[..2], "belong together"),
        (&["--github-app-id", "12", "--github-app-key", "/nowhere.pem"], "/nowhere.pem"),
        (&[app[0], app[1], app[2], app[3], "--github-app-installation", "8"], "--github-app-installation"),
    ] {
        let output = collect(arguments);
        assert!(output.code != 0 && output.stderr.contains(what), "{what}: {}", output.stderr);
    }
}

/// An organization in canned responses, whose members, teams, branches and workflows are asked for by name.
fn organization(line: &str) -> Canned {
    match line.trim_start_matches("GET ").split('?').next().unwrap() {
        "/orgs/acme" => reply(200, &json!({"login": "acme", "id": 1, "name": null})),
        "/orgs/acme/members" => reply(200, &json!([{"login": "ada", "id": 7, "type": "User"}])),
        "/orgs/acme/teams" => reply(200, &json!([{"id": 9, "slug": "core", "name": "Core", "privacy": "closed"}])),
        "/orgs/acme/teams/core/members" => reply(200, &json!([{"login": "ada", "id": 7}])),
        "/orgs/acme/repos" => {
            let mut page = reply(200, &json!([{"id": 3, "name": "app", "full_name": "acme/app"}]));
            page.1.push(("x-github-sso", "partial-results; organizations=21955855,20582480".to_owned()));
            page
        }
        "/repos/acme/app/branches" => {
            reply(200, &json!([{"name": "main", "protected": true, "commit": {"sha": "f00"}}]))
        }
        "/repos/acme/app/branches/main/protection" => reply(
            200,
            &json!({
                "enforce_admins": {"enabled": true}, "allow_force_pushes": {"enabled": false},
                "required_pull_request_reviews": {"required_approving_review_count": 2},
                "required_status_checks": {"checks": [{"context": "ci"}]}
            }),
        ),
        "/repos/acme/app/actions/workflows" => reply(
            200,
            &json!({"total_count": 1, "workflows": [{"id": 5, "name": "CI", "path": ".github/workflows/ci.yml", "state": "active"}]}),
        ),
        _ => reply(404, &json!({"message": "Not Found"})),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn members_teams_branches_and_workflows_are_collected_if_named() {
    let server = CannedServer::routed(|_, line| organization(line)).await;
    let all = ["repositories", "branches", "workflows", "organizations", "members", "teams"];
    let mut command =
        command(&["collect", "--output", "-", "--collector", "github", "--github-endpoint-url", server.url()]);
    command.env("CKWORKER_GITHUB_ACCESS_TOKEN", "ghp_x").args(["--github-org", "acme", "--github-repo", "acme/*"]);
    let output = program::run(command.arg("--github-collect").args(all));
    // What single sign-on hides is a gap.
    assert_eq!(output.code, 3, "{}", output.stderr);
    assert!(output.stderr.contains("PartialResults") && output.stderr.contains("21955855"), "{}", output.stderr);
    let node = |kind: &str| nodes(&output.stdout, kind).remove(0);
    assert_eq!(node("github_member").0, "acme/ada");
    assert_eq!(node("github_team").1["slug"], "core");
    assert_eq!(node("github_workflow").1["path"], ".github/workflows/ci.yml");
    let (id, branch) = node("github_branch");
    assert_eq!(id, "acme/app:main");
    let expected = json!([true, 2, ["ci"], false]);
    let fields = ["enforce_admins", "required_approving_review_count", "required_status_checks", "allow_force_pushes"];
    assert_eq!(Value::from(fields.map(|field| branch[field].clone()).to_vec()), expected, "{branch}");
    assert_eq!(node("github_org").1.get("name"), None, "the organization has no name");
}

/// The same organization with pages, names with slashes, and permissions that are missing.
fn large_organization(fault: &str, line: &str) -> Canned {
    let asked = line.trim_start_matches("GET ");
    let first = |body: Value, next: &str| {
        let mut page = reply(200, &body);
        page.1.push(("link", format!("<{next}>; rel=\"next\", <{next}>; rel=\"last\"")));
        page
    };
    let branch = |name: &str| json!({"name": name, "protected": true, "commit": {"sha": "f00"}});
    let team = |id: u32, slug: &str| json!({"id": id, "slug": slug, "name": "Team", "privacy": "secret"});
    match asked.split('?').next().unwrap() {
        path if !fault.is_empty() && path.ends_with(fault) => {
            reply(403, &json!({"message": "Resource not accessible"}))
        }
        "/orgs/acme/repos" => reply(200, &json!([{"id": 3, "name": "app", "full_name": "acme/app"}])),
        "/orgs/acme/teams" if !asked.contains("page=2") => {
            first(json!([team(9, "core")]), "/organizations/1/teams?page=2")
        }
        "/organizations/1/teams" => reply(200, &json!([team(10, "ops")])),
        "/orgs/acme/teams/ops/members" => reply(200, &json!([])),
        "/repos/acme/app/branches" => {
            first(json!([branch("main"), branch("fix/a#b")]), "/repositories/3/branches?page=2")
        }
        "/repositories/3/branches" => reply(200, &json!([branch("release/1")])),
        // It was unprotected since.
        "/repos/acme/app/branches/release%2F1/protection" => reply(404, &json!({"message": "Branch not protected"})),
        _ => organization(line),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn teams_branches_and_workflows_are_complete_or_gaps() {
    for (fault, kind, count) in [
        ("", "github_branch", 3),
        ("", "github_team", 2),
        ("/acme/teams", "github_team", 0),
        ("/app/branches", "github_branch", 0),
        ("/1/teams", "github_team", 1),
        ("/actions/workflows", "github_workflow", 0),
        ("/protection", "github_branch", 3),
        ("/core/members", "github_team", 2),
    ] {
        let server = CannedServer::routed(move |_, line| large_organization(fault, line)).await;
        let all = ["repositories", "branches", "workflows", "organizations", "members", "teams"];
        let mut command =
            command(&["collect", "--output", "-", "--collector", "github", "--github-endpoint-url", server.url()]);
        command.env("CKWORKER_GITHUB_ACCESS_TOKEN", "ghp_x").args(["--github-org", "acme", "--github-repo", "acme/*"]);
        let output = program::run(command.arg("--github-collect").args(all));
        assert_eq!(output.code, if fault.is_empty() { 0 } else { 3 }, "{fault}: {}", output.stderr);
        assert_eq!(nodes(&output.stdout, kind).len(), count, "{fault}: {}", output.stderr);
        let asked = server.arrived();
        let is_asked = |part: &str| asked.iter().any(|one| one.line.contains(part));
        let has_branches = fault != "/app/branches";
        assert_eq!(is_asked("/branches/fix%2Fa%23b/protection"), has_branches, "{fault}");
        assert!(is_asked("/app/branches?per_page=100&protected=true"), "{fault}: {asked:?}");
    }
}

/// Nothing of it without being named: it takes a call for each repository.
#[tokio::test(flavor = "multi_thread")]
async fn costly_kinds_are_not_part_of_all() {
    let server = CannedServer::routed(|_, line| organization(line)).await;
    let mut command =
        command(&["collect", "--output", "-", "--collector", "github", "--github-endpoint-url", server.url()]);
    command.env("CKWORKER_GITHUB_ACCESS_TOKEN", "ghp_x").args(["--github-org", "acme", "--github-repo", "acme/*"]);
    program::run(&mut command);
    assert_eq!(server.arrived().len(), 2, "{:?}", server.arrived());
}

/// Answers that have not changed count for no limit of GitHub.
#[tokio::test(flavor = "multi_thread")]
async fn daemon_asks_only_for_what_has_changed() {
    let server = LocalSaas::github(&[]).await;
    let core = TestCore::start(None).await;
    let daemon = Daemon::at(&core.uri(), |command| server.serve(command, "github").args(NAMED));
    let mut nodes = Vec::new();
    for run in 1..=2 {
        let (kind, error) = have(&core, "collect").await;
        assert_eq!((kind.as_str(), error.as_str()), ("action_done", ""), "{}", daemon.log());
        daemon.logged_times("collection complete nodes=18 edges=17", run).await;
        nodes.push(server.log().to_lowercase().matches("if-none-match").count());
    }
    assert_eq!(nodes, [0, 14], "each of the calls of the second run has the tag of the first");
    daemon.stop().await;
}
