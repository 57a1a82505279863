//! One-shot collections of an AWS organization with the built program and real child processes.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    net::TcpListener,
    path::Path,
    process::{Command, Stdio},
};

use serde_json::{Value, json};

use crate::support::{
    aws::{ACCOUNTS, LocalAws},
    compare,
    poll::poll,
    program::{self, Output, Running},
};

/// The graph that the original made of the same organization.
const GOLDEN: &str = include_str!("../../golden/aws/graph.ndjson");

/// When the roles of the members were assumed for seeding, and the clock stands since.
const ASSUMED: &str = "2021-11-01T00:12:53+00:00";

/// The same with what the original missed, as the documentation lists it: tags of roles and users, last use of roles,
/// sizes of scaling groups, and the networks of load balancers.
fn expected() -> String {
    let lines = GOLDEN.lines().map(with_details).chain(networks_of_balancers());
    lines.collect::<Vec<_>>().join("\n")
}

/// The edges from networks to load balancers: a balancer is in the network of its subnets.
fn networks_of_balancers() -> BTreeSet<String> {
    let lines: Vec<Value> = GOLDEN.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let text = |line: &Value, key: &str| line[key].as_str().unwrap_or_default().to_owned();
    let kinds: BTreeMap<_, _> = lines.iter().map(|line| (text(line, "id"), text(&line["reported"], "kind"))).collect();
    let edges = |from: &str, to: &str| -> Vec<(String, String)> {
        let edges = lines.iter().map(|line| (text(line, "from"), text(line, "to")));
        let kind = |id: &String| kinds.get(id).map_or("", String::as_str);
        edges.filter(|(start, end)| kind(start) == from && kind(end) == to).collect()
    };
    let network: BTreeMap<_, _> =
        edges("aws_vpc", "aws_ec2_subnet").into_iter().map(|(vpc, subnet)| (subnet, vpc)).collect();
    let balancers = edges("aws_ec2_subnet", "aws_alb").into_iter();
    balancers.map(|(subnet, balancer)| json!({"from": network[&subnet], "to": balancer}).to_string()).collect()
}

/// What the local AWS is seeded with: tags of every other role and of the other every other user, sizes, last use.
fn with_details(line: &str) -> String {
    let mut node: Value = serde_json::from_str(line).unwrap();
    let reported = &mut node["reported"];
    let text = |field: &str| reported[field].as_str().unwrap_or_default().to_owned();
    let (kind, name, arn) = (text("kind"), text("name"), text("arn"));
    let number = name.rsplit('-').next().and_then(|number| number.parse::<u32>().ok());
    match (kind.as_str(), number.map(|number| number % 2)) {
        ("aws_iam_role", Some(0)) => reported["tags"] = json!({"Name": name, "owner": "team-a"}),
        ("aws_iam_user", Some(1)) => reported["tags"] = json!({"Name": name, "email": format!("{name}@example.test")}),
        ("aws_autoscaling_group", _) => {
            reported["min_size"] = json!(1);
            reported["max_size"] = json!(3);
        }
        ("aws_iam_role", None) if name == "Cloudkeeper" && !arn.contains(ACCOUNTS[0]) => {
            reported["atime"] = json!(ASSUMED);
        }
        _ => {}
    }
    node.to_string()
}

/// How often an organization is collected in each way: whatever comes first in a run, the graph is the same. A run
/// takes seconds, so that `scripts/test --runs` has to ask for more than these.
const RUNS: usize = 2;

fn runs() -> usize {
    std::env::var("COLLECT_RUNS").map_or(RUNS, |runs| runs.parse().expect("COLLECT_RUNS must be a number"))
}

const REGIONS: [&str; 2] = ["us-east-1", "us-west-2"];

/// The arguments for a whole organization.
fn organization(output: &Path) -> Vec<&str> {
    let mut arguments = vec!["collect", "-v", "--collector", "aws", "--aws-role", "Cloudkeeper", "--aws-scrape-org"];
    arguments.extend(["--output", output.to_str().unwrap(), "--aws-region"]);
    arguments.extend(REGIONS);
    arguments
}

fn collect(aws: &LocalAws, output: &Path, more: &[&str]) -> Output {
    let mut command = program::command(&organization(output));
    program::run(aws.serve(&mut command).args(more))
}

/// The process ids of the workers that collected an account, as the log says.
fn workers(log: &str) -> Vec<&str> {
    let began = log.lines().filter(|line| line.contains("collecting") && line.contains(" pid="));
    let mut pids: Vec<&str> = began.filter_map(|line| line.split(" pid=").nth(1)).collect();
    pids.sort_unstable();
    pids.dedup();
    pids
}

