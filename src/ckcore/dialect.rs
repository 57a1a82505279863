//! Differences between the two generations of the core: names, paths, queries, and the use of websockets. The frames
//! are in `actions/frames.rs` and `tasks/frames.rs`.

use http::Method;
use serde_json::Value;

use super::{CoreError, SubscriberId};

/// The limit of connections to the work queue, over both generations.
pub(super) const MAX_QUEUE_CONNECTIONS: usize = 32;

/// The protocol of a generation of the core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    /// ckcore 2.0.
    Core2,
    /// fixcore 4.1.
    Core4,
}

/// The part of the graph that a merge replaces as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Granularity {
    /// A cloud with all its accounts, in one merge. An account that is missing is deleted.
    Cloud,
    /// An account, in a merge of its own. An account that is not sent stays.
    Account,
}

impl Dialect {
    /// Returns the name of the generation.
    pub(super) fn name(self) -> &'static str {
        match self {
            Dialect::Core2 => "ckcore 2.0",
            Dialect::Core4 => "fixcore 4.1",
        }
    }

    /// Returns the ID of a subscriber; without a configured first part that of the Python worker.
    pub(super) fn subscriber(self, first: Option<&str>, id: SubscriberId) -> String {
        let (usual, worker) = match self {
            Dialect::Core2 => ("worker", "collect_cleanup"),
            Dialect::Core4 => ("fix.worker", "collector"),
        };
        let last = match id {
            SubscriberId::Worker => worker,
            SubscriberId::Plugin(last) => last,
        };
        format!("{}-{last}", first.unwrap_or(usual))
    }

    /// Returns the graph that the Python worker writes.
    pub(super) fn default_graph(self) -> &'static str {
        match self {
            Dialect::Core2 => "ck",
            Dialect::Core4 => "fix",
        }
    }

    /// Whether the core closes a websocket after each frame that it received, which is its only acknowledgement.
    pub(super) fn closes_after_frame(self) -> bool {
        match self {
            Dialect::Core2 => true,
            Dialect::Core4 => false,
        }
    }

    /// Returns the number of connections to the work queue at all times, and while one of them has more than one task.
    ///
    /// ckcore closes a connection after each result and redelivers its other tasks, at most three times. Eight
    /// connections carry a burst of eight tasks without a redelivery, 32 one of about a hundred in four rounds.
    pub(super) fn queue_connections(self) -> (usize, usize) {
        match self {
            Dialect::Core2 => (8, MAX_QUEUE_CONNECTIONS),
            Dialect::Core4 => (1, 1),
        }
    }

    /// Whether the core redelivers a task without a result.
    pub(super) fn repeats_tasks(self) -> bool {
        match self {
            Dialect::Core2 => true,
            Dialect::Core4 => false,
        }
    }

    /// Returns the part of the graph that a merge replaces as a whole.
    pub(super) fn granularity(self) -> Granularity {
        match self {
            Dialect::Core2 => Granularity::Cloud,
            Dialect::Core4 => Granularity::Account,
        }
    }

    /// Returns method and path for the model. The graph must exist.
    pub(super) fn model_request(self, graph: &str) -> (Method, Vec<&str>) {
        match self {
            Dialect::Core2 => (Method::PATCH, vec!["model"]),
            Dialect::Core4 => (Method::PUT, vec!["graph", graph, "model"]),
        }
    }

    /// Returns the headers with the numbers of nodes and edges of a merge, for the core's log.
    pub(super) fn count_headers(self) -> (&'static str, &'static str) {
        match self {
            Dialect::Core2 => ("Cloudkeeper-Ckworker-Nodes", "Cloudkeeper-Ckworker-Edges"),
            Dialect::Core4 => ("Fix-Worker-Nodes", "Fix-Worker-Edges"),
        }
    }

    /// Returns the header that names the task of a merge. A core that knows it merges after it has read the body, while
    /// its workflow waits.
    pub(super) fn task_header(self) -> Option<&'static str> {
        match self {
            Dialect::Core2 => None,
            Dialect::Core4 => Some("Fix-Worker-Task-Id"),
        }
    }

    /// Returns the path of a query for nodes and edges.
    pub(super) fn query_path(self, graph: &str) -> [&str; 4] {
        match self {
            Dialect::Core2 => ["graph", graph, "query", "graph"],
            Dialect::Core4 => ["graph", graph, "search", "graph"],
        }
    }

    /// Returns the query for an account and everything below it.
    pub(super) fn account_query(self, kind: &str, id: &str) -> Result<String, CoreError> {
        check_kind("query of an account", kind)?;
        // A JSON string is quoted as the query languages require.
        let id = Value::from(id);
        Ok(match self {
            Dialect::Core2 => format!("is({kind}) and reported.id == {id} -[0:]->"),
            Dialect::Core4 => format!("is({kind}) and /reported.id == {id} -[0:]->"),
        })
    }

    /// Returns the query for the accounts of a cloud.
    pub(super) fn accounts_query(self, cloud: &str) -> String {
        let cloud = Value::from(cloud);
        match self {
            Dialect::Core2 => format!("is(account) and metadata.ancestors.cloud.id == {cloud}"),
            Dialect::Core4 => format!("is(account) and /ancestors.cloud.reported.id == {cloud}"),
        }
    }

    /// Returns the query for the nodes of a kind below a cloud, with the nodes directly below them.
    pub(super) fn successors_query(self, kind: &str, cloud: &str) -> Result<String, CoreError> {
        check_kind("query of a kind", kind)?;
        let cloud = Value::from(cloud);
        Ok(match self {
            Dialect::Core2 => format!("is({kind}) and metadata.ancestors.cloud.id == {cloud} -[0:1]->"),
            Dialect::Core4 => format!("is({kind}) and /ancestors.cloud.reported.id == {cloud} -[0:1]->"),
        })
    }

    /// Returns the queries for regions and for accounts with these IDs below a cloud.
    pub(super) fn summary_queries(self, cloud: &str, accounts: &[&str]) -> [String; 2] {
        let (cloud, accounts) = (Value::from(cloud), Value::from(accounts));
        match self {
            Dialect::Core2 => [
                format!(
                    "is(region) and metadata.ancestors.cloud.id == {cloud} and metadata.ancestors.account.id in {accounts}"
                ),
                format!("is(account) and metadata.ancestors.cloud.id == {cloud} and reported.id in {accounts}"),
            ],
            Dialect::Core4 => [
                format!(
                    "is(region) and /ancestors.cloud.reported.id == {cloud} and /ancestors.account.reported.id in {accounts}"
                ),
                format!("is(account) and /ancestors.cloud.reported.id == {cloud} and /reported.id in {accounts}"),
            ],
        }
    }

    /// Returns the query for the nodes to clean up, with their predecessors and successors. Without clouds it is for
    /// all.
    pub(super) fn clean_query(self, clouds: &[String]) -> String {
        let (wanted, cloud, around) = match self {
            Dialect::Core2 => {
                ("desired.clean == true and metadata.cleaned == false", "metadata.ancestors.cloud.id", "<-[0:]->")
            }
            Dialect::Core4 => (
                "/desired.clean == true and /metadata.cleaned != true and /metadata.protected!=true",
                "/ancestors.cloud.reported.id",
                "<-default,delete[0:]->",
            ),
        };
        if clouds.is_empty() {
            return format!("{wanted} {around}");
        }
        format!("{wanted} and {cloud} in {} {around}", Value::from(clouds))
    }

    /// Returns the default edge type.
    pub(super) fn default_edge(self) -> &'static str {
        match self {
            Dialect::Core2 => "dependency",
            Dialect::Core4 => "default",
        }
    }
}

