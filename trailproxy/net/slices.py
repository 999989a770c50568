"""Slices: the pods behind a Service of Kubernetes, followed through its EndpointSlices.

The API server is asked once for all of them (a list), and tells from then on what changes
(a watch), from the version that was heard last. When that is too old, all begins anew.
An API server that is away is no news of the pods: those that are known stay.
"""

import asyncio
import logging
import random
from typing import Final, final
from urllib.parse import quote

import msgspec

from trailproxy.core.record import Observer
from trailproxy.net.api_server import ApiServer, Refusal, RefusedError
from trailproxy.net.dial import DialError
from trailproxy.net.names import Spot, Told
from trailproxy.net.pods import Pods, Slice, SliceList
from trailproxy.net.tasks import spawn
from trailproxy.net.tls import TLSError
from trailproxy.wire.errors import HTTP2Error

_LIST_S: Final = 30.0  # for all of a list
_LASTING_S: Final = 30.0  # a round that went on for so long makes good for those that failed
_GONE: Final = 410  # the version asked for is not kept any more
_MOST_LISTED: Final = 16 * 1024 * 1024  # octets
_MOST_LINE: Final = 2 * 1024 * 1024  # octets of one change; the API keeps no object that large

_UNHEARD: Final = (
    RefusedError,
    DialError,
    HTTP2Error,
    TLSError,
    OSError,  # our token; and whoever is too slow
    ValueError,  # what is told cannot be
)

_log: Final = logging.getLogger("trailproxy.net")


class _Change(msgspec.Struct, frozen=True):
    """One line of a watch."""

    type: str  # ADDED, MODIFIED, DELETED, BOOKMARK or ERROR
    object: msgspec.Raw


@final
class Slices:
    """The pods behind one Service."""

    def __init__(self, upstream: str, service: Spot, api: ApiServer, observer: Observer) -> None:
        """Prepare; `observer` is told of lists, changes and failures under the name `upstream`."""
        self._upstream: Final = upstream
        self._service: Final = service
        self._api: Final = api
        self._observer: Final = observer
        self._pods: Final = Pods(service)
        address = service.address
        self._path: Final = (
            f"/apis/discovery.k8s.io/v1/namespaces/{address.namespace}/endpointslices"
            f"?labelSelector=kubernetes.io%2Fservice-name%3D{address.host}"
        )
        self._version = ""  # of what was heard last; empty: all has to be asked for
        self._spots: list[Spot] = []
        self._failing = False
        self._task: asyncio.Task[None] | None = None
        self._told: Told

    def start(self, told: Told) -> None:
        """Follow the pods; `told` hears where they are, each time that changes."""
        self._told = told
        self._task = spawn(self._follow(), f"follow {self._upstream} {self._service.address}")

    def stop(self) -> None:
        """Follow them no more."""
        if self._task is not None:
            self._task.cancel()

    async def _follow(self) -> None:
        loop = asyncio.get_running_loop()
        failures = 0
        try:
            while True:
                began = loop.time()
                try:
                    await self._round()
                except _UNHEARD as error:
                    self._api.hang_up()
                    self._unheard(error)
                if loop.time() - began >= _LASTING_S:
                    failures = 0
                # a round that ended well waits too: one that ends at once is not begun at once
                delay = min(self._api.params.retry_s * 2**failures, self._api.params.most_retry_s)
                failures = min(failures + 1, 16)
                await asyncio.sleep(delay * random.uniform(0.5, 1.0))
        finally:
            self._api.hang_up()

    async def _round(self) -> None:
        """List, if need be, and watch until the server has had enough."""
        if not self._version:
            await self._api.connect()
            async with asyncio.timeout(_LIST_S):
                await self._list()
        watch_s = self._api.params.watch_s * random.uniform(1.0, 2.0)  # not all proxies at once
        await self._api.connect()
        async with asyncio.timeout(watch_s * 1.25):  # a server that is silent then is not there
            await self._watch(watch_s)

    async def _list(self) -> None:
        answer = await self._api.ask(self._path)
        listed = msgspec.json.decode(await answer.whole(_MOST_LISTED), type=SliceList)
        self._pods.renew(listed.items or [])
        self._version = listed.metadata.resource_version
        self._spots = self._pods.spots
        self._observer.endpoint_told(self._upstream, "listed")
        self._told({self._service: self._spots})

    async def _watch(self, watch_s: float) -> None:
        answer = await self._api.ask(
            f"{self._path}&watch=1&allowWatchBookmarks=true&timeoutSeconds={max(1, int(watch_s))}"
            f"&resourceVersion={quote(self._version, safe='')}"
        )
        self._heard()
        rest = b""
        while piece := await answer.piece():
            *lines, rest = (rest + piece).split(b"\n")
            if len(rest) > _MOST_LINE:
                raise ValueError(f"a change of more than {_MOST_LINE} octets")
            for line in lines:
                self._take(msgspec.json.decode(line, type=_Change))

    def _take(self, change: _Change) -> None:
        if change.type == "ERROR":
            raise RefusedError(msgspec.json.decode(change.object, type=Refusal))
        told = msgspec.json.decode(change.object, type=Slice)
        if change.type == "DELETED":
            self._pods.drop(told)
        elif change.type != "BOOKMARK":  # which brings a version, and nothing else
            self._pods.put(told)
        self._version = told.metadata.resource_version
        spots = self._pods.spots
        if spots != self._spots:
            self._spots = spots
            self._observer.endpoint_told(self._upstream, "changed")
            self._told({self._service: spots})

    def _heard(self) -> None:
        if self._failing:
            self._failing = False
            _log.info("upstream %s: %s is followed again", self._upstream, self._service.address)

    def _unheard(self, error: Exception) -> None:
        if isinstance(error, RefusedError) and error.status == _GONE:
            self._version = ""
            return
        self._observer.endpoint_told(self._upstream, "watch_failed")
        self._told({self._service: None})
        if not self._failing:
            self._failing = True
            why = str(error) or "no answer in time"
            _log.warning("upstream %s: %s: %s", self._upstream, self._service.address, why)
