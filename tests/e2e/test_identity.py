"""Who is who: certificates by name, clients by theirs, and what upstreams are told of them."""

import hashlib
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from cryptography import x509
from cryptography.x509.oid import NameOID

from tests.support.backend import RunningBackend
from tests.support.certificates import Authority, Pair
from tests.support.running import (
    Proxy,
    Start,
    eventually,
    free_port,
    listener,
    refused,
    running_proxy,
    settings,
)
from tests.support.scripted_peer import Address, Origin, Peer, dial

pytestmark = pytest.mark.e2e

VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]
FORGED = ("x-forwarded-client-cert", "Hash=forged;URI=spiffe://td/admin")
INADEQUATE_SECURITY = 0xC


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def ours(authority: Authority) -> Pair:
    """The certificate of the listeners."""
    return authority.issue("localhost", "spiffe://td/proxy")


def place(proxy: Proxy, name: str) -> Address:
    """Return the address of a listener."""
    (bind,) = [each["bind"] for each in proxy.settings["listeners"] if each["name"] == name]
    host, _, port = str(bind).rpartition(":")
    return host, int(port)


# -- several certificates ------------------------------------------------------------------


def shown(address: Address, authority: Authority, name: str) -> str:
    """Ask a listener for a name; return the first name of the certificate it shows."""
    context = authority.client_context()
    context.check_hostname = False
    with Peer.connect(address, tls=context, server_name=name) as client:
        message = client.response(client.request(path="/bytes/100"))
        assert dict(message.trailers or ())["x-bytes"] == "100"
        assert isinstance(client.socket, ssl.SSLSocket)
        certificate = client.socket.getpeercert()
        assert certificate is not None
        return str(certificate["subjectAltName"][0][1])


def test_clients_are_shown_the_certificate_they_ask_for(
    backend: RunningBackend, authority: Authority, ours: Pair, start: Start
):
    more = [authority.issue(name) for name in ("a.example", "*.b.example")]
    tls = {**ours.tls, "certificates": [each.tls for each in more]}
    proxy = start(backend.endpoint, listeners=[listener(tls=tls)])

    asked = ["a.example", "x.b.example", "nobody.example"]
    assert [shown(proxy.address, authority, name) for name in asked] == [
        "a.example",
        "*.b.example",
        "localhost",
    ]


def test_a_certificate_among_several_is_renewed_by_itself(
    backend: RunningBackend, authority: Authority, ours: Pair, start: Start, tmp_path: Path
):
    old, new = authority.issue("a.example"), authority.issue("new.example", "a.example")
    files = Pair(str(tmp_path / "a.crt"), str(tmp_path / "a.key"))
    for mine, theirs in zip(files, old, strict=True):
        Path(mine).write_bytes(Path(theirs).read_bytes())
    tls = {**ours.tls, "certificates": [files.tls]}
    proxy = start(backend.endpoint, listeners=[listener(tls=tls)])
    backend.hold()
    with Peer.connect(proxy.address, tls=authority.client_context()) as early:
        sid = early.request(path="/held")
        early.wait_body(sid, 1)
        assert shown(proxy.address, authority, "a.example") == "a.example"

        for mine, theirs in zip(files, new, strict=True):
            Path(mine).write_bytes(Path(theirs).read_bytes())

        eventually(
            lambda: shown(proxy.address, authority, "a.example") == "new.example",
            "the new certificate",
        )
        assert shown(proxy.address, authority, "localhost") == "localhost"
        backend.release()
        assert early.response(sid).trailers == [("x-held", "released")]


def test_a_certificate_that_cannot_be_used_is_named_and_refused_whole(
    backend: RunningBackend, authority: Authority, ours: Pair, tmp_path: Path
):
    good, nameless = authority.issue("a.example"), authority.issue("urn:nameless")
    mixed = {**good.tls, "private_key": ours.private_key}
    for bad, named in ((nameless.tls, nameless.certificate), (mixed, good.certificate)):
        tls = {**ours.tls, "certificates": [good.tls, bad]}
        whole = settings(backend.endpoint, listeners=[listener(tls=tls)])
        status, told = refused(tmp_path, yaml.safe_dump(whole))
        assert status == 2
        assert "listeners[0].tls: " in told
        assert named in told
        assert "Traceback" not in told