/// The account ids whose nodes have something below them.
fn accounts_with_content(graph: &str) -> Vec<&str> {
    ACCOUNTS.into_iter().filter(|account| graph.contains(&format!("arn:aws:iam::{account}:user/"))).collect()
}

#[tokio::test]
async fn organization_equals_that_of_python_worker() {
    let aws = LocalAws::start(4, &REGIONS);
    let folder = tempfile::tempdir().unwrap();
    let expected = expected();
    let (forked, inside) = (folder.path().join("forked.ndjson"), folder.path().join("inside.ndjson"));

    for run in 1..=runs() {
        aws.reset().await;
        let output = collect(&aws, &forked, &["--fork", "--aws-fork"]);
        assert_eq!(output.code, 0, "run {run}: {}", output.stderr);
        assert_eq!(workers(&output.stderr).len(), 4, "one child per account: {}", output.stderr);
        let graph = fs::read_to_string(&forked).unwrap();
        compare::assert_none(&compare::graphs(&expected, &graph, None));
        let stats = aws.stats().await;
        assert_eq!(stats["by"]["sts:AssumeRole"], 3, "once per member account: {stats}");

        let output = collect(&aws, &inside, &[]);
        assert_eq!(output.code, 0, "run {run}: {}", output.stderr);
        assert_eq!(workers(&output.stderr), Vec::<&str>::new(), "nothing is forked");
        let other = fs::read_to_string(&inside).unwrap();
        compare::assert_none(&compare::graphs(&graph, &other, None));
    }

    let denied = json!({"operation": "AssumeRole", "account": ACCOUNTS[2], "mode": "deny"});
    let graph = with_fault(&aws, folder.path(), denied).await;
    assert_eq!(accounts_with_content(&graph), [ACCOUNTS[0], ACCOUNTS[1], ACCOUNTS[3]]);

    let hanging = json!({"account": ACCOUNTS[2], "service": "ec2", "mode": "hang"});
    let graph = with_fault(&aws, folder.path(), hanging).await;
    assert_eq!(accounts_with_content(&graph), ACCOUNTS, "what does not hang is there");
    let lost = compare::graphs(&expected, &graph, None);
    assert!(lost.iter().any(|difference| difference.starts_with("missing node: aws_ec2_instance")), "{lost:#?}");
    assert!(lost.iter().all(|difference| difference.starts_with("missing")), "{lost:#?}");
}

/// What a run collects of the organization under a fault of one account. The exit code and the summary say that there
/// is one.
async fn with_fault(aws: &LocalAws, folder: &Path, fault: Value) -> String {
    aws.reset().await;
    aws.fault(fault.clone()).await;
    let partial = folder.join("partial.ndjson");
    let output = collect(aws, &partial, &["--fork", "--aws-fork", "--timeout", "30"]);
    aws.reset().await;
    assert_eq!(output.code, 3, "{fault}: {}", output.stderr);
    assert!(output.stderr.contains(ACCOUNTS[2]), "{fault}: {}", output.stderr);
    fs::read_to_string(&partial).unwrap()
}

#[tokio::test]
async fn single_account_survives_denials_kills_and_stops() {
    let aws = LocalAws::start(1, &REGIONS[..1]);
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("graph.ndjson");
    let arguments = ["collect", "-v", "--fork", "--collector", "aws", "--aws-fork", "--aws-region", REGIONS[0]];
    let command = |more: &[&str]| {
        let mut command = program::command(&arguments);
        aws.serve(&mut command).args(more).args(["--output", output.to_str().unwrap()]);
        command
    };

    a_denied_call_costs_its_kind_only(&aws, &output, &command).await;
    a_killed_worker_is_replaced(&aws, &output, &command).await;
    a_stopped_worker_is_ended(&aws, &command).await;
    signals_end_everything(&aws, &output, &command).await;

    let mut wrong = command(&[]);
    wrong.env("AWS_ENDPOINT_URL", "http://127.0.0.1:9");
    let failed = program::run(wrong.args(["--timeout", "30"]));
    assert_eq!(failed.code, 4, "{}", failed.stderr);
    assert!(failed.stderr.contains("127.0.0.1:9"), "{}", failed.stderr);
}

#[test]
fn wrong_endpoint_is_reported_once() {
    let mut command = program::command(&["collect", "--collector", "aws", "--output", "-"]);
    command.env("AWS_ENDPOINT_URL", "http://127.0.0.1:9").env("AWS_ACCESS_KEY_ID", "a");
    let run = program::run(command.env("AWS_SECRET_ACCESS_KEY", "b"));
    assert_eq!(run.code, 4, "{}", run.stderr);
    assert_eq!(run.stderr.matches("http://127.0.0.1:9").count(), 1, "{}", run.stderr);
}

