"""Checks of the model, of graphs and of merges."""

from __future__ import annotations

import asyncio
import json

from core_local.check.client import Client, expect
from core_local.check.sample import THING, counts, edge, fresh_graph, node, tree


async def check_graphs(client: Client) -> None:
    """Graphs and models are created, shown and kept apart."""
    reply = await client.call("POST", f"/graph/{client.graph}")
    expect("the root", reply.json["reported"]["kind"], "graph_root")
    await fresh_graph(client)
    kinds = {kind["fqn"] for kind in (await client.call("GET", f"/graph/{client.graph}/model")).json}
    expect("the model", kinds >= {THING, "cloud", "string"}, True)
    reply = await client.call("POST", "/graph/missing/merge", "", {"Content-Type": "application/x-ndjson"})
    expect("a missing graph", (reply.status, reply.text.split("\n")[0]), (404, "Error: NoSuchGraph"))
    reply = await client.call("GET", "/graph/missing/model")
    expect("a missing model", (reply.status, "collection or view not found: missing_model" in reply.text), (400, True))


async def check_replacing(client: Client) -> None:
    """Merges create, leave alone, update and delete what is below the nodes to replace, and nothing else."""
    await fresh_graph(client)
    things = ["t1", "t2"]
    steps = [
        ("a cloud", tree("c1", {"a1": things, "a2": ["t3"]}, replace="cloud"), counts((6, 0, 1), (6, 0))),
        ("the same", tree("c1", {"a1": things, "a2": ["t3"]}, replace="cloud"), counts((0, 0, 0), (0, 0))),
        ("a smaller one", tree("c1", {"a1": ["t1", "t4"]}, replace="cloud"), counts((1, 3, 0), (1, 3))),
        ("another cloud", tree("c2", {"a3": ["t5"]}, replace="cloud"), counts((3, 0, 0), (3, 0))),
        ("an account", tree("c2", {"a4": ["t6"]}), counts((2, 0, 1), (2, 0))),
        ("other content", tree("c2", {"a4": ["t6"]}, size=2), counts((0, 0, 1), (0, 0))),
        ("no content", tree("c2", {"a4": []}), counts((0, 1, 0), (0, 1))),
    ]
    for what, lines, wanted in steps:
        reply = await client.merge(lines)
        expect(what, (reply.status, reply.json if reply.status == 200 else reply.text), (200, wanted))
    nodes, edges = await client.stored()
    expect("nodes", set(nodes), {"root", "c1", "a1", "t1", "t4", "c2", "a3", "t5", "a4"})
    kept = {("root", "c1"), ("c1", "a1"), ("a1", "t1"), ("a1", "t4"), ("root", "c2"), ("c2", "a3"), ("a3", "t5")}
    expect("edges", edges, {"default": kept | {("c2", "a4")}, "delete": set()})
    expect("ancestors", nodes["t5"]["ancestors"]["account"]["reported"], {"id": "a3", "name": "a3"})
    expect("a default", "ctime" in nodes["t5"]["reported"], True)


async def check_edges(client: Client) -> None:
    """Both types of edges are kept apart, and edges of type delete may point upwards."""
    await fresh_graph(client)
    lines = [*tree("c", {"a": ["t1", "t2"]}), edge("t1", "t2"), edge("t2", "t1", "delete"), edge("t2", "a", "delete")]
    expect("merging", (await client.merge(lines)).json, counts((4, 0, 1), (7, 0)))
    _, edges = await client.stored()
    expect("edges to delete along", edges["delete"], {("t2", "t1"), ("t2", "a")})
    expect("merging without", (await client.merge(tree("c", {"a": ["t1", "t2"]}))).json, counts((0, 0, 0), (0, 3)))


