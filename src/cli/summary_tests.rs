//! Tables of summaries.

use super::*;
use crate::cli::ExitCode;

fn unit(number: u64, nodes: &[(&str, u64)]) -> UnitReport {
    UnitReport {
        id: format!("10000000000{number}"),
        label: format!("account-{number}"),
        kind: "aws_account".into(),
        outcome: Outcome::Complete,
        attempts: 1,
        nodes_by_kind: nodes.iter().map(|(kind, count)| ((*kind).to_owned(), *count)).collect(),
        edges: 4 * number,
        gaps: vec![],
        kept: 0,
        took: Duration::from_millis(1234 * number),
    }
}

#[test]
fn invalid_responses_and_unknown_hosts_have_advice() {
    assert!(advice("aws", "InvalidResponse", "ec2:DescribeVpcs").contains("proxy"));
    assert!(advice("aws", "UnknownHost", "ec2:DescribeVpcs").contains("resolver"));
}

#[test]
fn undelivered_run_is_not_called_complete() {
    let text = summary_within(&report(vec![unit(1, &[("aws_vpc", 2)])]), false, WIDTH);
    assert!(text.contains("NOT WRITTEN") && !text.contains("Complete"), "{text}");
}

#[test]
fn each_code_has_its_own_advice() {
    for (code, word) in [
        ("QueueTimeout", "fewer calls"),
        ("Throttling", "fewer calls"),
        ("Skipped", "before these"),
        ("AuthFailure", "--aws-region"),
        ("ExpiredToken", "renew"),
        ("AccessDenied", "to call ec2:DescribeVpcs"),
        ("Timeout", "--timeout"),
        ("PartialData", "try again later"),
        ("SomethingElse", "run with -v"),
    ] {
        let advice = advice("aws", code, "ec2:DescribeVpcs");
        assert!(advice.contains(word), "{code}: {advice}");
    }
}

fn gap(account: &str, region: &str, operation: &str, code: &str) -> Gap {
    Gap {
        account: account.into(),
        region: region.into(),
        service: "ec2".into(),
        operation: operation.into(),
        code: code.into(),
        message: "You are not authorized\nto do this.".into(),
    }
}

fn report(units: Vec<UnitReport>) -> RunReport {
    let collectors = vec![CollectorReport { name: "aws".into(), units, ..CollectorReport::default() }];
    RunReport { collectors, nodes: 40, edges: 50, took: Duration::from_millis(3210) }
}

#[test]
fn complete_run_is_shown_as_table() {
    let units = vec![
        unit(1, &[("aws_account", 1), ("aws_vpc", 12)]),
        unit(2, &[("aws_account", 1), ("aws_ec2_instance", 1200)]),
    ];
    insta::assert_snapshot!(summary_within(&report(units), true, 80));
}

#[test]
fn summary_lists_accounts_as_rows_when_columns_do_not_fit() {
    let units = (1..=6).map(|number| unit(number, &[("aws_account", 1), ("aws_vpc", number)])).collect();
    let text = summary_within(&report(units), true, 60);
    assert!(text.lines().all(|line| line.chars().count() <= 60), "{text}");
    insta::assert_snapshot!(text);
}

#[test]
fn gaps_are_listed_with_remedy() {
    let mut partial = unit(1, &[("aws_account", 1)]);
    partial.gaps = vec![
        gap("100000000001", "us-east-1", "DescribeVolumes", "UnauthorizedOperation"),
        gap("100000000001", "us-west-2", "DescribeVolumes", "UnauthorizedOperation"),
        gap("100000000001", "us-west-2", "DescribeVpcs", "RequestLimitExceeded"),
        gap("100000000001", "", "", "Odd"),
    ];
    let mut failed = unit(2, &[("aws_account", 1)]);
    failed.outcome = Outcome::Failed { reason: "killed".into(), detail: "the worker was ended by signal 9".into() };
    failed.attempts = 3;
    let mut report = report(vec![partial, failed]);
    let failure = Some("no credentials were found".into());
    report.collectors.push(CollectorReport { name: "example".into(), failure, ..CollectorReport::default() });
    insta::assert_snapshot!(summary_within(&report, true, 80));
}

#[test]
fn skipped_collector_has_one_line() {
    let skipped = Some("no credentials; set AWS_PROFILE".into());
    let skipped = CollectorReport { name: "aws".into(), skipped, ..CollectorReport::default() };
    let line = "aws: skipped, as --collector does not name it: no credentials; set AWS_PROFILE\n";
    let mut complete = report(vec![unit(1, &[("aws_vpc", 2)])]);
    complete.collectors.push(skipped.clone());
    let text = summary_within(&complete, true, WIDTH);
    assert!(text.contains(line) && text.contains("\nComplete: "), "{text}");
    assert_eq!(ExitCode::of(&complete), ExitCode::Complete);
    let nothing = RunReport { collectors: vec![skipped], ..RunReport::default() };
    assert_eq!(summary_within(&nothing, false, WIDTH), format!("{line}\nNothing was collected.\n"));
    assert_eq!(ExitCode::of(&nothing), ExitCode::Nothing);
}

#[test]
fn long_lists_are_cut_and_counted() {
    let mut one = unit(1, &[("aws_account", 1)]);
    one.gaps = (0..30).map(|number| gap("1", "r", &format!("Describe{number:02}"), "Odd")).collect();
    let text = summary_within(&report(vec![one]), true, 80);
    assert!(text.contains("… and 10 more") && !text.contains("Describe29"), "{text}");
}