/// A collection of an AWS that takes calls and never answers; it has made its first one.
fn waiting(shell: &str) -> (Running, TcpListener) {
    let aws = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut command = Command::new("sh");
    command.args(["-c", &format!("{shell} exec \"$0\" \"$@\""), env!("CARGO_BIN_EXE_ckworker"), "collect"]);
    command.args(["--collector", "aws", "--output", "-", "--aws-access-key-id", "a"]);
    command.args(["--aws-secret-access-key=hunter2", "--aws-region", "us-east-1"]);
    command.env_clear().env("PATH", "/usr/bin:/bin").env("AWS_EC2_METADATA_DISABLED", "true").env("NO_PROXY", "*");
    command.env("AWS_ENDPOINT_URL", format!("http://{}", aws.local_addr().unwrap())).stdin(Stdio::null());
    let running = Running::start(&mut command);
    drop(aws.accept().unwrap());
    (running, aws)
}

#[test]
fn hangup_ends_collection_unless_ignored() {
    let (running, _aws) = waiting("");
    running.signal("HUP");
    let run = running.wait();
    assert_eq!(run.code, 129, "{}", run.stderr);

    let (running, _aws) = waiting("trap '' HUP;");
    running.signal("HUP");
    running.signal("TERM");
    let run = running.wait();
    assert_eq!(run.code, 143, "{}", run.stderr);
}

/// Invariant: secrets are only in frames and in an allow-listed environment.
#[test]
fn no_secret_is_among_the_arguments_of_a_process() {
    let (running, _aws) = waiting("");
    for pid in running.children().into_iter().chain([running.pid()]) {
        let arguments = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap();
        assert!(!arguments.contains("hunter2") && !arguments.contains("secret"), "{arguments:?}");
        assert!(arguments.contains("ckworker"), "{arguments:?}");
    }
    running.signal("TERM");
    let run = running.wait();
    assert!(run.stderr.contains("--aws-secret-access-key was taken off the command line"), "{}", run.stderr);
}

async fn a_denied_call_costs_its_kind_only(aws: &LocalAws, output: &Path, command: &impl Fn(&[&str]) -> Command) {
    aws.fault(json!({"operation": "DescribeVolumes", "mode": "deny"})).await;
    let run = program::run(&mut command(&[]));
    aws.reset().await;
    assert_eq!(run.code, 3, "{}", run.stderr);
    for part in ["DescribeVolumes", "us-east-1", "UnauthorizedOperation"] {
        assert!(run.stderr.contains(part), "{part}: {}", run.stderr);
    }
    let graph = fs::read_to_string(output).unwrap();
    assert!(!graph.contains("\"aws_ec2_volume\""));
    assert!(graph.contains("\"aws_ec2_instance\"") && graph.contains("\"aws_vpc\""));
}

/// Lets a kind hang. Calls of an earlier run no longer count, so that they cannot be taken for those of the next one.
async fn volumes_hang(aws: &LocalAws) {
    aws.reset().await;
    aws.fault(json!({"operation": "DescribeVolumes", "mode": "hang"})).await;
}

/// The child that collects; the one that plans has ended when the first EC2 call of an account waits.
async fn collecting_child(aws: &LocalAws, running: &Running) -> i32 {
    let child = poll(async || {
        let stats = aws.stats().await;
        let children = running.children();
        let [child] = children[..] else { return None };
        (stats["by"]["ec2:DescribeVpcs"].as_u64() > Some(0)).then_some(child)
    });
    child.await.expect("a worker in the middle of its account")
}

async fn a_killed_worker_is_replaced(aws: &LocalAws, output: &Path, command: &impl Fn(&[&str]) -> Command) {
    volumes_hang(aws).await;
    let running = Running::start(&mut command(&[]));
    program::signal(collecting_child(aws, &running).await, "KILL");
    aws.reset().await;
    let run = running.wait();
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(run.stderr.contains("SIGKILL"), "{}", run.stderr);
    assert!(fs::read_to_string(output).unwrap().contains("\"aws_ec2_volume\""));
}

async fn a_stopped_worker_is_ended(aws: &LocalAws, command: &impl Fn(&[&str]) -> Command) {
    volumes_hang(aws).await;
    let running = Running::start(&mut command(&["--timeout", "25"]));
    let child = collecting_child(aws, &running).await;
    program::signal(child, "STOP");
    let run = running.wait();
    aws.reset().await;
    assert_eq!(run.code, 4, "{}", run.stderr);
    assert!(run.stderr.contains("--timeout"), "{}", run.stderr);
    assert!(!program::is_alive(child), "the stopped child must be gone");
}

