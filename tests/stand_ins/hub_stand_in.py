"""A hub on this computer: the few answers that a download needs, and every way in which it can go wrong."""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

from cinema_core.published import REPOSITORY

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class HubStandIn:
    """What the hub holds, and what it was asked; the switches break it."""

    files: dict[str, bytes] = field(default_factory=dict)
    """Content by path in the repository."""
    asked: list[tuple[str, str, str]] = field(default_factory=list)
    """Method, path in the repository, and range of each request."""
    revisions: list[str] = field(default_factory=list)
    """Branch, tag or commit of each request."""
    hosts: list[str] = field(default_factory=list)
    """By which name the server was called, for each request."""
    headers: list[dict[str, str]] = field(default_factory=list)
    cut_after: list[int] = field(default_factory=list)
    """Bytes of a large file after which the connection drops, one entry per request; then it holds."""
    tampered: bool = False
    """Files of ``tampers_with`` come with one byte changed."""
    tampers_with: str = ".safetensors"
    ignores_ranges: bool = False
    status: int = 0
    """Answer everything with this status, if it is not 0."""
    redirects: bool = False
    """Large files lie on another host, as on the real hub; requests there are recorded like the others."""
    status_of_downloads: int = 0
    """The same for GET alone."""
    no_commit: bool = False
    """Answer as any web server does, without what a hub adds."""
    endpoint: str = ""

    def gets(self, suffix: str = ".safetensors") -> list[str]:
        """Ranges of the downloads of a file; empty text for a whole one."""
        return [span for method, path, span in self.asked if method == "GET" and path.endswith(suffix)]

    @contextmanager
    def serving(self) -> Iterator[HubStandIn]:
        """Listen on a free port until the block ends."""
        server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        server.daemon_threads = True
        server.hub = self  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        self.endpoint = f"http://127.0.0.1:{server.server_port}"
        try:
            yield self
        finally:
            server.shutdown()
            server.server_close()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    @property
    def hub(self) -> HubStandIn:
        return self.server.hub  # type: ignore[attr-defined, no-any-return]

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, body: bool) -> None:
        found = re.fullmatch(rf"/(?:{REPOSITORY}/resolve|elsewhere)/([^/]+)/(.+)", unquote(self.path))
        path = found.group(2) if found else self.path
        span = self.headers.get("Range", "")
        self.hub.hosts.append(self.headers.get("Host", "").partition(":")[0])
        self.hub.revisions.append(found.group(1) if found else "")
        self.hub.asked.append((self.command, path, span))
        self.hub.headers.append({name.lower(): value for name, value in self.headers.items()})
        if status := self.hub.status or (self.hub.status_of_downloads if body else 0):
            return self._refuse(status)
        if found is None or path not in self.hub.files:
            return self._refuse(404, "EntryNotFound")
        if self.hub.redirects and path.endswith(".safetensors") and not self.path.startswith("/elsewhere/"):
            return self._redirect(found.group(1), path)
        return self._send(path, span, body)

    def _redirect(self, revision: str, path: str) -> None:
        self.send_response(302)
        # The same server by another name: to a client it is another host.
        self.send_header("Location", f"http://localhost:{self.server.server_address[1]}/elsewhere/{revision}/{path}")
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("X-Linked-Etag", f'"{hashlib.sha256(self.hub.files[path]).hexdigest()}"')
        self.send_header("X-Linked-Size", str(len(self.hub.files[path])))
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _refuse(self, status: int, code: str = "") -> None:
        self.send_response(status)
        if code:
            self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _send(self, path: str, span: str, body: bool) -> None:
        content = self.hub.files[path]
        large = path.endswith(".safetensors")
        start = 0 if self.hub.ignores_ranges or not span else int(span.removeprefix("bytes=").rstrip("-"))
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(content) - start))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        if not self.hub.no_commit:
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("ETag", f'"{_git_sha1(content)}"')
        if large and not self.hub.no_commit:
            self.send_header("X-Linked-Etag", f'"{hashlib.sha256(content).hexdigest()}"')
            self.send_header("X-Linked-Size", str(len(content)))
        self.end_headers()
        if body:
            self._write(path, content, start, large)

    def _write(self, path: str, content: bytes, start: int, large: bool) -> None:
        if self.hub.tampered and path.endswith(self.hub.tampers_with):
            content = content[:-1] + bytes([content[-1] ^ 1])
        if large and self.hub.cut_after:
            self.wfile.write(content[start : start + self.hub.cut_after.pop(0)])
            self.close_connection = True
            return
        self.wfile.write(content[start:])


def _git_sha1(content: bytes) -> str:
    # Written out here, and not taken from the code under test.
    return hashlib.sha1(b"blob %d\x00" % len(content) + content).hexdigest()
