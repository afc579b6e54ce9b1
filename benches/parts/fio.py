"""Runs one of fio's engines through onewait, against plain fio, and beside fio's own io_uring engine as the limit.

The scripts beside this directory say which engine, and which rows with what is required of each.
"""

import argparse
import dataclasses
import json
import os
import platform
import shlex
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

MIB = 1 << 20
BLOCK = 4096
# Where the disk decides, onewait is to be as good as io_uring.
LIMIT = 0.90


@dataclasses.dataclass(frozen=True)
class Row:
    cache: str  # cached, uncached, direct, buffered
    op: str  # read, write
    depth: int
    required: float
    threads: int = 1

    @property
    def name(self):
        threads = f"{self.threads} threads × " if self.threads > 1 else ""
        cache = {"direct": "O_DIRECT"}.get(self.cache, self.cache)
        return f"{cache} {self.op}, {threads}depth {self.depth}"

    @property
    def words(self):
        words = {self.cache, self.op, self.op + "s", str(self.depth), f"depth={self.depth}"}
        return words | ({"threads"} if self.threads > 1 else {"alone"})

    @property
    def limited(self):
        """Whether the disk decides, so that io_uring is the limit to be reached."""
        return self.cache in ("direct", "uncached")


SIDES = ("fio", "onewait", "io_uring")


class Failed(Exception):
    """One run gave no figure."""


@dataclasses.dataclass
class Run:
    iops: float
    cpu_us: float
    # Bytes that really came from the disk, over those that were asked for; none if that cannot be known.
    from_disk: float


def environment():
    """Without what would change all sides: a library that somebody has put in front of this script, or a driver."""
    return {k: v for k, v in os.environ.items() if not k.startswith("ONEWAIT_") and k != "LD_PRELOAD"}


def through(given, onewait, command):
    """The command, through onewait."""
    return [onewait, "run", *(["--driver", given.driver] if given.driver else []), "--", *command]


class Bench:
    def __init__(self, engine, options, onewait, file, work):
        self.engine = engine
        self.options = options
        self.onewait = onewait
        self.file = file
        self.work = work
        self.uring_refused = None

    def command(self, side, row, output):
        fio = [
            "fio", "--name=bench", f"--filename={self.file}", f"--size={self.options.size}M", "--bs=4k",
            f"--rw=rand{row.op}", f"--iodepth={row.depth}", f"--runtime={self.options.seconds}",
            f"--ioengine={'io_uring' if side == 'io_uring' else self.engine}",
            f"--direct={int(row.cache == 'direct')}", "--fadvise_hint=random", "--overwrite=1",
            "--group_reporting=1", "--output-format=json", f"--output={output}",
        ]  # fmt: skip
        if row.threads > 1:
            fio += ["--thread", f"--numjobs={row.threads}"]
        if row.cache == "uncached":
            # Every block once and no block twice, and the run ends if all have come: no read finds a page that this
            # run has brought. The shift register needs no map to do that.
            fio += ["--random_generator=lfsr", "--invalidate=1"]
        else:
            # Writes begin without cached pages, as fio does it by itself. After a sequential read the pages would stand
            # in the cache in large units, and the kernel walks a whole unit for each small write: a tenth of the speed.
            invalidate = int(row.cache != "cached")
            fio += ["--random_generator=tausworthe64", "--norandommap", "--time_based", f"--invalidate={invalidate}"]
        if row.cache in ("cached", "buffered"):
            # fio's own clock reading would be a good part of such a request.
            fio += ["--gtod_reduce=1"]
        if side == "onewait":
            return through(self.options, self.onewait, fio)
        return fio

    def prepare(self, row):
        """Brings the pages of the file into the state that the row is about; nothing is dirty afterwards."""
        fd = os.open(self.file, os.O_RDONLY)
        try:
            os.fsync(fd)
            if row.cache == "cached":
                while os.read(fd, MIB):
                    pass
            else:
                os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(fd)

    def run(self, side, row):
        self.prepare(row)
        output = self.work / "fio.json"
        output.unlink(missing_ok=True)
        command = self.command(side, row, output)
        if self.options.verbose:
            print("+", shlex.join(map(str, command)), file=sys.stderr)
        with open(self.work / "messages", "w+b") as messages:
            child = subprocess.Popen(
                command, env=environment(), stdin=subprocess.DEVNULL, stdout=messages, stderr=subprocess.STDOUT
            )
            try:
                # Not usr_cpu and sys_cpu of fio's own report: they leave out glibc's AIO threads, that is most of it.
                _, status, usage = os.wait4(child.pid, 0)
                child.returncode = os.waitstatus_to_exitcode(status)
            except BaseException:
                child.terminate()
                child.wait()
                raise
            messages.seek(0)
            said = messages.read().decode(errors="replace").strip()
        try:
            text = output.read_text()
            job = json.loads(text[text.index("{") :])["jobs"][0]
        except (OSError, ValueError, LookupError):
            raise Failed(said or f"exit status {child.returncode}") from None
        if child.returncode or job["error"]:
            raise Failed(said or f"exit status {child.returncode}, error {job['error']}")
        done = job[row.op]
        requests = max(done["total_ios"], 1)
        cpu = usage.ru_utime + usage.ru_stime
        return Run(done["iops"], cpu / requests * 1e6, usage.ru_inblock * 512 / (requests * BLOCK))

    def row(self, row, tick):
        """A B C A B C …"""
        runs = {side: [] for side in SIDES}
        for _ in range(self.options.rounds):
            for side in SIDES:
                tick(row)
                if side == "io_uring" and self.uring_refused:
                    continue
                try:
                    runs[side].append(self.run(side, row))
                except Failed as failure:
                    if side != "io_uring":
                        raise Failed(f"{side}: {failure}") from None
                    self.uring_refused = str(failure)
        return Result(row, runs)