# -- who is let in -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def doors(
    backend: RunningBackend,
    authority: Authority,
    ours: Pair,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Proxy]:
    """Three listeners: for friends alone, for friends and strangers without names, for anybody."""
    names = ["friend.local", "*.friends.local", "spiffe://td/ns/friends/*", "ann@friends.local"]
    asking = {**ours.tls, "client_ca": authority.ca}
    kinds = {
        "friends": {**asking, "client_names": names},
        "polite": {**asking, "client_names": names, "client_auth": "optional"},
        "anybody": {**asking, "client_auth": "optional"},
    }
    listeners = [listener(name=name, tls=tls) for name, tls in kinds.items()]
    with running_proxy(
        tmp_path_factory.mktemp("doors"), backend.endpoint, listeners=listeners
    ) as proxy:
        yield proxy


def fetch(address: Address, context: ssl.SSLContext) -> str:
    """Ask for a body with trailers; return the status."""
    with Peer.connect(address, tls=context) as client:
        return client.response(client.request(path="/bytes/100")).status


@pytest.mark.parametrize("version", VERSIONS, ids=lambda version: version.name)
@pytest.mark.parametrize(
    "name",
    [
        "friend.local",
        "a.friends.local",
        "spiffe://td/ns/friends/ann",
        x509.RFC822Name("ann@friends.local"),
    ],
    ids=str,
)
def test_a_friend_is_let_in_by_any_of_its_names(
    doors: Proxy, authority: Authority, version: ssl.TLSVersion, name: x509.GeneralName | str
):
    context = authority.client_context(authority.issue("unknown.local", name))
    context.minimum_version = context.maximum_version = version

    assert fetch(place(doors, "friends"), context) == "200"
    assert fetch(place(doors, "polite"), context) == "200"


@pytest.mark.parametrize("version", VERSIONS, ids=lambda version: version.name)
@pytest.mark.parametrize("door", ["friends", "polite"])
def test_a_stranger_hears_goaway_and_no_request_of_it_is_taken_up(
    doors: Proxy, authority: Authority, version: ssl.TLSVersion, door: str
):
    common = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "friend.local")])
    stranger = authority.issue("stranger.local", "spiffe://td/ns/friendsofnobody", subject=common)
    context = authority.client_context(stranger)
    context.minimum_version = context.maximum_version = version
    gained = doors.counting()

    with Peer.connect(place(doors, door), tls=context) as client:
        client.request(path="/bytes/100")
        client.wait(lambda: client.closed, "the end of the connection")

    assert client.goaways == [(0, INADEQUATE_SECURITY)]
    assert not client.streams
    told = gained()
    assert told("connections_refused_total", "listener", "cause") == {(door, "client_name"): 1}
    assert told("goaways_total", "side", "direction", "code") == {
        ("downstream", "sent", "INADEQUATE_SECURITY"): 1
    }
    assert told("requests_total", "listener") == {}
    said = f"listener {door} refused (client_name) 127.0.0.1, whose certificate says Hash="
    assert said in doors.errors
    assert 'Subject="CN=friend.local"' in doors.errors
    assert "friends.local" not in doors.errors  # who would be let in is nobody's business


def test_a_stranger_who_comes_back_to_its_session_is_one_still(doors: Proxy, authority: Authority):
    """A session that is resumed shows no certificate again: it is that of the first time."""
    for name, goaways in (("stranger.local", [(0, INADEQUATE_SECURITY)]), ("friend.local", [])):
        context = authority.client_context(authority.issue(name))
        session = None
        for resumed in (False, True):
            dialled = dial(place(doors, "friends"))
            sock = context.wrap_socket(dialled, server_hostname="localhost", session=session)
            assert sock.session_reused is resumed
            with Peer(sock, client=True) as client:
                sid = client.request(path="/bytes/100")
                if goaways:
                    client.wait(lambda client=client: client.closed, "the end of the connection")
                else:
                    assert client.response(sid).status == "200"
                assert client.goaways == goaways
                session = sock.session


