//! The number of nodes of each kind below regions and accounts, from the summaries that the core keeps with these
//! nodes.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{last_known::Ancestors, ndjson::LineReader};
use crate::ckcore::CoreError;

/// The name of the request in errors.
pub const WHAT: &str = "query of what the core has of accounts";

/// A region or an account in the core, with the number of nodes below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// The ID of the node.
    pub node: String,
    /// The node's kind.
    pub kind: String,
    /// The node's ID in the cloud.
    pub id: String,
    /// The ID in the cloud of the node's account, which may be the node itself.
    pub account: String,
    /// The number of nodes below the node, at any depth, by kind. The core omits kinds that stand for no resource.
    pub counts: BTreeMap<String, u64>,
}

/// The summaries of some accounts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summaries {
    /// The accounts' regions.
    pub regions: Vec<Summary>,
    /// The accounts themselves.
    pub accounts: Vec<Summary>,
}

/// A line of the core's response.
#[derive(Deserialize)]
struct Line {
    id: Option<String>,
    reported: Option<Reported>,
    #[serde(default)]
    metadata: Option<Metadata>,
    /// The ancestors in core 4.1, which name the node's account.
    #[serde(default)]
    ancestors: Option<Ancestors>,
}

#[derive(Deserialize)]
struct Reported {
    kind: String,
    id: String,
}

#[derive(Default, Deserialize)]
struct Metadata {
    #[serde(default)]
    descendant_summary: Option<BTreeMap<String, u64>>,
    #[serde(default)]
    ancestors: Option<Ancestors>,
}

/// Reads summaries while they arrive.
pub struct SummaryReader {
    lines: LineReader,
    summaries: Vec<Summary>,
}

impl SummaryReader {
    pub fn new() -> Self {
        Self { lines: LineReader::new(WHAT), summaries: Vec::new() }
    }

    /// Reads the next bytes of the response, which may end anywhere in a line.
    pub fn feed(&mut self, chunk: &[u8]) -> Result<(), CoreError> {
        let Self { lines, summaries } = self;
        lines.feed(chunk, |line| summaries.extend_from_line(line))
    }

    /// Returns the summaries of a complete response.
    pub fn finish(mut self) -> Result<Vec<Summary>, CoreError> {
        let Self { lines, summaries } = &mut self;
        lines.finish(|line| summaries.extend_from_line(line))?;
        Ok(self.summaries)
    }
}

trait FromLines {
    fn extend_from_line(&mut self, line: &[u8]) -> Result<(), CoreError>;
}

impl FromLines for Vec<Summary> {
    fn extend_from_line(&mut self, line: &[u8]) -> Result<(), CoreError> {
        let unusable = |why: &str| LineReader::new(WHAT).unusable(why);
        let line: Line = serde_json::from_slice(line).map_err(|error| unusable(&error.to_string()))?;
        // An edge has neither ID nor kind.
        let (Some(node), Some(Reported { kind, id })) = (line.id, line.reported) else { return Ok(()) };
        let Metadata { descendant_summary, ancestors } = line.metadata.unwrap_or_default();
        let account = line.ancestors.or(ancestors).and_then(Ancestors::account_id);
        let (account, counts) = (account.unwrap_or_else(|| id.clone()), descendant_summary.unwrap_or_default());
        self.push(Summary { node, kind, id, account, counts });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn read(lines: &str) -> Vec<Summary> {
        let mut reader = SummaryReader::new();
        lines.as_bytes().chunks(7).for_each(|chunk| reader.feed(chunk).unwrap());
        reader.finish().unwrap()
    }

    #[test]
    fn summaries_of_both_cores_are_read() {
        for recorded in [include_str!("../testdata/clean_2.0.ndjson"), include_str!("../testdata/clean_4.1.ndjson")] {
            let summaries = read(recorded);
            let of = |id: &str| summaries.iter().find(|summary| summary.id == id).unwrap();
            let (account, region) = (of("Example Account"), of("us-west"));
            assert_eq!(account.kind, "example_account");
            assert_eq!(
                [account, region].map(|one| one.account.as_str()),
                ["Example Account", "Example Account"],
                "{recorded}"
            );
            assert_eq!((region.counts["example_network"], account.counts["example_instance"]), (1, 2));
        }
    }

    #[test]
    fn answer_that_is_no_graph_is_an_error() {
        let mut reader = SummaryReader::new();
        assert!(reader.feed(b"<html>\n").is_err());
        let mut reader = SummaryReader::new();
        assert!(reader.feed(b"{\"id\": \"a\", \"reported\": {\"id\": 1}}\n").is_err());
    }
}
