"""What must hold after every fault: one ring, training that never paused, a whole
ledger, no descriptor or memory lost. Asked of the daemons from outside, over
their unix sockets and /proc."""

import contextlib
import http.client
import json
import os
import pathlib
import re
import threading
import time

from cluster import run

# A member costs a control connection and a lane each way.
CONNECTIONS = 3
LISTENING = "0A"  # In /proc/net/tcp.
STEP = 0.02  # Seconds a step of `sections` takes: nodes sleep most of it.
FULL = bool(os.environ.get("HEARSAY_FULL_FAULTS"))


def lasting(seconds, usually):
    """How long a fault lasts: what the contract says under HEARSAY_FULL_FAULTS=1,
    shorter else, but longer than every timeout that it has to outlast."""
    return seconds if FULL else usually


def sections(shards, **changes):
    """Of nodes that spend budget, keep a ledger, and cost 1-2 % of a core.
    `changes` are whole keys, as section__key=value."""
    return lambda i: shards.sections(i, **{
        "train__min_step_time": f"{int(STEP * 1000)}ms", "train__public_size": 400,
        # Not auto: on a busy machine that grows, until no ring is seen in a window.
        "mixing__interval": "40ms", **changes})


def metric(node, name):
    """The sum of that metric's samples."""
    page = node.get("/metrics")[1].decode()
    return sum(float(line.split()[-1]) for line in page.splitlines()
               if re.match(rf"hearsay_{name}[ {{]", line))


def exchanged(node):
    """Exchanges that succeeded, by the peer that this node asked."""
    return {l["peer"]: l["ok"] for l in node.get("/v1/links")[1]["links"]
            if l["direction"] == "out"}


def successors(nodes, seconds=0.5):
    """Whom each node asks, by what it really exchanged meanwhile."""
    before = [exchanged(n) for n in nodes]
    time.sleep(seconds)
    after = [exchanged(n) for n in nodes]
    return {n.name: [p for p in now if now[p] > then.get(p, 0)]
            for n, then, now in zip(nodes, before, after)}


def one_ring(nodes, window=0.5):
    """Whether these nodes, and nobody else, form one cycle in the order of their
    names, and each of them counts all of them alive and nobody else."""
    names = sorted(n.name for n in nodes)
    ring = {name: [names[(i + 1) % len(names)]] if len(names) > 1 else []
            for i, name in enumerate(names)}
    return (all(n.status()["cluster"]["members_alive"] == len(names) for n in nodes)
            and successors(nodes, window) == ring)


def until_one_ring(nodes, seconds=20, window=0.5):
    """Waits for it; the seconds it took. Fails with what was seen instead. `window`:
    seconds in which every node exchanges at least once."""
    begin = time.monotonic()
    while True:
        with contextlib.suppress(OSError, http.client.HTTPException):
            if one_ring(nodes, window):
                return time.monotonic() - begin
        if time.monotonic() - begin > seconds:
            seen = {n.name: {m["name"] or m["address"]: m["state"]
                             for m in n.get("/v1/members")[1]["members"]} for n in nodes}
            raise AssertionError(f"not one ring within {seconds} s: asking "
                                 f"{successors(nodes, window)}; members {json.dumps(seen)}")


def mixing(nodes, window=0.5):
    """Whether what these nodes exchange connects all of them, in whatever order."""
    asked = successors(nodes, window)
    reached, found = set(), [nodes[0].name]
    while found:
        name = found.pop()
        reached.add(name)
        found += [other for other in asked if other not in reached and
                  (other in asked[name] or name in asked[other])]
    return len(reached) == len(nodes)


def until_mixing(nodes, seconds=20, window=0.5):
    deadline = time.monotonic() + seconds
    while not mixing(nodes, window):
        assert time.monotonic() < deadline, (
            f"not all mixing within {seconds} s: asking {successors(nodes, window)}")


def pace(node):
    """Seconds that a step takes at the least."""
    key = "min_step_time" if "privacy" in node.config else "step_time"
    text = node.config["train" if "privacy" in node.config else "test"].get(key, "0ms")
    return int(text.removesuffix("ms")) / 1e3