@dataclasses.dataclass
class Result:
    row: Row
    runs: dict

    def iops(self, side):
        runs = self.runs[side]
        return statistics.median(run.iops for run in runs) if runs else None

    def cpu(self, side):
        runs = self.runs[side]
        return statistics.median(run.cpu_us for run in runs) if runs else None

    def spread(self, side):
        values = [run.iops for run in self.runs[side]]
        return (max(values) - min(values)) / 2 / self.iops(side) * 100

    def ratio(self, side):
        return self.iops("onewait") / self.iops(side) if self.iops(side) else None

    @property
    def reached(self):
        return self.ratio("fio") >= self.row.required

    @property
    def limit_reached(self):
        ratio = self.ratio("io_uring")
        return None if ratio is None or not self.row.limited else ratio >= LIMIT

    def doubts(self):
        """What makes a row mean something else than its name."""
        for side in SIDES:
            shares = [run.from_disk for run in self.runs[side]]
            if shares and self.row.cache == "uncached" and min(shares) < 0.95:
                yield f"{self.row.name}: with {side}, {1 - min(shares):.0%} of the reads did not come from the disk"
            if shares and self.row.cache == "cached" and max(shares) > 0.05:
                yield f"{self.row.name}: with {side}, {max(shares):.0%} of the reads came from the disk"

    def json(self):
        def side(name):
            runs = self.runs[name]
            if not runs:
                return None
            return {
                "iops": round(self.iops(name), 1),
                "iops_min": round(min(run.iops for run in runs), 1),
                "iops_max": round(max(run.iops for run in runs), 1),
                "cpu_us": round(self.cpu(name), 3),
            }

        return {
            "row": self.row.name,
            **dataclasses.asdict(self.row),
            **{name: side(name) for name in SIDES},
            "onewait_over_fio": round(self.ratio("fio"), 3),
            "onewait_over_io_uring": self.ratio("io_uring") and round(self.ratio("io_uring"), 3),
            "reached": self.reached,
            "limit_reached": self.limit_reached,
        }