async fn signals_end_everything(aws: &LocalAws, output: &Path, command: &impl Fn(&[&str]) -> Command) {
    for (signal, code) in [("TERM", 143), ("INT", 130)] {
        fs::write(output, "from before").unwrap();
        volumes_hang(aws).await;
        let running = Running::start(&mut command(&[]));
        let child = collecting_child(aws, &running).await;
        running.signal(signal);
        let run = running.wait();
        aws.reset().await;
        assert_eq!(run.code, code, "{}", run.stderr);
        let said = format!("stopped by SIG{signal}; nothing was written");
        assert!(run.stderr.contains(&said), "{said}: {}", run.stderr);
        assert!(!program::is_alive(child), "{signal}: the child must be gone");
        assert_eq!(fs::read_to_string(output).unwrap(), "from before", "{signal}: the old output is kept");
    }
}

#[test]
fn unwritable_output_is_reported_before_any_call() {
    for output in ["/nonexistent/graph.ndjson", "/"] {
        let mut command = program::command(&["collect", "--collector", "aws", "--output", output]);
        let run = program::run(command.env("AWS_ENDPOINT_URL", "http://127.0.0.1:9"));
        assert_eq!(run.code, 5, "{}", run.stderr);
        assert_eq!(run.stderr.lines().count(), 1, "one clear message: {}", run.stderr);
        assert!(run.stderr.contains(output), "{}", run.stderr);
    }
}

#[test]
fn full_disk_is_reported_with_its_exit_code() {
    let run = program::run(&mut program::command(&["collect", "--collector", "example", "--output", "/dev/full"]));
    assert_eq!(run.code, 5, "{}", run.stderr);
    assert!(run.stderr.contains("/dev/full") && run.stderr.contains("No space left"), "{}", run.stderr);
    assert!(run.stderr.contains("NOT WRITTEN") && !run.stderr.contains("Complete"), "{}", run.stderr);
}

#[test]
fn standard_output_by_any_name_is_written_to_and_not_replaced() {
    let golden = include_str!("../../golden/example/graph.ndjson");
    for name in ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"] {
        let file = tempfile::NamedTempFile::new().unwrap();
        let before = fs::read_link("/dev/stdout").ok();
        let mut command = program::command(&["collect", "--collector", "example", "--quiet", "--output", name]);
        let status = command.stdout(file.reopen().unwrap()).status().unwrap();
        assert!(status.success(), "{name}");
        compare::assert_none(&compare::graphs(golden, &fs::read_to_string(file.path()).unwrap(), None));
        assert_eq!(fs::read_link("/dev/stdout").ok(), before, "{name}");
    }
}

#[test]
fn unwritable_dump_is_reported_before_any_call() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("graph.dump.json")).unwrap();
    let mut command = program::command(&["collect", "--collector", "aws", "--output", "-", "--debug-dump-json"]);
    let run = program::run(command.env("AWS_ENDPOINT_URL", "http://127.0.0.1:9").current_dir(folder.path()));
    assert_eq!(run.code, 2, "{}", run.stderr);
    assert_eq!(run.stderr.lines().count(), 1, "one clear message: {}", run.stderr);
    assert!(run.stderr.contains("--debug-dump-json") && run.stderr.contains("graph.dump.json"), "{}", run.stderr);
}

#[test]
fn without_credentials_the_message_says_what_to_do() {
    let run = program::run(&mut program::command(&["collect", "--collector", "aws", "--output", "-"]));
    assert_eq!(run.code, 4, "{}", run.stderr);
    assert_eq!(run.stdout, "");
    assert!(run.stderr.contains("credentials"), "{}", run.stderr);

    let mut command = program::command(&["collect", "--collector", "aws", "--output", "-"]);
    let run = program::run(command.env("AWS_PROFILE", "nobodys"));
    assert_eq!(run.code, 2, "{}", run.stderr);
    assert!(run.stderr.contains("\"nobodys\" (AWS_PROFILE)"), "{}", run.stderr);
}

#[test]
fn standard_output_has_the_graph_and_nothing_else() {
    for fork in [&["--fork"][..], &[]] {
        let arguments = [&["collect", "--collector", "example", "--output", "-"], fork].concat();
        let run = program::run(&mut program::command(&arguments));
        assert_eq!(run.code, 0, "{}", run.stderr);
        let golden = include_str!("../../golden/example/graph.ndjson");
        compare::assert_none(&compare::graphs(golden, &run.stdout, None));
    }
}

#[test]
fn worker_command_by_hand_explains_itself() {
    let run = program::run(&mut program::command(&["worker"]));
    assert_eq!(run.code, 2);
    assert!(run.stderr.contains("started by ckworker itself"), "{}", run.stderr);
}
