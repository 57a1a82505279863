"""A model and small graphs for the checks: clouds over accounts over things."""

from __future__ import annotations

from core_local.check.client import Client, Json, expect

THING = "sample_thing"


def kind(name: str, base: str, **properties: str) -> Json:
    """Returns a complex kind."""
    return {
        "fqn": name,
        "bases": [base],
        "properties": [{"name": one, "kind": what} for one, what in properties.items()],
        "allow_unknown_props": False,
    }


MODEL: list[Json] = [
    {
        "fqn": "resource",
        "bases": [],
        "properties": [
            {"name": "kind", "kind": "string", "required": True},
            {"name": "id", "kind": "string", "required": True},
            {"name": "name", "kind": "string"},
            {"name": "tags", "kind": "dictionary[string, string]"},
            {"name": "ctime", "kind": "datetime"},
            {"name": "mtime", "kind": "datetime"},
        ],
        "allow_unknown_props": False,
        "aggregate_root": True,
    },
    kind("cloud", "resource"),
    kind("account", "resource"),
    kind("region", "resource"),
    kind("graph_root", "resource"),
    kind(THING, "resource", size="int64", parts="sample_part[]"),
    {**kind("sample_part", "", label="string"), "bases": []},
]


def node(identifier: str, what: str = THING, *, replace: bool = False, **reported: object) -> Json:
    """Returns a line with a node."""
    line: Json = {"id": identifier, "reported": {"kind": what, "id": identifier, "name": identifier, **reported}}
    return {**line, "metadata": {"replace": True}} if replace else line


def edge(start: str, end: str, what: str = "") -> Json:
    """Returns a line with an edge."""
    return {"from": start, "to": end, **({"edge_type": what} if what else {})}


def tree(cloud: str, accounts: dict[str, list[str]], *, replace: str = "account", size: int = 1) -> list[Json]:
    """Returns the lines of a cloud with accounts and the things in them."""
    lines = [node("root", "graph_root"), node(cloud, "cloud", replace=replace == "cloud"), edge("root", cloud)]
    for account, things in accounts.items():
        lines += [node(account, "account", replace=replace == "account"), edge(cloud, account)]
        for thing in things:
            lines += [node(thing, size=size, tags={"owner": "me"}), edge(account, thing)]
    return lines


async def fresh_graph(client: Client) -> None:
    """Makes the client's graph, with the model."""
    expect("making the graph", (await client.call("POST", f"/graph/{client.graph}")).status, 200)
    expect("setting the model", (await client.call("PUT", f"/graph/{client.graph}/model", MODEL)).status, 200)


def counts(nodes: tuple[int, int, int], edges: tuple[int, int]) -> Json:
    """Returns the response to a merge: nodes created, deleted and updated, edges created and deleted."""
    return {
        "nodes_created": nodes[0],
        "nodes_deleted": nodes[1],
        "nodes_updated": nodes[2],
        "edges_created": edges[0],
        "edges_deleted": edges[1],
        "edges_updated": 0,
    }
