"""An API server of Kubernetes, as far as EndpointSlices go: real sockets, TLS, and HTTP/2 by h2.

It keeps versions, tells watches what happened since one of them, and forgets when a test
wants it to.
"""

import asyncio
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.support.backend import Backend, Stream
from tests.support.certificates import Certificates
from trailproxy.core.address import Address
from trailproxy.net.api_server import ApiParams

Json = dict[str, Any]


def endpoint(host: str, *, uid: str = "", **conditions: bool) -> Json:
    """Return an endpoint of a slice."""
    told: Json = {"addresses": [host], "conditions": conditions}
    return {**told, "targetRef": {"kind": "Pod", "uid": uid}} if uid else told


def slice_of(name: str, endpoints: Iterable[Json], *, port: int = 80, family: str = "IPv4") -> Json:
    """Return a slice whose one port is called grpc."""
    return {
        "metadata": {"name": name, "labels": {"kubernetes.io/service-name": "app"}},
        "addressType": family,
        "endpoints": list(endpoints),
        "ports": [{"name": "grpc", "port": port, "protocol": "TCP"}],
    }


@dataclass
class Cluster:
    """The server.

    Attributes:
        asked: the path of each question, with its query.
        refuses: the status it answers with; 0: it does what it is asked.
        ends: watches end at once.
        silent: watches say nothing and never end.
        watches: how many it tells now.
    """

    folder: Path
    certificates: Certificates
    asked: list[str] = field(default_factory=list)
    refuses: int = 0
    ends: bool = False
    silent: bool = False

    def __post_init__(self) -> None:
        self._backend = Backend()
        self._backend.behaviours["apis"] = self._answer
        self._slices: dict[str, Json] = {}
        self._version = 100
        self._history: list[tuple[int, bytes]] = []
        self._kept = self._version  # no watch can begin before
        self._watchers: set[asyncio.Queue[bytes]] = set()
        self._server: asyncio.Server
        self._bind = "127.0.0.1:0"
        self.give_token("first")
        (self.folder / "ca.crt").write_bytes(Path(self.certificates.ca).read_bytes())

    async def start(self) -> None:
        """Listen, on the port it had before."""
        self._server = await self._backend.listen(self._bind, self.certificates.server_context())
        self._bind = self._backend.endpoint

    def stop(self) -> None:
        """Listen no more, and cut every connection."""
        self._server.close()
        for link in list(self._backend.links):
            link.abort()

    @property
    def left(self) -> bool:
        """Whether nobody is connected."""
        return not self._backend.links

    @property
    def params(self) -> ApiParams:
        """What a pod knows of it."""
        host, _, port = self._bind.rpartition(":")
        return ApiParams(
            address=Address(host, int(port)), account=self.folder, retry_s=0.02, most_retry_s=0.1
        )

    @property
    def watches(self) -> int:
        """How many there are."""
        return len(self._watchers)

    def give_token(self, token: str) -> None:
        """Replace our pod's token, and take no other from now on."""
        self._token = token
        (self.folder / "token").write_text(f"{token}\n")

    # what happens in the cluster

    def put(self, told: Json) -> None:
        """Keep a slice, new or changed."""
        name = told["metadata"]["name"]
        self._happens("MODIFIED" if name in self._slices else "ADDED", told)
        self._slices[name] = told

    def drop(self, name: str) -> None:
        """Keep a slice no more."""
        self._happens("DELETED", self._slices.pop(name))

    def bookmark(self) -> None:
        """Tell watches which version it is, as other objects change too."""
        self._happens("BOOKMARK", {"metadata": {}, "addressType": "", "endpoints": None})

    def forget(self) -> None:
        """Keep no history: watches of older versions are refused."""
        self._version += 1
        self._kept = self._version
        self._history.clear()

    def says(self, line: bytes) -> None:
        """Say something to every watch that no API server would."""
        for watcher in self._watchers:
            watcher.put_nowait(line)

    def expire(self) -> None:
        """Tell every watch that its version is too old, as happens in the middle of one."""
        self.forget()
        status = {"kind": "Status", "code": 410, "message": "too old resource version"}
        self.says(json.dumps({"type": "ERROR", "object": status}).encode() + b"\n")

    def _happens(self, kind: str, told: Json) -> None:
        self._version += 1
        told["metadata"]["resourceVersion"] = str(self._version)
        line = json.dumps({"type": kind, "object": told}).encode() + b"\n"
        self._history.append((self._version, line))
        self.says(line)

    # what it is asked

    async def _answer(self, stream: Stream) -> None:
        self.asked.append(stream.field(":path"))
        asked = urlsplit(stream.field(":path"))
        query = {key: value for key, (value,) in parse_qs(asked.query).items()}
        known = asked.path == "/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices"
        if stream.field("authorization") != f"Bearer {self._token}":
            await self._refuse(stream, 401, "Unauthorized")
        elif self.refuses:
            await self._refuse(stream, self.refuses, "not for you")
        elif not known or query.get("labelSelector") != "kubernetes.io/service-name=app":
            await self._refuse(stream, 404, "there is no such thing")
        elif "watch" not in query:
            await self._list(stream)
        elif int(query["resourceVersion"]) < self._kept:
            await self._refuse(stream, 410, "too old resource version")
        else:
            await self._watch(stream, int(query["resourceVersion"]))

    async def _refuse(self, stream: Stream, status: int, why: str) -> None:
        stream.respond(status=status)
        await stream.send(json.dumps({"kind": "Status", "message": why, "code": status}).encode())
        stream.finish()

    async def _list(self, stream: Stream) -> None:
        version = {"resourceVersion": str(self._version)}
        stream.respond(("content-type", "application/json"))
        told = {"metadata": version, "items": list(self._slices.values()) or None}
        await stream.send(json.dumps(told).encode())
        stream.finish()

    async def _watch(self, stream: Stream, version: int) -> None:
        stream.respond(("content-type", "application/json"))
        heard: asyncio.Queue[bytes] = asyncio.Queue()
        if not self.silent:
            for each, line in self._history:
                if each > version:
                    heard.put_nowait(line)
        self._watchers.add(heard)
        try:
            while not self.ends:
                line = await heard.get()
                if not self.silent:
                    await stream.send(line)
            stream.finish()
        finally:
            self._watchers.remove(heard)
