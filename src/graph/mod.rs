//! Graph: node IDs, kinds, nodes under construction, merge, checks and export.
//!
//! Inside a worker a collector builds a [`Resource`] of a [`Kind`], which becomes one finished ndjson line, and passes
//! it to the `UnitGraph` of the room `collector_api`, which also resolves edges by reference. In the supervisor the
//! frames of a unit fill a [`UnitStore`]. The complete units of all collectors become a [`MergedGraph`], which is
//! checked and exported. Lines are never parsed again after they were written.

mod account;
mod check;
mod complete;
mod export;
mod id;
mod json;
mod key;
mod kind_spec;
mod memory;
mod merge;
mod model;
mod model_kind;
mod printable;
mod records;
mod resource;
mod schema;
mod spool;
mod store;
mod timestamp;
mod value;

pub use account::OutwardLines;
pub use complete::{Account, CompleteUnit, Incomplete};
pub use export::{CHUNK, Export};
pub use id::{Identity, InvalidNodeId, NodeId, UNDEFINED};
pub use key::{Key, name_hash};
pub use kind_spec::{FieldSpec, KindFile, KindSpec};
pub use merge::{AccountCount, CloudUnits, LeftOut, MergeError, MergeReport, MergedGraph};
pub use model::{lean_model_json, model_json};
pub use model_kind::ModelKind;
pub use resource::{MAX_LINE, Resource, ResourceError, Scope};
pub use schema::{ANY_KIND, Field, Kind, Schema, SchemaError};
pub use spool::Spool;
pub use store::{CarriedStore, StoreError, UnitStore, node_key};
pub use value::Value;