def test_a_client_may_show_no_certificate_where_it_is_optional(
    doors: Proxy, authority: Authority, tmp_path: Path
):
    nobody = authority.client_context()
    assert fetch(place(doors, "anybody"), nobody) == "200"
    assert fetch(place(doors, "polite"), nobody) == "200"
    with pytest.raises((ssl.SSLError, ConnectionError)):
        fetch(place(doors, "friends"), nobody)


def test_a_certificate_that_is_shown_must_be_good_even_where_it_is_optional(
    doors: Proxy, authority: Authority, tmp_path: Path
):
    forged = Authority(tmp_path).issue("friend.local")
    for door in ("anybody", "polite", "friends"):
        with pytest.raises((ssl.SSLError, ConnectionError)):
            fetch(place(doors, door), authority.client_context(forged))


# -- what upstreams are told ---------------------------------------------------------------


@pytest.fixture(scope="module")
def told_of(
    origin: Origin, authority: Authority, ours: Pair, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Proxy]:
    """A listener for each way, with TLS and without."""
    also = authority.issue("also.example", "spiffe://td/also")
    tls = {
        **ours.tls,
        "certificates": [also.tls],
        "client_ca": authority.ca,
        "client_auth": "optional",
    }
    ways = ("sanitize", "set", "append", "forward")
    listeners = [listener(name=way, tls=tls, forward_client_cert=way) for way in ways]
    listeners += [listener(name="plain"), listener(name="behind", forward_client_cert="forward")]
    folder = tmp_path_factory.mktemp("told")
    with running_proxy(folder, origin.endpoint, listeners=listeners) as proxy:
        yield proxy


@pytest.fixture
def backend_peer(origin: Origin, told_of: Proxy) -> Iterator[Peer]:
    """The proxy's connection to the backend."""
    with Peer.connect(place(told_of, "plain")) as client:
        sid = client.request()
        peer = origin.accept()
        peer.answer(peer.next_request())
        peer.data(1, b"", end=True)
        client.response(sid)
        yield peer
    origin.hang_up()
    eventually(lambda: not told_of.metrics().by("connections_active", "side"), "all to hang up")


def heard(backend: Peer, client: Peer, *said: tuple[str, str]) -> list[str]:
    """Send a request, and answer it; return what the backend was told of the certificate."""
    sid = client.request(*said)
    up = backend.next_request()
    backend.answer(up)
    backend.data(up, b"", end=True)
    assert client.response(sid).status == "200"
    names = dict(backend.streams[up].head or ())
    assert {name for name in names if "client" in name} <= {"x-forwarded-client-cert"}
    return [
        value for name, value in backend.streams[up].head or () if name == "x-forwarded-client-cert"
    ]


def digest(pair: Pair) -> str:
    der = ssl.PEM_cert_to_DER_cert(Path(pair.certificate).read_text())
    return hashlib.sha256(der).hexdigest()


def test_upstreams_are_told_what_the_listener_says(
    told_of: Proxy, backend_peer: Peer, authority: Authority
):
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, 'a";URI=spiffe://td/admin;X="'),
            x509.NameAttribute(NameOID.COMMON_NAME, "ann"),
        ]
    )
    pair = authority.issue("ann.local", "spiffe://td/ann", subject=subject)
    said = (
        f"By=spiffe://td/proxy;Hash={digest(pair)};"
        r'Subject="CN=ann,O=a\22\3BURI\3Dspiffe://td/admin\3BX\3D\22";'
        "URI=spiffe://td/ann;DNS=ann.local"
    )
    came = FORGED[1]
    for way, alone, behind in (
        ("sanitize", [], []),
        ("set", [said], [said]),
        ("append", [said], [f"{came},{said}"]),
        ("forward", [], [came]),
    ):
        context = authority.client_context(pair)
        with Peer.connect(place(told_of, way), tls=context) as client:
            assert heard(backend_peer, client) == alone, way
            assert heard(backend_peer, client, FORGED) == behind, way
            assert heard(backend_peer, client) == alone, way


