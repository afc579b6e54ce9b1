"""A reactor of onewait.h in asyncio's loop, which polls its descriptor: embedded.py LIBRARY TEST

It watches one thing of each kind. The loop's own clock and sockets are in use beside it.
"""

import asyncio
import ctypes
import os
import socket
import sys
import threading
import time
from ctypes import POINTER, byref, c_int, c_int64, c_size_t, c_ssize_t, c_uint32, c_uint64, c_void_p

# Seconds: what takes longer hangs.
PATIENCE = 15
EMBEDDABLE = 1
IN = 1
SOCKETS = 2**64 - 1
RECEIVED, SENT = 3, 4
# Tokens.
EVENT, CHANNEL, PIPE, TIMER, FAR_TIMER = range(1, 6)
RECEIVING, SENDING = 7, 8


class Options(ctypes.Structure):
    _fields_ = [
        ("size", c_size_t), ("flags", c_uint32), ("timers", c_uint32), ("spin_ns", c_uint64),
        ("sockets_token", c_uint64), ("socket_memory", c_size_t), ("socket_driver", c_uint32), ("reserved", c_uint32),
    ]  # fmt: skip


class Ready(ctypes.Structure):
    _fields_ = [("token", c_uint64), ("events", c_uint32), ("reserved", c_uint32)]


class SocketCompletion(ctypes.Structure):
    _fields_ = [
        ("token", c_uint64), ("socket", c_uint64), ("kind", c_uint32), ("is_last", c_uint32), ("result", c_int64),
        ("accepted", c_uint64), ("data", c_void_p), ("length", c_size_t), ("received", c_void_p), ("reserved", c_uint64 * 2),
    ]  # fmt: skip


# What is called, with the types of its result and of its arguments.
FUNCTIONS = {
    "ow_reactor_create": (c_void_p, POINTER(Options)),
    "ow_reactor_destroy": (None, c_void_p),
    "ow_reactor_descriptor": (c_int, c_void_p),
    "ow_reactor_wait": (c_int, c_void_p, POINTER(Ready), c_int, c_int64),
    "ow_wake": (c_int, c_void_p),
    "ow_add": (c_int, c_void_p, c_void_p, c_uint32, c_uint64),
    "ow_add_fd": (c_int, c_void_p, c_int, c_uint32, c_uint64),
    "ow_timer_arm": (c_int, c_void_p, c_uint64, c_uint64, POINTER(c_uint64)),
    "ow_event_create": (c_void_p, c_uint64, c_uint32),
    "ow_event_destroy": (None, c_void_p),
    "ow_event_source": (c_void_p, c_void_p),
    "ow_event_write": (c_int, c_void_p, c_uint64),
    "ow_event_read": (c_int, c_void_p, POINTER(c_uint64)),
    "ow_channel_create": (c_int, POINTER(c_void_p), POINTER(c_void_p)),
    "ow_reader_destroy": (None, c_void_p),
    "ow_writer_destroy": (None, c_void_p),
    "ow_reader_source": (c_void_p, c_void_p),
    "ow_reader_read": (c_ssize_t, c_void_p, c_void_p, c_size_t),
    "ow_writer_write": (c_ssize_t, c_void_p, c_void_p, c_size_t),
    "ow_socket_attach": (c_int, c_void_p, c_int, POINTER(c_uint64)),
    "ow_socket_receive": (c_int, c_void_p, c_uint64, c_uint64),
    "ow_socket_send_received": (c_int, c_void_p, c_uint64, c_void_p, c_uint64),
    "ow_sockets_take": (c_int, c_void_p, POINTER(SocketCompletion), c_int),
}


def checked(result, function, _arguments):
    failed = result is None if function.restype is c_void_p else result is not None and result < 0
    if failed:
        errno = ctypes.get_errno()
        raise OSError(errno, f"{function.__name__}: {os.strerror(errno)}")
    return result


def load(path):
    library = ctypes.CDLL(path, use_errno=True)
    for name, (result, *arguments) in FUNCTIONS.items():
        function = getattr(library, name)
        function.restype, function.argtypes, function.errcheck = result, arguments, checked
    return library


