//! Each operation that a collection of AWS calls, refused, throttled, answering rubbish and hanging in turn: what hangs
//! on it is missing and named, and nothing else changes. And each that gives pages, with pages of one and two items.

mod losses;

use std::{
    collections::{BTreeSet, VecDeque},
    fs,
    path::Path,
    sync::Mutex,
};

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::{
    aws::LocalAws,
    compare,
    program::{self, Output},
};

const REGION: &str = "us-east-1";

/// Accounts that are collected side by side, each under its own fault.
const ACCOUNTS: [&str; 4] = ["812205225875", "949187844527", "223033715152", "123456789012"];

/// Time enough for all retries, and so little that what hangs or stays unreadable is soon given up.
const ENOUGH: &str = "600";
const LITTLE: &str = "45";

/// The code of calls that were not made any more, as several before them had no usable answer. Whether there are any
/// depends on how many had begun by then.
const SKIPPED: &str = "Skipped";

/// What can be wrong with an operation, and the codes that the report may name then.
const FAULTS: [(&str, &[&str]); 4] = [
    ("deny", &["AccessDenied", "AccessDeniedException", "UnauthorizedOperation"]),
    ("throttle", &[]),
    ("garbage", &["InvalidResponse", SKIPPED]),
    ("hang", &["Timeout", SKIPPED]),
];

/// An operation of each protocol, answered by something else than its service, and how.
const FOREIGN: [(&str, &[&str]); 5] = [
    ("ec2:DescribeVolumes", &["empty", "page", "redirect"]),
    ("iam:ListUsers", &["page", "redirect"]),
    ("s3:ListBuckets", &["empty", "page", "redirect"]),
    ("eks:ListClusters", &["empty", "page"]),
    ("cloudwatch:DescribeAlarms", &["empty", "redirect"]),
];

/// The operation without which an account has no name. No answer about it fails the account, which is tried again.
const NAME: &str = "iam:ListAccountAliases";

/// The operation in place of which others are called where it fails.
const DETAILS: &str = "iam:GetAccountAuthorizationDetails";

/// Collects one account; answers how it went and the graph.
async fn collect(
    aws: &LocalAws,
    folder: &Path,
    account: &'static str,
    regions: &[&str],
    timeout: &'static str,
) -> (Output, String) {
    let file = folder.join(account);
    let _ = fs::remove_file(&file);
    let arguments =
        ["collect", "--collector", "aws", "--aws-role", "Cloudkeeper", "--timeout", timeout, "--aws-account"];
    let mut command = program::command(&arguments);
    command.arg(account).arg("--output").arg(&file).arg("--aws-region").args(regions);
    aws.serve(&mut command);
    let output = tokio::task::spawn_blocking(move || program::run(&mut command)).await.unwrap();
    (output, fs::read_to_string(&file).unwrap_or_default())
}

/// The operations that were called, but for those of the plan and of roles.
async fn called(aws: &LocalAws) -> BTreeSet<String> {
    let stats = aws.stats().await;
    let all = stats["by"].as_object().unwrap().keys().cloned();
    all.filter(|name| !name.starts_with("sts:") && !name.starts_with("organizations:")).collect()
}

/// One thing that is wrong, or two.
#[derive(Clone, Debug)]
struct Case {
    operation: String,
    mode: &'static str,
    codes: &'static [&'static str],
    without_details: bool,
}

