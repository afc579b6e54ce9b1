"""The programs of the echo benchmark: building them, and running one server with the client beside it."""

import contextlib
import ctypes
import dataclasses
import json
import os
import resource
import signal
import subprocess
import time
from pathlib import Path

from .fio import environment

ROOT = Path(__file__).resolve().parents[2]
PEERS = ROOT / "benches" / "echo-peers"
SERVER_PROCESSOR, CLIENT_PROCESSOR = 0, 1
# For how long a spinning server may look before it sleeps.
SPIN_US = 50
# Of a server that is starting: what takes longer hangs.
LIMIT_S = 30


class Failed(Exception):
    """One run gave no figure, or one program could not be built."""


@dataclasses.dataclass(frozen=True)
class Server:
    name: str
    command: tuple
    version: str = ""


def said_by(command, **more):
    """What it wrote; raises if it failed."""
    try:
        done = subprocess.run([str(word) for word in command], capture_output=True, text=True, **more)
    except OSError as error:
        raise Failed(f"{command[0]}: {error.strerror}") from None
    if done.returncode:
        raise Failed(done.stderr.strip() or f"{command[0]}: exit status {done.returncode}")
    return done.stdout


def compile_c(name, work, package=None, debian=None):
    """One of the C programs; with the flags of a library, if it needs one."""
    flags = []
    if package:
        try:
            flags = said_by(["pkg-config", "--cflags", "--libs", package]).split()
        except Failed:
            # pkg-config itself may be missing: what the library is called is known.
            flags = [f"-l{package.removeprefix('lib')}"]
    program = work / name
    command = ["cc", "-std=gnu11", "-Wall", "-Wextra", "-Werror", "-O2", "-o", program, PEERS / f"{name}.c", *flags]
    try:
        said_by(command)
    except Failed as failure:
        if not debian:
            raise
        why = next((line for line in str(failure).splitlines() if "error" in line), str(failure))
        raise Failed(f"{name}.c does not compile; it needs {debian}: {why}") from None
    return (str(program),)


def cargo(target, *arguments):
    """An executable that cargo builds, wherever it puts it."""
    command = ["cargo", "build", "--release", "--message-format=json-render-diagnostics", *map(str, arguments)]
    for line in said_by(command, cwd=ROOT).splitlines():
        message = json.loads(line)
        if message.get("executable") and message["target"]["name"] == target:
            return (message["executable"],)
    raise Failed(f"cargo built no {target}")


def build(work):
    """The client, all servers by name, and why others are not there."""
    client = compile_c("client", work)
    onewait = cargo("echo_bench", "-p", "onewait", "--example", "echo_bench")
    completion = cargo("echo_completion", "-p", "onewait", "--example", "echo_completion")
    servers = [
        Server("C epoll", compile_c("epoll", work)),
        Server("onewait", onewait),
        Server("onewait, spinning", (*onewait, str(SPIN_US))),
        Server("… completion, uring", ("env", "ONEWAIT_DRIVER=uring", *completion)),
        Server("… completion, epoll", ("env", "ONEWAIT_DRIVER=epoll", *completion)),
    ]
    peers = {
        "C uring": lambda: compile_c("uring", work, "liburing", "liburing-dev"),
        "mio": lambda: cargo("echo-mio", "--manifest-path", PEERS / "mio" / "Cargo.toml", "--target-dir", own_target()),
        "libuv": lambda: compile_c("libuv", work, "libuv", "libuv1-dev"),
        "libevent": lambda: compile_c("libevent", work, "libevent_core", "libevent-dev"),
    }
    skipped = {}
    for name, make in peers.items():
        try:
            servers.append(Server(name, make()))
        except Failed as failure:
            skipped[name] = str(failure)
    return client, {server.name: server for server in servers}, skipped


def own_target():
    """mio's server is a workspace of its own, and has its own directory in the target directory."""
    return Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "echo-peers"


def allow_descriptors():
    """As many as the system lets this process have, for server and client with a thousand connections and more."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def on(processor):
    """What a child does before it becomes the program: it keeps to a processor, and ends if this script is killed."""
    libc = ctypes.CDLL(None)
    pr_set_pdeathsig = 1

    def prepare():
        libc.prctl(pr_set_pdeathsig, signal.SIGKILL)
        os.sched_setaffinity(0, {processor})

    return prepare


@contextlib.contextmanager
def running(server):
    """A server, its port and the process; it is ended afterwards."""
    # Safe beside `preexec_fn`: this script has one thread.
    process = subprocess.Popen(
        server.command, env=environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, preexec_fn=on(SERVER_PROCESSOR),
    )  # fmt: skip
    try:
        port = process.stdout.readline().strip()
        if not port:
            process.wait(LIMIT_S)
            raise Failed(f"{server.name} did not start: {process.stderr.read().strip()}")
        yield process, port
    finally:
        process.kill()
        process.communicate()


@dataclasses.dataclass
class Traffic:
    """What the client does in a round with each server."""

    connections: int
    size: int
    requests: int
    way: str = "wait"  # How it waits for answers: wait, spin
    pause_us: int = 0

    def words(self, rounds):
        warm_up = max(self.requests // 5, self.connections)
        return [self.connections, self.size, warm_up, self.requests, rounds, self.way, self.pause_us]


def echo(client, servers, traffic, rounds):
    """Yields for each round what the client measured: a pair of seconds and CPU seconds for each server."""
    with contextlib.ExitStack() as stack:
        started = [stack.enter_context(running(server)) for server in servers]
        places = [f"{port}:{process.pid}" for process, port in started]
        asking = subprocess.Popen(
            [str(word) for word in (*client, *traffic.words(rounds), *places)], stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, preexec_fn=on(CLIENT_PROCESSOR),
        )  # fmt: skip
        try:
            for _ in range(rounds):
                line = asking.stdout.readline()
                if not line:
                    raise Failed(asking.stderr.read().strip() or f"the client ended by {asking.wait()}")
                yield json.loads(line)
        finally:
            asking.kill()
            asking.communicate()


def idle(server, seconds):
    """The CPU time, in seconds, of a server that nobody asks anything."""
    with running(server) as (process, _):
        clock = cpu_clock(process.pid)
        before = time.clock_gettime(clock)
        time.sleep(seconds)
        return time.clock_gettime(clock) - before


def cpu_clock(pid):
    """The clock of another process's CPU time, as clock_getcpuclockid(3) makes it."""
    scheduler_clock = 2
    return ~pid << 3 | scheduler_clock
