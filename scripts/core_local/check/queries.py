"""Checks of searches and of changes of single nodes."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import aiohttp

from core_local.check.client import Client, Json, expect
from core_local.check.sample import THING, edge, fresh_graph, tree

CLEANUP = (
    "/desired.clean == true and /metadata.cleaned != true and /metadata.protected!=true and "
    '/ancestors.cloud.reported.id in ["c1"] <-default,delete[0:]->'
)


async def filled(client: Client) -> None:
    """Merges two clouds with three things."""
    await fresh_graph(client)
    lines = [*tree("c1", {"a1": ["t1", "t2"]}), edge("t2", "t1", "delete")]
    expect("merging", (await client.merge(lines)).status, 200)
    expect("merging", (await client.merge(tree("c2", {"a2": ["t3"]}, size=7))).status, 200)


async def clean(client: Client) -> tuple[set[str], set[tuple[str, str, str]]]:
    """Returns nodes and edges that the query of a cleanup finds."""
    reply = await client.call(
        "POST", f"/graph/{client.graph}/search/graph?section=reported", CLEANUP, {"Accept": "application/x-ndjson"}
    )
    expect("the query of the cleanup", reply.status, 200)
    nodes = [line for line in reply.lines if line["type"] == "node"]
    edges = [line for line in reply.lines if line["type"] == "edge"]
    expect("nodes come once", len({one["id"] for one in nodes}), len(nodes))
    return {one["id"] for one in nodes}, {(one["from"], one["to"], one["edge_type"]) for one in edges}


async def check_cleanup(client: Client) -> None:
    """Marked nodes are found with their surroundings, and no longer once they are cleaned."""
    await filled(client)
    expect("nothing marked", await clean(client), (set(), set()))
    marked = (await client.cli(f'search is({THING}) and size < 5 | clean "why" | dump')).lines
    expect("marking", {one["id"] for one in marked}, {"t1", "t2"})
    expect("the mark", marked[0]["desired"]["clean"], True)
    edges = {("root", "c1", "default"), ("c1", "a1", "default"), ("a1", "t1", "default"), ("a1", "t2", "default")}
    expect("all marked", await clean(client), ({"root", "c1", "a1", "t1", "t2"}, edges | {("t2", "t1", "delete")}))
    log = [{"timestamp": "2024-01-01T00:00:00Z", "msg": "gone", "exception": None}]
    cleaned = {"cleaned": True, "event_log": log}
    expect(
        "cleaning one", (await client.patch({"id": "t1", "metadata": cleaned})).lines[0]["metadata"]["cleaned"], True
    )
    found = await clean(client)
    expect("one left", "t2" in found[0], True)
    await client.patch({"id": "t2", "metadata": {"cleaned": True}})
    expect("none left", await clean(client), (set(), set()))
    expect(
        "merging again",
        (await client.merge([*tree("c1", {"a1": ["t1", "t2"]}), edge("t2", "t1", "delete")])).status,
        200,
    )
    nodes, _ = await client.stored()
    expect("kept", (nodes["t1"]["desired"], nodes["t1"]["metadata"]["cleaned"]), ({"clean": True}, True))


async def check_protection(client: Client) -> None:
    """Protected nodes are not found by the query of a cleanup."""
    await filled(client)
    await client.cli('search id(t1) | clean "why"')
    await client.cli("search id(t1) | protect")
    expect("the cleanup", await clean(client), (set(), set()))


async def check_patching(client: Client) -> None:
    """Sections of nodes are changed, and invalid changes are rejected."""
    await filled(client)
    done = (await client.patch({"id": "t1", "metadata": {"a": 1, "b": {"c": 2}}})).lines[0]
    expect("adding", {name: done["metadata"][name] for name in ("a", "b")}, {"a": 1, "b": {"c": 2}})
    done = (await client.patch({"id": "t1", "metadata": {"a": None, "b": {"d": 3}}})).lines[0]
    expect("removing", ("a" in done["metadata"], done["metadata"]["b"]), (False, {"d": 3}))
    done = (await client.patch({"id": "t1", "reported": {"size": 5}})).lines[0]
    expect("reported", (done["reported"]["size"], done["reported"]["name"]), (5, "t1"))
    revision = done["revision"]
    done = (await client.patch({"id": "t1", "metadata": None})).lines[0]
    expect("removing all", "metadata" in done, False)
    cases: list[tuple[Json, int, str]] = [
        ({"id": "t1", "revision": revision, "metadata": {"x": 1}, "desired": {}}, 400, "OptimisticLockingFailed"),
        ({"id": "nope", "metadata": {"x": 1}}, 200, ""),
        ({"id": "nope", "reported": {"x": 1}}, 400, "No document found with this id: nope"),
        ({"id": "t1", "reported": {"nope": 1}}, 400, f"Kind:{THING} Property:nope is not defined in model!"),
        ({"id": "t1"}, 400, "No update provided for element"),
    ]
    for patch, status, message in cases:
        reply = await client.patch(patch)
        expect(f"patching {patch}", (reply.status, message in reply.text), (status, True))
    # All or nothing: the second line is rejected, so the first one must be undone.
    # The core has begun its response by then, and does not end it properly.
    with suppress(TimeoutError, aiohttp.ClientError):
        await asyncio.wait_for(
            client.patch({"id": "t2", "metadata": {"z": 1}}, {"id": "nope", "reported": {"x": 1}}), 1
        )
    expect("undone", "z" in ((await client.stored())[0]["t2"].get("metadata") or {}), False)


async def check_single_nodes(client: Client) -> None:
    """Nodes are read and deleted by their id."""
    await filled(client)
    path = f"/graph/{client.graph}/node"
    found = (await client.call("GET", f"{path}/t1")).json
    expect("ancestors", found["ancestors"]["cloud"]["reported"]["id"], "c1")
    expect("a missing one", (await client.call("GET", f"{path}/nope")).status, 404)
    expect("deleting", (await client.call("DELETE", f"{path}/a1")).status, 204)
    nodes, edges = await client.stored()
    expect("what is left", set(nodes), {"root", "c1", "c2", "a2", "t3"})
    expect("edges that are left", len(edges["default"]), 4)


async def check_searching(client: Client) -> None:
    """Searches of many forms find what they must."""
    await filled(client)
    await client.patch({"id": "t1", "reported": {"parts": [{"label": "x"}, {"label": "y"}]}})
    cases = {
        f"is({THING})": ["t1", "t2", "t3"],
        f"is({THING}) sort name desc": ["t3", "t2", "t1"],
        f"is({THING}) sort name limit 1, 1": ["t2"],
        "id(t1)": ["t1"],
        "size > 1": ["t3"],
        "size != 1": ["t3"],
        'name =~ "^t[12]$"': ["t1", "t2"],
        'name in ["t1", "nope"]': ["t1"],
        "tags.owner == me": ["t1", "t2", "t3"],
        "tags.owner != null": ["t1", "t2", "t3"],
        f"is({THING}) and tags.nope == null": ["t1", "t2", "t3"],
        "parts[*].label == y": ["t1"],
        "parts[*].{label == y}": ["t1"],
        "is(cloud) --> is(account)": ["a1", "a2"],
        "is(account) -[0:]->": ["a1", "a2", "t1", "t2", "t3"],
        "id(t1) <--": ["a1"],
        "id(t1) <-[1:]-": ["a1", "c1", "root"],
        "id(t2) -delete->": ["t1"],
        "is(account) with(count == 1, -->)": ["a2"],
        "/ancestors.account.reported.name == a2": ["a2", "t3"],
        "is(nope)": [],
    }
    for query, wanted in cases.items():
        reply = await client.search(query)
        expect(f"{query}: {reply.text[:200]}", reply.status, 200)
        found = [line["id"] for line in reply.lines]
        expect(query, found if "sort" in query else sorted(found), wanted)


async def check_aggregating(client: Client) -> None:
    """Sums by groups, counts and lists of values are right."""
    await filled(client)
    query = f"aggregate(/ancestors.cloud.reported.id as cloud: sum(1) as n, max(size) as most): is({THING})"
    found = (await client.search(query, "aggregate")).lines
    wanted = [{"group": {"cloud": "c1"}, "n": 2, "most": 1}, {"group": {"cloud": "c2"}, "n": 1, "most": 7}]
    expect("groups", found, wanted)
    expect(
        "a count",
        (await client.cli(f"search is({THING}) | count")).lines[-2:],
        ["total matched: 3", "total unmatched: 0"],
    )


async def check_history(client: Client) -> None:
    """Changes are kept in the history."""
    await filled(client)
    await client.merge(tree("c2", {"a2": []}))
    found = (await client.cli("history --change node_deleted | dump")).lines
    expect("deleted", [(one["id"], one["change"]) for one in found], [("t3", "node_deleted")])


async def check_unsupported(client: Client) -> None:
    """A query that the database does not support is an error that names it."""
    await filled(client)
    reply = await client.search('"some text"')
    expect(
        "a full-text search", (reply.status, "the local database cannot execute this query" in reply.text), (400, True)
    )