def significant(value):
    return f"{value:.2f}" if value < 9.995 else f"{value:.1f}" if value < 99.95 else f"{value:.0f}"


def table(results):
    mark = {True: "✓", False: "✗", None: " "}
    lines = [
        ["4 KiB", "fio", "onewait", "io_uring", "× fio", "required", "", "× io_uring", "", "CPU fio", "onewait", "io_uring"]
    ]
    for result in results:
        def rate(side):
            iops = result.iops(side)
            return "refused" if iops is None else f"{significant(iops / 1000)} ±{result.spread(side):.0f} %"

        def cpu(side):
            value = result.cpu(side)
            return "–" if value is None else significant(value)

        limit = result.ratio("io_uring")
        lines.append(
            [result.row.name, *map(rate, SIDES), f"{result.ratio('fio'):.2f}", f"≥ {result.row.required:g}",
             mark[result.reached], "–" if limit is None else f"{limit:.2f}", mark[result.limit_reached], *map(cpu, SIDES)]
        )  # fmt: skip
    widths = [max(map(len, column)) for column in zip(*lines)]
    for number, line in enumerate(lines):
        yield "  ".join(c.rjust(w) if i else c.ljust(w) for i, (c, w) in enumerate(zip(line, widths))).rstrip()
        if number == 0:
            yield "─" * (sum(widths) + 2 * len(widths) - 2)


def lay_out(path, size):
    """Blocks on the disk, full of what does not compress."""
    with open(path, "wb") as file:
        for _ in range(size):
            file.write(os.urandom(MIB))
        file.flush()
        os.fsync(file.fileno())


def build():
    """The project's own binary, wherever cargo puts it."""
    root = Path(__file__).resolve().parents[2]
    command = ["cargo", "build", "--release", "-p", "onewait-cli", "--message-format=json-render-diagnostics"]
    built = subprocess.run(command, cwd=root, stdout=subprocess.PIPE, text=True)
    if built.returncode:
        sys.exit(f"{shlex.join(command)} failed")
    for line in built.stdout.splitlines():
        message = json.loads(line)
        if message.get("executable") and message["target"]["name"] == "onewait":
            return message["executable"]
    sys.exit("cargo built no onewait")


def options(description, rows, extras):
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="runs of each side in each row (default 5)")
    parser.add_argument("--seconds", type=int, default=2, help="seconds of each run (default 2)")
    parser.add_argument("--dir", type=Path, default=Path("."), help="directory for the test file (default: this one)")
    parser.add_argument("--size", type=int, default=1024, metavar="MIB", help="size of the test file (default 1024)")
    known = set().union(*(row.words for row in rows), *({extra.WORD} for extra in extras))
    parser.add_argument(
        "--rows",
        metavar="WORDS",
        help="only rows that have all of these words, separated by commas; several sets by slashes, such as "
        "direct,read/buffered,32. The words: " + ", ".join(sorted(word for word in known if "=" not in word)),
    )
    parser.add_argument("--onewait", metavar="PATH", type=Path, help="the onewait to measure (default: cargo builds it)")
    parser.add_argument("--driver", choices=["uring", "epoll"], help="the driver that onewait uses")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--verbose", action="store_true", help="print each command")
    given = parser.parse_args()
    if min(given.rounds, given.seconds) < 1 or given.size < 16:
        parser.error("at least 1 round of 1 second on 16 MiB is needed")
    sets = [set(part.split(",")) for part in given.rows.split("/")] if given.rows else [set()]
    for word in set().union(*sets) - known:
        parser.error(f"no row has the word {word!r}")
    given.chosen = [row for row in rows if any(words <= row.words for words in sets)]
    given.extras = [extra for extra in extras if any(words <= {extra.WORD} for words in sets)]
    if not given.chosen and not given.extras:
        parser.error("no row has all of these words")
    return given


