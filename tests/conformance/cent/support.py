"""Servers, a Redis and clients for the tests of the API's official client.

Starts processes on free ports and ends them; waits for conditions, never for a duration.
"""

import asyncio
import json
import os
import pathlib
import shutil
import socket
import subprocess
import tempfile
import time

import aiohttp
import cent

KEY = "a key of the tests"
PATIENCE = 20.0

SETTINGS = """
[http_api]
key = "a key of the tests"
[client]
insecure = true
[channel.without_namespace]
[[channel.namespaces]]
name = "chat"
history_size = 100
history_ttl = "10m"
force_recovery = true
presence = true
join_leave = true
force_push_join_leave = false
[[channel.namespaces]]
name = "plain"
"""


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


class Redis:
    """A Redis of its own, which forgets everything when it ends."""

    def __init__(self) -> None:
        self.folder = tempfile.mkdtemp(prefix="homing-cent-")
        # Somebody else may take the port before Redis does: then it ends, and another port is tried.
        while not self._start(free_port()):
            pass

    def _start(self, port: int) -> bool:
        self.url = f"redis://127.0.0.1:{port}"
        self.process = subprocess.Popen(
            ["redis-server", "--port", str(port), "--save", "", "--bind", "127.0.0.1"],
            cwd=self.folder,
            stdout=subprocess.DEVNULL,
        )
        while self.process.poll() is None:
            try:
                with socket.create_connection(("127.0.0.1", port), 1) as one:
                    one.sendall(b"INFO server\r\n")
                    answer = one.recv(4096).decode()
                    return f"process_id:{self.process.pid}\r" in answer
            except OSError:
                time.sleep(0.01)
        return False

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


class Node:
    """A server of its own."""

    def __init__(self, redis: "Redis | None" = None) -> None:
        handle, self.settings = tempfile.mkstemp(suffix=".toml", prefix="homing-cent-")
        os.write(handle, SETTINGS.encode())
        os.close(handle)
        program = os.environ.get("HOMING_SERVER", "target/debug/homing-server")
        command = [program, "--listen", "127.0.0.1:0", "--config", self.settings]
        if redis:
            command += ["--engine", "redis", "--redis-url", redis.url]
        environment = {**os.environ, "HOMING_LOG_LEVEL": "error"}
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
        self.address = self.process.stdout.readline().split()[-1]

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        pathlib.Path(self.settings).unlink()

    @property
    def api(self) -> str:
        return f"http://{self.address}/api"


class Api:
    """The official client, asynchronous or synchronous, with the same calls."""

    def __init__(self, node: Node, is_async: bool, key: str = KEY) -> None:
        self.client = cent.AsyncClient(node.api, key) if is_async else cent.Client(node.api, key)
        self.is_async = is_async

    async def call(self, method: str, request):
        call = getattr(self.client, method)
        return await call(request) if self.is_async else await asyncio.to_thread(call, request)

    def __getattr__(self, method: str):
        return lambda request: self.call(method, request)

    async def close(self) -> None:
        if self.is_async:
            await self.client.close()
        else:
            self.client.close()


class Client:
    """A client of the server: what it was told is in `seen`, oldest first."""

    def __init__(self, session: aiohttp.ClientSession, stream) -> None:
        self.session, self.stream = session, stream
        self.seen: list[dict] = []
        self.closed: "int | None" = None
        self.arrived = asyncio.Event()
        self.ids = 0
        self.id = self.user = ""
        self.reading = asyncio.create_task(self._read())

    @classmethod
    async def connect(cls, node: Node, user: str) -> "Client":
        session = aiohttp.ClientSession()
        stream = await session.ws_connect(f"ws://{node.address}/connection/websocket")
        client = cls(session, stream)
        result = await client.call("connect", {"data": {"user": user, "info": {"name": user.title()}}})
        client.id, client.user = result["connect"]["client"], user
        return client

    async def _read(self) -> None:
        async for message in self.stream:
            for line in message.data.split("\n"):
                reply = json.loads(line)
                if reply:
                    self.seen.append(reply)
                else:
                    await self.stream.send_str("{}")
            self.arrived.set()
        self.closed = self.stream.close_code
        self.arrived.set()

    async def until(self, find):
        """What `find` finds, once it finds something."""
        deadline = time.monotonic() + PATIENCE
        while not (found := find()):
            self.arrived.clear()
            await asyncio.wait_for(self.arrived.wait(), deadline - time.monotonic())
        return found

    async def call(self, verb: str, request: dict) -> dict:
        self.ids += 1
        number = self.ids
        await self.stream.send_str(json.dumps({"id": number, verb: request}))
        return await self.until(lambda: next((one for one in self.seen if one.get("id") == number), None))

    def pushes(self, kind: str) -> list:
        return [one["push"] for one in self.seen if kind in one.get("push", {})]

    async def push(self, kind: str, count: int = 1) -> dict:
        """The push of a kind that comes as the `count`th."""
        await self.until(lambda: len(self.pushes(kind)) >= count)
        return self.pushes(kind)[count - 1]

    async def end(self) -> int:
        """The code with which the server closes."""
        await self.until(lambda: self.closed is not None)
        return self.closed

    async def close(self) -> None:
        await self.stream.close()
        await self.reading
        await self.session.close()
