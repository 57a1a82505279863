//! The core's graph: the requests that need no websocket, and nodes as the core has them.

mod api;
mod inventory;
mod last_known;
mod ndjson;
mod stored;

pub use api::{CoreApi, MergeOrder, MergeReport};
pub use inventory::{Summaries, Summary};
pub use last_known::{Carried, CarriedEdge, CarriedNode};
pub use stored::{Ancestor, NodeChange, Stored, StoredGraph, stored_node};
