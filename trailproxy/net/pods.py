"""Pods: what the EndpointSlices of a Kubernetes Service say of the pods behind it.

A Service has several slices, and each changes by itself. A pod may stand in two of them
while it moves, or in one of each address family: it counts once.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final, final

import msgspec

from trailproxy.core.address import Address
from trailproxy.net.names import MOST_FOUND, Spot

_MOST_SLICES: Final = 1024  # of one Service; full ones would hold a hundred times the pods we take


class _Conditions(msgspec.Struct, frozen=True):
    """How a pod is; what is not known counts as ready, as the API has it."""

    ready: bool | None = None
    serving: bool | None = None


class _Target(msgspec.Struct, frozen=True):
    uid: str = ""


class _Endpoint(msgspec.Struct, frozen=True, rename="camel"):
    addresses: list[str]
    conditions: _Conditions = _Conditions()
    target_ref: _Target | None = None


class _Port(msgspec.Struct, frozen=True):
    name: str | None = None
    port: int | None = None
    protocol: str | None = None


class Metadata(msgspec.Struct, frozen=True, rename="camel"):
    """What every object of the API has."""

    name: str = ""
    resource_version: str = ""


class Slice(msgspec.Struct, frozen=True, rename="camel"):
    """One EndpointSlice, as far as we care; lists that are empty may come as null."""

    metadata: Metadata
    address_type: str = ""  # IPv4 or IPv6
    endpoints: list[_Endpoint] | None = None
    ports: list[_Port] | None = None


class SliceList(msgspec.Struct, frozen=True):
    """All EndpointSlices of a Service, at one moment."""

    metadata: Metadata
    items: list[Slice] | None = None


@dataclass(frozen=True, slots=True)
class _Pod:
    """One pod, in one slice."""

    key: str  # tells it from others; the same in every slice
    spot: Spot
    ready: bool  # takes streams
    serving: bool  # would still: it is ready, or about to leave


@final
class Pods:
    """The pods behind one Service."""

    def __init__(self, service: Spot) -> None:
        """Know nothing yet; each pod will have the weight of `service`."""
        self._service: Final = service
        self._slices: dict[tuple[str, str], list[_Pod]] = {}

    def renew(self, slices: list[Slice]) -> None:
        """Take these slices for all there are.

        Raises:
            ValueError: there are too many, or a pod has no address.
        """
        if len(slices) > _MOST_SLICES:
            raise ValueError(f"there are {len(slices)} EndpointSlices, {_MOST_SLICES} at most")
        self._slices = {_key(each): list(self._pods(each)) for each in slices}

    def put(self, changed: Slice) -> None:
        """Take a slice that is new, or other than it was.

        Raises:
            ValueError: it is one too many, or a pod has no address.
        """
        key = _key(changed)
        if key not in self._slices and len(self._slices) >= _MOST_SLICES:
            raise ValueError(f"there are more than {_MOST_SLICES} EndpointSlices")
        self._slices[key] = list(self._pods(changed))

    def drop(self, gone: Slice) -> None:
        """Forget a slice that is no more."""
        self._slices.pop(_key(gone), None)

    @property
    def spots(self) -> list[Spot]:
        """Where streams may go: to the pods that are ready; if none is, to those that leave."""
        ready: dict[str, Spot] = {}
        leaving: dict[str, Spot] = {}
        for key in sorted(self._slices):  # IPv4 before IPv6
            for pod in self._slices[key]:
                if pod.ready:
                    ready.setdefault(pod.key, pod.spot)
                elif pod.serving:
                    leaving.setdefault(pod.key, pod.spot)
        return list((ready or leaving).values())[:MOST_FOUND]

    def _pods(self, told: Slice) -> Iterator[_Pod]:
        port = self._port(told)
        if port is None or told.address_type not in ("IPv4", "IPv6"):
            return
        name = f"{self._service.address.host}.{self._service.address.namespace}.svc"
        for endpoint in (told.endpoints or [])[:MOST_FOUND]:
            # of several addresses any will do, as the API has it
            host = _ip(endpoint.addresses)
            target = endpoint.target_ref
            ready = endpoint.conditions.ready is not False
            yield _Pod(
                key=host if target is None else target.uid or host,
                spot=Spot(Address(host, port, name=name), self._service.weight),
                ready=ready,
                serving=ready or endpoint.conditions.serving is True,
            )

    def _port(self, told: Slice) -> int | None:
        wanted = self._service.address
        if not wanted.port_name:
            return wanted.port
        for each in told.ports or []:
            if each.name == wanted.port_name and each.protocol in (None, "TCP"):
                return each.port
        return None


def _key(told: Slice) -> tuple[str, str]:
    return told.address_type, told.metadata.name


def _ip(addresses: list[str]) -> str:
    try:
        return str(ip_address(addresses[0]))
    except (IndexError, ValueError):
        raise ValueError(f"{addresses} is no IP address") from None