class Embedded:
    """A reactor with one thing of each kind, inside the running loop."""

    def __init__(self, library):
        self.ow = library
        # How often each was heard of, or how many bytes of it; and how often the loop found the descriptor readable.
        self.heard = dict.fromkeys([EVENT, CHANNEL, PIPE, TIMER, FAR_TIMER, RECEIVING, SENDING], 0)
        self.looks = 0
        self.failure = None
        self.changed = asyncio.Event()
        options = Options(size=ctypes.sizeof(Options), flags=EMBEDDABLE)
        self.reactor = library.ow_reactor_create(byref(options))

        self.event = library.ow_event_create(0, 0)
        library.ow_add(self.reactor, library.ow_event_source(self.event), IN, EVENT)
        self.reader, self.writer = c_void_p(), c_void_p()
        library.ow_channel_create(byref(self.reader), byref(self.writer))
        library.ow_add(self.reactor, library.ow_reader_source(self.reader), IN, CHANNEL)
        self.pipe_reader, self.pipe_writer = os.pipe()
        library.ow_add_fd(self.reactor, self.pipe_reader, IN, PIPE)
        ours, self.theirs = socket.socketpair()
        self.theirs.setblocking(False)
        self.socket = c_uint64()
        library.ow_socket_attach(self.reactor, ours.detach(), byref(self.socket))
        library.ow_socket_receive(self.reactor, self.socket, RECEIVING)
        library.ow_timer_arm(self.reactor, 3600 * 10**9, FAR_TIMER, None)

        self.descriptor = library.ow_reactor_descriptor(self.reactor)
        asyncio.get_running_loop().add_reader(self.descriptor, self.look)

    def close(self):
        asyncio.get_running_loop().remove_reader(self.descriptor)
        self.ow.ow_reactor_destroy(self.reactor)
        self.ow.ow_event_destroy(self.event)
        self.ow.ow_writer_destroy(self.writer)
        self.ow.ow_reader_destroy(self.reader)
        os.close(self.pipe_reader)
        os.close(self.pipe_writer)
        self.theirs.close()

    def look(self):
        """The loop has found the descriptor readable: all that there is, as onewait.h says."""
        self.looks += 1
        try:
            ready = (Ready * 8)()
            while count := self.ow.ow_reactor_wait(self.reactor, ready, len(ready), 0):
                for one in ready[:count]:
                    assert one.events == IN, f"token {one.token} has events {one.events:#x}"
                    self.hear(one.token)
        except BaseException as failure:
            self.failure = failure
        self.changed.set()

    def hear(self, token):
        buffer = ctypes.create_string_buffer(1 << 16)
        if token == SOCKETS:
            self.take()
        elif token == EVENT:
            count = c_uint64()
            self.ow.ow_event_read(self.event, byref(count))
            self.heard[EVENT] += count.value
        elif token == CHANNEL:
            self.heard[CHANNEL] += self.ow.ow_reader_read(self.reader, buffer, len(buffer))
        elif token == PIPE:
            self.heard[PIPE] += len(os.read(self.pipe_reader, len(buffer)))
        else:
            self.heard[token] += 1

    def take(self):
        """What is received is sent back."""
        done = (SocketCompletion * 8)()
        while count := self.ow.ow_sockets_take(self.reactor, done, len(done)):
            for one in done[:count]:
                assert one.result > 0 and one.socket == self.socket.value, f"kind {one.kind} has result {one.result}"
                assert one.kind == (RECEIVED if one.token == RECEIVING else SENT)
                self.heard[one.token] += one.result
                if one.kind == RECEIVED:
                    self.ow.ow_socket_send_received(self.reactor, self.socket, one.received, SENDING)

    async def until(self, heard):
        """Until so much was heard, and no more of anything."""
        while True:
            if self.failure:
                raise self.failure
            assert all(self.heard[token] <= heard.get(token, 0) for token in self.heard), f"{self.heard}, expected {heard}"
            if all(self.heard[token] == count for token, count in heard.items()):
                return
            self.changed.clear()
            await self.changed.wait()

    async def is_quiet(self):
        """Nothing is heard while nothing happens, and the loop sleeps."""
        # It may look once for what was seen in between.
        await asyncio.sleep(0.02)
        heard, looks = dict(self.heard), self.looks
        await asyncio.sleep(0.1)
        assert self.failure is None and self.heard == heard, f"{self.failure}: {heard}, then {self.heard}"
        assert self.looks - looks <= 2, f"the descriptor was readable {self.looks - looks} times for nothing"