class Peace:
    """`with Peace(nodes):` none of them looks dead to another meanwhile. A suspicion
    that is refuted in time is no verdict."""

    def __init__(self, nodes):
        self.nodes = nodes
        names = "|".join(n.name for n in nodes)
        self.bad = re.compile(rf"({names}) is (failed|refused|left)")

    def __enter__(self):
        self.begin = {n.name: n.get("/v1/events")[1]["next"] for n in self.nodes}

    def __exit__(self, kind, *_):
        for node in self.nodes if kind is None else []:
            events = node.get(f"/v1/events?after={self.begin[node.name]}")[1]["events"]
            seen = [e["text"] for e in events
                    if e["kind"] == "member" and self.bad.match(e["text"])]
            assert not seen, f"{node.name} saw {seen}"


class Watch(threading.Thread):
    """Samples the steps of `nodes` while a fault goes on among others:

        with Watch(survivors) as watch:
            fault()
        watch.assert_never_paused()
    """

    PERIOD = 0.1
    LONGEST_PAUSE = 1.5  # Seconds: a machine's own hiccups, no timeout of ours.
    SLICES = 0.05        # A busy machine took the core from who held the weights.

    def __init__(self, nodes, before=1.5):
        super().__init__(daemon=True)
        self.nodes = nodes
        self.before = self._rates(before)
        self.over = threading.Event()
        self.paces = {n.name: pace(n) for n in nodes}
        self.seen = {n.name: [] for n in nodes}
        self.missed = 0
        self.stalled = {}
        self.resident_kib = {}  # The most that was seen.

    def _rates(self, seconds):
        begin = time.monotonic()
        first = [n.own()["step"] for n in self.nodes]
        time.sleep(seconds)
        last = [n.own()["step"] for n in self.nodes]
        elapsed = time.monotonic() - begin
        return {n.name: (b - a) / elapsed for n, a, b in zip(self.nodes, first, last)}

    def __enter__(self):
        self.stalled = {n.name: -metric(n, "train_stall_seconds_total") for n in self.nodes}
        self.begin = time.monotonic()
        self.start()
        return self

    def __exit__(self, kind, *_):
        self.over.set()
        self.join()
        self.seconds = time.monotonic() - self.begin
        if kind is None:
            for n in self.nodes:
                self.stalled[n.name] += metric(n, "train_stall_seconds_total")

    def run(self):
        while not self.over.wait(self.PERIOD):
            for node in self.nodes:
                try:
                    step = node.own()["step"]
                except (OSError, http.client.HTTPException):
                    self.missed += 1
                    continue
                self.seen[node.name].append((time.monotonic(), step))
                self.resident_kib[node.name] = max(self.resident_kib.get(node.name, 0),
                                                   footprint(node)[-1])

    def pause(self, name):
        """The longest time without a step that fits what was seen: between two looks,
        beyond what the steps between them take."""
        longest, (since, step) = 0.0, self.seen[name][0]
        for when, now in self.seen[name][1:]:
            if now > step:
                longest = max(longest, when - since - (now - step - 1) * self.paces[name])
                since, step = when, now
        return max(longest, self.seen[name][-1][0] - since)

    def rate(self, name):
        (begin, first), (end, last) = self.seen[name][0], self.seen[name][-1]
        return (last - first) / (end - begin)

    def assert_never_paused(self, stalled=0.001):
        """Steps/s at least 90 % of before (70 % where other scenes run beside this one
        and start their nodes meanwhile: who waited for a dead one would take none), no
        gap, and no more than a share of `stalled` of the time spent waiting for the
        weights."""
        ratios = {n.name: self.rate(n.name) / self.before[n.name] for n in self.nodes}
        pauses = {n.name: self.pause(n.name) for n in self.nodes}
        print(f"watched {self.seconds:.1f} s: steps/s {min(ratios.values()):.2f} of before "
              f"or more, longest pause {max(pauses.values()):.2f} s, longest stall "
              f"{max(self.stalled.values()) * 1e3:.1f} ms")
        for name, ratio in ratios.items():
            assert ratio >= (0.9 if FULL else 0.7), f"{name}: steps/s fell to {ratio:.2f} of before"
            assert pauses[name] < self.LONGEST_PAUSE, (
                f"{name}: no step for {pauses[name]:.2f} s")
            assert self.stalled[name] <= max(stalled * self.seconds, self.SLICES), (
                f"{name}: stalled for {self.stalled[name]:.3f} s")


