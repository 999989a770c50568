"""Each test lets exchanges end, then reads what the log's reader got."""

import errno
import json
import os
import resource
import select
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from select import PIPE_BUF
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from librt.strings import BytesWriter

from tests.support.log_line import Line
from tests.support.parts import data, grpc_head, grpc_request, trailers
from tests.support.records import record_of
from tests.support.table import Table
from trailproxy.core.fault import Cause, Initiator, Side
from trailproxy.core.record import Ending, Progress, Record
from trailproxy.ops.access_line import LineWriter, grpc_name
from trailproxy.ops.access_log import AccessLog
from trailproxy.wire.fields import Fields

NOON = 1_800_000_000.25  # 2027-01-15T08:00:00.250Z


def noon() -> float:
    return NOON


def exchange(**changes: Any) -> Record:
    """A gRPC call that went well, but for `changes`."""
    words: dict[str, Any] = {
        "listener": "main",
        "route": "greeter",
        "method": "POST",
        "authority": "api.example.com",
        "path": "/greet.Greeter/Hello",
        "peer": "192.0.2.7",
        "began": 100.0,
        "grpc": True,
        "upstream": "app",
        "endpoint": "127.0.0.1:50051",
        "attempts": 1,
        "status": 200,
        "grpc_status": "0",
        "request_sent_at": 100.001,
        "response_head_at": 100.0125,
        "ended": 100.02,
        "request_ending": Ending.END,
        "response_ending": Ending.TRAILERS,
        "request_bytes": 12,
        "response_bytes": 34,
        "response_trailers": 2,
    }
    return record_of(**(words | changes))


