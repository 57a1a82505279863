//! The time of each node: its ID, its line, and its place in the merged graph.

#![expect(clippy::unwrap_used, reason = "benchmarks")]

use std::{hint::black_box, io, sync::Arc};

use ckworker::graph::{
    Account, CloudUnits, CompleteUnit, Identity, MergedGraph, NodeId, Resource, Schema, Scope, Spool, UNDEFINED,
    UnitStore, Value,
};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use time::macros::datetime;
use worker_proto::{EdgeList, Node};

const SCOPE: Scope<'_> = Scope { cloud: "aws", account: "123456789012", region: "us-east-1", zone: UNDEFINED };
const UNITS: usize = 10;
const NODES_PER_UNIT: usize = 10_000;

fn instance(schema: &'static Schema, number: usize) -> Node {
    let mut instance = Resource::new(schema.kind("aws_ec2_instance").unwrap(), format!("i-{number:017x}"));
    instance.name("web server").tag("Name", "web server").tag("owner", "someone").tag("cost-center", "1234");
    instance.set("ctime", Value::Time(datetime!(2021-11-01 0:00:07 UTC))).unwrap();
    instance.set("instance_type", "m5.large".into()).unwrap();
    instance.set("instance_status", "running".into()).unwrap();
    instance.set("instance_cores", Value::Int(2)).unwrap().set("instance_memory", Value::Float(8.0)).unwrap();
    instance.finish(&SCOPE).unwrap()
}

fn unit(schema: &'static Schema, number: usize) -> CompleteUnit {
    let id = format!("{number:012}");
    let scope = Scope { account: &id, ..SCOPE };
    let account = Account { kind: "aws_account".into(), id: id.clone(), label: id.clone() };
    let mut store = UnitStore::new(account, &Spool::new(u64::MAX));
    let top = Resource::new(schema.kind("aws_account").unwrap(), id.as_str()).finish(&scope).unwrap();
    let first = number * NODES_PER_UNIT;
    let nodes: Vec<_> = (first..first + NODES_PER_UNIT).map(|number| instance(schema, number)).collect();
    let mut edges = EdgeList::default();
    for pair in nodes.windows(2) {
        edges.push(top.id, pair[0].id);
        edges.push(pair[0].id, pair[1].id);
    }
    store.nodes(&[top]).unwrap();
    nodes.chunks(400).for_each(|batch| store.nodes(batch).unwrap());
    store.edges(&edges);
    let counts = store.counts();
    store.complete(counts).unwrap()
}

fn nodes(criterion: &mut Criterion) {
    let schema = ckworker::collectors::schema().unwrap();
    criterion.bench_function("id", |bencher| {
        let Scope { cloud, account, region, zone } = SCOPE;
        let (kind, id, name) = ("aws_ec2_instance", "i-0123456789abcdef0", Some("web server"));
        bencher.iter(|| NodeId::of(black_box(&Identity { kind, cloud, account, region, zone, id, name })));
    });
    criterion.bench_function("line", |bencher| bencher.iter(|| instance(schema, black_box(7))));
}

fn merge(criterion: &mut Criterion) {
    let schema = ckworker::collectors::schema().unwrap();
    let cloud = || CloudUnits { name: "aws".into(), units: (0..UNITS).map(|number| unit(schema, number)).collect() };
    let mut group = criterion.benchmark_group("100k nodes");
    group.sample_size(10).throughput(Throughput::Elements((UNITS * NODES_PER_UNIT) as u64));
    group.bench_function("merge", |bencher| {
        bencher.iter_batched(cloud, |cloud| MergedGraph::build(vec![cloud], false).unwrap(), BatchSize::PerIteration);
    });
    let graph = Arc::new(MergedGraph::build(vec![cloud()], false).unwrap());
    group.bench_function("export", |bencher| bencher.iter(|| graph.write_to(&mut io::sink()).unwrap()));
    group.finish();
}

criterion_group!(benches, nodes, merge);
criterion_main!(benches);
