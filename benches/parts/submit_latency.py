"""How long a call of io_submit takes, on the kernel's AIO and through onewait: submit_latency.c, alternated."""

import dataclasses
import json
import statistics
import subprocess
from pathlib import Path

from .fio import environment, through

WORD = "latency"
PLACES = {"file": "an uncached buffered file", "pipe": "a pipe that gets a byte every 10 ms"}


@dataclasses.dataclass
class Result:
    # (place, side) → runs, each with the first call, and p50, p99 and max of the others, in µs.
    runs: dict

    def median(self, place, side, what):
        return statistics.median(run[what] for run in self.runs[place, side])

    def lines(self):
        yield "One call of io_submit with one 4 KiB read, µs, medians of the runs: p50 / p99 / max, and the first call"
        for place, words in PLACES.items():
            told = [
                f"{name} " + " / ".join(f"{self.median(place, side, what):.1f}" for what in ("p50", "p99", "max"))
                + f" (first {self.median(place, side, 'first'):.1f})"
                for side, name in (("plain", "native"), ("onewait", "through onewait"))
            ]
            yield f"{words}: {', '.join(told)}"

    def json(self):
        return {f"{place}_{side}": runs for (place, side), runs in self.runs.items()}


def measure(given, onewait, work):
    source = Path(__file__).with_name("submit_latency.c")
    program = work / "submit_latency"
    built = subprocess.run(["cc", "-O2", "-o", program, source, "-laio"], capture_output=True, text=True)
    if built.returncode:
        raise ValueError(f"{source.name} does not compile (it needs libaio-dev): {built.stderr}")
    result = Result({(place, side): [] for place in PLACES for side in ("plain", "onewait")})
    for _ in range(given.rounds):
        for place, side in result.runs:
            argv = [program, place, work / "file"]
            argv = argv if side == "plain" else through(given, onewait, argv)
            done = subprocess.run(argv, env=environment(), capture_output=True, text=True, timeout=120)
            if done.returncode:
                raise ValueError(f"{place}, {side}: {done.stderr}")
            result.runs[place, side].append(json.loads(done.stdout))
    return result