def elsewhere(*calls):
    """Another thread makes these calls, while the loop sleeps."""

    def make():
        time.sleep(0.001)
        for function, *arguments in calls:
            function(*arguments)

    thread = threading.Thread(target=make)
    thread.start()
    return thread


async def nothing_is_heard_while_nothing_happens(embedded):
    await embedded.is_quiet()
    # A wake-up is no event.
    looks = embedded.looks
    elsewhere((embedded.ow.ow_wake, embedded.reactor)).join()
    await embedded.is_quiet()
    assert embedded.looks > looks and not any(embedded.heard.values()), f"{embedded.looks} looks, {embedded.heard}"


async def each_is_heard_of(embedded):
    """One after the other: nothing else can have woken the loop."""
    ow, loop = embedded.ow, asyncio.get_running_loop()
    causes = [
        (EVENT, 1, ow.ow_event_write, embedded.event, 1),
        (CHANNEL, 3, ow.ow_writer_write, embedded.writer, b"abc", 3),
        (PIPE, 2, os.write, embedded.pipe_writer, b"xy"),
    ]
    heard = dict.fromkeys(embedded.heard, 0)
    for _ in range(20):
        for token, count, *call in causes:
            thread = elsewhere(call)
            heard[token] += count
            await embedded.until(heard)
            thread.join()
        deadline = time.monotonic_ns() + 2_000_000
        ow.ow_timer_arm(embedded.reactor, 2_000_000, TIMER, None)
        heard[TIMER] += 1
        await embedded.until(heard)
        assert time.monotonic_ns() >= deadline
        await loop.sock_sendall(embedded.theirs, b"word")
        heard[RECEIVING] += 4
        heard[SENDING] += 4
        await embedded.until(heard)
        assert await loop.sock_recv(embedded.theirs, 64) == b"word"
    await embedded.is_quiet()


async def all_at_once_are_heard_of(embedded):
    ow, loop, count = embedded.ow, asyncio.get_running_loop(), 1000
    threads = [
        elsewhere(*[(ow.ow_event_write, embedded.event, 1)] * count),
        elsewhere(*[(ow.ow_writer_write, embedded.writer, b"x", 1)] * count),
        elsewhere(*[(os.write, embedded.pipe_writer, b"x")] * count),
        elsewhere(*[(ow.ow_wake, embedded.reactor)] * count),
    ]
    for number in range(count):
        # Up to 5 ms, in no order.
        ow.ow_timer_arm(embedded.reactor, number * 7919 % 5000 * 1000, TIMER, None)
        await loop.sock_sendall(embedded.theirs, b"word")
        assert await loop.sock_recv(embedded.theirs, 64) == b"word"
    heard = dict.fromkeys([EVENT, CHANNEL, PIPE, TIMER], count)
    await embedded.until({**heard, RECEIVING: 4 * count, SENDING: 4 * count})
    for thread in threads:
        thread.join()
    await embedded.is_quiet()


async def run(library, test):
    embedded = Embedded(library)
    try:
        await asyncio.wait_for(test(embedded), PATIENCE)
    except asyncio.TimeoutError:
        sys.exit(f"{test.__name__} hangs; heard: {embedded.heard}")
    finally:
        embedded.close()


if __name__ == "__main__":
    tests = [nothing_is_heard_while_nothing_happens, each_is_heard_of, all_at_once_are_heard_of]
    chosen = {test.__name__: test for test in tests}[sys.argv[2]]
    asyncio.run(run(load(sys.argv[1]), chosen))
