"""Listeners: an address is taken or named, and a stale socket is no obstacle."""

import asyncio
import gc
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.certificates import Authority, make_certificates
from tests.support.frames import settings_frame
from tests.support.table import Notebook
from tests.support.waiting import until
from trailproxy.core.address import Address
from trailproxy.core.connection import Connection
from trailproxy.core.fault import Refusal
from trailproxy.core.identity import Guests
from trailproxy.core.record import Tally
from trailproxy.core.stream import Host, Stream
from trailproxy.net.connection import AsyncConnection
from trailproxy.net.door import CrowdLimits
from trailproxy.net.listener import Listener, ListenError, ListenParams
from trailproxy.net.local import connect
from trailproxy.net.loop import run
from trailproxy.net.tls import ServerTls, listener_tls
from trailproxy.wire.codec import PREFACE
from trailproxy.wire.errors import HTTP2Error
from trailproxy.wire.fields import Fields


def _listener(address: Address) -> Listener:
    return Listener(address, Notebook(), Tally())


def test_a_free_port_is_taken_and_told() -> None:
    listener = _listener(Address("127.0.0.1", 0))
    listener.bind()
    assert listener.port > 0
    assert str(listener.bound_to) == f"127.0.0.1:{listener.port}"
    listener.close()


def test_an_address_in_use_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = Address("127.0.0.1", taken.getsockname()[1])
        with pytest.raises(ListenError, match=f"{address}: Address already in use"):
            _listener(address).bind()


def test_an_address_that_is_not_ours_is_named() -> None:
    with pytest.raises(ListenError, match=r"192\.0\.2\.1:80: "):
        _listener(Address("192.0.2.1", 80)).bind()


def test_a_stale_unix_socket_is_replaced_and_removed_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "app.sock"
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(str(path))
    stale.close()
    listener = _listener(Address(path=str(path)))
    listener.bind()
    listener.close()
    assert not path.exists()


def test_a_unix_socket_in_use_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "app.sock"
    with socket.socket(socket.AF_UNIX) as taken:
        taken.bind(str(path))
        taken.listen()
        with pytest.raises(ListenError, match=str(path)):
            _listener(Address(path=str(path))).bind()
    assert path.exists()


def test_a_plain_file_is_not_removed(tmp_path: Path) -> None:
    path = tmp_path / "precious"
    path.write_text("mine")
    with pytest.raises(ListenError, match=str(path)):
        _listener(Address(path=str(path))).bind()
    assert path.read_text() == "mine"


# -- the drain ---------------------------------------------------------------------------


class Quiet(Host):
    """The host of connections on which nothing is asked."""

    def __init__(self, peer: str, scheme: str, certificate: bytes) -> None:
        self.told = (peer, scheme, certificate)

    def stream_opened(self, stream: Stream, fields: Fields, end: bool) -> None:
        raise AssertionError("nobody asks")

    def connection_changed(self, connection: Connection) -> None:
        """Nothing depends on it."""


async def test_a_drain_takes_the_clients_that_wait_to_be_accepted() -> None:
    listener = _listener(Address("127.0.0.1", 0))
    listener.bind()
    address = listener.bound_to
    await listener.serve(ListenParams(make_host=Quiet))
    dialled = asyncio.ensure_future(connect(address))
    await asyncio.sleep(0)  # it is under way
    with socket.create_connection((address.host, address.port)) as silent:  # accepted by nobody yet
        listener.drain()
        assert not listener.empty
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((address.host, address.port))
        client = await dialled
        await until(lambda: client.core.away)  # it was told GOAWAY, and was not cut
    client.transport.abort()
    silent.close()
    await until(lambda: listener.empty)


async def test_a_client_that_fails_its_handshake_does_not_hold_the_drain_up(tmp_path: Path) -> None:
    certificates = make_certificates(tmp_path)
    listener = _listener(Address("127.0.0.1", 0))
    listener.bind()
    tls = listener_tls([(certificates.server, certificates.server_key)], None)
    await listener.serve(ListenParams(make_host=Quiet, tls=tls))
    with socket.create_connection(("127.0.0.1", listener.port)) as client:
        client.sendall(b"this is not TLS at all")
        listener.drain()
        assert not listener.empty
        await until(lambda: listener.empty)


async def test_an_adopted_socket_leaves_its_path_to_its_owner(tmp_path: Path) -> None:
    path = tmp_path / "app.sock"
    with socket.socket(socket.AF_UNIX) as owner:
        owner.bind(str(path))
        owner.listen()
        listener = _listener(Address(path=str(path)))
        listener.adopt(owner.dup())
        await listener.serve(ListenParams(make_host=Quiet))
        client = await connect(Address(path=str(path)))
        client.transport.abort()
        listener.close()
        assert path.exists()