#[tokio::test]
async fn each_operation_can_fail_in_each_way() {
    let aws = LocalAws::start(4, &[REGION]);
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let (output, first) = collect(&aws, folder, ACCOUNTS[0], &[REGION], ENOUGH).await;
    assert_eq!(output.code, 0, "{}", output.stderr);
    let usual = called(&aws).await;

    aws.reset().await;
    let denied = aws.fault(json!({"operation": "GetAccountAuthorizationDetails", "mode": "deny"})).await;
    let (output, other) = collect(&aws, folder, ACCOUNTS[0], &[REGION], ENOUGH).await;
    assert_eq!(output.code, 0, "what one call does not tell is asked otherwise: {}", output.stderr);
    compare::assert_none(&compare::graphs(&first, &other, None));
    let instead: BTreeSet<_> = called(&aws).await.difference(&usual).cloned().collect();
    aws.mend(denied).await;

    let cases = |operations: &BTreeSet<String>, without_details: bool| {
        let cases = operations.iter().flat_map(|operation| {
            FAULTS.map(|(mode, codes)| Case { operation: operation.clone(), mode, codes, without_details })
        });
        cases.collect::<Vec<_>>()
    };
    let foreign = FOREIGN.iter().flat_map(|(operation, modes)| {
        let without_details = instead.contains(*operation);
        let case =
            move |mode| Case { operation: (*operation).to_owned(), mode, codes: &["InvalidResponse"], without_details };
        modes.iter().copied().map(case)
    });
    let queue = Mutex::new(VecDeque::from([cases(&usual, false), cases(&instead, true), foreign.collect()].concat()));
    assert!(usual.len() > 40 && instead.len() > 8, "{usual:?} {instead:?}");
    let lanes = ACCOUNTS.map(|account| lane(&aws, folder, account, &queue));
    let faults: Vec<String> = join_all(lanes).await.into_iter().flatten().collect();
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

/// Works on cases with one account until none is left; answers what was not as it should be.
async fn lane(aws: &LocalAws, folder: &Path, account: &'static str, queue: &Mutex<VecDeque<Case>>) -> Vec<String> {
    let (output, whole) = collect(aws, folder, account, &[REGION], ENOUGH).await;
    assert_eq!(output.code, 0, "{}", output.stderr);
    let mut wrong = Vec::new();
    loop {
        let Some(case) = queue.lock().unwrap().pop_front() else { return wrong };
        let Case { operation, mode, codes, without_details } = &case;
        let (service, name) = operation.split_once(':').unwrap();
        let mut numbers = Vec::new();
        if *without_details {
            let details = json!({"operation": "GetAccountAuthorizationDetails", "account": account, "mode": "deny"});
            numbers.push(aws.fault(details).await);
        }
        let fault = json!({"service": service, "operation": name, "account": account, "mode": mode});
        if *mode == "throttle" {
            // The first call, and then every second one.
            let [mut once, mut half] = [fault.clone(), fault];
            once["times"] = json!(1);
            half["ratio"] = json!(0.5);
            numbers.push(aws.fault(once).await);
            numbers.push(aws.fault(half).await);
        } else {
            numbers.push(aws.fault(fault).await);
        }
        let (output, partial) =
            collect(aws, folder, account, &[REGION], if ["deny", "throttle"].contains(mode) { ENOUGH } else { LITTLE })
                .await;
        for number in numbers {
            aws.mend(number).await;
        }
        let is_lossless = *mode == "throttle" || operation == DETAILS;
        let is_failure = operation == NAME && !is_lossless && *mode != "deny";
        let (code, found) = match (is_lossless, is_failure) {
            (true, _) => (0, nothing_lost(&whole, &partial, &output)),
            (_, true) => (4, nothing_delivered(&partial, &output.stderr, account, name, codes)),
            _ => {
                let lost = losses::of(operation).differences(&whole, &partial);
                (3, [lost, report(&output.stderr, account, operation, codes)].concat())
            }
        };
        let odd_code = (output.code != code).then(|| format!("exit code {}: {}", output.code, output.stderr));
        wrong.extend(found.into_iter().chain(odd_code).map(|what| format!("{mode} {operation}: {what}")));
    }
}

fn nothing_lost(whole: &str, partial: &str, output: &Output) -> Vec<String> {
    let mut wrong = compare::graphs(whole, partial, None);
    if output.stderr.contains("Left out") {
        wrong.push(format!("there should be no gap: {}", output.stderr));
    }
    wrong
}

/// What is wrong with how an account failed: nothing must be delivered, and what is said must name the reason.
fn nothing_delivered(partial: &str, said: &str, account: &str, operation: &str, codes: &[&str]) -> Vec<String> {
    let mut wrong = Vec::new();
    if !partial.is_empty() {
        wrong.push("a graph is delivered".to_owned());
    }
    let is_named =
        |line: &str| line.contains(account) && line.contains(operation) && codes.iter().any(|code| line.contains(code));
    if !said.lines().any(is_named) {
        wrong.push(format!("the reason is not named: {said}"));
    }
    wrong
}

/// What is wrong with what the summary says is left out: account, region, service, operation, code, and nothing else.
fn report(summary: &str, account: &str, operation: &str, codes: &[&str]) -> Vec<String> {
    let left_out = summary.split_once("Left out:").map_or("", |(_, after)| after);
    let lines: Vec<&str> = left_out.lines().filter(|line| line.starts_with("  aws ")).collect();
    let is_right = |line: &&str| {
        line.contains(account)
            && (line.contains(REGION) || line.contains("global"))
            && codes.iter().any(|code| line.contains(&format!(" {operation}: {code}")))
    };
    let mut wrong: Vec<String> =
        lines.iter().filter(|line| !is_right(line)).map(|line| format!("odd: {line}")).collect();
    // Skipped calls alone do not say why.
    let is_cause = |line: &&str| is_right(line) && !line.contains(&format!(" {operation}: {SKIPPED}"));
    if !lines.iter().any(is_cause) {
        wrong.push(format!("the cause is not named: {summary}"));
    }
    wrong
}

#[tokio::test]
async fn each_operation_is_asked_for_all_its_pages() {
    const REGIONS: [&str; 2] = ["us-east-1", "us-west-2"];
    let aws = LocalAws::start(2, &REGIONS);
    let folder = tempfile::tempdir().unwrap();
    let (output, whole) = collect(&aws, folder.path(), ACCOUNTS[0], &REGIONS, ENOUGH).await;
    assert_eq!(output.code, 0, "{}", output.stderr);
    for without_details in [false, true] {
        for size in [1, 2] {
            aws.reset().await;
            aws.pages(size).await;
            if without_details {
                aws.fault(json!({"operation": "GetAccountAuthorizationDetails", "mode": "deny"})).await;
            }
            let (output, paged) = collect(&aws, folder.path(), ACCOUNTS[0], &REGIONS, ENOUGH).await;
            assert_eq!(output.code, 0, "{}", output.stderr);
            compare::assert_none(&compare::graphs(&whole, &paged, None));
            all_were_followed(&aws.stats().await, size as u64);
        }
    }
}

/// Every page that had a successor was followed by it, and every list longer than a page had one.
fn all_were_followed(stats: &Value, size: u64) {
    let pages = stats["pages"].as_object().unwrap();
    let mut with_more = 0;
    for (operation, seen) in pages {
        let [items, cut, followed] = ["items", "cut", "followed"].map(|count| seen[count].as_u64().unwrap());
        assert_eq!(cut, followed, "{operation}: {seen}");
        assert!(items <= size || followed > 0, "{operation}: {seen}");
        with_more += u64::from(followed > 0);
    }
    assert!(with_more >= if size == 1 { 25 } else { 15 }, "{pages:?}");
}
