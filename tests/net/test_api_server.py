"""The API server of the cluster: who is asked, who asks, and what may come back."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.backend import Backend, Behaviour, Stream
from tests.support.certificates import Certificates, make_certificates
from tests.support.waiting import until
from trailproxy.core.address import Address
from trailproxy.net.api_server import ApiParams, ApiServer, RefusedError, api_of
from trailproxy.net.dial import DialError
from trailproxy.net.origin_params import OriginParams
from trailproxy.net.tls import TLSError
from trailproxy.wire.errors import HTTP2Error


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("10.96.0.1", Address("10.96.0.1", 443)),
        ("fd00::1", Address("fd00::1", 443)),
        ("api.cluster.test", Address("api.cluster.test", 443)),
    ],
)
def test_a_pod_is_told_where_it_is(host: str, address: Address) -> None:
    api = api_of({"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": "443"})
    assert api == ApiParams(address=address)
    assert api.account == Path("/var/run/secrets/kubernetes.io/serviceaccount")


@pytest.mark.parametrize("environ", [{}, {"KUBERNETES_SERVICE_HOST": "10.96.0.1"}])
def test_what_is_no_pod_knows_none(environ: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="KUBERNETES_SERVICE_PORT are not set: no pod"):
        api_of(environ)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


class Scene:
    """A server that does one thing, and who asks it."""

    def __init__(self, folder: Path, certificates: Certificates) -> None:
        self.folder = folder
        self.certificates = certificates
        self.backend = Backend()
        self.server: asyncio.Server
        self.api: ApiServer
        (folder / "token").write_text("secret\n")
        self.trust(certificates.ca)

    def trust(self, authority: str) -> None:
        (self.folder / "ca.crt").write_bytes(Path(authority).read_bytes())

    async def start(self) -> "Scene":
        context = self.certificates.server_context()
        self.server = await self.backend.listen("127.0.0.1:0", context)
        port = self.server.sockets[0].getsockname()[1]
        params = ApiParams(address=Address("127.0.0.1", port), account=self.folder)
        self.api = ApiServer(params, OriginParams(name="app", spots=()))
        return self

    def does(self, behaviour: Behaviour) -> None:
        self.backend.behaviours["x"] = behaviour

    async def ask(self) -> bytes:
        async with asyncio.timeout(5):
            await self.api.connect()
            return await (await self.api.ask("/x")).whole(1000)


@pytest.fixture
async def scene(certificates: Certificates, tmp_path: Path) -> AsyncIterator[Scene]:
    made = await Scene(tmp_path, certificates).start()
    yield made
    made.api.hang_up()
    made.server.close()
    for link in list(made.backend.links):
        link.abort()
    await until(lambda: not made.backend.links)
    assert made.backend.faults == []


async def test_an_answer_is_read_to_its_end(scene: Scene) -> None:
    heads: list[list[tuple[str, str]]] = []

    async def answer(stream: Stream) -> None:
        heads.append(stream.head)
        stream.respond(status=103)
        stream.respond()
        await stream.send(b"one, ")
        await stream.send(b"two")
        stream.finish(("x-sum", "1"))

    scene.does(answer)
    assert await scene.ask() == b"one, two"
    assert await scene.ask() == b"one, two"
    assert ("authorization", "Bearer secret") in heads[0]
    assert (":authority", str(scene.api.params.address)) in heads[0]
    assert len(scene.backend.links) == 1, "one connection for both"


async def test_an_answer_without_a_body_is_empty(scene: Scene) -> None:
    async def answer(stream: Stream) -> None:
        stream.respond(end=True)

    scene.does(answer)
    assert await scene.ask() == b""


async def test_an_answer_that_breaks_off_is_none(scene: Scene) -> None:
    async def answer(stream: Stream) -> None:
        stream.respond()
        await stream.send(b"one")
        stream.reset(2)

    scene.does(answer)
    with pytest.raises(HTTP2Error):
        await scene.ask()


async def test_an_answer_has_a_bound(scene: Scene) -> None:
    async def answer(stream: Stream) -> None:
        stream.respond()
        await stream.send(b"x" * 2000)

    scene.does(answer)
    with pytest.raises(ValueError, match="an answer of more than 1000 octets"):
        await scene.ask()


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b'{"message": "not for you", "code": 1}', "the API server says 403: 'not for you'"),
        (b"<html>\x1b[1m", "the API server says 403: '<html>\\x1b[1m'"),
        (b"[]", "the API server says 403: '[]'"),
        (b"x" * 500, f"the API server says 403: '{'x' * 300}'"),
    ],
    ids=["status", "html", "list", "long"],
)
async def test_a_refusal_says_why(scene: Scene, body: bytes, why: str) -> None:
    async def answer(stream: Stream) -> None:
        stream.respond(status=403)
        await stream.send(body)
        stream.finish()

    scene.does(answer)
    with pytest.raises(RefusedError) as refused:
        await scene.ask()
    assert str(refused.value) == why
    assert refused.value.status == 403


async def test_who_is_not_vouched_for_by_the_authority_of_the_account_hears_no_token(
    scene: Scene,
) -> None:
    scene.trust(scene.certificates.other_ca)
    with pytest.raises(DialError, match="not trusted"):
        await scene.ask()


@pytest.mark.parametrize(
    ("name", "error"), [("token", OSError), ("ca.crt.*automountServiceAccountToken", TLSError)]
)
async def test_an_account_that_cannot_be_read_asks_nothing(
    scene: Scene, name: str, error: type[Exception]
) -> None:
    (scene.folder / name.partition(".*")[0]).unlink()
    with pytest.raises(error, match=name):
        await scene.ask()


async def test_nobody_is_asked_without_a_connection(scene: Scene) -> None:
    with pytest.raises(HTTP2Error, match="nobody is connected"):
        await scene.api.ask("/x")


async def test_a_server_that_says_goaway_is_dialled_again(scene: Scene) -> None:
    async def answer(stream: Stream) -> None:
        stream.respond()
        stream.finish()
        stream._link._h2.close_connection(last_stream_id=1)
        stream._link._flush()

    scene.does(answer)
    assert await scene.ask() == b""
    first = scene.backend.links.copy()
    assert await scene.ask() == b""
    assert not first & scene.backend.links


async def test_limits_are_not_those_of_the_upstream(scene: Scene) -> None:
    wire = replace(scene.api._upstream.wire, max_header_list=64)
    params = replace(scene.api._upstream, wire=wire)
    scene.api = ApiServer(scene.api.params, params)

    async def answer(stream: Stream) -> None:
        stream.respond(("audit-id", "7" * 64), end=True)

    scene.does(answer)
    assert await scene.ask() == b""
