"""The echo benchmark: its rows, alternating the servers, and the tables. The script `benches/echo` says what is required."""

import argparse
import dataclasses
import json
import os
import platform
import signal
import statistics
import sys
import tempfile
from pathlib import Path

from . import echo_programs as programs
from .echo_programs import SPIN_US, Failed, Traffic
from .fio import progress, significant

REFERENCE, OURS, SPINNING = "C epoll", "onewait", "onewait, spinning"
# Sockets by completion, on either driver.
RING, NO_RING = "… completion, uring", "… completion, epoll"
PEERS = ("mio", "libuv", "libevent")
# What io_uring itself allows: a bare loop for these messages alone.
BARE_RING = "C uring"
IDLE_S = 2
# A request a millisecond: an answer is far away, and spinning for it would be of no use.
PAUSE_US = 1000


@dataclasses.dataclass(frozen=True)
class Load:
    """CPU time of the server for a request, with one in flight on each connection."""

    connections: int
    size: int
    most: dict  # Side → of it, over the bare C loop.
    sides = (REFERENCE, OURS, RING, NO_RING, BARE_RING, *PEERS)

    @property
    def name(self):
        return f"{self.connections} × {'4 KiB' if self.size == 4096 else f'{self.size} B'}"

    @property
    def words(self):
        return {"load", str(self.connections), f"{self.size}B"}

    def traffic(self, given):
        return Traffic(self.connections, self.size, given.requests)

    @staticmethod
    def figure(requests, _, cpu_seconds):
        return cpu_seconds / requests * 1e6


