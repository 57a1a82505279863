//! Requests that need no websocket: graph, model, merge and queries.

use std::{io, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::Stream;
use http::{
    Method, StatusCode,
    header::{ACCEPT, CONTENT_TYPE},
};
use reqwest::{Body, Response};
use serde::Deserialize;

use super::{
    inventory::{self, Summaries, SummaryReader},
    last_known::{LastKnownAccount, LastKnownReader},
    stored::{CLEAN_QUERY, GraphReader, NodeChange, StoredGraph, StoredNode, change_bodies},
};
use crate::ckcore::{
    CoreConfig, CoreError,
    dialect::Granularity,
    transport::{CoreInfo, HttpClient, failure, read},
};

const JSON: &str = "application/json";
const NDJSON: &str = "application/x-ndjson";

/// The timeout of a query, its response included.
const QUERY_LIMIT: Duration = Duration::from_secs(600);

/// The size limit of a merge report, in bytes.
const REPORT_LIMIT: usize = 64 * 1024;

/// The core's report of a merge.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct MergeReport {
    /// The number of nodes that the core did not have.
    pub nodes_created: u64,
    /// The number of nodes that changed.
    pub nodes_updated: u64,
    /// The number of nodes that were not in the body.
    pub nodes_deleted: u64,
    /// The number of edges that the core did not have.
    pub edges_created: u64,
    /// The number of edges that changed.
    pub edges_updated: u64,
    /// The number of edges that were not in the body.
    pub edges_deleted: u64,
}

/// The parameters of a merge.
#[derive(Clone, Copy, Debug)]
pub struct MergeRequest<'a> {
    /// The number of nodes in the body.
    pub nodes: u64,
    /// The number of edges in the body.
    pub edges: u64,
    /// The task of the action that the merge belongs to.
    pub task: Option<&'a str>,
    /// The timeout of the merge, the core's own work included.
    pub limit: Duration,
}

/// Requests to one core, without retries. Cloning is cheap.
#[derive(Clone, Debug)]
pub struct CoreApi {
    http: Arc<HttpClient>,
}

impl CoreApi {
    /// Creates requests to the core of a configuration, without a lasting connection.
    ///
    /// # Errors
    /// If the configuration is invalid, such as a system without certificates when TLS is used.
    pub fn new(config: CoreConfig) -> Result<Self, CoreError> {
        Ok(Self::over(Arc::new(HttpClient::new(Arc::new(config))?)))
    }

    pub(in crate::ckcore) fn over(http: Arc<HttpClient>) -> Self {
        Self { http }
    }

    /// Returns the part of the graph that a merge must replace as a whole. One core never mixes the two.
    ///
    /// # Errors
    /// If the core cannot be reached, so that its generation is unknown.
    pub async fn granularity(&self) -> Result<Granularity, CoreError> {
        Ok(self.http.core().await?.dialect.granularity())
    }

    /// Creates the graph, unless the core has it.
    ///
    /// # Errors
    /// If the core cannot be reached or rejects the request.
    pub async fn create_graph(&self) -> Result<(), CoreError> {
        let (config, core) = (&self.http.config, self.http.core().await?);
        let request = self.http.request(&core, Method::POST, config.url(&["graph", &core.graph])).await?;
        // The newer core requires a content type even without content.
        let request = request.header(CONTENT_TYPE, JSON);
        self.http.send_short("creation of the graph", request, config.timing.request).await
    }

    /// Adds kinds, a JSON list, to the core's model.
    ///
    /// # Errors
    /// If the core cannot be reached or rejects the request.
    pub async fn update_model(&self, model: Bytes) -> Result<(), CoreError> {
        let (config, core) = (&self.http.config, self.http.core().await?);
        let (method, path) = core.dialect.model_request(&core.graph);
        let request = self.http.request(&core, method, config.url(&path)).await?;
        let request = request.header(CONTENT_TYPE, JSON).body(model);
        // The core responds with the whole model, which may take a while.
        self.http.send_short("update of the model", request, config.timing.request * 4).await
    }

