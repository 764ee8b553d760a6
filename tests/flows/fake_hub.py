"""The Hub's endpoints that a push uses, on 127.0.0.1: create, validate, preupload, LFS and commit."""

import base64
import contextlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


class Hub(ThreadingHTTPServer):
    """`commits` are the messages; the files of the last one lie in `folder`. `refuses`: commits are."""

    def __init__(self, folder: Path, refuses: bool) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.folder, self.refuses = folder, refuses
        self.created: list[dict[str, Any]] = []
        self.commits: list[str] = []
        self.large: dict[str, bytes] = {}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Hub

    def log_message(self, *_: Any) -> None:
        pass

    def do_PUT(self) -> None:
        self.server.large[self.path.rpartition("/")[2]] = self._body()
        self._answer({})

    def do_POST(self) -> None:
        body = self._body()
        match self.path.partition("?")[0].split("/")[1:]:
            case ["api", "repos", "create"]:
                self.server.created.append(json.loads(body))
                self._answer({"url": f"{self.server.url}/datasets/me/it"})
            case ["api", "validate-yaml"]:
                self._answer({"errors": [], "warnings": []})
            case ["api", "datasets", "me", "it", "preupload", "main"]:
                self._answer({"files": [{"path": file["path"], "shouldIgnore": False, "uploadMode": (
                    "lfs" if file["path"].endswith(".parquet") else "regular")} for file in json.loads(body)["files"]]})
            case ["datasets", "me", "it.git", "info", "lfs", "objects", "batch"]:
                self._answer({"transfer": "basic", "objects": [{**found, "actions": {"upload": {
                    "href": f"{self.server.url}/large/{found['oid']}"}}} for found in json.loads(body)["objects"]]})
            case ["api", "datasets", "me", "it", "commit", "main"] if not self.server.refuses:
                self._commit([json.loads(line) for line in body.splitlines()])
            case _:
                self._answer({}, 403, "this token may not write here")

    def _commit(self, lines: list[dict[str, Any]]) -> None:
        for line in lines[1:]:
            value = line["value"]
            path = self.server.folder / value["path"]
            path.parent.mkdir(parents=True, exist_ok=True)
            large = line["key"] == "lfsFile"
            path.write_bytes(self.server.large[value["oid"]] if large else base64.b64decode(value["content"]))
        self.server.commits.append(lines[0]["value"]["summary"])
        self._answer({"commitUrl": f"{self.server.url}/datasets/me/it/commit/1", "commitOid": "1", "hookOutput": ""})

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _answer(self, value: dict[str, Any], status: int = 200, error: str = "") -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        if error:
            self.send_header("X-Error-Message", error)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextlib.contextmanager
def hub(folder: Path, refuses: bool = False) -> Iterator[Hub]:
    """A hub whose files land in `folder`, for as long as it is needed."""
    with Hub(folder, refuses) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
