//! JSON lines in a file or on standard output, in the format of the cores.

use std::{
    path::PathBuf,
    sync::{Mutex, PoisonError},
};

use super::{
    Delivered, Delivery, DeliveryError, OutputFile, Sink, blocking, delivered, dump::dump_json, failed, group, merge,
    nothing,
};
use crate::collector_api::BoxFuture;

/// Merges a graph and writes it to a file or to standard output, in the format of the cores.
pub struct NdjsonSink {
    /// The opened output; taken by the first delivery.
    pub output: Mutex<Option<OutputFile>>,
    /// `--ignore-deferred-connections`.
    pub ignore_deferred: bool,
    /// `--debug-dump-json`.
    pub dump: Option<PathBuf>,
}

impl Sink for NdjsonSink {
    fn name(&self) -> String {
        "--output".to_owned()
    }

    fn deliver(&self, delivery: Delivery) -> BoxFuture<'static, Result<Delivered, DeliveryError>> {
        let output = self.output.lock().unwrap_or_else(PoisonError::into_inner).take();
        let (ignore_deferred, dump) = (self.ignore_deferred, self.dump.clone());
        Box::pin(async move {
            let clouds = group(delivery.report.collectors.iter(), delivery.units);
            if clouds.iter().all(|cloud| cloud.units.is_empty()) {
                return Err(nothing());
            }
            let output = output.ok_or_else(|| failed("the output was written already"))?;
            // If the future is dropped, the thread continues for a while, but its file is no longer in the directory.
            let (writing, placing) = output.split();
            let written = blocking(move || {
                let graph = merge(clouds, ignore_deferred)?;
                dump_json(dump.as_deref(), &graph);
                writing.write(|mut out| graph.write_to(&mut out)).map_err(|error| failed(error.to_string()))?;
                Ok(delivered(&graph, Vec::new()))
            });
            let written = written.await?;
            placing.place().map_err(|error| failed(error.to_string()))?;
            Ok(written)
        })
    }
}
