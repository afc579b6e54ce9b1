"""sysbench's fileio test with libaio on a file of which nothing is cached, with and without onewait, alternated."""

import dataclasses
import os
import re
import statistics
import subprocess

from .fio import environment, through

WORD = "sysbench"
REQUIRED = 6.0


@dataclasses.dataclass
class Result:
    plain: list
    onewait: list

    @property
    def ratio(self):
        return statistics.median(self.onewait) / statistics.median(self.plain)

    def lines(self):
        plain, onewait = (statistics.median(side) for side in (self.plain, self.onewait))
        mark = "✓" if self.ratio >= REQUIRED else "✗"
        yield "sysbench fileio, asynchronous 4 KiB random reads of a cold file, requests a second:"
        yield f"plain {plain:.0f}, through onewait {onewait:.0f}: × {self.ratio:.2f}, required ≥ {REQUIRED:g} {mark}"

    def json(self):
        return {**dataclasses.asdict(self), "ratio": round(self.ratio, 3), "required": REQUIRED}


def command(given, step, *more):
    return [
        "sysbench", "fileio", "--file-num=1", f"--file-total-size={given.size}M", "--file-block-size=4096",
        "--file-test-mode=rndrd", "--file-io-mode=async", "--file-async-backlog=128", "--threads=1",
        "--file-fsync-freq=0", f"--time={given.seconds}", *more, step,
    ]  # fmt: skip


def run(given, work, argv):
    limit = given.seconds + 120
    done = subprocess.run(argv, cwd=work, env=environment(), capture_output=True, text=True, timeout=limit)
    if done.returncode:
        raise ValueError(f"{argv} failed: {done.stdout}{done.stderr}")
    return done.stdout


def forget(work):
    """Takes the test file out of the page cache."""
    for file in work.glob("test_file.*"):
        fd = os.open(file, os.O_RDONLY)
        try:
            os.fsync(fd)
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(fd)


def measure(given, onewait, work):
    run(given, work, command(given, "prepare"))
    result = Result([], [])
    for _ in range(given.rounds):
        for side in (result.plain, result.onewait):
            forget(work)
            argv = command(given, "run")
            said = run(given, work, argv if side is result.plain else through(given, onewait, argv))
            found = re.search(r"reads/s:\s+([\d.]+)", said)
            if not found:
                raise ValueError(f"sysbench told no rate: {said}")
            side.append(float(found[1]))
    run(given, work, command(given, "cleanup"))
    return result
