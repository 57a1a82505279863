//! The copies of graph and model for `--debug-dump-json`.

use std::{io, path::Path, sync::Arc};

use super::{OutputError, OutputFile};
use crate::{
    collectors,
    graph::{MergedGraph, model_json},
};

/// The files of `--debug-dump-json`.
pub(super) const MODEL_DUMP: &str = "model.dump.json";
const GRAPH_DUMP: &str = "graph.dump.json";

/// Checks that `--debug-dump-json` can write into the directory, before there is something to write.
///
/// # Errors
/// If one of the files cannot be created there.
pub fn check_dump(folder: &Path) -> Result<(), OutputError> {
    [MODEL_DUMP, GRAPH_DUMP].iter().try_for_each(|name| OutputFile::create(&folder.join(name)).map(drop))
}

/// Writes graph and model into the directory.
pub(super) fn dump_json(folder: Option<&Path>, graph: &Arc<MergedGraph>) {
    let Some(folder) = folder else { return };
    match collectors::schema().and_then(model_json) {
        Ok(model) => dump_file(folder, MODEL_DUMP, &|out| out.write_all(&model)),
        Err(error) => tracing::warn!(%error, "the model cannot be dumped"),
    }
    dump_file(folder, GRAPH_DUMP, &|mut out| graph.write_to(&mut out));
}

/// Writes one file. A failure is only logged: the delivery matters more than the copy.
pub(super) fn dump_file(folder: &Path, name: &str, content: &dyn Fn(&mut dyn io::Write) -> io::Result<()>) {
    let written = OutputFile::create(&folder.join(name)).and_then(|file| file.write(|out| content(out)));
    if let Err(error) = written {
        tracing::warn!("--debug-dump-json: {error}");
    }
}
