//! The core's graph: requests that need no websocket, and nodes as the core stores them.

mod api;
mod inventory;
mod last_known;
mod ndjson;
mod stored;

pub use api::{CoreApi, MergeReport, MergeRequest};
pub use inventory::{Summaries, Summary};
pub use last_known::{LastKnownAccount, LastKnownEdge, LastKnownNode};
pub use stored::{Ancestor, NodeChange, StoredGraph, StoredNode};
