"""Endpoints below `/debug`, with which tests inspect and control the core. They need no signature.

| request | does |
|---|---|
| `GET /debug/graph/{name}` | all nodes of a graph as stored, and its edges by their type |
| `GET /debug/merges` | the merges so far, with their results |
| `GET /debug/tasks` | the running workflows, and the stored state of all workflows with their messages |
| `GET /debug/workers` | the subscribers, those that are connected, and the work queue with its workers |
| `POST /debug/start/{workflow}` | starts a workflow |
| `POST /debug/stop/{task}` | stops a running workflow |
| `POST /debug/work` | gives the task in the JSON body (name, data, attrs, timeout) to a worker; returns the result |
| `POST /debug/command` | runs the body as a line of the core's command line, on the graph `fix`; returns the output |
| `POST /debug/disconnect` | closes all websockets |
"""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from typing import Any

from aiohttp import web
from fixcore.cli import list_sink
from fixcore.cli.model import CLIContext
from fixcore.dependencies import ServiceNames, TenantDependencies
from fixcore.message_bus import Message
from fixcore.model.typed_model import to_js
from fixcore.task.subscribers import SubscriptionHandlerService
from fixcore.task.task_handler import TaskHandlerService
from fixcore.util import uuid_str
from fixcore.web.api import Api
from fixcore.worker_task_queue import WorkerTask, WorkerTaskQueue
from fixlib.asynchronous.web.ws_handler import clean_ws_handler

from core_local import merging
from core_local.database.store import Store

DEFAULT_TIMEOUT_SECONDS = 30.0


class Debug:
    """The endpoints of one core."""

    def __init__(self, api: Api, store: Store) -> None:
        self._api = api
        self._store = store

    @property
    def _services(self) -> TenantDependencies:
        return self._api.deps

    @property
    def _tasks(self) -> TaskHandlerService:
        return self._services.service(ServiceNames.task_handler, TaskHandlerService)

    @property
    def _queue(self) -> WorkerTaskQueue:
        return self._services.worker_task_queue

    async def graph(self, request: web.Request) -> web.Response:
        """Returns all nodes and edges of a graph."""
        name = request.match_info["graph"]
        if name not in self._store.graphs:
            raise web.HTTPNotFound(text=f"no graph {name}")
        edges: dict[str, list[dict[str, str]]] = {}
        for collection in (one for one, holds_edges in self._store.graphs[name].items() if holds_edges):
            found = self._store.collections[collection].documents.values()
            edges[collection.removeprefix(f"{name}_")] = [
                {"from": edge["_from"].partition("/")[2], "to": edge["_to"].partition("/")[2]} for edge in found
            ]
        return answer({"nodes": list(self._store.collections[name].documents.values()), "edges": edges})

    async def merges(self, _request: web.Request) -> web.Response:
        """Returns the merges so far."""
        return answer(merging.report())

    async def tasks(self, _request: web.Request) -> web.Response:
        """Returns the running workflows, and the stored state of all."""
        running = [
            {
                "id": task.id,
                "workflow": task.descriptor.id,
                "step": task.current_step.name,
                "active": task.is_active,
                "progress": task.progress_json(),
                "messages": [Message.message_to_json(message) for message in task.info_messages],
            }
            for task in self._tasks.tasks.values()
        ]
        return answer({"running": running, "stored": list(self._store.collections["running_tasks"].documents.values())})

    async def workers(self, _request: web.Request) -> web.Response:
        """Returns the subscribers and the work queue."""
        subscriptions = self._services.service(ServiceNames.subscription_handler, SubscriptionHandlerService)
        queue = self._queue
        known = {
            name: [{"id": one.worker_id, "filter": one.task.filter} for one in workers]
            for name, workers in queue.worker_by_task_name.items()
        }
        given = [
            {"task": held.task.to_json(), "worker": held.worker.worker_id} for held in queue.outstanding_tasks.values()
        ]
        return answer(
            {
                "subscribers": [to_js(one) for one in await subscriptions.all_subscribers()],
                "connected": list(self._services.message_bus.active_listener),
                "workers": known,
                "given": given,
                "waiting": [held.task.to_json() for held in queue.unassigned_tasks.values()],
            }
        )

    async def start(self, request: web.Request) -> web.Response:
        """Starts a workflow."""
        workflow = request.match_info["workflow"]
        info = await self._tasks.start_task_by_descriptor_id(workflow)
        if info is None:
            raise web.HTTPNotFound(text=f"no workflow {workflow}")
        return answer({"task": info.running_task.id})

    async def stop(self, request: web.Request) -> web.Response:
        """Stops a running workflow."""
        if await self._tasks.stop_task(request.match_info["task"]) is None:
            raise web.HTTPNotFound(text="no such task")
        return answer({})

    async def work(self, request: web.Request) -> web.Response:
        """Gives a task to a worker and waits for the result."""
        wish = await request.json()
        timeout = timedelta(seconds=wish.get("timeout", DEFAULT_TIMEOUT_SECONDS))
        result: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        task = WorkerTask(uuid_str(), wish["name"], wish.get("attrs", {}), wish.get("data", {}), result, timeout)
        await self._queue.add_task(task)
        try:
            return answer({"task": task.id, "result": await result})
        except Exception as problem:  # noqa: BLE001 - the test gets every error
            return answer({"task": task.id, "error": str(problem)})

    async def command(self, request: web.Request) -> web.Response:
        """Runs a line of the core's own command line."""
        context = CLIContext(env={"graph": "fix"})
        return answer(await self._services.cli.execute_cli_command(await request.text(), list_sink, context))

    async def disconnect(self, _request: web.Request) -> web.Response:
        """Closes all websockets."""
        connections = list(self._api.websocket_handler)
        for connection in connections:
            await clean_ws_handler(connection, self._api.websocket_handler)
        return answer({"closed": len(connections)})


def answer(content: Any) -> web.Response:
    """Returns a JSON response."""
    return web.json_response(content, dumps=lambda value: json.dumps(value, default=str))


def add_routes(api: Api, store: Store) -> None:
    """Adds the endpoints to the core's own."""
    endpoints = Debug(api, store)
    api.app.add_routes(
        [
            web.get("/debug/graph/{graph}", endpoints.graph),
            web.get("/debug/merges", endpoints.merges),
            web.get("/debug/tasks", endpoints.tasks),
            web.get("/debug/workers", endpoints.workers),
            web.post("/debug/start/{workflow}", endpoints.start),
            web.post("/debug/stop/{task}", endpoints.stop),
            web.post("/debug/work", endpoints.work),
            web.post("/debug/command", endpoints.command),
            web.post("/debug/disconnect", endpoints.disconnect),
        ]
    )
