"""The benchmarks' arithmetic: what is parsed, counted and shown. Nothing here loads anything."""

import asyncio
import itertools
import json
import os
import random
import sys
import time
from pathlib import Path

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, StreamEnded, TrailersReceived
from hpack import Decoder

from benchmarks import replay, report, run, workloads
from benchmarks.bare_relay import Leg
from benchmarks.peers import PEERS
from benchmarks.process import Process, cpu_clock, family, memory_line, reaped_ticks, split_cores
from benchmarks.result import Result, Round, as_json, from_json
from benchmarks.summary import Load, LoadError, percentile, read_summary
from benchmarks.workloads import WORKLOADS

CORES = frozenset(os.sched_getaffinity(0))
REQUEST = [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "a")]
BY_NAME = {workload.name: workload for workload in WORKLOADS}

SUMMARY = """\
finished in {seconds}, 2000.00 req/s, 440.00KB/s
requests: 1000 total, 1000 started, 1000 done, {succeeded} succeeded, {failed} failed, 0 errored, 0 timeout
status codes: {ok} 2xx, 0 3xx, 0 4xx, {bad} 5xx
traffic: 234.38KB (240000) total, 10.74KB (11000) headers (space savings 94.03%), 195.31KB (200000) data
                     min         max         mean         sd        +/- sd
time for request:      109us      2.13ms      1.15ms       350us    68.89%
"""  # noqa: E501


def summary(seconds="500.00ms", succeeded=1000, failed=0, ok=1000, bad=0):
    return SUMMARY.format(seconds=seconds, succeeded=succeeded, failed=failed, ok=ok, bad=bad)


def log(*durations, status=200):
    return [f"1795386432882202\t{status}\t{duration}" for duration in durations]


def load(requests=100, succeeded=100, seconds=2.0):
    return Load(requests, succeeded, seconds, body_bytes=0, p50_ms=1.0, p99_ms=2.0)


# -- what h2load says --------------------------------------------------------------------


def test_a_summary_is_read():
    read = read_summary(summary(), log(1000, 3000, 2000))
    assert read == Load(1000, 1000, 0.5, body_bytes=200_000, p50_ms=2.0, p99_ms=3.0)
    assert read.rate == 2000


@pytest.mark.parametrize(
    ("said", "seconds"), [("750us", 0.00075), ("1.50s", 1.5), ("2.00m", 120), ("13.25ms", 0.01325)]
)
def test_every_unit_of_time_is_understood(said, seconds):
    assert read_summary(summary(said), log(1)).seconds == pytest.approx(seconds)


def test_only_2xx_that_ended_cleanly_succeed():
    assert read_summary(summary(succeeded=990, failed=10), log(1)).succeeded == 990
    assert read_summary(summary(ok=700, bad=300), log(1)).succeeded == 700


def test_failed_requests_do_not_shorten_the_latencies():
    rows = log(1, 1, 1, status=-1) + log(1, 1, status=503) + log(5000)
    assert read_summary(summary(), rows).p50_ms == 5.0


@pytest.mark.parametrize("said", ["", "finished in 1.00s, 1 req/s", "h2load: no"])
def test_an_unreadable_summary_is_an_error(said):
    with pytest.raises(LoadError, match="unreadable"):
        read_summary(said, log(1))


def test_a_load_of_failures_is_an_error():
    with pytest.raises(LoadError, match="no request succeeded"):
        read_summary(summary(succeeded=0, failed=1000, ok=0), [])


@pytest.mark.parametrize(("percent", "value"), [(0, 1), (50, 50), (99, 99), (99.5, 100)])
def test_percentiles_are_nearest_rank(percent, value):
    assert percentile(range(1, 101), percent) == value


# -- what is asked for -------------------------------------------------------------------


@pytest.mark.parametrize("workload", WORKLOADS, ids=lambda workload: workload.name)
@pytest.mark.parametrize("wanted", [0, 1, 12_345, 10**9])
def test_a_round_fits_its_load(workload, wanted):
    requests = workload.fitting(wanted)
    assert workload.in_flight <= requests <= workload.most_requests
    assert requests % workload.clients == 0