    /// Merges a graph: lines of nodes and edges.
    ///
    /// If the body ends with an error, the request is aborted and the core merges nothing. With a task, a core that
    /// supports it accepts the body and merges later, while its workflow waits. The report is then empty, and errors in
    /// the body appear only in the core's log. Such a core counts a request before it has read the body, and does not
    /// count down if the request is aborted. So a body should be ready before.
    ///
    /// # Errors
    /// If the core cannot be reached or rejects the request, or the body fails.
    pub async fn merge(
        &self,
        body: impl Stream<Item = io::Result<Bytes>> + Send + 'static,
        order: &MergeRequest<'_>,
    ) -> Result<MergeReport, CoreError> {
        const WHAT: &str = "merge of the graph";
        let (config, core) = (&self.http.config, self.http.core().await?);
        let (nodes_header, edges_header) = core.dialect.count_headers();
        let mut url = config.url(&["graph", &core.graph, "merge"]);
        let task = order.task.and_then(|task| Some((core.dialect.task_header()?, task)));
        if task.is_some() {
            url.query_pairs_mut().append_pair("wait_for_result", "False");
        }
        let request = self.http.request(&core, Method::POST, url).await?;
        let mut request = request
            .header(CONTENT_TYPE, NDJSON)
            .header(nodes_header, order.nodes)
            .header(edges_header, order.edges)
            .body(Body::wrap_stream(body));
        if let Some((header, task)) = task {
            request = request.header(header, task);
        }
        let response = self.http.send(WHAT, request, order.limit).await?;
        if response.status() == StatusCode::NO_CONTENT {
            return Ok(MergeReport::default());
        }
        let report = read(response, REPORT_LIMIT).await.map_err(|error| failure(WHAT, order.limit, &error))?;
        serde_json::from_slice(&report)
            .map_err(|error| CoreError::permanent(WHAT, &format!("the core's report cannot be read: {error}")))
    }

    /// Returns an account's node and everything below it, as lines that can be merged again.
    ///
    /// The account is found by its kind and its ID in the cloud. The result is empty if the core does not know the
    /// account, or knows neither graph nor kind yet.
    ///
    /// # Errors
    /// If the core cannot be reached, rejects the query, or its response cannot be merged again.
    pub async fn account_subgraph(&self, account_kind: &str, account_id: &str) -> Result<LastKnownAccount, CoreError> {
        const WHAT: &str = "query of an account";
        let core = self.http.core().await?;
        let query = core.dialect.account_query(account_kind, account_id)?;
        let mut carrier = LastKnownReader::new(account_kind, account_id);
        if self.query(&core, WHAT, query, |chunk| carrier.feed(chunk)).await? {
            carrier.finish()
        } else {
            Ok(LastKnownAccount::default())
        }
    }

    /// Returns the accounts that the core has below a cloud; none if the core knows neither graph nor kind.
    ///
    /// # Errors
    /// If the core cannot be reached, rejects the query, or its response is not a graph.
    pub async fn accounts(&self, cloud: &str) -> Result<Vec<StoredNode>, CoreError> {
        const WHAT: &str = "query of the accounts of a cloud";
        let core = self.http.core().await?;
        let mut reader = GraphReader::new(WHAT, core.dialect.default_edge(), |_| false);
        if self.query(&core, WHAT, core.dialect.accounts_query(cloud), |chunk| reader.feed(chunk)).await? {
            Ok(reader.finish()?.nodes)
        } else {
            Ok(Vec::new())
        }
    }

    /// Returns the nodes of a kind below a cloud and the nodes directly below them, with the edges between them; none if
    /// the core knows neither graph nor kind.
    ///
    /// # Errors
    /// If the core cannot be reached, rejects the query, or its response is not a graph.
    pub async fn successors(&self, kind: &str, cloud: &str) -> Result<StoredGraph, CoreError> {
        const WHAT: &str = "query of the nodes of a kind";
        let core = self.http.core().await?;
        let mut reader = GraphReader::new(WHAT, core.dialect.default_edge(), |_| false);
        let query = core.dialect.successors_query(kind, cloud)?;
        match self.query(&core, WHAT, query, |chunk| reader.feed(chunk)).await? {
            true => reader.finish(),
            false => Ok(StoredGraph::default()),
        }
    }

