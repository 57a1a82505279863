//! Several sinks of one run.

use std::{sync::Arc, time::Instant};

use super::{Delivered, Delivery, DeliveryError, Sink};
use crate::collector_api::BoxFuture;

/// Delivers to each of its sinks, one after the other, because each merge needs its own memory. A sink that fails does
/// not stop the others.
pub struct SeveralSinks(pub Vec<Arc<dyn Sink>>);

/// Returns the delivery with an equal part of the remaining time for each of the remaining sinks.
fn part(delivery: &Delivery, remaining: usize) -> Delivery {
    let now = Instant::now();
    let time = delivery.deadline.saturating_duration_since(now) / u32::try_from(remaining.max(1)).unwrap_or(u32::MAX);
    Delivery { deadline: now + time, ..delivery.clone() }
}

impl Sink for SeveralSinks {
    fn name(&self) -> String {
        self.0.iter().map(|sink| sink.name()).collect::<Vec<_>>().join(", ")
    }

    fn deliver(&self, delivery: Delivery) -> BoxFuture<'static, Result<Delivered, DeliveryError>> {
        let sinks = self.0.clone();
        Box::pin(async move {
            let (mut arrived, mut errors) = (Vec::new(), Vec::new());
            for (number, sink) in sinks.iter().enumerate() {
                match sink.deliver(part(&delivery, sinks.len() - number)).await {
                    Ok(delivered) => arrived.push(delivered),
                    Err(error) => errors.push((sink.name(), error)),
                }
            }
            if errors.is_empty() { Ok(combined(arrived)) } else { Err(joined(&errors, arrived.is_empty())) }
        })
    }

    fn announce(&self, collector: &'static str, accounts: Vec<String>) -> Option<BoxFuture<'static, ()>> {
        let announcements = self.0.iter().filter_map(|sink| sink.announce(collector, accounts.clone()));
        let announcements: Vec<_> = announcements.collect();
        (!announcements.is_empty()).then(|| {
            Box::pin(async move {
                for announcement in announcements {
                    announcement.await;
                }
            }) as BoxFuture<'static, ()>
        })
    }
}

/// Returns the counts of the first sink, and everything that any sink omitted or kept.
fn combined(arrived: Vec<Delivered>) -> Delivered {
    let mut arrived = arrived.into_iter();
    let mut first = arrived.next().unwrap_or_default();
    for mut other in arrived {
        other.left_out.retain(|left_out| !first.left_out.contains(left_out));
        first.left_out.append(&mut other.left_out);
        other.kept.retain(|kept| !first.kept.contains(kept));
        first.kept.append(&mut other.kept);
        other.gaps.retain(|gap| !first.gaps.contains(gap));
        first.gaps.append(&mut other.gaps);
    }
    first
}

fn joined(errors: &[(String, DeliveryError)], is_all: bool) -> DeliveryError {
    let messages: Vec<String> = errors.iter().map(|(sink, error)| format!("{sink}: {}", error.message)).collect();
    DeliveryError { message: messages.join("; "), nothing: is_all && errors.iter().all(|(_, error)| error.nothing) }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::{sync::Mutex, time::Duration};

    use serde_json::json;
    use worker_proto::{Counts, EdgeList, Node};

    use super::*;
    use crate::{
        delivery::{NdjsonSink, OutputFile},
        graph::{Account, NodeId, Spool, UnitStore},
        report::{CollectorReport, RunReport},
    };

    fn delivery(spool: &Spool) -> Delivery {
        let account = Account { kind: "account".into(), id: "1".into(), label: "one".into() };
        let mut store = UnitStore::new(account, spool);
        let line = json!({ "id": NodeId([7; 16]).to_string(), "reported": { "kind": "account", "id": "1" } });
        let line = line.to_string().into_bytes().into();
        let node = Node { id: [7; 16], kind: "account".into(), resource: "1".into(), line };
        store.nodes(&[node]).unwrap();
        store.edges(&EdgeList::default());
        let unit = store.complete(Counts { nodes: 1, edges: 0, deferred: 0, names: 0 }).unwrap();
        let report = RunReport {
            collectors: vec![CollectorReport { name: "example".into(), ..CollectorReport::default() }],
            ..RunReport::default()
        };
        let deadline = Instant::now() + Duration::from_secs(60);
        Delivery { report, units: vec![("example", unit)], spool: spool.clone(), deadline, task: None }
    }

    fn file(path: &std::path::Path) -> Arc<dyn Sink> {
        let output = Mutex::new(Some(OutputFile::create(path).unwrap()));
        Arc::new(NdjsonSink { output, ignore_deferred: false, dump: None })
    }

    #[tokio::test]
    async fn every_sink_gets_the_same_graph_from_memory_and_file() {
        let folder = tempfile::tempdir().unwrap();
        for budget in [0, 1 << 20] {
            let paths = ["a", "b", "c"].map(|name| folder.path().join(name));
            let sinks = SeveralSinks(paths.iter().map(|path| file(path)).collect());
            let arrived = sinks.deliver(delivery(&Spool::new(budget))).await.unwrap();
            assert_eq!((arrived.nodes, arrived.edges), (3, 2), "root and cloud above the account");
            let written = paths.map(|path| std::fs::read_to_string(path).unwrap());
            assert_eq!(written[0].lines().count(), 5);
            assert!(written.iter().all(|text| *text == written[0]));
        }
    }

    #[tokio::test]
    async fn failed_sink_is_named_and_others_get_their_graph() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let taken = Arc::new(NdjsonSink { output: Mutex::new(None), ignore_deferred: false, dump: None });
        let sinks = SeveralSinks(vec![taken, file(&path)]);
        let error = sinks.deliver(delivery(&Spool::new(1 << 20))).await.unwrap_err();
        assert!(error.message.starts_with("--output: ") && !error.nothing, "{error:?}");
        assert_eq!(std::fs::read_to_string(path).unwrap().lines().count(), 5);
    }
}