def test_an_upload_names_its_file(tmp_path):
    command = BY_NAME["upload"].command(8080, 16, tmp_path)
    assert command[0] == "h2load"
    workloads.prepare(tmp_path, [BY_NAME["upload"]])
    assert f"--data={tmp_path / 'upload.1000000'}" in command
    assert (tmp_path / "upload.1000000").stat().st_size == 1_000_000
    assert command[-1] == "http://127.0.0.1:8080/small"


class Scripted(workloads.Workload):
    """A load that runs what its title says."""

    def command(self, port, requests, directory):
        return [sys.executable, "-c", self.title]


def scripted(script, tmp_path, planned_s=1.0):
    workload = Scripted("scripted", script, workloads.SMALL, clients=1, streams=1)
    return workloads.run(workload, 1, 1, directory=tmp_path, cores=CORES, planned_s=planned_s)


def test_a_load_that_breaks_off_says_why(tmp_path):
    with pytest.raises(LoadError, match="no such proxy"):
        scripted("raise SystemExit('no such proxy')", tmp_path)


def test_a_load_that_hangs_is_ended(tmp_path):
    with pytest.raises(LoadError, match="not done after"):
        scripted("import signal; signal.pause()", tmp_path, 0.05 - workloads.GRACE_S)


def test_bodies_cut_short_are_no_success(tmp_path):
    row = log(1)[0]
    script = f"open({str(tmp_path / 'load.log')!r}, 'w').write({row!r}); print({summary()!r})"
    assert scripted(script, tmp_path).body_bytes == 200_000
    with pytest.raises(LoadError, match="cut short"):
        scripted(script.replace("(200000) data", "(199999) data"), tmp_path)


@pytest.mark.parametrize(
    ("load", "who"),
    [
        ("small-get", "trailproxy bare-relay nghttpx nginx haproxy envoy caddy"),
        ("tls-get", "trailproxy nghttpx nginx haproxy envoy caddy"),
        ("access-log", "trailproxy trailproxy+log"),
    ],
)
def test_a_workload_knows_who_takes_part(load, who):
    assert [peer.name for peer in PEERS if BY_NAME[load].invites(peer)] == who.split()


@pytest.mark.parametrize(
    ("argv", "loads", "proxies"),
    [
        (["--only", "upload,nginx"], ["upload"], ["nginx"]),
        (["--only", "upload"], ["upload"], [peer.name for peer in run.PEERS]),
        (["--workloads", "download, upload"], ["download", "upload"], None),
        ([], list(BY_NAME), [peer.name for peer in run.PEERS]),
    ],
)
def test_names_choose_workloads_and_proxies(argv, loads, proxies):
    chosen = run.arguments(argv)
    assert chosen.workloads == loads
    assert proxies is None or chosen.proxies == proxies


@pytest.mark.parametrize("argv", [["--only", "nginz"], ["--proxies", "upload"], ["--rounds", "0"]])
def test_a_wrong_choice_is_refused(argv, capsys):
    with pytest.raises(SystemExit):
        run.arguments(argv)
    assert "error:" in capsys.readouterr().err


# -- processes ---------------------------------------------------------------------------

STAT = "{pid} ({name}) S {parent} 1 1 0 -1 4194304 9 9 9 9 100 20 3 4 20 0 1 0 5 6 7\n"


def stat(pid, parent, name="nginx"):
    return STAT.format(pid=pid, parent=parent, name=name)


@pytest.mark.parametrize("name", ["nginx", "a (b) c", ") R 1 2 3", "tmux: server"])
def test_the_cpu_of_children_is_read_behind_any_process_name(name):
    assert reaped_ticks(stat(7, 1, name)) == 7


