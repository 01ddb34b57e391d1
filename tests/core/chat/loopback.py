"""A server on loopback that a test tells what to answer: a stub, or a proxy that spoils some answers of a real one."""

from __future__ import annotations

import json
import socket
import struct
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Handler = Callable[[str, dict[str, Any]], "Reply"]


@dataclass
class Reply:
    body: Any = None
    """Sent as JSON, bytes as they are."""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    cut: bool = False
    """Close the connection after half of the body."""
    silent_s: float = 0.0
    """Wait so long before answering."""
    reset: bool = False
    """Break the connection off without a word."""


def said(text: str, reason: str = "stop", prompt: int = 7, completion: int = 3, **message: Any) -> dict[str, Any]:
    """A well-formed chat answer."""
    usage = {"prompt_tokens": prompt, "completion_tokens": completion}
    choice = {"index": 0, "finish_reason": reason, "message": {"role": "assistant", "content": text, **message}}
    return {"id": "x", "object": "chat.completion", "model": "stub", "choices": [choice], "usage": usage}


def question(body: dict[str, Any]) -> str:
    """What a request asked: its last user message."""
    return [message["content"] for message in body["messages"] if message["role"] == "user"][-1]


class Loopback:
    """`with Loopback(handler) as server: ... server.url`; `seen` holds every request body in order."""

    def __init__(self, handler: Handler, port: int = 0) -> None:
        self.seen: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.under_way = self.most_at_once = 0
        lock = threading.Lock()

        class Answering(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args: Any) -> None:
                pass

            def do_GET(self) -> None:
                self._send(Reply({"object": "list", "data": [{"id": "stub-model", "object": "model"}]}))

            def do_POST(inner) -> None:
                body = json.loads(inner.rfile.read(int(inner.headers["content-length"])))
                with lock:
                    self.seen.append(body)
                    self.headers.append({name.lower(): value for name, value in inner.headers.items()})
                    self.under_way += 1
                    self.most_at_once = max(self.most_at_once, self.under_way)
                try:
                    inner._send(handler(inner.path, body))
                except OSError:
                    inner.close_connection = True
                finally:
                    with lock:
                        self.under_way -= 1

            def _send(self, reply: Reply) -> None:
                if reply.silent_s:
                    time.sleep(reply.silent_s)
                if reply.reset:
                    self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    self.connection.close()
                    self.close_connection = True
                    return
                content = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
                self.send_response(reply.status)
                for name, value in ({"content-type": "application/json"} | reply.headers).items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content[: len(content) // 2] if reply.cut else content)
                self.close_connection = self.close_connection or reply.cut

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Answering)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}/v1"

    def __enter__(self) -> Loopback:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *error: Any) -> None:
        self._server.shutdown()
        self._server.server_close()


class Spoiling:
    """Forwards to a real server, after the faults that a test planned for a question; counts what was answered."""

    def __init__(self, real: str, faults: dict[str, list[Reply]] | None = None) -> None:
        self.real, self.faults = real, faults or {}
        self.paid: Counter[str] = Counter()
        """How often the real server answered each question."""

    def __call__(self, path: str, body: dict[str, Any]) -> Reply:
        name = question(body) if "messages" in body else body["prompt"]
        if planned := self.faults.get(name):
            return planned.pop(0)
        status, content = post(f"{self.real}{path.removeprefix('/v1')}", body)
        self.paid[name] += status == 200
        return Reply(content, status)


def post(url: str, body: dict[str, Any]) -> tuple[int, bytes]:
    request = urllib.request.Request(url, json.dumps(body).encode(), {"content-type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