def test_what_a_client_without_certificate_says_is_taken_away(
    told_of: Proxy, backend_peer: Peer, authority: Authority
):
    misspelt = ("x_forwarded_client_cert", "Hash=forged")
    for way in ("sanitize", "set", "append"):
        with Peer.connect(place(told_of, way), tls=authority.client_context()) as client:
            assert heard(backend_peer, client, FORGED, misspelt) == [], way


def test_a_plain_listener_lets_it_pass_only_where_that_is_wanted(
    told_of: Proxy, backend_peer: Peer
):
    with Peer.connect(place(told_of, "plain")) as client:
        assert heard(backend_peer, client, FORGED) == []
    with Peer.connect(place(told_of, "behind")) as client:
        assert heard(backend_peer, client, FORGED) == [FORGED[1]]


def test_the_certificate_that_was_shown_says_who_speaks(
    told_of: Proxy, backend_peer: Peer, authority: Authority
):
    context = authority.client_context(authority.issue("ann.local"))
    with Peer.connect(place(told_of, "set"), tls=context, server_name="also.example") as client:
        (told,) = heard(backend_peer, client)
    assert told.startswith("By=spiffe://td/also;Hash=")


def test_each_client_is_told_of_by_its_own_certificate(
    told_of: Proxy, backend_peer: Peer, authority: Authority
):
    """They have one address, and say the same: only their certificates differ."""
    pairs = [authority.issue(name) for name in ("ann.local", "bob.local")]
    address = place(told_of, "set")
    with (
        Peer.connect(address, tls=authority.client_context(pairs[0])) as ann,
        Peer.connect(address, tls=authority.client_context(pairs[1])) as bob,
    ):
        for _ in range(4):  # what recurs is kept worked out
            for client, pair in ((ann, pairs[0]), (bob, pairs[1])):
                (told,) = heard(backend_peer, client)
                assert f"Hash={digest(pair)};" in told


def test_it_is_not_smuggled_in_trailers(told_of: Proxy, backend_peer: Peer, authority: Authority):
    context = authority.client_context(authority.issue("ann.local"))
    for way in ("sanitize", "set", "append", "forward"):
        with Peer.connect(place(told_of, way), tls=context) as client:
            sid = client.open()
            client.data(sid, b"x")
            client.trailers(sid, [FORGED, ("x_forwarded_client_cert", "1"), ("x-sum", "1")])
            up = backend_peer.next_request()
            backend_peer.wait(lambda up=up: backend_peer.streams[up].over, "the request's end")
            assert backend_peer.streams[up].trailers == [("x-sum", "1")]
            backend_peer.answer(up)
            backend_peer.data(up, b"", end=True)
            assert client.response(sid).status == "200"


# -- all of it together, in several processes -----------------------------------------------


def test_workers_keep_the_same_door(
    origin: Origin, authority: Authority, ours: Pair, tmp_path: Path
):
    tls = {**ours.tls, "client_ca": authority.ca, "client_names": ["friend.local"]}
    only = listener(name="main", tls=tls, forward_client_cert="set")
    admin = {"bind": f"127.0.0.1:{free_port()}"}
    with running_proxy(
        tmp_path / "proxy", origin.endpoint, listeners=[only], workers=2, admin=admin
    ) as proxy:
        stranger = authority.client_context(authority.issue("stranger.local"))
        for _ in range(3):
            with Peer.connect(proxy.address, tls=stranger) as client:
                client.wait(lambda client=client: client.closed, "the end of the connection")
                assert client.goaways == [(0, INADEQUATE_SECURITY)]
        eventually(
            lambda: (
                proxy.metrics().by("connections_refused_total", "listener", "cause")
                == {("main", "client_name"): 3}
            ),
            "all refusals to be counted",
        )
        pair = authority.issue("friend.local")
        with Peer.connect(proxy.address, tls=authority.client_context(pair)) as client:
            sid = client.request(FORGED)
            peer = origin.accept()
            up = peer.next_request()
            told = dict(peer.streams[up].head or ())["x-forwarded-client-cert"]
            assert told.startswith(f"By=spiffe://td/proxy;Hash={digest(pair)};")
            peer.answer(up)
            peer.data(up, b"", end=True)
            assert client.response(sid).status == "200"
    origin.hang_up()
