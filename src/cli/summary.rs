//! The summary of a collection for users: resources by kind and account, and what is missing and why.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use worker_proto::Gap;

use super::table::{Column, Table};
use crate::{
    collectors,
    report::{CollectorReport, Outcome, RunReport, UnitReport},
    telemetry::Line,
};

/// The limit of listed failures and gaps; the rest is counted.
const MAX_LISTED: usize = 20;
/// The limit of accounts with a row; the rest is counted.
const MAX_ROWS: usize = 200;
/// The length limit of an account's name in a column's head, in characters.
const MAX_HEAD: usize = 24;
/// The length limit of an error's message, in characters.
const MAX_MESSAGE: usize = 600;

/// The width of tables without `COLUMNS`.
const WIDTH: usize = 100;

/// Returns the summary. Tables are as wide as `COLUMNS` in the environment. A run that was not delivered is never
/// called complete.
#[must_use]
pub fn summary(report: &RunReport, is_delivered: bool) -> String {
    let columns = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    summary_within(report, is_delivered, columns.unwrap_or(WIDTH))
}

/// Returns the summary with lines of at most `width` characters, apart from error messages and long names.
fn summary_within(report: &RunReport, is_delivered: bool, width: usize) -> String {
    let mut text = String::new();
    for collector in &report.collectors {
        text.push_str(&of_collector(collector, width));
        text.push('\n');
    }
    text.push_str(&missing(report));
    let word = match report {
        _ if report.has_something() && !is_delivered => {
            return text + &format!("NOT WRITTEN: what was collected in {} s is lost\n", seconds(report.took));
        }
        _ if report.is_complete() => "Complete",
        _ if report.has_something() => "INCOMPLETE",
        _ => return text + "Nothing was collected.\n",
    };
    let (nodes, edges, took) = (report.nodes, report.edges, seconds(report.took));
    text.push_str(&format!("{word}: {nodes} nodes and {edges} edges in {took} s\n"));
    text
}

fn of_collector(collector: &CollectorReport, width: usize) -> String {
    let kept: Vec<&UnitReport> = collector.units.iter().filter(|unit| unit.counts()).collect();
    let name = &collector.name;
    if let Some(reason) = &collector.skipped {
        return format!("{name}: skipped, as --collector does not name it: {}\n", shown(reason));
    }
    let head = match (kept.len(), collector.units.len()) {
        (_, 0) => return format!("{name}: nothing\n"),
        (kept, all) if kept == all => format!("{name}: {all} {}\n", accounts(all)),
        (kept, all) => format!("{name}: {kept} of {all} {}\n", accounts(all)),
    };
    if kept.is_empty() {
        return head;
    }
    let by_account = by_kind_and_account(&kept);
    if by_account.width() <= width {
        return format!("{head}\n{by_account}");
    }
    let more = match kept.len().saturating_sub(MAX_ROWS) {
        0 => String::new(),
        more => format!("  … and {more} more\n"),
    };
    format!("{head}\n{}\n{}{more}", by_kind(&kept), by_unit(&kept))
}

fn accounts(number: usize) -> &'static str {
    if number == 1 { "account" } else { "accounts" }
}

/// Returns a table with a row for each kind and a column for each account.
fn by_kind_and_account(units: &[&UnitReport]) -> Table {
    let heads = units.iter().map(|unit| Column::right(cut(&unit.label, MAX_HEAD)));
    let mut table = Table::new([Column::left("kind"), Column::right("total")].into_iter().chain(heads));
    for (kind, total) in totals(units) {
        let counts = units.iter().map(|unit| unit.nodes_by_kind.get(kind).copied().unwrap_or_default());
        table.row([kind.to_owned(), total.to_string()].into_iter().chain(counts.map(or_blank)));
    }
    let nodes: u64 = units.iter().map(|unit| unit.nodes()).sum();
    let of_units = units.iter().map(|unit| unit.nodes().to_string());
    table.footer(["all".to_owned(), nodes.to_string()].into_iter().chain(of_units));
    table
}

/// Returns a table with a row for each kind, without columns for accounts.
fn by_kind(units: &[&UnitReport]) -> Table {
    let mut table = Table::new([Column::left("kind"), Column::right("total")]);
    let totals = totals(units);
    for (kind, total) in &totals {
        table.row([(*kind).to_owned(), total.to_string()]);
    }
    table.footer(["all".to_owned(), totals.values().sum::<u64>().to_string()]);
    table
}

/// Returns a table with a row for each account.
fn by_unit(units: &[&UnitReport]) -> Table {
    let columns = ["nodes", "edges", "gaps", "seconds"].map(Column::right);
    let mut table = Table::new([Column::left("account"), Column::left("name")].into_iter().chain(columns));
    for unit in units.iter().take(MAX_ROWS) {
        let (id, label) = (cut(&unit.id, MAX_HEAD), cut(&unit.label, MAX_HEAD));
        let gaps = or_blank(unit.gaps.len() as u64);
        table.row([id, label, unit.nodes().to_string(), unit.edges.to_string(), gaps, seconds(unit.took)]);
    }
    table
}

fn totals<'a>(units: &[&'a UnitReport]) -> BTreeMap<&'a str, u64> {
    let mut totals = BTreeMap::new();
    for (kind, count) in units.iter().flat_map(|unit| &unit.nodes_by_kind) {
        *totals.entry(kind.as_str()).or_default() += count;
    }
    totals
}

fn or_blank(number: u64) -> String {
    if number == 0 { String::new() } else { number.to_string() }
}

/// Returns the list of everything that failed or was omitted.
fn missing(report: &RunReport) -> String {
    let mut failures = Vec::new();
    for collector in &report.collectors {
        failures.extend(collector.failure.iter().map(|failure| format!("{}: {}", collector.name, shown(failure))));
        failures.extend(collector.units.iter().filter_map(|unit| failed_unit(&collector.name, unit)));
    }
    let mut text = listed("Failed", &failures);
    text.push_str(&listed("Left out", &gaps(report)));
    text
}