async def check_rejections(client: Client) -> None:
    """An invalid merge is rejected with the core's own message and changes nothing."""
    await fresh_graph(client)
    good = tree("c", {"a": ["t"]})
    cases = {
        "No kind definition found for nope": [*good, node("x", "nope"), edge("a", "x")],
        f"Kind:{THING} Property:nope is not defined in model!": [*good, node("x", nope=1), edge("a", "x")],
        "Expected type int64 but got str": [*good, node("x", size="many"), edge("a", "x")],
        "x was used in an edge definition but not provided as vertex!": [*good, edge("a", "x")],
        "Given subgraph has more than one root": [*good, node("x")],
        "No replace nodes provided in the graph": tree("c", {"a": ["t"]}, replace=""),
        "Graph contains unknown edge types!": [*good, edge("a", "t", "dependency")],
        "illegal document key": [*good, node("x y"), edge("a", "x y")],
        "Import process died or deadline exceeded. (ExitCode: None)": [*good, edge("t", "a")],
    }
    for message, lines in cases.items():
        reply = await client.merge(lines)
        expect(message, (reply.status, reply.text.split("\n")[0]), (400, "Error: ImportAborted"))
        assert message in reply.text, f"{message}: {reply.text}"
    expect("what is left", set((await client.stored())[0]), {"root"})
    expect("what is in progress", (await client.call("GET", f"/graph/{client.graph}/batch")).json, [])
    expect("merging after all", (await client.merge(good)).status, 200)


async def check_merging_later(client: Client) -> None:
    """A merge without waiting is answered at once and done soon; its failure is recorded."""
    await fresh_graph(client)
    later = "?wait_for_result=False"
    expect("merging", (await client.merge(tree("c", {"a": ["t"]}), later)).status, 204)
    expect("merging nonsense", (await client.merge([node("x", "nope")], later)).status, 204)
    while True:
        merges = (await client.call("GET", "/debug/merges")).json
        mine = [one for one in merges if one["graph"] == client.graph and one["finished_at"]]
        if len(mine) == 2:  # noqa: PLR2004 - the two above
            break
        await asyncio.sleep(0.05)
    good = next(one for one in mine if one["result"])
    bad = next(one for one in mine if one["error"])
    expect("the good one", good["result"], counts((3, 0, 1), (3, 0)))
    assert "No kind definition found for nope" in bad["error"], bad


async def check_merging_in_parallel(client: Client) -> None:
    """Accounts of one cloud can be merged concurrently, as a worker does."""
    await fresh_graph(client)
    accounts = {f"a{number}": [f"t{number}x{thing}" for thing in range(50)] for number in range(6)}
    replies = await asyncio.gather(*(client.merge(tree("c", {name: held})) for name, held in accounts.items()))
    expect("all merges", [reply.status for reply in replies], [200] * len(accounts))
    nodes, edges = await client.stored()
    wanted = {("root", "c"), *(("c", name) for name in accounts)}
    wanted |= {(name, thing) for name, held in accounts.items() for thing in held}
    expect("edges", edges["default"], wanted)
    expect("nodes", set(nodes), {"root", "c", *accounts, *(thing for held in accounts.values() for thing in held)})


async def check_batches(client: Client) -> None:
    """A batch is visible only when it is committed, and blocks other merges until then."""
    await fresh_graph(client)
    path = f"/graph/{client.graph}/batch"
    body = "".join(json.dumps(line) + "\n" for line in tree("c", {"a": ["t"]}))
    reply = await client.call("POST", f"{path}/merge?batch_id=b", body, {"Content-Type": "application/x-ndjson"})
    expect("merging", reply.json, counts((3, 0, 1), (3, 0)))
    expect("before", set((await client.stored())[0]), {"root"})
    reply = await client.merge(tree("c", {"a": []}))
    assert "ConflictingChangeInProgress('Conflicting change in progress: b!')" in reply.text, reply.text
    expect("committing", (await client.call("POST", f"{path}/b")).text, "Batch committed.")
    expect("after", set((await client.stored())[0]), {"root", "c", "a", "t"})
    expect("committing again", (await client.call("POST", f"{path}/b")).status, 404)


async def check_deferred_edges(client: Client) -> None:
    """A merge with deferred edges is recorded with the workflow that it belongs to."""
    await fresh_graph(client)
    started = (await client.call("POST", "/debug/start/collect")).json["task"]
    deferred = {"from_selector": {"node_id": "t1"}, "to_selector": {"search_criteria": "id(t2)"}}
    header = {"Fix-Worker-Task-Id": started}
    lines = [*tree("c", {"a1": ["t1"], "a2": ["t2"]}), {**deferred, "edge_type": "default"}]
    expect("merging", (await client.merge(lines, headers=header)).status, 200)
    merges = (await client.call("GET", "/debug/merges")).json
    expect("the task of the merge", [one["task_id"] for one in merges if one["graph"] == client.graph], [started])
