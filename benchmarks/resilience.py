"""Resilience: a load of mixed traffic through every change and fault; nothing is lost unnamed.

While things *change* (reloads, certificates, backends that come and go, a process that takes
over, a drain) nothing may be lost at all. While things *fail* (backends crash and misbehave,
clients flood) every request that does not come whole must have its cause in the access log. And
memory and descriptors must be afterwards what they were before: `make resilience`.
"""

import argparse
import json
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks.grpc_pair import GrpcPair
from benchmarks.hooligans import Hooligans
from benchmarks.report import machine
from benchmarks.resilience_report import checks, sum_up, table, verdict
from benchmarks.run import RESULTS as LATEST
from tests.support.certificates import Renewal
from tests.support.running import ROOT, Proxy, Settings, eventually, free_port

RESULTS: Final = LATEST.with_name("resilience.json")
BOUND_S: Final = 290  # whatever hangs, this ends
RELOADS, ROTATIONS, RESTARTS, CRASHES = 20, 5, 3, 2


class Provider:
    """A backend process; TERM lets it leave in good order, KILL does not."""

    def __init__(self) -> None:
        self.endpoint = f"127.0.0.1:{free_port()}"
        self.start()

    def start(self) -> None:
        """Start it, on the same port each time."""
        command = [sys.executable, "-m", "benchmarks.provider", self.endpoint]
        self._process = subprocess.Popen(command, cwd=ROOT)

    def end(self, how: signal.Signals) -> None:
        """End it, and see it end."""
        self._process.send_signal(how)
        self._process.wait(15)


