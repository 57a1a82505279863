//! Floods: far more of everything than a supervisor could keep, but not without end.

use worker_proto::{
    BATCH_BYTES, Counts, Deferred, EdgeList, FromWorker, Gap, MAX_FRAME, Node, Selector, encode_from_worker,
};

use super::{Puppet, framed};

/// What a flood takes on the way.
const FLOOD: usize = 1 << 30;

impl Puppet {
    /// Sends the flood of this name, and ends as if nothing had happened.
    pub(super) fn flood(&mut self, name: &str, unit: u32) -> ! {
        let frame = frame(name, unit);
        let body = encode_from_worker(&frame).unwrap();
        let bytes = framed(&body);
        let times = FLOOD / bytes.len().max(1024);
        for _ in 0..times {
            self.raw(&bytes);
        }
        let times = times as u64;
        let mut counts = Counts { nodes: 2, edges: 0, deferred: 0, names: 0 };
        match &frame {
            FromWorker::Nodes { nodes, .. } => counts.nodes += nodes.len() as u64 * times,
            FromWorker::Edges { edges, .. } => counts.edges += edges.len() as u64 * times,
            FromWorker::Deferred { edges, .. } => counts.deferred += edges.len() as u64 * times,
            _ => {}
        }
        self.say(&FromWorker::UnitDone { unit, counts });
        self.say(&FromWorker::Done);
        std::process::exit(0);
    }
}

/// What is sent again and again.
fn frame(name: &str, unit: u32) -> FromWorker {
    let empty = Node { id: [3; 16], kind: "k".into(), resource: String::new(), line: Vec::new().into() };
    match name {
        "flood-of-edges" => {
            let mut edges = EdgeList::default();
            (0..BATCH_BYTES / 32).for_each(|_| edges.push([1; 16], [2; 16]));
            FromWorker::Edges { unit, edges }
        }
        "flood-of-nodes" => FromWorker::Nodes { unit, nodes: vec![empty; BATCH_BYTES / 64] },
        "flood-of-large-frames" => FromWorker::Nodes { unit, nodes: vec![empty; MAX_FRAME / 64] },
        "flood-of-kinds" => FromWorker::Nodes { unit, nodes: vec![Node { kind: "k".repeat(1000), ..empty }] },
        "flood-of-deferred" => {
            let to = Selector::Resource { kind: "k".into(), id: "i".repeat(BATCH_BYTES) };
            FromWorker::Deferred { unit, edges: vec![Deferred { from: Selector::Node([1; 16]), to }] }
        }
        "flood-of-credentials" => FromWorker::NeedCredentials { unit, rejected: false },
        "flood-of-questions" => FromWorker::NeedShared { key: "k".repeat(1000) },
        "flood-of-long-questions" => FromWorker::NeedShared { key: "k".repeat(BATCH_BYTES) },
        "flood-of-gaps" => {
            let text = "t".repeat(BATCH_BYTES);
            let gap = Gap {
                account: text.clone(),
                region: text.clone(),
                service: text.clone(),
                operation: text.clone(),
                code: text.clone(),
                message: text,
            };
            FromWorker::Gap { unit, gap }
        }
        other => panic!("unknown flood {other}"),
    }
}
