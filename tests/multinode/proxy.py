"""A test peer in the middle: stands at the address that a node advertises, passes
on what others send to that node, and does to it what it is told. What it knows of
the wire is in transport/socket_frame.h: a data socket begins with a greeting;
messages follow, each two lengths, a header and a payload. Any other connection is
the control plane's.

Threads: its own; `fault` may be set from any."""

import asyncio
import random
import socket
import struct
import threading

GREETING = b"HRSYDAT1"
PREFIX = struct.Struct("<II")
BLOCK = 1 << 16


class End(Exception):
    """A fault wants the connection to end here."""


def message(header, payload):
    return PREFIX.pack(len(header), len(payload)) + header + payload


def flipped(data, chance):
    """With one bit turned."""
    data = bytearray(data)
    bit = chance.randrange(8 * len(data))
    data[bit // 8] ^= 1 << bit % 8
    return bytes(data)


# Faults of data: from a message that passes, what is sent in its place. `past` has
# those that passed before, those of connections that have ended too.

def altered_payload(header, payload, past, chance):
    return message(header, flipped(payload, chance) if payload else payload)


def altered_header(header, payload, past, chance):
    return message(flipped(header, chance), payload)


def altered_lengths(header, payload, past, chance):
    return flipped(PREFIX.pack(len(header), len(payload)), chance) + header + payload


def shortened(header, payload, past, chance):
    return message(header, payload[:len(payload) // 2])


def truncated(header, payload, past, chance):
    raise End(message(header, payload)[:-1 - len(payload) // 2])


def duplicated(header, payload, past, chance):
    return 2 * message(header, payload)


def replayed(header, payload, past, chance):
    """With one from before, of whatever connection, in front of it."""
    return message(*chance.choice(past)) + message(header, payload)


def replaced(header, payload, past, chance):
    """By the header of one and the payload of another."""
    return message(header, chance.choice(past)[1])


def swallowed(header, payload, past, chance):
    return b""


def any_of(*faults):
    return lambda header, payload, past, chance: chance.choice(faults)(
        header, payload, past, chance)


class Proxy:
    """From `port` to `target`, both on 127.0.0.1, until close()."""

    KEPT = 200  # Messages of the past.

    def __init__(self, port, target, seed=1):
        self.port = port
        self.target = target
        self.fault = None      # One of the above, for data...
        self.share = 1.0       # ...and for which share of the messages.
        self.control = None    # Of control connections: bytes, chance -> bytes...
        self.whose = None      # ...and of which: dialler's port -> bool.
        self.delay = 0.0       # Seconds every data message is held back.
        self.stalled = False   # Data is not read at all.
        self.done = 0          # Messages to which something was done.
        self.past = []
        self._chance = random.Random(seed)
        self._loop = asyncio.new_event_loop()
        up = threading.Event()
        self._thread = threading.Thread(target=self._run, args=[up], daemon=True)
        self._thread.start()
        up.wait()

    def close(self):
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def cure(self):
        self.fault = self.control = None
        self.delay, self.stalled = 0.0, False

    def _run(self, up):
        asyncio.set_event_loop(self._loop)
        listener = socket.create_server(("127.0.0.1", self.port))
        # Inherited. What a stalled proxy swallows all the same is soon full.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BLOCK)
        server = self._loop.run_until_complete(
            asyncio.start_server(self._serve, sock=listener, limit=BLOCK))
        up.set()
        self._loop.run_forever()
        server.close()
        tasks = asyncio.all_tasks(self._loop)
        for task in tasks:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        self._loop.close()

    async def _serve(self, reader, writer):
        there = None
        try:
            first = await reader.readexactly(len(GREETING))
            back, there = await asyncio.open_connection("127.0.0.1", self.target)
            there.write(first)
            if first == GREETING:
                ways = [self._data(reader, there), self._pass(back, writer)]
            else:
                port = writer.get_extra_info("peername")[1]
                touched = self.whose is None or self.whose(port)
                pass_on = self._control if touched else self._pass
                ways = [pass_on(reader, there), pass_on(back, writer)]
            ways = [asyncio.ensure_future(way) for way in ways]
            # Either end's end is the end of both.
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            for end in (writer, there):
                if end is not None:
                    end.close()

    async def _pass(self, reader, writer):
        while block := await reader.read(BLOCK):
            writer.write(block)
            await writer.drain()

    async def _control(self, reader, writer):
        while block := await reader.read(BLOCK):
            if self.control is not None:
                block = self.control(block, self._chance)
                self.done += 1
            writer.write(block)
            await writer.drain()

    async def _data(self, reader, writer):
        while True:
            lengths = PREFIX.unpack(await reader.readexactly(PREFIX.size))
            header = await reader.readexactly(lengths[0])
            payload = await reader.readexactly(lengths[1])
            while self.stalled:
                await asyncio.sleep(0.05)
            if self.delay:
                await asyncio.sleep(self.delay)
            try:
                writer.write(self._passed(header, payload))
            except End as end:
                writer.write(end.args[0])
                await writer.drain()
                return
            await writer.drain()

    def _passed(self, header, payload):
        self.past = self.past[-self.KEPT:] + [(header, payload)]
        if self.fault is None or self._chance.random() >= self.share:
            return message(header, payload)
        self.done += 1
        return self.fault(header, payload, self.past[:-1] or self.past, self._chance)