fn failed_unit(collector: &str, unit: &UnitReport) -> Option<String> {
    let Outcome::Failed { reason, detail } = &unit.outcome else { return None };
    let attempts = if unit.attempts > 1 { format!(" after {} attempts", unit.attempts) } else { String::new() };
    let (label, id) = (cut(&unit.label, MAX_HEAD), cut(&unit.id, MAX_HEAD));
    let name = if label == id { id } else { format!("{label} ({id})") };
    Some(format!("{collector} {name}: {reason}{attempts}: {}", shown(detail)))
}

fn listed(title: &str, lines: &[String]) -> String {
    if lines.is_empty() {
        return String::new();
    }
    let mut text = format!("{title}:\n");
    for line in lines.iter().take(MAX_LISTED) {
        text.push_str(&format!("  {line}\n"));
    }
    if lines.len() > MAX_LISTED {
        text.push_str(&format!("  … and {} more\n", lines.len() - MAX_LISTED));
    }
    text.push('\n');
    text
}

/// Gaps of the same call with the same code in any regions and accounts, which have the same remedy.
#[derive(Default)]
struct SameGaps<'a> {
    number: usize,
    accounts: BTreeSet<&'a str>,
    regions: BTreeSet<&'a str>,
    message: &'a str,
}

fn gaps(report: &RunReport) -> Vec<String> {
    let mut groups: BTreeMap<(&str, String, &str), SameGaps<'_>> = BTreeMap::new();
    for collector in &report.collectors {
        for gap in collector.gaps.iter().chain(collector.units.iter().flat_map(|unit| &unit.gaps)) {
            let group = groups.entry((&collector.name, call(gap), &gap.code)).or_default();
            group.number += 1;
            group.accounts.insert(&gap.account);
            group.regions.extend((!gap.region.is_empty()).then_some(gap.region.as_str()));
            group.message = &gap.message;
        }
    }
    let lines = groups.iter().map(|((collector, call, code), group)| {
        let times = if group.number > 1 { format!(" ({} times)", group.number) } else { String::new() };
        let (accounts, regions) = (some(&group.accounts), some(&group.regions));
        let place = if regions.is_empty() { accounts } else { format!("{accounts} in {regions}") };
        let advice = advice(collector, code, call);
        let message = if group.message.is_empty() { String::new() } else { format!(": {}", shown(group.message)) };
        format!("{collector} {place}: {call}: {code}{times}{message}\n    {advice}")
    });
    lines.collect()
}

fn call(gap: &Gap) -> String {
    if gap.operation.is_empty() { gap.service.clone() } else { format!("{}:{}", gap.service, gap.operation) }
}

/// Returns at most three of the names.
fn some(names: &BTreeSet<&str>) -> String {
    let mut text = names.iter().take(3).map(|name| cut(name, MAX_HEAD)).collect::<Vec<_>>().join(", ");
    if names.len() > 3 {
        text.push_str(&format!(" and {} more", names.len() - 3));
    }
    text
}

/// The remedies of error codes: parts of codes, and the advice. The first match applies. The codes are those of the
/// clouds and of `docs/operations.md`.
const ADVICE: &[(&[&str], &str)] = &[
    (
        &["throttl", "toomany", "requestlimit", "ratelimit", "slowdown", "queuetimeout", "bandwidth", "priorrequest"],
        "the cloud asked for fewer calls: collect fewer regions at the same time, or give the run more time",
    ),
    (&["skipped"], "see why the calls before these failed, which is named beside it"),
    (
        &["optin", "subscription", "notenabled", "regiondisabled"],
        "the service or region is not enabled in this account: leave it out of the collection",
    ),
    (&["nocredentials"], "see the log for why there were none, and try again"),
    (
        &["authfailure", "expired", "invalidclienttoken", "credential", "signature"],
        "renew the credentials of this account",
    ),
    (&["denied", "unauthorized", "forbidden", "notauthorized"], "allow the collecting role to call {call}"),
    (
        &["timeout", "connectionfailed", "connectionlost"],
        "try again; if it stays, check the network between here and the service, or give the run more time (--timeout)",
    ),
    (&["unknownhost"], "correct the endpoint or region if it is misspelt; otherwise check this machine's resolver"),
    (
        &["invalidresponse"],
        "check what answers between here and the service, such as a proxy, and the endpoint if one is configured",
    ),
    (&["missingresult", "partialdata", "internal"], "the service was not able to say more: try again later"),
];

fn advice(collector: &str, code: &str, call: &str) -> String {
    if let Some(advice) = collectors::find(collector).and_then(|collector| collector.advice(code)) {
        return format!("→ {advice}");
    }
    let code = code.to_ascii_lowercase();
    let fits = |(words, _): &&(&[&str], &str)| words.iter().any(|word| code.contains(word));
    let found =
        ADVICE.iter().find(fits).map_or("try again; if it stays, run with -v and look at the log", |(_, text)| text);
    format!("→ {}", found.replace("{call}", call))
}

/// Returns a foreign string in one line of bounded length.
fn shown(text: &str) -> String {
    cut(text.trim(), MAX_MESSAGE)
}

fn cut(text: &str, characters: usize) -> String {
    if text.chars().count() <= characters {
        return Line::of(text).finish();
    }
    let start: String = text.chars().take(characters - 1).collect();
    format!("{}…", Line::of(&start).finish())
}

fn seconds(took: Duration) -> String {
    format!("{:.1}", took.as_secs_f64())
}

#[cfg(test)]
#[path = "summary_tests.rs"]
mod tests;