class Crowd:
    """The process that asks."""

    def __init__(self, rate: float, proxy: Proxy, ca: str) -> None:
        plain, secure = [listener["bind"] for listener in proxy.settings["listeners"][:2]]
        command = [sys.executable, "-m", "benchmarks.crowd", str(rate), plain, secure, ca]
        self._process = subprocess.Popen(
            command, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def ask(self, phase: str) -> None:
        """Begin to ask."""
        self._order(f"ask {phase}")

    def rest(self) -> dict[str, Any]:
        """Stop, wait for the answers, and tell how it went."""
        told: dict[str, Any] = json.loads(self._order("rest"))
        return told

    def _order(self, order: str) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(order + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, "the crowd is gone"
        return answer

    def leave(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()


def settings(
    folder: Path, providers: Sequence[Provider], grpc: str, tls: dict[str, str]
) -> Settings:
    """Return the configuration the campaign begins with."""
    return {
        "listeners": [
            {"name": "plain", "bind": f"127.0.0.1:{free_port()}"},
            {"name": "secure", "bind": f"127.0.0.1:{free_port()}", "tls": tls},
        ],
        "upstreams": [
            {
                "name": "app",
                "endpoints": [provider.endpoint for provider in providers],
                "queue_limit": 4096,
            },
            {"name": "grpc", "endpoints": [grpc]},
        ],
        "routes": [
            {
                "name": "silent",
                "match": {"path_prefix": "/silent"},
                "upstream": "app",
                "timeouts": {"response_head": "500ms"},
            },
            {"name": "grpc", "match": {"path_prefix": "/test.Pair/"}, "upstream": "grpc"},
            {"name": "all", "match": {"path_prefix": "/"}, "upstream": "app"},
        ],
        "admin": {"bind": f"127.0.0.1:{free_port()}"},
        "limits": {"max_concurrent_streams": 250},
        "handover": str(folder / "handover.sock"),
        "drain_timeout": "20s",
    }


class Campaign:
    """Everybody who takes part, and what they did."""

    def __init__(self, folder: Path, rate: float, warm_s: float) -> None:
        self._warm_s = warm_s  # until a process holds what it needs for its traffic
        self._folder = folder
        self.rate = rate
        self.done: Counter[str] = Counter()  # changes and faults, by name
        self.told: dict[str, dict[str, Any]] = {}  # by phase
        self._renewal = Renewal(folder)
        self._providers = [Provider(), Provider()]
        self._grpc = GrpcPair()
        self._settings = settings(folder, self._providers, self._grpc.endpoint, self._renewal.tls)
        self._proxies: list[Proxy] = []
        self.proxy = self._start_proxy()
        self._grpc.begin(self.proxy.target)
        self._crowd = Crowd(rate, self.proxy, self._renewal.ca)

    def _start_proxy(self) -> Proxy:
        folder = self._folder / f"proxy-{len(self._proxies)}"
        folder.mkdir()
        mine = {**self._settings, "access_log": {"path": str(folder / "access.log")}}
        proxy = Proxy(folder, mine)
        self._proxies.append(proxy)
        eventually(proxy.ready, "the proxy to be ready")
        return proxy

    # -- phases --------------------------------------------------------------------------

    def phase(self, name: str, what: Callable[[], None]) -> None:
        """Have the crowd ask while something happens."""
        self._crowd.ask(name)
        what()
        self.told[name] = self._crowd.rest()

    def change(self, seconds: float) -> None:
        """Reload, renew, restart and hand over, evenly mixed."""
        steps = [
            *[((at + 0.5) / RELOADS, self._reload) for at in range(RELOADS)],
            *[((at + 0.4) / ROTATIONS, self._rotate) for at in range(ROTATIONS)],
            *[((at + 0.6) / RESTARTS, self._restart) for at in range(RESTARTS)],
        ]
        _play(sorted(steps, key=lambda step: step[0]), seconds)

    def hand_over(self) -> None:
        """Have another process take the place of this one."""
        before = self.proxy
        time.sleep(1)
        self.proxy = self._start_proxy()
        before.wait_stopped(25)
        self.done["hand-overs to a new process"] += 1
        time.sleep(self._warm_s)

    def fail(self, seconds: float) -> None:
        """Crash backends, and let hooligans in."""
        hooligans = Hooligans(self.proxy.address)
        hooligans.start()
        _play([((at + 0.5) / CRASHES, self._crash) for at in range(CRASHES)], seconds)
        hooligans.stop()
        for misdeed, times in sorted(hooligans.thrown_out.items()):
            self.done[f"floods: {misdeed.replace('_', ' ')}, thrown out"] += times
        for misdeed, times in sorted(hooligans.tolerated.items()):
            self.done[f"floods: {misdeed.replace('_', ' ')}, bounded and tolerated"] += times

    def drain(self) -> None:
        """End the proxy under load."""
        time.sleep(2)
        self.proxy.terminate()
        self.proxy.wait_stopped(25)
        self.done["drains"] += 1

    def _reload(self) -> None:
        """Change something else each time: a route, a limit, an upstream, a listener."""
        number = self.done["reloads"]
        routes, listeners = self._settings["routes"], self._settings["listeners"]
        if number % 4 == 0:
            match = {"path_prefix": f"/never/{number}"}
            routes.insert(0, {"name": f"extra-{number}", "match": match, "upstream": "app"})
        elif number % 4 == 1:
            self._settings["limits"]["max_concurrent_streams"] = 250 + number
        elif number % 4 == 2:
            self._settings["upstreams"][0]["queue_limit"] = 4096 + number
        elif len(listeners) == 2:
            listeners.append({"name": "third", "bind": f"127.0.0.1:{free_port()}"})
        else:
            listeners.pop()
        self.proxy.write()
        status, told = self.proxy.admin("/reload", "POST")
        assert status == 200, told
        self.done["reloads"] += 1

    def _rotate(self) -> None:
        self._renewal.renew()
        self.done["certificate rotations"] += 1

    def _restart(self) -> None:
        provider = self._providers[self.done["restarts of a backend"] % 2]
        provider.end(signal.SIGTERM)
        provider.start()
        self.done["restarts of a backend"] += 1

    def _crash(self) -> None:
        provider = self._providers[self.done["crashes of a backend"] % 2]
        provider.end(signal.SIGKILL)
        provider.start()
        self.done["crashes of a backend"] += 1

    # -- what is left ----------------------------------------------------------------------

    def holdings(self) -> dict[str, int]:
        """Tell what the proxy holds while nobody asks."""
        eventually(lambda: not self.proxy.streams(), "every exchange to be over")
        return {"memory": self.proxy.memory(), "descriptors": self.proxy.file_descriptors()}

    def causes(self) -> dict[str, str]:
        """Return why requests of the crowd were dropped, by their name, as the logs tell it."""
        found: dict[str, str] = {}
        for proxy in self._proxies:
            with proxy.log.open() as log:
                for line in log:
                    if '"dropped"' in line:
                        entry = json.loads(line)
                        found[entry["path"].rpartition("?")[2]] = entry["dropped"]["cause"]
        return found

    def grpc(self) -> tuple[int, list[str]]:
        """Return how many calls of real gRPC clients came whole, and what became of others."""
        return self._grpc.served, self._grpc.lost

    def quiet_grpc(self) -> None:
        """Have the gRPC clients finish."""
        self._grpc.rest()

    def close(self) -> None:
        """End everybody who is still there."""
        self._crowd.leave()
        self._grpc.close()
        for provider in self._providers:
            provider.end(signal.SIGKILL)
        for proxy in self._proxies:
            proxy.process.kill()
            proxy.process.wait()


def _play(steps: Sequence[tuple[float, Callable[[], None]]], seconds: float) -> None:
    """Take each step when its part of the time is over."""
    began = time.monotonic()
    for part, step in steps:
        time.sleep(max(0.0, began + part * seconds - time.monotonic()))
        step()
    time.sleep(max(0.0, began + seconds - time.monotonic()))


def run(campaign: Campaign, changing_s: float, failing_s: float) -> dict[str, Any]:
    """Run all phases; return what was found."""
    campaign.phase("warm", lambda: time.sleep(3))
    campaign.phase("handover", campaign.hand_over)
    before = campaign.holdings()
    campaign.phase("changes", lambda: campaign.change(changing_s))
    campaign.phase("faults", lambda: campaign.fail(failing_s))
    campaign.phase("calm", lambda: time.sleep(3))
    campaign.quiet_grpc()
    after = campaign.holdings()
    metrics = campaign.proxy.metrics()
    books = {
        name: int(metrics.total(name))
        for name in (
            "requests_total",
            "requests_completed_total",
            "streams_dropped_total",
            "requests_active",
        )
    }
    campaign.phase("drain", campaign.drain)
    served, lost = campaign.grpc()
    return {
        "machine": machine(),
        "rate": campaign.rate,
        "done": dict(campaign.done),
        **sum_up(campaign.told, campaign.causes()),
        "before": before,
        "after": after,
        "books": books,
        "grpc": {"served": served, "lost": lost},
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Run the campaign, print and save what was found; 1 if a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.resilience", description=__doc__)
    parser.add_argument("--rate", type=float, default=2000.0, help="streams a second")
    parser.add_argument("--changing", type=float, default=90.0, metavar="SECONDS")
    parser.add_argument("--failing", type=float, default=45.0, metavar="SECONDS")
    parser.add_argument("--warm", type=float, default=10.0, metavar="SECONDS")
    parser.add_argument("--json", type=Path, default=RESULTS, metavar="FILE")
    chosen = parser.parse_args(argv)
    signal.alarm(BOUND_S)
    with tempfile.TemporaryDirectory() as folder:
        campaign = Campaign(Path(folder), chosen.rate, chosen.warm)
        try:
            found = run(campaign, chosen.changing, chosen.failing)
        finally:
            campaign.close()
    chosen.json.parent.mkdir(parents=True, exist_ok=True)
    chosen.json.write_text(json.dumps(found))
    print(f"{table(found)}\n\n{verdict(found)}")
    return 0 if all(check.good for check in checks(found)) else 1


if __name__ == "__main__":
    sys.exit(main())