def _connections(process):
    """Of a process's network namespace: {inode: local port} of TCP connections."""
    found = {}
    for table in ("tcp", "tcp6"):
        for line in (process / "net" / table).read_text().splitlines()[1:]:
            words = line.split()
            if words[3] != LISTENING:
                found[words[9]] = int(words[1].split(":")[1], 16)
    return found


def _descriptors(process):
    """What each is; those that were just closed are missing."""
    found = []
    for descriptor in (process / "fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            found.append(os.readlink(descriptor))
    return found


def ports(node):
    """The local ports of its TCP connections."""
    process = pathlib.Path(f"/proc/{node.process.pid}")
    held = _descriptors(process)
    return {port for inode, port in _connections(process).items()
            if f"socket:[{inode}]" in held}


def footprint(node):
    """What a process holds: (TCP connections, other descriptors, threads, resident
    KiB)."""
    process = pathlib.Path(f"/proc/{node.process.pid}")
    known = {f"socket:[{inode}]" for inode in _connections(process)}
    held = _descriptors(process)
    connections = sum(one in known for one in held)
    status = (process / "status").read_text()
    return (connections, len(held) - connections, int(re.search(r"Threads:\s+(\d+)", status)[1]),
            int(re.search(r"VmRSS:\s+(\d+)", status)[1]))


class Footprints:
    """Of nodes before a fault; `assert_back` after it."""

    def __init__(self, nodes, members):
        self.nodes = nodes
        self.most_connections = CONNECTIONS * (members - 1)
        self.before = {n.name: footprint(n) for n in nodes}

    def assert_back(self, resident_mib=2, seconds=15):
        """Within `seconds` no more descriptors and threads than before. Of
        connections no more than the members need: which lanes are open depends on
        who was whose neighbour."""
        deadline = time.monotonic() + seconds
        while True:
            now = {n.name: footprint(n) for n in self.nodes}
            grown = {name: tuple(b - a for a, b in zip(self.before[name], now[name]))
                     for name in now}
            if (all(found[0] <= self.most_connections for found in now.values()) and
                    all(others <= 0 and threads <= 0 and kib <= resident_mib * 1024
                        for _, others, threads, kib in grown.values())):
                break
            assert time.monotonic() < deadline, (
                "(connections, other descriptors, threads, KiB) grown: "
                f"{grown} from {self.before}; allowed {self.most_connections} connections "
                f"and {resident_mib} MiB more")
            time.sleep(0.2)
        print("grown by", " ".join(f"{name}:{tcp:+}tcp,{fds:+}fd,{kib:+}KiB"
                                   for name, (tcp, fds, _, kib) in grown.items()))


class Ledgers:
    """What every node was seen to have released, to hold against its ledger."""

    def __init__(self, nodes):
        self.nodes = nodes
        self.released = {n.name: 0 for n in nodes}

    def look(self):
        for node in self.nodes:
            if node.process is not None and node.process.poll() is None:
                with contextlib.suppress(OSError, http.client.HTTPException):
                    self.released[node.name] = max(self.released[node.name],
                                                   node.own()["step"])

    def assert_whole(self):
        """Call when the daemons have ended. Every ledger verifies and charges no
        less than was released."""
        for node in self.nodes:
            path = node.folder / "ledger/ledger"
            if "privacy" not in node.config:
                continue  # A probe: it has nothing to spend.
            found = json.loads(run("inspect", path, "-o", "json").stdout)
            assert not found["torn"], f"{path} is torn"
            assert found["charged_steps"] >= self.released[node.name] > 0, (
                f"{node.name} released {self.released[node.name]} steps and paid for "
                f"{found['charged_steps']}")
