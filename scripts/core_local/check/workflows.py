"""Checks of subscriptions, workflows, the work queue and the configuration."""

from __future__ import annotations

import asyncio

from core_local.check.client import Client, Json, expect, next_frame
from core_local.check.sample import THING, fresh_graph, tree


async def finished(client: Client, task: str) -> Json:
    """Waits until a workflow is over and returns its stored state."""
    while True:
        tasks = (await client.call("GET", "/debug/tasks")).json
        stored: Json = next((one for one in tasks["stored"] if one["id"] == task), {})
        if stored.get("done"):
            return stored
        await asyncio.sleep(0.05)


async def subscribe(client: Client, subscriber: str, *events: str, timeout: int = 60) -> None:
    """Registers for events."""
    for event in events:
        path = f"/subscriber/{subscriber}/{event}?timeout={timeout}&wait_for_completion=True"
        expect(f"subscribing to {event}", (await client.call("POST", path)).status, 200)


def done(action: Json) -> Json:
    """Returns the result of an action."""
    return {"kind": "action_done", "message_type": action["message_type"], "data": action["data"]}


async def check_workflow(client: Client) -> None:
    """A workflow calls its subscriber step by step, waits for its merges, and ends."""
    await fresh_graph(client)
    await subscribe(client, "checker", "collect", "cleanup")
    async with await client.listen("/subscriber/checker/handle") as socket:
        reply = await client.cli("workflow run collect_and_cleanup")
        task = reply.text.split()[-1].strip('".')
        action = await next_frame(socket)
        expect("the first action", (action["message_type"], action["data"]["task"]), ("collect", task))
        lines = tree("c", {"a": ["t"]})
        deferred = {"from_selector": {"node_id": "t"}, "to_selector": {"search_criteria": "id(a2)"}}
        lines += [*tree("c", {"a2": []})[-2:], {**deferred, "edge_type": "default"}]
        reply = await client.merge(lines, "?wait_for_result=False", {"Fix-Worker-Task-Id": task})
        expect("merging", reply.status, 204)
        progress = {"kind": "progress", "name": "checking", "current": 1, "total": 2}
        data = {**action["data"], "progress": progress, "at": "2024-01-01T00:00:00Z"}
        await socket.send_json({"kind": "action_progress", "message_type": "collect", "data": data})
        data = {**action["data"], "level": "error", "message": "a sample"}
        await socket.send_json({"kind": "action_info", "message_type": "collect", "data": data})
        await socket.send_json(done(action))
        action = await next_frame(socket)
        expect("the second action", action["message_type"], "cleanup")
        expect("merged before", ("t", "a2") in (await client.stored())[1]["default"], True)
        await socket.send_json(done(action))
        stored = await finished(client, task)
    expect("errors", stored["has_error"], True)
    steps = [step["step_name"] for step in stored["step_states"]]
    for step in ("collect", "wait_for_graph_merged", "merge_deferred_edges", "cleanup"):
        assert step in steps, steps
    await client.call("DELETE", "/subscriber/checker")


async def check_redelivery(client: Client) -> None:
    """An action without a result is sent again on the next connection, and aborted when its workflow is stopped."""
    await subscribe(client, "again", "collect")
    async with await client.listen("/subscriber/again/handle") as socket:
        task = (await client.call("POST", "/debug/start/collect")).json["task"]
        first = await next_frame(socket)
        expect("closing", (await client.call("POST", "/debug/disconnect")).json["closed"] >= 1, True)
    async with await client.listen("/subscriber/again/handle") as socket:
        again = await next_frame(socket)
        expect("again", (again["data"]["task"], again["data"]["step"]), (task, first["data"]["step"]))
        expect("stopping", (await client.call("POST", f"/debug/stop/{task}")).status, 200)
        expect("calling off", (await next_frame(socket))["kind"], "action_abort")
    await client.call("DELETE", "/subscriber/again")


async def check_lateness(client: Client) -> None:
    """A step whose subscriber does not answer ends after its timeout."""
    await subscribe(client, "late", "collect", timeout=1)
    task = (await client.call("POST", "/debug/start/collect")).json["task"]
    stored = await finished(client, task)
    expect("timed out", [step["timed_out"] for step in stored["step_states"] if step["step_name"] == "collect"], [True])
    await client.call("DELETE", "/subscriber/late")


async def worker(client: Client, failing: bool = False) -> asyncio.Task[None]:
    """Answers tag tasks in the background, as a worker does."""
    socket = await client.listen("/work/queue")
    await socket.send_json([{"name": "tag", "filter": {"cloud": ["c"]}, "expect_node_result": True}])

    async def answer() -> None:
        async with socket:
            while True:
                task = await next_frame(socket)
                node, data = task["data"]["node"], task["data"]
                reported = {name: node["reported"][name] for name in ("kind", "id", "name", "tags")}
                reported["tags"] = {**reported["tags"], **data.get("update", {})}
                for key in data.get("delete", []):
                    reported["tags"].pop(key, None)
                result: Json = {"task_id": task["task_id"], "result": "done"}
                result["data"] = {"id": node["id"], "reported": reported}
                if failing:
                    result = {"task_id": task["task_id"], "result": "error", "error": "no way"}
                await socket.send_json(result)

    return asyncio.create_task(answer())


async def check_tagging(client: Client) -> None:
    """Tags are changed by a worker, and its result is stored."""
    await fresh_graph(client)
    expect("merging", (await client.merge(tree("c", {"a": ["t1", "t2"]}))).status, 200)
    answering = await worker(client)
    found = (await client.cli(f"search is({THING}) | tag update owner bob | dump")).lines
    expect("updated", [one["reported"]["tags"] for one in found], [{"owner": "bob"}] * 2)
    expect("stored", (await client.stored())[0]["t1"]["reported"]["tags"], {"owner": "bob"})
    found = (await client.cli("search id(t1) | tag delete owner | dump")).lines
    expect("deleted", found[0]["reported"].get("tags", {}), {})
    expect("stored", (await client.stored())[0]["t1"]["reported"].get("tags", {}), {})
    answering.cancel()
    await asyncio.wait([answering])


async def check_work(client: Client) -> None:
    """A task is given to the worker with a matching filter, and its result is returned."""
    await fresh_graph(client)
    answering = await worker(client, failing=True)
    node = {"id": "x", "reported": {"kind": THING, "id": "x", "name": "x", "tags": {}}}
    task: Json = {"name": "tag", "attrs": {"cloud": "c"}, "data": {"update": {"a": "b"}, "node": node}}
    reply = (await client.call("POST", "/debug/work", task)).json
    assert "no way" in reply["error"], reply
    reply = (await client.call("POST", "/debug/work", {**task, "attrs": {"cloud": "other"}, "timeout": 1})).json
    assert "No worker for task: tag" in reply["error"], reply
    answering.cancel()
    await asyncio.wait([answering])


async def check_configuration(client: Client) -> None:
    """The configuration is stored, and changes are announced."""
    async with await client.listen("/events?show=config-updated") as socket:
        expect("missing", (await client.call("GET", "/config/sample")).status, 404)
        expect("setting", (await client.call("PUT", "/config/sample", {"part": {"a": 1}})).json, {"part": {"a": 1}})
        expect("the announcement", (await next_frame(socket))["data"]["id"], "sample")
        expect("reading", (await client.call("GET", "/config/sample")).json, {"part": {"a": 1}})
        expect("changing", (await client.call("PATCH", "/config/sample", {"part": {"b": 2}})).status, 200)
        expect("deleting", (await client.call("DELETE", "/config/sample")).status, 204)
