"""Address: where something listens or is dialled. A value; nothing is resolved or opened here."""

import re
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Final

_UNIX: Final = "unix:"
_SERVICE: Final = "srv:"
_KUBERNETES: Final = "k8s:"
_MAX_UNIX_PATH: Final = 107  # octets; sun_path holds 108 with its closing NUL
_MAX_PORT: Final = 65535
_MAX_HOST: Final = 253  # characters of a DNS name

_HOST_PORT: Final = re.compile(r"(?P<host>\[[^\]]*\]|[^:\[\]]*):(?P<port>[0-9]{1,5})")
_DOTTED: Final = re.compile(r"[0-9.]+")
_NAME: Final = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?\.?")
_LABEL: Final = "[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"  # RFC 1123, as Kubernetes names its objects
_PODS: Final = re.compile(f"({_LABEL})/({_LABEL}):({_LABEL})")


@dataclass(frozen=True, slots=True)
class Address:
    """A TCP host and port, or the path of a unix socket."""

    host: str = ""  # a name or an IP address, without brackets
    port: int = 0  # 0: any free one
    path: str = ""  # of the unix socket; "" for TCP
    name: str = ""  # the name that `host` was resolved from; "" when it was not
    is_service: bool = False  # `host` is a service's name, whose records tell ports (RFC 2782)
    namespace: str = ""  # of Kubernetes, where `host` is a Service; "" elsewhere
    port_name: str = ""  # what that Service calls the port; "" when `port` tells it

    @property
    def is_unix(self) -> bool:
        """Whether this is a unix socket."""
        return bool(self.path)

    @property
    def is_ip(self) -> bool:
        """Whether the host is an IP address, so that there is nothing to resolve."""
        if self.namespace:
            return False  # a Service may be called 10
        return ":" in self.host or _DOTTED.fullmatch(self.host) is not None

    def resolved(self, host: str) -> "Address":
        """Return the same port at the IP address `host`, which our name stands for."""
        return Address(host, self.port, name=self.host)

    @property
    def authority(self) -> str:
        """What a request to it asks for, where nobody says otherwise."""
        if self.is_unix:
            return "localhost"
        return f"{self.name}:{self.port}" if self.name else str(self)

    def __str__(self) -> str:
        if self.path:
            return _UNIX + self.path
        if self.is_service:
            return _SERVICE + self.host
        if self.namespace:
            return f"{_KUBERNETES}{self.namespace}/{self.host}:{self.port_name or self.port}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def parse_address(text: str) -> Address:
    """Read `host:port`, `[v6]:port` or `unix:/path`.

    Raises:
        ValueError: it is none of these; the text says why, for operators.
    """
    if text.startswith(_UNIX):
        return Address(path=_unix_path(text.removeprefix(_UNIX)))
    match = _HOST_PORT.fullmatch(text)
    if match is None:
        raise ValueError(_malformed(text))
    return Address(_host(match["host"]), _port(match["port"]))


def parse_endpoint(text: str) -> Address:
    """Read where a backend is: an address, or a service behind `srv:` or `k8s:`.

    Raises:
        ValueError: it is none of these; the text says why, for operators.
    """
    if text.startswith(_SERVICE):
        return Address(_host(text.removeprefix(_SERVICE)), is_service=True)
    if text.startswith(_KUBERNETES):
        return _pods(text.removeprefix(_KUBERNETES))
    address = parse_address(text)
    if not address.is_unix:
        _dialled(address.port)
    return address


def _pods(text: str) -> Address:
    match = _PODS.fullmatch(text)
    if match is None:
        raise ValueError(
            "the pods of a Service of Kubernetes are written k8s:NAMESPACE/SERVICE:PORT, where the "
            "port is a name or a number"
        )
    namespace, service, port = match.groups()
    if port.isdecimal():
        return Address(service, _dialled(_port(port)), namespace=namespace)
    return Address(service, namespace=namespace, port_name=port)


def _port(digits: str) -> int:
    port = int(digits)
    if port > _MAX_PORT:
        raise ValueError(f"port {port} is above {_MAX_PORT}")
    return port


def _dialled(port: int) -> int:
    if port == 0:
        raise ValueError("an endpoint needs a port that is not 0")
    return port


def _unix_path(path: str) -> str:
    if not path.startswith("/"):
        raise ValueError("the path of a unix socket must begin with /, as in unix:/run/app.sock")
    if "\0" in path:
        raise ValueError("the path of a unix socket cannot hold NUL")
    if len(path.encode()) > _MAX_UNIX_PATH:
        raise ValueError(f"the path of a unix socket has {_MAX_UNIX_PATH} octets at most")
    return path


def _host(text: str) -> str:
    if not text:
        raise ValueError("the host is missing; 0.0.0.0 means every IPv4 address, [::] every IPv6")
    if text[0] == "[":
        return _checked(text[1:-1], IPv6Address, "IPv6")
    if _DOTTED.fullmatch(text):
        return _checked(text, IPv4Address, "IPv4")
    if _NAME.fullmatch(text) is None or ".." in text or len(text) > _MAX_HOST:
        raise ValueError(f"{text!r} is not a host name")
    return text


def _checked(text: str, kind: type[IPv4Address | IPv6Address], version: str) -> str:
    try:
        return str(kind(text))
    except AddressValueError:
        raise ValueError(f"{text!r} is not an {version} address") from None


def _malformed(text: str) -> str:
    if "://" in text:
        return "an address has no scheme: write host:port"
    if text.startswith("/"):
        return f"a unix socket is written {_UNIX}{text}"
    if text.count(":") > 1 and "[" not in text:
        return "an IPv6 address stands in brackets, as in [::1]:8080"
    if ":" not in text or text.endswith("]"):
        return "the port is missing: write host:port"
    return "an address is host:port, [v6]:port or unix:/path"