# -- who is refused ----------------------------------------------------------------------


async def test_refusals_are_counted_each_and_logged_once_a_second(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    authority, notes, hosts = Authority(tmp_path), Notebook(), []

    def make_host(*told: str | bytes) -> Quiet:
        hosts.append(Quiet(*told))  # type: ignore[arg-type]
        return hosts[-1]

    listener = Listener(Address("127.0.0.1", 0), notes, Tally())
    listener.bind()
    tls = listener_tls([authority.issue("localhost")], authority.ca)
    guests = Guests(["friend.local"])
    await listener.serve(ListenParams(make_host=make_host, name="main", tls=tls, guests=guests))

    async def dial(name: str) -> None:
        context = authority.client_context(authority.issue(name))
        context.check_hostname = False
        client = await connect(listener.bound_to, tls=context)
        await until(lambda: client.core.away)
        await client.wait_closed()

    for _ in range(3):
        await dial("stranger.local")
    assert notes.refusals == [("main", Refusal.CLIENT_NAME)] * 3
    (record,) = caplog.records
    told = record.getMessage()
    assert told.startswith("listener main refused (client_name) 127.0.0.1, whose certificate says ")
    assert told.endswith(';Subject="";DNS=stranger.local')
    listener.tick()
    await dial("stranger.local")
    assert len(caplog.records) == 2
    assert {host.told[:2] for host in hosts} == {("127.0.0.1", "https")}
    assert all(host.told[2].endswith(b"DNS=stranger.local") for host in hosts)
    await until(lambda: listener.empty)
    listener.close()


async def test_a_certificate_whose_names_are_no_text_ends_its_handshake_and_no_more(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    authority = Authority(tmp_path)
    listener = _listener(Address("127.0.0.1", 0))
    listener.bind()
    tls = listener_tls([authority.issue("localhost")], authority.ca)
    await listener.serve(ListenParams(make_host=Quiet, tls=tls))
    name = b"\x82\x07friend\xff"
    context = authority.client_context(authority.issue(raw=b"\x30" + bytes([len(name)]) + name))
    context.check_hostname = False

    with pytest.raises((OSError, HTTP2Error)):
        await connect(listener.bound_to, tls=context)

    await until(lambda: listener.empty)
    assert not [record for record in caplog.records if record.name.startswith("trailproxy")]
    listener.close()


# -- what is left of them -------------------------------------------------------------------------


@pytest.mark.parametrize("secure", [False, True], ids=["clear", "tls"])
def test_a_connection_that_is_gone_leaves_nothing_for_the_collector(
    tmp_path: Path, *, secure: bool
) -> None:
    """On the loop that serves: 54 KB of each TLS connection stayed until a search for cycles."""
    authority = Authority(tmp_path)
    tls = listener_tls([authority.issue("localhost")], None) if secure else None
    context = authority.client_context() if secure else None

    async def come_and_go() -> list[object]:
        listener = _listener(Address("localhost", 0))
        listener.bind()
        await listener.serve(ListenParams(make_host=Quiet, tls=tls))
        for _ in range(3):
            client = await connect(listener.bound_to, tls=context)
            client.close()
            await client.wait_closed()
            del client
        await until(lambda: listener.empty)
        left = [thing for thing in gc.get_objects() if isinstance(thing, AsyncConnection)]
        listener.close()
        return left

    gc.collect()
    gc.disable()
    try:
        assert run(come_and_go()) == []
    finally:
        gc.enable()


# -- how many there may be ------------------------------------------------------------------------


class Inn:
    """A listener with room for two connections of one address, and four in all."""

    def __init__(self, address: Address) -> None:
        self.notes = Notebook()
        self.listener = Listener(address, self.notes, Tally())
        self.guests: list[socket.socket] = []

    async def opens(self, *, tls: ServerTls | None = None, most_of_one: int = 2) -> None:
        if self.listener._socket is None:
            self.listener.bind()
        crowd = CrowdLimits(most=4, most_of_one=most_of_one)
        await self.listener.serve(ListenParams(make_host=Quiet, name="inn", tls=tls, crowd=crowd))

    def comes(self, host: str = "127.0.0.1") -> socket.socket:
        bound = self.listener.bound_to
        guest = socket.create_connection((bound.host, bound.port), source_address=(host, 0))
        self.guests.append(guest)
        return guest

    async def is_let_in(self, guest: socket.socket) -> None:
        """Wait until our SETTINGS come: who knocks with the preface hears them."""
        guest.sendall(PREFACE + settings_frame())
        guest.setblocking(False)
        async with asyncio.timeout(5):
            assert await asyncio.get_running_loop().sock_recv(guest, 9)

    async def is_turned_away(self, guest: socket.socket, cause: Refusal) -> None:
        """Wait until the door is shut, without a word."""
        before = len(self.notes.refusals)
        guest.setblocking(False)
        async with asyncio.timeout(5):
            assert await asyncio.get_running_loop().sock_recv(guest, 9) == b""
        await until(lambda: len(self.notes.refusals) >= before)
        assert self.notes.refusals[-1] == ("inn", cause)

    async def closes(self) -> None:
        for guest in self.guests:
            guest.close()
        self.listener.close()
        await until(lambda: self.listener.empty)
        assert len(self.listener._crowd) == 0, "nobody is left in the books"


@pytest.fixture
async def inn() -> AsyncIterator[Inn]:
    made = Inn(Address("127.0.0.1", 0))
    yield made
    await made.closes()


async def test_one_address_has_a_number_of_connections_and_others_have_theirs(inn: Inn) -> None:
    await inn.opens()
    first, second = inn.comes(), inn.comes()
    await inn.is_let_in(first)
    await inn.is_let_in(second)
    await inn.is_turned_away(inn.comes(), Refusal.ADDRESS_LIMIT)
    await inn.is_let_in(inn.comes("127.0.0.2"))
    first.close()
    await until(lambda: len(inn.listener._connections) == 2)
    await inn.is_let_in(inn.comes())
    assert inn.notes.refusals == [("inn", Refusal.ADDRESS_LIMIT)]


async def test_all_addresses_together_have_a_number_too(inn: Inn) -> None:
    await inn.opens()
    for number in range(4):
        await inn.is_let_in(inn.comes(f"127.0.1.{number + 1}"))
    await inn.is_turned_away(inn.comes("127.0.1.9"), Refusal.CONNECTION_LIMIT)


async def test_a_refusal_is_logged_once_a_second(
    inn: Inn, caplog: pytest.LogCaptureFixture
) -> None:
    await inn.opens(most_of_one=1)
    await inn.is_let_in(inn.comes())
    for _ in range(3):
        await inn.is_turned_away(inn.comes(), Refusal.ADDRESS_LIMIT)
    assert caplog.messages == ["listener inn refused (address_limit) 127.0.0.1"]
    inn.listener.tick()
    await inn.is_turned_away(inn.comes(), Refusal.ADDRESS_LIMIT)
    assert len(caplog.messages) == 2


async def test_other_limits_are_taken_up_and_nobody_is_put_out(inn: Inn) -> None:
    await inn.opens()
    for _ in range(2):
        await inn.is_let_in(inn.comes())
    await inn.opens(most_of_one=1)
    await inn.is_turned_away(inn.comes(), Refusal.ADDRESS_LIMIT)
    assert len(inn.listener._connections) == 2
    await inn.opens(most_of_one=3)
    await inn.is_let_in(inn.comes())


async def test_who_shakes_hands_for_long_counts_and_who_fails_to_does_not(
    inn: Inn, tmp_path: Path
) -> None:
    certificates = make_certificates(tmp_path)
    tls = listener_tls([(certificates.server, certificates.server_key)], None)
    await inn.opens(tls=tls)
    silent = [inn.comes(), inn.comes()]
    await until(lambda: inn.listener._arriving == 2)
    await inn.is_turned_away(inn.comes(), Refusal.ADDRESS_LIMIT)
    silent[0].sendall(b"this is not TLS at all")
    await until(lambda: inn.listener._arriving == 1)
    late = inn.comes()
    await until(lambda: inn.listener._arriving == 2)
    late.close()
    await until(lambda: inn.listener._arriving == 1)


async def test_a_unix_socket_has_no_addresses(tmp_path: Path) -> None:
    path = str(tmp_path / "app.sock")
    inn = Inn(Address(path=path))
    await inn.opens(most_of_one=1)
    clients = [await connect(Address(path=path)) for _ in range(4)]
    with socket.socket(socket.AF_UNIX) as fifth:
        fifth.connect(path)
        await inn.is_turned_away(fifth, Refusal.CONNECTION_LIMIT)
    for client in clients:
        client.transport.abort()
    await inn.closes()