def progress(total):
    """One line on a terminal, rewritten before each run; nothing elsewhere."""
    begin, done = time.monotonic(), 0

    def tick(row):
        nonlocal done
        if sys.stderr.isatty():
            left = (time.monotonic() - begin) / done * (total - done) if done else 0
            eta = f", {left:.0f} s left" if done else ""
            print(f"\r\x1b[K{done}/{total} {row.name}{eta}", end="", file=sys.stderr, flush=True)
        done += 1

    return tick


def measure(engine, given, onewait, work):
    file = work / "file"
    lay_out(file, given.size)
    bench = Bench(engine, given, onewait, file, work)
    tick = progress(len(given.chosen) * given.rounds * len(SIDES))
    results, failures, more = [], [], []
    for row in given.chosen:
        try:
            results.append(bench.row(row, tick))
        except Failed as failure:
            failures.append(f"{row.name}: {failure}")
    if sys.stderr.isatty():
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)
    for extra in given.extras:
        try:
            more.append(extra.measure(given, onewait, work))
        except (OSError, subprocess.SubprocessError, ValueError) as failure:
            failures.append(f"{extra.WORD}: {failure}")
    return results, more, failures, bench.uring_refused


def show(setting, given, results, more, failures, refused):
    doubts = [doubt for result in results for doubt in result.doubts()]
    if given.json:
        report = {
            "setting": setting, "rows": [result.json() for result in results],
            **{extra.WORD: one.json() for extra, one in zip(given.extras, more)},
            "failed": failures, "doubts": doubts, "io_uring_refused": refused,
        }  # fmt: skip
        print(json.dumps(report, indent=2, ensure_ascii=False))
        return
    if results:
        print(*table(results), sep="\n")
        print("Thousand requests a second, medians ± half of the spread;", end=" ")
        print(f"{setting['fio']}, Linux {setting['kernel']}, {setting['processors']} processors,", end=" ")
        print(f"{given.rounds} runs of {given.seconds} s each, alternated.")
        print(f"× io_uring: at least {LIMIT} is required where the disk decides. CPU: µs a request, all threads, fio's start too.")
    for one in more:
        print("", *one.lines(), sep="\n")
    for doubt in doubts:
        print(f"Doubtful: {doubt}")
    if refused:
        print(f"No limit: io_uring is refused here: {refused}")
    for failure in failures:
        print(f"Went wrong: {failure}")


def measure_and_show(description, engine, rows, extras):
    given = options(description, rows, extras)
    try:
        version = subprocess.run(["fio", "--version"], capture_output=True, text=True).stdout.strip()
    except FileNotFoundError:
        sys.exit("fio is not installed")
    try:
        room = os.statvfs(given.dir)
    except OSError as error:
        sys.exit(f"cannot use {given.dir}: {error.strerror}")
    free = room.f_bavail * room.f_frsize // MIB
    if free < given.size * 2 + 64:
        sys.exit(f"no room: {given.size * 2} MiB are needed in {given.dir}, and {free} MiB are free")
    onewait = given.onewait.resolve() if given.onewait else build()
    # SIGTERM tidies up as Ctrl-C does; and Ctrl-C does it also where a shell has started this in the background.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    runs = len(given.chosen) * given.rounds * len(SIDES)
    minutes, seconds = divmod(int(runs * (given.seconds + 0.6)), 60)
    print(f"{len(given.chosen)} rows, {runs} runs: about {minutes} min {seconds} s", file=sys.stderr)
    with tempfile.TemporaryDirectory(prefix=".onewait-fio-", dir=given.dir) as work:
        results, more, failures, refused = measure(engine, given, onewait, Path(work).resolve())
    setting = {
        "fio": version, "kernel": platform.release(), "processors": os.cpu_count(), "rounds": given.rounds,
        "seconds": given.seconds, "file_mib": given.size, "driver": given.driver,
    }  # fmt: skip
    show(setting, given, results, more, failures, refused)
    return 1 if failures else 0


def main(description, engine, rows, extras=()):
    """A whole script: `extras` are modules that measure something beside fio."""
    try:
        sys.exit(measure_and_show(description, engine, rows, extras))
    except KeyboardInterrupt:
        sys.exit(130)