/// # Errors
/// If this cannot be the name of a kind.
fn check_kind(what: &'static str, kind: &str) -> Result<(), CoreError> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    match kind.is_empty() || !kind.chars().all(plain) {
        true => Err(CoreError::permanent(what, &format!("{kind:?} is not the name of a kind"))),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn account_query_is_quoted() {
        let query = Dialect::Core2.account_query("aws_account", "a\"b\\").unwrap();
        assert_eq!(query, r#"is(aws_account) and reported.id == "a\"b\\" -[0:]->"#);
        assert!(Dialect::Core2.account_query("aws account)", "1").is_err());
    }

    #[test]
    fn query_of_successors_is_quoted() {
        let query = Dialect::Core4.successors_query("gcp_network", "a\"").unwrap();
        assert_eq!(query, r#"is(gcp_network) and /ancestors.cloud.reported.id == "a\"" -[0:1]->"#);
        assert!(Dialect::Core4.successors_query("", "gcp").is_err());
    }

    #[test]
    fn cleanup_queries_equal_the_recorded_ones() {
        let example = ["example".to_owned()];
        assert_eq!(
            Dialect::Core2.clean_query(&example),
            r#"desired.clean == true and metadata.cleaned == false and metadata.ancestors.cloud.id in ["example"] <-[0:]->"#
        );
        assert_eq!(
            Dialect::Core4.clean_query(&example),
            r#"/desired.clean == true and /metadata.cleaned != true and /metadata.protected!=true and /ancestors.cloud.reported.id in ["example"] <-default,delete[0:]->"#
        );
        let all = Dialect::Core2.clean_query(&[]);
        assert_eq!(all, "desired.clean == true and metadata.cleaned == false <-[0:]->");
    }

    #[test]
    fn subscriber_ids_equal_those_of_python_worker() {
        let worker = SubscriberId::Worker;
        assert_eq!(Dialect::Core2.subscriber(None, worker), "worker-collect_cleanup");
        assert_eq!(Dialect::Core4.subscriber(None, worker), "fix.worker-collector");
        assert_eq!(Dialect::Core4.subscriber(Some("mine"), worker), "mine-collector");
        let plugin = SubscriberId::Plugin("actions-cleanup_plan-CleanupExpiredPlugin");
        assert_eq!(Dialect::Core2.subscriber(None, plugin), "worker-actions-cleanup_plan-CleanupExpiredPlugin");
    }
}