@dataclasses.dataclass(frozen=True)
class Lone:
    """Requests a second of one connection."""

    client: str  # How the client waits: wait, spin
    least: float | None
    sides = (REFERENCE, OURS, SPINNING)

    @property
    def name(self):
        return f"one connection, the client {'sleeps' if self.client == 'wait' else 'spins'}"

    @property
    def words(self):
        return {"one", self.client}

    def traffic(self, given):
        return Traffic(1, 64, max(given.requests // 5, 1), self.client)

    @staticmethod
    def figure(requests, seconds, _):
        return requests / seconds


@dataclasses.dataclass
class Result:
    row: object
    # Side → a list a launch, of a value a round, in the order of the rounds.
    runs: dict

    def values(self, side):
        return [value for launch in self.runs[side] for value in launch]

    def median(self, side):
        return statistics.median(self.values(side))

    def spread(self, side):
        values = self.values(side)
        if len(values) < 2:
            return 0.0
        first, _, third = statistics.quantiles(values, n=4, method="inclusive")
        return (third - first) / 2

    def ratios(self, side, other):
        """One a launch, of medians: what disturbs the machine for a while disturbs both sides of a round, and where a
        server's memory happens to lie stays as it is while it runs."""
        both = zip(self.runs[side], self.runs[other])
        return [statistics.median(a / b for a, b in zip(*launch)) for launch in both]

    def ratio(self, side, other):
        return statistics.mean(self.ratios(side, other))

    def doubt(self, side, other):
        """By how much that may be wrong: two standard errors."""
        ratios = self.ratios(side, other)
        return 2 * statistics.stdev(ratios) / len(ratios) ** 0.5 if len(ratios) > 1 else 1.0

    @property
    def reached(self):
        if isinstance(self.row, Lone):
            return None if self.row.least is None else self.ratio(SPINNING, OURS) >= self.row.least
        return not self.missed()

    def missed(self):
        """The sides of onewait that take more than they may."""
        most = self.row.most.items()
        return [side for side, most in most if side in self.runs and self.ratio(side, REFERENCE) > most]

    def beside_peers(self, side):
        """Peer → "above", "below", or "level with", where the difference is less than can be told."""
        found = {}
        for peer in PEERS:
            if peer in self.runs:
                more, doubt = self.ratio(side, peer) - 1, self.doubt(side, peer)
                found[peer] = "level with" if abs(more) <= doubt else "above" if more > 0 else "below"
        return found

    def json(self):
        unit = "requests_per_second" if isinstance(self.row, Lone) else "cpu_us_per_request"
        other = OURS if isinstance(self.row, Lone) else REFERENCE
        sides = {
            side: {unit: round(self.median(side), 3), "spread": round(self.spread(side), 3),
                   f"over {other}": round(self.ratio(side, other), 4), "doubt": round(self.doubt(side, other), 4)}
            for side in self.runs
        }  # fmt: skip
        more = {}
        if isinstance(self.row, Load):
            more["beside_peers"] = {side: self.beside_peers(side) for side in (OURS, RING, NO_RING) if side in self.runs}
        return {"row": self.row.name, **dataclasses.asdict(self.row), "sides": sides, "reached": self.reached, **more}


@dataclasses.dataclass
class Idle:
    """CPU seconds of a server a second: with no connection, and with a request a millisecond, where spinning is of no use."""

    nothing: dict
    sparse: dict


def measure_row(row, client, servers, given, tick):
    sides = [side for side in row.sides if side in servers]
    traffic, runs = row.traffic(given), {side: [] for side in sides}
    for launch in range(given.launches):
        for side in sides:
            runs[side].append([])
        # Who is first has other neighbours in memory, and in the order of asking.
        order = sides[launch % len(sides) :] + sides[: launch % len(sides)]
        tick(row)
        for measured in programs.echo(client, [servers[side] for side in order], traffic, given.rounds):
            for side, (seconds, cpu_seconds) in zip(order, measured):
                runs[side][-1].append(row.figure(traffic.requests, seconds, cpu_seconds))
    return Result(row, runs)


def measure_idle(client, servers, tick):
    sides, traffic = (OURS, SPINNING), Traffic(1, 64, 1000, pause_us=PAUSE_US)
    tick(IdleRow)
    nothing = {side: programs.idle(servers[side], IDLE_S) / IDLE_S for side in sides}
    tick(IdleRow)
    measured = next(iter(programs.echo(client, [servers[side] for side in sides], traffic, 1)))
    return Idle(nothing, {side: cpu_seconds / seconds for side, (seconds, cpu_seconds) in zip(sides, measured)})


class IdleRow:
    name = "idle"
    words = {"idle"}


def aligned(lines):
    widths = [max(map(len, column)) for column in zip(*lines)]
    for number, line in enumerate(lines):
        yield "  ".join(c.rjust(w) if i else c.ljust(w) for i, (c, w) in enumerate(zip(line, widths))).rstrip()
        if number == 0:
            yield "─" * (sum(widths) + 2 * len(widths) - 2)


def load_table(results):
    sides = [side for side in Load.sides if any(side in result.runs for result in results)]
    lines = [["CPU µs a request", *(word for side in sides for word in ([side] if side == REFERENCE else [side, "×"])),
              "required", ""]]  # fmt: skip
    for result in results:
        line = [result.row.name]
        for side in sides:
            line.append(f"{significant(result.median(side))} ±{result.spread(side):.2f}")
            if side != REFERENCE:
                line.append(f"{result.ratio(side, REFERENCE):.3f} ±{result.doubt(side, REFERENCE):.3f}")
        met = ("✓" if result.reached else "✗") + "".join(f" {side}" for side in result.missed())
        lines.append([*line, " ".join(f"≤ {most:g}" for most in result.row.most.values()), met])
    return aligned(lines)


def peer_lines(results):
    """What has to be below the peers, and how it is."""
    for result in results:
        for side in (OURS, RING, NO_RING):
            if side in result.runs and (found := result.beside_peers(side)):
                ratios = (f"{how} {peer} ({result.ratio(side, peer):.3f} ±{result.doubt(side, peer):.3f})" for peer, how in found.items())
                yield f"{result.row.name}: {side.strip('… ')} is " + ", ".join(ratios)


def lone_table(results):
    lines = [["requests a second", *Lone.sides, "× of sleeping", "required", ""]]
    for result in results:
        figures = [f"{result.median(side):,.0f} ±{result.spread(side):,.0f}" for side in Lone.sides]
        least = "" if result.row.least is None else f"≥ {result.row.least:g}"
        mark = {True: "✓", False: "✗", None: ""}[result.reached]
        lines.append([result.row.name, *figures, f"{result.ratio(SPINNING, OURS):.2f}", least, mark])
    return aligned(lines)


def idle_lines(idle):
    for words, what in (
        ("nobody connected", idle.nothing),
        (f"a request each {PAUSE_US} µs", idle.sparse),
    ):
        yield f"CPU time of a server, {words}: " + ", ".join(f"{side} {share:.3%}" for side, share in what.items())


def options(description, rows):
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--launches", type=int, default=8, help="how often all servers are started in each row (default 8)")
    parser.add_argument("--rounds", type=int, default=12, help="how often each is asked, once started (default 12)")
    parser.add_argument(
        "--requests", type=int, default=20_000, help="for how many requests, after a fifth as many to warm up (default 20000)"
    )
    known = set().union(*(row.words for row in rows), IdleRow.words)
    parser.add_argument(
        "--rows",
        metavar="WORDS",
        help="only rows that have all of these words, separated by commas; several sets by slashes, such as "
        "1000,64B/one. The words: " + ", ".join(sorted(known)),
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    given = parser.parse_args()
    if min(given.launches, given.rounds, given.requests) < 1:
        parser.error("at least 1 launch, 1 round and 1 request are needed")
    sets = [set(part.split(",")) for part in given.rows.split("/")] if given.rows else [set()]
    for word in set().union(*sets) - known:
        parser.error(f"no row has the word {word!r}")
    given.chosen = [row for row in rows if any(words <= row.words for words in sets)]
    given.idle = any(words <= IdleRow.words for words in sets)
    if not given.chosen and not given.idle:
        parser.error("no row has all of these words")
    return given


def measure(given, work):
    client, servers, skipped = programs.build(work)
    tick = progress(len(given.chosen) * given.launches + 2 * given.idle)
    results, failures, idle = [], [], None
    for row in given.chosen:
        try:
            results.append(measure_row(row, client, servers, given, tick))
        except Failed as failure:
            failures.append(f"{row.name}: {failure}")
    if given.idle:
        try:
            idle = measure_idle(client, servers, tick)
        except Failed as failure:
            failures.append(f"idle: {failure}")
    if sys.stderr.isatty():
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)
    return results, idle, skipped, failures


def show(given, results, idle, skipped, failures):
    setting = {
        "kernel": platform.release(), "processors": os.cpu_count(), "launches": given.launches,
        "rounds": given.rounds, "requests": given.requests,
        "congestion_control": Path("/proc/sys/net/ipv4/tcp_congestion_control").read_text().strip(), "spin_us": SPIN_US,
    }  # fmt: skip
    if given.json:
        report = {
            "setting": setting, "rows": [result.json() for result in results], "idle": idle and dataclasses.asdict(idle),
            "skipped": skipped, "failed": failures,
        }  # fmt: skip
        print(json.dumps(report, indent=2, ensure_ascii=False))
        return
    loads = [result for result in results if isinstance(result.row, Load)]
    lones = [result for result in results if isinstance(result.row, Lone)]
    if loads:
        print(*load_table(loads), sep="\n")
        print("×: over the bare C loop: the mean of the launches' medians, ± two standard errors.\n")
        print(*peer_lines(loads), sep="\n", end="\n\n")
    if lones:
        print(*lone_table(lones), sep="\n")
        print(f"Spinning: for up to {SPIN_US} µs before a sleep, less where that was of no use.\n")
    if idle:
        print(*idle_lines(idle), sep="\n", end="\n\n")
    print(f"Medians ± half of the spread between the quartiles; {given.launches} launches of {given.rounds} rounds,", end=" ")
    print(f"alternated, of {given.requests:,} requests (a fifth of that on one connection); Linux {setting['kernel']},", end=" ")
    print(f"{setting['processors']} processors, {setting['congestion_control']}.")
    for name, why in skipped.items():
        print(f"Skipped: {name}: {why}")
    for failure in failures:
        print(f"Went wrong: {failure}")


def measure_and_show(description, rows):
    given = options(description, rows)
    if len(os.sched_getaffinity(0)) < 2:
        sys.exit("server and client need a processor each, and this may use one only")
    # SIGTERM tidies up as Ctrl-C does; and Ctrl-C does it also where a shell has started this in the background.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    programs.allow_descriptors()
    with tempfile.TemporaryDirectory(prefix="onewait-echo-") as work:
        try:
            results, idle, skipped, failures = measure(given, Path(work))
        except Failed as failure:
            sys.exit(str(failure))
    show(given, results, idle, skipped, failures)
    return 1 if failures else 0


def main(description, rows):
    """The whole script."""
    try:
        sys.exit(measure_and_show(description, rows))
    except KeyboardInterrupt:
        sys.exit(130)