    /// Returns the number of nodes of each kind that the core has below the regions of accounts, and below the
    /// accounts; nothing if the core knows neither graph nor kind.
    ///
    /// # Errors
    /// If the core cannot be reached, rejects the query, or its response is not a graph.
    pub async fn summaries(&self, cloud: &str, accounts: &[&str]) -> Result<Summaries, CoreError> {
        let core = self.http.core().await?;
        let queries = core.dialect.summary_queries(cloud, accounts);
        let mut found = [Vec::new(), Vec::new()];
        for (query, found) in queries.into_iter().zip(&mut found) {
            let mut reader = SummaryReader::new();
            if self.query(&core, inventory::WHAT, query, |chunk| reader.feed(chunk)).await? {
                *found = reader.finish()?;
            }
        }
        let [regions, accounts] = found;
        Ok(Summaries { regions, accounts })
    }

    /// Deletes a node, by its ID in the core, with everything below it. Only a core that replaces accounts supports
    /// this.
    ///
    /// # Errors
    /// If the core cannot be reached or rejects the request.
    pub async fn delete_account(&self, node: &str) -> Result<(), CoreError> {
        let (config, core) = (&self.http.config, self.http.core().await?);
        let mut url = config.url(&["graph", &core.graph, "node", node]);
        url.query_pairs_mut().append_pair("keep_history", "true");
        let request = self.http.request(&core, Method::DELETE, url).await?;
        self.http.send_short("deletion of an account", request, config.timing.request * 4).await
    }

    /// Returns the nodes that are marked for cleanup and not cleaned up yet, with all nodes above and below them.
    ///
    /// `clouds` are the IDs of the clouds to search; empty means all. There is no such node if the core does not know
    /// the graph. Nodes that are not needed keep only kind, ID, name and marks.
    ///
    /// # Errors
    /// If the core cannot be reached, rejects the query, or its response is not a graph.
    pub async fn nodes_to_clean(
        &self,
        clouds: &[String],
        is_needed: fn(&StoredNode) -> bool,
    ) -> Result<StoredGraph, CoreError> {
        let core = self.http.core().await?;
        let mut reader = GraphReader::new(CLEAN_QUERY, core.dialect.default_edge(), is_needed);
        if self.query(&core, CLEAN_QUERY, core.dialect.clean_query(clouds), |chunk| reader.feed(chunk)).await? {
            reader.finish()
        } else {
            Ok(StoredGraph::default())
        }
    }

    /// Changes sections of nodes. If the request fails, the changes of all its nodes may be lost, so the caller bounds
    /// their number. The core ignores nodes that it does not know, unless `reported` is changed.
    ///
    /// # Errors
    /// If the core cannot be reached or rejects the request; some of the changes may have been made.
    pub async fn patch_nodes(&self, changes: &[NodeChange]) -> Result<(), CoreError> {
        let (config, core) = (&self.http.config, self.http.core().await?);
        for body in change_bodies(changes) {
            let url = config.url(&["graph", &core.graph, "nodes"]);
            let request = self.http.request(&core, Method::PATCH, url).await?;
            let request = request.header(CONTENT_TYPE, NDJSON).header(ACCEPT, NDJSON).body(body);
            self.http.send_short("change of nodes", request, config.timing.request * 4).await?;
        }
        Ok(())
    }

    /// Runs a query and reads its response. Returns `false` if the core does not know the graph or a kind in the query.
    async fn query(
        &self,
        core: &CoreInfo,
        what: &'static str,
        query: String,
        mut feed: impl FnMut(&[u8]) -> Result<(), CoreError>,
    ) -> Result<bool, CoreError> {
        let url = self.http.config.url(&core.dialect.query_path(&core.graph));
        let request = self.http.request(core, Method::POST, url).await?;
        let request = request.header(CONTENT_TYPE, "text/plain").header(ACCEPT, NDJSON).body(query);
        let mut response = match self.http.send(what, request, QUERY_LIMIT).await {
            Ok(response) => response,
            Err(error) if is_unknown(&error) => return Ok(false),
            Err(error) => return Err(error),
        };
        while let Some(chunk) = chunk(what, &mut response).await? {
            feed(&chunk)?;
        }
        Ok(true)
    }
}

async fn chunk(what: &'static str, response: &mut Response) -> Result<Option<Bytes>, CoreError> {
    response.chunk().await.map_err(|error| failure(what, QUERY_LIMIT, &error))
}

/// Whether the core does not know the graph or the kind, and so has no node of the account.
fn is_unknown(error: &CoreError) -> bool {
    let said = |text: &str| error.message.contains(text);
    match error.status {
        Some(404) => said("NoSuchGraph"),
        Some(400) => said("Given kind does not exist") || said("collection or view not found"),
        _ => false,
    }
}
