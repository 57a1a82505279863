//! Prometheus's text format, version 0.0.4, which every scraper reads.
//!
//! The metrics library writes OpenMetrics and has no summaries. So its output is converted here, and the rest is
//! written with the functions of this module.

use std::fmt::Write;

/// Writes the header of a metric: help and type.
pub(super) fn header(out: &mut String, name: &str, help: &str, kind: &str) {
    // Writing to a String cannot fail.
    let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

/// Writes one value.
pub(super) fn sample<K: AsRef<str>, V: AsRef<str>>(out: &mut String, name: &str, labels: &[(K, V)], value: f64) {
    out.push_str(name);
    for (index, (label, text)) in labels.iter().enumerate() {
        out.push(if index == 0 { '{' } else { ',' });
        out.push_str(label.as_ref());
        out.push_str("=\"");
        escape(out, text.as_ref());
        out.push('"');
    }
    if !labels.is_empty() {
        out.push('}');
    }
    let _ = writeln!(out, " {value}");
}

/// Writes a metric with a single value without labels.
pub(super) fn single(out: &mut String, name: &str, help: &str, kind: &str, value: f64) {
    header(out, name, help, kind);
    sample::<&str, &str>(out, name, &[], value);
}

fn escape(out: &mut String, text: &str) {
    for character in text.chars() {
        match character {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            _ => out.push(character),
        }
    }
}

/// Converts OpenMetrics to version 0.0.4, in which the header has a counter's suffix `_total` as well.
pub(super) fn classic(openmetrics: &str) -> String {
    let mut out = String::with_capacity(openmetrics.len() + openmetrics.len() / 8);
    let mut help = None;
    for line in openmetrics.lines() {
        if let Some(text) = line.strip_prefix("# HELP ") {
            help = text.split_once(' ').map(|(_, text)| text);
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|text| text.split_once(' ')) {
            let suffix = if kind == "counter" { "_total" } else { "" };
            header(&mut out, &format!("{name}{suffix}"), help.take().unwrap_or_default(), kind);
        } else if !line.starts_with('#') {
            out.push_str(line);
            out.push('\n');
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_escaped() {
        let mut out = String::new();
        sample(&mut out, "x_total", &[("account", "a \"b\"\n"), ("region", "c\\d")], 2.0);
        assert_eq!(out, "x_total{account=\"a \\\"b\\\"\\n\",region=\"c\\\\d\"} 2\n");
    }

    #[test]
    fn counters_get_their_suffix_in_the_header_too() {
        let openmetrics =
            "# HELP a Some help.\n# TYPE a counter\na_total 1\n# HELP b Other.\n# TYPE b gauge\nb 2\n# EOF\n";
        let text =
            "# HELP a_total Some help.\n# TYPE a_total counter\na_total 1\n# HELP b Other.\n# TYPE b gauge\nb 2\n";
        assert_eq!(classic(openmetrics), text);
    }
}