def lines(text: str | bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "access.log"


@contextmanager
def opened(target: str | Path) -> Iterator[AccessLog]:
    log = AccessLog.open(str(target), noon)
    try:
        yield log
    finally:
        log.close()


@pytest.fixture
def fifo(tmp_path: Path) -> Iterator[tuple[Path, int]]:
    """A named pipe and the descriptor of its reader, who has read nothing yet."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    yield path, reader
    os.close(reader)


def read_all(reader: int) -> bytes:
    got = b""
    while True:
        try:
            piece = os.read(reader, 65536)
        except BlockingIOError:
            return got
        if not piece:
            return got
        got += piece


# -- what a line says --------------------------------------------------------------------


def test_a_clean_exchange_is_one_line_in_a_fixed_order(path: Path) -> None:
    with opened(path) as log:
        log.write(exchange())
    assert path.read_text() == (
        '{"time":"2027-01-15T08:00:00.250Z","listener":"main","route":"greeter",'
        '"peer":"192.0.2.7","method":"POST","authority":"api.example.com",'
        '"path":"/greet.Greeter/Hello","status":200,"grpc_status":"OK","upstream":"app",'
        '"endpoint":"127.0.0.1:50051","attempts":1,"duration_ms":20.0,"response_head_ms":11.5,'
        '"request_bytes":12,"response_bytes":34,"request":{"ending":"end","trailers":0},'
        '"response":{"ending":"trailers","trailers":2},"answered":false}\n'
    )


def test_an_unclean_end_says_whose_fault_and_which_resets(path: Path) -> None:
    reset = (Side.DOWNSTREAM, Initiator.PEER, 8, Progress.BODY, Cause.CLIENT_RESET)
    passed_on = (Side.UPSTREAM, Initiator.PROXY, 8, Progress.BODY, Cause.CLIENT_RESET)
    with opened(path) as log:
        log.write(
            exchange(
                response_ending=Ending.CANCELLED,
                dropped=Cause.CLIENT_RESET,
                dropped_side=Side.DOWNSTREAM,
                why="the client sent RST_STREAM (CANCEL)",
                resets=[reset, passed_on],
            )
        )
    (line,) = lines(path.read_text())
    assert line["dropped"] == {
        "side": "downstream",
        "cause": "client_reset",
        "why": "the client sent RST_STREAM (CANCEL)",
    }
    words = {"code": "CANCEL", "phase": "body", "cause": "client_reset"}
    assert line["resets"] == [
        {"side": "downstream", "initiator": "peer", **words},
        {"side": "upstream", "initiator": "proxy", **words},
    ]
    assert line["reset"] == line["resets"][0]
    assert line["flags"] == "DR"


def test_a_loss_without_a_reset_has_none(path: Path) -> None:
    with opened(path) as log:
        log.write(exchange(dropped=Cause.CONNECT_FAILED, dropped_side=Side.UPSTREAM, answered=True))
    (line,) = lines(path.read_text())
    assert line["flags"] == "UF"
    assert "reset" not in line


def test_a_reset_behind_a_clean_end_is_nobodys_fault(path: Path) -> None:
    stopped = (Side.DOWNSTREAM, Initiator.PROXY, 0, Progress.AFTER_END, Cause.UPSTREAM_DONE)
    with opened(path) as log:
        log.write(exchange(resets=[stopped]))
    (line,) = lines(path.read_text())
    assert len(line["resets"]) == 1
    assert line.keys().isdisjoint({"reset", "flags", "dropped"})


def test_a_request_without_a_route_is_flagged(path: Path) -> None:
    with opened(path) as log:
        log.write(exchange(route="", answered=True, status=404, grpc_status="", why="no route"))
    (line,) = lines(path.read_text())
    assert line["flags"] == "NR"
    assert "dropped" not in line


# -- trailers in a line --------------------------------------------------------------------


def section(*pairs: tuple[str, str]) -> Fields:
    return Fields.of([(name, value.encode("latin-1")) for name, value in pairs])


def test_trailers_that_are_named_are_shown_and_no_others(path: Path) -> None:
    with opened(path) as log:
        log.show(("x-sum",), ("x-took", "x-missing", "x-sum"))
        log.write(
            exchange(
                request_section=section(("x-sum", "1"), ("x-secret", "2")),
                response_section=section(("x-sum", "3"), ("x-took", "4"), ("x-sum", '"5\xe9"')),
            )
        )
        log.write(exchange(response_section=section(("x-secret", "6"))))
        log.write(exchange())
    first, second, third = lines(path.read_text())
    assert first["request"]["fields"] == {"x-sum": "1"}
    assert first["response"]["fields"] == {"x-took": "4", "x-sum": '3, "5\xe9"'}
    assert list(first["response"]) == ["ending", "trailers", "fields"]
    for line in (second, third):
        assert line["request"] == {"ending": "end", "trailers": 0}
        assert line["response"] == {"ending": "trailers", "trailers": 2}


def test_a_grpc_response_that_is_trailers_only_shows_those_of_its_head(path: Path) -> None:
    head = section((":status", "200"), ("x-sum", "1"), ("grpc-status", "5"))
    plain = section((":status", "200"), ("x-sum", "1"))
    with opened(path) as log:
        log.show((), ("x-sum",))
        log.write(exchange(grpc_status="5", response_head=head))
        log.write(exchange(grpc_status="", response_head=plain))
        log.write(exchange(grpc=False, response_head=head))
        log.write(exchange(response_head=head, response_section=section(("x-sum", "2"))))
    shown = [line["response"].get("fields") for line in lines(path.read_text())]
    assert shown == [{"x-sum": "1"}, None, None, {"x-sum": "2"}]


def test_by_default_no_trailer_is_shown(path: Path) -> None:
    with opened(path) as log:
        log.write(exchange(response_section=section(("grpc-status", "0"), ("x-sum", "1"))))
        log.show((), ("x-sum",))
        log.show((), ())
        log.write(exchange(response_section=section(("x-sum", "1"))))
    assert "x-sum" not in path.read_text()


@pytest.mark.parametrize("where", ["response_section", "response_head"])
def test_a_failed_call_says_why(path: Path, where: str) -> None:
    fields = section(("grpc-status", "5"), ("grpc-message", "tr%C3%A8s%20bient%C3%B4t %"))
    with opened(path) as log:
        log.write(exchange(grpc_status="5", **{where: fields}))
        log.write(exchange(grpc_status="0", **{where: fields}))
        log.write(exchange(grpc_status="", **{where: fields}))
        log.write(exchange(grpc_status="5", **{where: section(("grpc-status", "5"))}))
    failed, *rest = lines(path.read_text())
    assert failed["grpc_message"] == "très bientôt %"
    assert list(failed).index("grpc_message") == list(failed).index("grpc_status") + 1
    assert not any("grpc_message" in line for line in rest)


def test_no_peer_can_make_a_line_endless_by_its_trailers(path: Path) -> None:
    long = section(("grpc-message", "%E2%82%AC" * 10_000), ("x-sum", "s" * 100_000))
    broken = section(("grpc-message", "%ff%fe%" + "\xff" * 10_000))
    with opened(path) as log:
        log.show(("x-sum",), ("x-sum",))
        for message in (long, broken):
            log.write(exchange(grpc_status="2", request_section=long, response_section=message))
    first, second = lines(path.read_text())
    assert first["grpc_message"] == "€" * 256
    assert second["grpc_message"] == "\ufffd\ufffd%" + "\ufffd" * 253
    assert first["request"]["fields"] == first["response"]["fields"] == {"x-sum": "s" * 256}


def test_lost_trailers_are_shown_as_they_came(path: Path) -> None:
    table = Table(client_window=1)
    table.client.holds = True
    table.client.opens(grpc_request(end=True))
    table.server.says(grpc_head(), data(b"parked"), trailers(grpc_status="0", x_sum="1"))
    table.client.leaves()
    with opened(path) as log:
        log.show((), ("x-sum",))
        log.write(table.record)
    (line,) = lines(path.read_text())
    assert line["response"] == {"ending": "cancelled", "trailers": 0, "fields": {"x-sum": "1"}}
    assert line["flags"] == "DC"
    assert msgspec.json.decode(path.read_bytes(), type=Line)


def test_what_never_came_is_said_plainly(path: Path) -> None:
    with opened(path) as log:
        log.write(exchange(route="", status=0, grpc_status="", response_head_at=None))
    (line,) = lines(path.read_text())
    assert line["route"] == "none"
    assert line["status"] == 0
    assert line["grpc_status"] == ""
    assert line["response_head_ms"] is None


def test_the_head_of_our_own_answer_is_not_the_upstreams(path: Path) -> None:
    with opened(path) as log:
        log.write(exchange(answered=True, status=504))
    (line,) = lines(path.read_text())
    assert line["answered"] is True
    assert line["response_head_ms"] is None


def test_the_time_follows_the_wall_clock(path: Path) -> None:
    times = iter([NOON, NOON + 0.0006, NOON + 0.9, NOON - 3600])
    log = AccessLog.open(str(path), lambda: next(times))
    for _ in range(4):
        log.write(exchange())
    log.close()
    assert [line["time"] for line in lines(path.read_text())] == [
        "2027-01-15T08:00:00.250Z",
        "2027-01-15T08:00:00.251Z",
        "2027-01-15T08:00:01.150Z",
        "2027-01-15T07:00:00.250Z",
    ]


def test_no_peer_can_break_a_line_in_two_or_make_it_endless(path: Path) -> None:
    with opened(path) as log:
        log.write(
            exchange(
                path='/"\n{"status":200}' + "\xff" * 100_000,
                authority="a" * 100_000,
                method="M" * 100_000,
                dropped=Cause.UPSTREAM_GONE,
                dropped_side=Side.UPSTREAM,
                why="w" * 100_000,
            )
        )
    (line,) = lines(path.read_bytes())
    assert line["path"].startswith('/"\n{"status":200}\xff')
    sizes = [len(line["path"]), len(line["authority"]), len(line["method"])]
    assert sizes == [2048, 256, 32]
    assert len(line["dropped"]["why"]) == 256


LATIN = st.text(st.characters(max_codepoint=0xFF), max_size=300)
COUNTS = st.integers(0, 2**62)
MOMENTS = st.floats(0, 1e6)


@settings(deadline=None, derandomize=True)
@given(LATIN, LATIN, LATIN, COUNTS, COUNTS, MOMENTS, st.none() | MOMENTS)
def test_whatever_was_said_a_line_says_it(
    method: str, path: str, why: str, sent: int, fields: int, took: float, head: float | None
) -> None:
    record = exchange(
        method=method,
        path=path,
        request_bytes=sent,
        response_trailers=fields,
        began=0.0,
        ended=took,
        request_sent_at=0.0,
        response_head_at=head,
        dropped=Cause.UPSTREAM_GONE,
        why=why,
    )
    out = BytesWriter()
    LineWriter().write(out, record, b"now")
    (line,) = lines(out.getvalue())
    assert msgspec.json.decode(out.getvalue(), type=Line)
    assert out.getvalue().endswith(b"}\n")
    assert (line["method"], line["path"]) == (method[:32], path)
    assert line["dropped"] == {"side": None, "cause": "upstream_gone", "why": why[:256]}
    assert line["request_bytes"] == sent
    assert line["response"] == {"ending": "trailers", "trailers": fields}
    assert line["duration_ms"] == pytest.approx(took * 1000, abs=0.0006)
    assert (line["response_head_ms"] is None) == (head is None)
    assert head is None or line["response_head_ms"] == pytest.approx(head * 1000, abs=0.0006)


def test_words_that_peers_choose_are_kept_within_a_bound() -> None:
    writer, out = LineWriter(), BytesWriter()
    tracemalloc.start()
    try:
        for number in range(20_000):
            out.truncate(0)
            record = exchange(method=f"M{number}{'x' * 10_000}", peer=f"2001:db8::{number}")
            record.grpc_status = f"{number}{'0' * 10_000}"
            writer.write(out, record, b"now")
        del record
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    (line,) = lines(out.getvalue())
    assert line["method"].startswith("M19999x")
    assert line["grpc_status"] == "invalid"
    assert kept < 1_000_000


@pytest.mark.parametrize(
    ("status", "name"),
    [
        ("0", "OK"),
        ("1", "CANCELLED"),
        ("14", "UNAVAILABLE"),
        ("16", "UNAUTHENTICATED"),
        ("17", "invalid"),
        ("00", "invalid"),
        ("-1", "invalid"),
        ("OK", "invalid"),
        ("", ""),
    ],
)
def test_grpc_statuses_have_their_canonical_names(status: str, name: str) -> None:
    assert grpc_name(status) == name


# -- where the lines go ------------------------------------------------------------------


def test_lines_wait_for_a_flush(path: Path) -> None:
    with opened(path) as log:
        log.write(exchange())
        log.write(exchange())
        assert path.read_text() == ""
        log.flush()
        assert len(lines(path.read_text())) == 2


def test_a_log_is_appended_to(path: Path) -> None:
    for _ in range(2):
        with opened(path) as log:
            log.write(exchange())
    assert len(lines(path.read_text())) == 2


def test_off_writes_nowhere() -> None:
    with opened("off") as log:
        log.write(exchange())
        log.flush()
        log.reopen()
        assert log.lost_lines == 0


def test_stdout_stays_open_when_the_log_is_closed(capfd: pytest.CaptureFixture[str]) -> None:
    with opened("stdout") as log:
        log.write(exchange())
    os.write(1, b'"still here"\n')
    first, second = capfd.readouterr().out.splitlines()
    assert json.loads(first)["route"] == "greeter"
    assert second == '"still here"'


def test_a_closed_log_takes_no_more_lines(path: Path) -> None:
    log = AccessLog.open(str(path), noon)
    log.write(exchange())
    log.close()
    log.write(exchange())
    log.flush()
    log.close()
    assert len(lines(path.read_text())) == 1


def test_a_path_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    target = str(tmp_path / "missing" / "access.log")
    with pytest.raises(FileNotFoundError) as failure:
        AccessLog.open(target, noon)
    assert failure.value.filename == target


def test_a_pipe_that_nobody_reads_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    target = tmp_path / "pipe"
    os.mkfifo(target)
    with pytest.raises(OSError, match="pipe") as failure:
        AccessLog.open(str(target), noon)
    assert failure.value.errno == errno.ENXIO


def test_after_the_file_was_moved_away_reopen_begins_a_new_one(path: Path) -> None:
    moved = path.with_suffix(".1")
    with opened(path) as log:
        log.write(exchange(path="/before"))
        path.rename(moved)
        log.reopen()
        log.write(exchange(path="/after"))
    assert [line["path"] for line in lines(moved.read_text())] == ["/before"]
    assert [line["path"] for line in lines(path.read_text())] == ["/after"]


def test_when_reopen_fails_the_old_file_stays_in_use(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    with opened(folder / "access.log") as log:
        moved = folder.rename(tmp_path / "moved")
        with pytest.raises(FileNotFoundError):
            log.reopen()
        log.write(exchange())
    assert len(lines((moved / "access.log").read_text())) == 1


# -- when the sink is slow, full or gone -------------------------------------------------


def test_a_slow_reader_is_not_waited_for_and_loses_nothing(fifo: tuple[Path, int]) -> None:
    path, reader = fifo
    with opened(path) as log:
        for number in range(500):  # about 200 KiB, three times what a pipe holds
            log.write(exchange(path=f"/{number}"))
        got = b""
        while len(got.splitlines()) < 500:
            log.flush()
            piece = read_all(reader)
            assert piece, "flush sent nothing although the pipe was empty"
            assert piece.endswith(b"\n")  # whole lines only: other writers may share the pipe
            got += piece
        assert [line["path"] for line in lines(got)] == [f"/{number}" for number in range(500)]
        assert log.lost_lines == 0


@contextmanager
def stdout_is(fd: int) -> Iterator[None]:
    saved = os.dup(1)
    os.dup2(fd, 1)
    try:
        yield
    finally:
        os.dup2(saved, 1)
        os.close(saved)


def test_a_full_stdout_is_not_waited_for() -> None:
    reader, writer = os.pipe()  # blocking, as a container's stdout is
    with stdout_is(writer), opened("stdout") as log:
        for number in range(500):
            log.write(exchange(path=f"/{number}"))
        log.flush()
    os.close(writer)
    with open(reader, "rb") as rest:
        got = lines(rest.read())
    assert 0 < len(got) < 500
    assert len(got) + log.lost_lines == 500


class Outdated:
    """A poll whose pipe somebody else has filled since."""

    def poll(self, _timeout: int) -> list[tuple[int, int]]:
        return [(0, select.POLLOUT)]


def test_a_stdout_that_another_process_has_filled_is_not_waited_for_either() -> None:
    reader, writer = os.pipe()
    with stdout_is(writer), opened("stdout") as log:
        assert not os.get_blocking(log._fd)
        assert os.get_blocking(writer), "the others' is as it was"
        log._poll = Outdated()  # type: ignore[assignment]
        for number in range(500):
            log.write(exchange(path=f"/{number}"))
        log.flush()
    os.close(writer)
    with open(reader, "rb") as rest:
        got = lines(rest.read())
    assert 0 < len(got) < 500
    assert len(got) + log.lost_lines == 500


def test_a_stuck_reader_costs_lines_and_bounded_memory(fifo: tuple[Path, int]) -> None:
    path, reader = fifo
    written = 1500
    with opened(path) as log:
        for _ in range(written):
            log.write(exchange(path="/" + "x" * 1500))
        assert log.lost_lines > 0
        got = b""
        while piece := read_all(reader):
            got += piece
            log.flush()
        got += read_all(reader)
        assert len(lines(got)) + log.lost_lines == written
        assert len(got) < 2 * 1024 * 1024


def test_a_reader_that_went_away_costs_lines_only(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    with opened(path) as log:
        os.close(reader)
        log.write(exchange())
        log.write(exchange())
        log.flush()
        assert log.lost_lines == 2


def test_lines_that_wait_when_the_log_is_closed_are_counted(fifo: tuple[Path, int]) -> None:
    path, reader = fifo
    log = AccessLog.open(str(path), noon)
    for _ in range(500):
        log.write(exchange())
    log.close()
    assert log.lost_lines > 0
    assert len(lines(read_all(reader))) + log.lost_lines == 500


@contextmanager
def files_no_larger_than(octets: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (octets, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_line_torn_by_a_full_disk_is_finished_when_there_is_room(path: Path) -> None:
    with opened(path) as log:
        for name in ("torn", "lost", "lost"):
            log.write(exchange(path=f"/{name}"))
        with files_no_larger_than(100):
            log.flush()
            log.flush()  # still no room
        assert path.stat().st_size == 100
        assert log.lost_lines == 2
        log.write(exchange(path="/later"))
    assert [line["path"] for line in lines(path.read_text())] == ["/torn", "/later"]
    assert log.lost_lines == 2


def test_a_torn_line_is_not_finished_in_another_file(path: Path) -> None:
    with opened(path) as log:
        log.write(exchange(path="/torn"))
        with files_no_larger_than(100):
            log.flush()
            path.rename(path.with_suffix(".1"))
            log.reopen()
        log.write(exchange(path="/new"))
    assert [line["path"] for line in lines(path.read_text())] == ["/new"]
    assert log.lost_lines == 1


def test_a_name_that_is_no_text_costs_its_line_only(path: Path) -> None:
    with opened(path) as log:
        log.write(exchange(upstream="\ud800"))
        log.write(exchange())
        assert log.lost_lines == 1
    assert len(lines(path.read_text())) == 1


def test_a_long_line_stays_whole_on_a_pipe(fifo: tuple[Path, int]) -> None:
    path, reader = fifo
    with opened(path) as log:
        log.write(exchange(path="/" + "x" * 5000, authority="a" * 5000, why="w" * 5000))
        log.flush()
    got = read_all(reader)
    assert len(lines(got)) == 1
    assert len(got) <= PIPE_BUF