def test_a_family_is_the_process_and_all_below_it():
    stats = {pid: stat(pid, parent) for pid, parent in [(5, 1), (6, 5), (9, 6), (7, 5), (8, 1)]}
    assert sorted(family(5, stats)) == [5, 6, 7, 9]


def test_cpu_is_counted_finer_than_in_ticks():
    before = cpu_clock(os.getpid())
    assert 0 < cpu_clock(os.getpid()) - before < 0.01


def test_memory_is_read_in_octets_and_the_dead_have_none():
    assert memory_line("Name:\tVmRSS: 7\nVmHWM:\t     30 kB\nVmRSS:\t   20 kB\n", "VmRSS") == 20_480
    assert memory_line("Name:\tnginx\nState:\tZ (zombie)\n", "VmRSS") == 0


@pytest.mark.parametrize(
    ("available", "proxy", "rest"), [({0, 1}, {1}, {0}), ({3}, {3}, {3}), ({0, 2, 5}, {5}, {0, 2})]
)
def test_the_proxy_gets_a_core_of_its_own_where_it_can(available, proxy, rest):
    assert split_cores(available) == (proxy, rest)


def is_running(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state not in "ZX"  # dead, and waiting for its parent to notice


def wait_until(condition):
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline


def test_stopping_a_process_stops_its_children(tmp_path):
    script = "import subprocess; subprocess.run(['sleep', '60'])"
    with Process([sys.executable, "-c", script], cores=CORES, log=tmp_path / "log") as process:
        wait_until(lambda: len(process.pids()) == 2)
        parent, child = process.pids()
        assert 0 < process.resident_bytes() <= process.peak_bytes()
        assert process.cpu_seconds() > 0
    assert not process.alive
    assert process.pids() == []
    wait_until(lambda: not is_running(parent) and not is_running(child))


def test_a_process_that_ends_leaves_its_last_words(tmp_path):
    script = "import sys; sys.exit('first line\\nport in use')"
    with Process([sys.executable, "-c", script], cores=CORES, log=tmp_path / "log") as process:
        wait_until(lambda: not process.alive)
        assert process.last_words() == "port in use"


# -- the load with unique headers --------------------------------------------------------


def test_a_tape_holds_requests_nobody_sent_before():
    decoder = Decoder()
    seen = set()
    for sid, request in zip(itertools.count(1, 2), replay.record(seed=1, length=50), strict=False):
        ((kind, flags, at, block),) = replay.frames(request)
        assert (kind, flags, at) == (replay.HEADERS, replay.END_HEADERS | replay.END_STREAM, sid)
        fields = dict(decoder.decode(block))
        assert fields["te"] == "trailers"
        seen |= {fields[name] for name in (":path", "traceparent", "authorization")}
    assert len(seen) == 150


def test_tapes_are_read_as_they_were_written(tmp_path, monkeypatch):
    monkeypatch.setattr(replay, "TAPE_LENGTH", 20)
    replay.write_tapes(tmp_path, clients=2)
    assert replay.read_tape(tmp_path, 1, requests=7) == replay.record(seed=1, length=20)[:7]
    assert len(replay.read_tape(tmp_path, 0, requests=99)) == 20
    assert replay.read_tape(tmp_path, 0, 1) != replay.read_tape(tmp_path, 1, 1)


def test_half_a_frame_waits_for_its_rest():
    whole = replay.frame(replay.DATA, 1, 3, b"abc")
    for cut in range(len(whole)):
        assert list(replay.frames(whole + whole[:cut])) == [(replay.DATA, 1, 3, b"abc")]


@pytest.mark.parametrize(
    ("block", "good"),
    [
        (b"\x88", True),
        (b"\x20\x88", True),  # behind a table size update
        (b"\x3f\xe1\x1f\x88", True),  # behind a longer one
        (b"\x8d", False),  # 404
        (b"\x48\x03503", False),
        (b"", False),
    ],
)
def test_a_200_is_recognised(block, good):
    assert replay.says_200(block) is good


class Wire(asyncio.Transport):
    """A transport that only remembers what was written."""

    def __init__(self):
        super().__init__()
        self.written = b""
        self.gone = False

    def write(self, data):
        self.written += data

    def take(self):
        taken, self.written = self.written, b""
        return taken

    def close(self):
        self.gone = True

    def is_closing(self):
        return self.gone


def peer(*, client_side):
    return H2Connection(H2Configuration(client_side=client_side, header_encoding=None))


async def test_a_replayed_call_counts_only_with_a_200_and_trailers():
    client, wire, server = replay.Client(replay.record(0, 4), 4), Wire(), peer(client_side=False)
    client.connection_made(wire)
    server.receive_data(wire.take())
    for sid in (1, 3, 5):
        server.send_headers(sid, [(":status", "200" if sid != 3 else "503")])
        server.send_data(sid, b"answer")
    server.send_headers(1, [("grpc-status", "0")], end_stream=True)
    server.send_headers(3, [("grpc-status", "14")], end_stream=True)
    server.send_data(5, b"", end_stream=True)  # the trailers got lost
    server.reset_stream(7)
    client.data_received(server.data_to_send())
    assert [status for _, status, _ in client.log] == [200, -1, -1, -1]
    assert client.body_bytes == 18
    assert client.over.done()


async def test_a_replay_keeps_its_number_in_flight():
    client, wire, server = replay.Client(replay.record(0, 5), 2), Wire(), peer(client_side=False)
    client.connection_made(wire)
    for sid in (1, 3, 5, 7, 9):
        server.receive_data(wire.take())
        assert server.open_inbound_streams == (2 if sid < 9 else 1)
        server.send_headers(sid, [(":status", "200")])
        server.send_headers(sid, [("grpc-status", "0")], end_stream=True)
        client.data_received(server.data_to_send())
    assert client.over.done()


# -- the yardstick -----------------------------------------------------------------------


@pytest.fixture
def relay():
    """A client and an origin with the bare relay's two legs between them, no sockets."""
    legs = Leg(client_side=False), Leg(client_side=True)
    ends = peer(client_side=True), peer(client_side=False)
    for leg, other, end in zip(legs, reversed(legs), ends, strict=True):
        leg.peer = other
        end.initiate_connection()
    for leg in legs:
        leg.connection_made(Wire())

    def settle():
        """Carry bytes until nobody has anything to say; return what each end heard."""
        heard = [], []
        moving = True
        while moving:
            moving = False
            for leg, end, events in zip(legs, ends, heard, strict=True):
                if said := end.data_to_send():
                    leg.data_received(said)
                    moving = True
                if said := leg.transport.take():
                    events.extend(end.receive_data(said))
                    moving = True
        return heard

    return *ends, settle


def test_the_bare_relay_keeps_trailers_behind_a_blocked_body(relay):
    client, server, settle = relay
    client.send_headers(1, REQUEST, end_stream=True)
    settle()
    body = random.Random(0).randbytes(100_000)
    server.send_headers(1, [(":status", "200")])
    for start in range(0, len(body), 10_000):
        server.send_data(1, body[start : start + 10_000])
    server.send_headers(1, [("x-checksum", "abc")], end_stream=True)
    heard, _ = settle()
    assert sum(len(event.data) for event in heard if isinstance(event, DataReceived)) == 65_535
    assert not any(isinstance(event, TrailersReceived) for event in heard)
    client.increment_flow_control_window(100_000)
    client.increment_flow_control_window(100_000, 1)
    heard, _ = settle()
    assert type(heard[-2]) is TrailersReceived
    assert heard[-2].headers == [(b"x-checksum", b"abc")]
    assert type(heard[-1]) is StreamEnded


def test_the_bare_relay_pays_back_what_has_left(relay):
    client, server, settle = relay
    client.send_headers(1, REQUEST)
    for _ in range(30):
        client.send_data(1, b"x" * 16_000)
        settle()
        server.acknowledge_received_data(16_000, 1)
        settle()
    client.send_headers(1, [("x-checksum", "abc")], end_stream=True)
    _, heard = settle()
    assert any(isinstance(event, TrailersReceived) for event in heard)


# -- what is shown -----------------------------------------------------------------------


def result(name, *cpu_us, **rest):
    rounds = [Round(load(), us * 100 / 1e6) for us in cpu_us]
    return Result(name, rounds=rounds, **rest)


def cells(text, name):
    header, *lines = [line.split("  ") for line in text.splitlines()]
    names = [cell.strip() for cell in header if cell.strip()]
    row = next(line for line in lines if line[0] == name)
    return dict(zip(names, [cell.strip() for cell in row if cell.strip()], strict=False))


def test_the_median_round_speaks_and_the_spread_says_how_sure_it_is():
    row = result("x", 100.0, 400.0, 200.0)
    assert row.cpu_us == pytest.approx(200)
    assert row.spread == pytest.approx(1.5)


def test_failures_of_all_rounds_add_up_and_are_not_paid_for():
    row = Result("x", rounds=[Round(load(100, 80), 0.008), Round(load(100, 100), 0.01)])
    assert row.failed == 20
    assert row.cpu_us == pytest.approx(100)


def test_a_table_compares_with_the_yardsticks():
    ours = result("trailproxy", 300.0, trailers=True)
    text = report.table([ours, result("bare-relay", 200.0), result("nghttpx", 20.0)])
    row = cells(text, "trailproxy")
    assert row["CPU µs/req"] == "300.0"
    assert row["/ bare-relay"] == "1.50"
    assert row["/ nghttpx"] == "15.00"
    assert row["trailers"] == "kept"
    assert cells(text, "nghttpx")["trailers"] == "LOST"
    assert len({len(line) for line in text.splitlines()}) == 1


def test_rounds_of_the_same_turn_are_compared():
    # the machine was ten times slower in the second turn
    text = report.table([result("trailproxy", 30.0, 300.0, 30.0), result("nghttpx", 10, 100, 15)])
    assert cells(text, "trailproxy")["/ nghttpx"] == "3.00"


def test_a_proxy_in_trouble_keeps_its_row_and_says_why():
    text = report.table([result("nginx"), result("haproxy", 20.0)])
    assert text.splitlines()[1].strip() == "nginx"
    text = report.table([result("nginx", trouble="did not start"), result("haproxy", 20.0)])
    assert text.splitlines()[1].split(maxsplit=1) == ["nginx", "(did not start)"]
    assert cells(text, "haproxy")["/ nghttpx"] == "-"


def test_our_row_stands_out_where_colours_are_shown():
    rows = [result("trailproxy", 1.0), result("nginx", 1.0)]
    _, ours, other = report.table(rows, colour=True, ours="trailproxy").splitlines()
    assert ours.startswith(report.BOLD)
    assert ours.endswith(report.PLAIN)
    assert other.startswith("nginx")


def test_the_file_holds_raw_rounds_and_medians():
    saved = as_json(result("nginx", 10.0, 30.0, 20.0, trailers=True))
    assert [round(each["cpu_us"]) for each in saved["rounds"]] == [10, 30, 20]
    assert saved["median"]["cpu_us"] == pytest.approx(20)
    assert saved["trailers_kept"] is True
    assert "median" not in as_json(result("nginx", trouble="did not start"))


@pytest.mark.parametrize(
    "shown",
    [
        result("nginx", 10.0, 30.0, trailers=True, idle_bytes=5, peak_bytes=7),
        result("nginx", trouble="did not start"),
    ],
)
def test_what_was_saved_is_read_back(shown):
    assert from_json(json.loads(json.dumps(as_json(shown)))) == shown


def test_the_processor_has_a_name():
    text = "processor\t: 0\nmodel name\t: Some CPU @ 2.50GHz\nmodel name\t: Other\n"
    assert report.cpu_model(text) == "Some CPU @ 2.50GHz"
    assert report.cpu_model("") != ""
