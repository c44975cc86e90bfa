"""What the tests of private nodes share: shards made by `hearsay` itself, the
sections of a configuration that trains on them, ways to damage files, and how a
daemon that refuses to run must say so."""

import contextlib
import ctypes
import http.client
import json
import os
import pathlib
import re
import shutil
import signal
import struct
import subprocess
import tempfile
import time
import unittest

import cluster
import invariants
import lab

HEARSAYD = cluster.BIN / "hearsayd"
SCHEMA = cluster.ROOT / "ops/schemas/pums-employed.toml"

# Documented in `hearsayd --help`.
CLEAN, USAGE, CONFIG, ADDRESS, LEDGER, STATE, DATA, REFUSED = 0, 2, 78, 100, 101, 102, 103, 104

# A line of the log; anything else on stderr is an error message.
LOG_LINE = re.compile(r"^\d{4}-\d\d-\d\dT[\d:.]+Z (trace|debug|info|warning|error|critical) ")


def hearsay(*arguments):
    """The command line tool: (exit status, stdout, stderr)."""
    done = subprocess.run([cluster.BIN / "hearsay", *map(str, arguments)],
                          capture_output=True, text=True, timeout=120, check=False)
    return done.returncode, done.stdout, done.stderr


def must(*arguments):
    """Its stdout, when it has to work."""
    return cluster.run(*arguments).stdout


def daemon(*arguments):
    """hearsayd, which must end by itself: (exit status, stderr)."""
    done = subprocess.run([HEARSAYD, *map(str, arguments)], capture_output=True,
                          text=True, timeout=30, check=False)
    return done.returncode, done.stderr


def folder():
    """An empty folder; the caller removes it."""
    return pathlib.Path(tempfile.mkdtemp(prefix="hearsay-"))


class Shards:
    """`count` shards and an evaluation shard, as anybody would make them."""

    def __init__(self, rows=4000, count=1, seed=1):
        self.folder = folder()
        people = self.folder / "people.csv"
        must("synth", "pums", "--rows", rows, "--seed", seed, "--out", people)
        self.csv = people
        made = json.loads(must(
            "prep", "--schema", SCHEMA, people, "--shards", count, "--eval-fraction",
            "0.1", "--out", self.folder / "shards", "-o", "json"))
        self.train = [pathlib.Path(part["file"]) for part in made["parts"]]
        self.rows = [part["rows"] for part in made["parts"]]
        self.eval = pathlib.Path(made["eval"]["file"])

    def remove(self):
        shutil.rmtree(self.folder, ignore_errors=True)

    def sections(self, i=0, **changes):
        """Of a small private run on shard i: seconds of steps of 5 ms.
        `changes` are whole keys, as section__key=value."""
        sections = {
            "data": {"train": self.train[i], "eval": self.eval},
            "model": {"loss": "softmax_cross_entropy"},
            "model.layer": [{"type": "dense", "units": 4, "activation": "tanh"},
                            {"type": "dense", "units": 2}],
            "train": {"steps": 100000, "sample_rate": 0.02, "public_size": 1000,
                      "learning_rate": 0.5, "min_step_time": "5ms"},
            "privacy": {"noise_multiplier": 1.0, "delta": 1e-5, "ledger": "ledger"},
            "checkpoint": {"every_steps": 20},
        }
        for name, value in changes.items():
            section, key = name.split("__")
            if value is None:
                sections[section].pop(key, None)
            else:
                sections.setdefault(section, {})[key] = value
        return sections


def snapshot(*paths):
    """Every file under `paths` with its bytes."""
    files = {}
    for path in map(pathlib.Path, paths):
        for file in ([path] if path.is_file() else sorted(path.rglob("*"))):
            if file.is_file():
                files[str(file)] = file.read_bytes()
    return files


def checkpoints(node):
    """Newest last."""
    return sorted((node.folder / "state/checkpoints").glob("step-*.safetensors"))


def metadata(path):
    """Of a safetensors file."""
    return cluster.safetensors(pathlib.Path(path).read_bytes())[0]


def ledger(node):
    return node.folder / "ledger/ledger"


def charged_steps(path):
    """By the ledger's own text: an auditor's few lines, not the daemon's code."""
    total = 0
    for line in pathlib.Path(path).read_text(errors="replace").splitlines()[1:]:
        words = line.split()
        steps = next(int(w[6:]) for w in words if w.startswith("steps="))
        total += -steps if words[1] == "settle" else steps
    return total


def flip(path, at, bit=0):
    """Flips one bit; `at` counts from the end when negative."""
    data = bytearray(path.read_bytes())
    data[at] ^= 1 << bit
    path.write_bytes(data)


class _Hash128(ctypes.Structure):
    _fields_ = [("low", ctypes.c_uint64), ("high", ctypes.c_uint64)]


def checksum(data):
    """XXH3-128, by the library that Hearsay is built with."""
    library = ctypes.CDLL("libxxhash.so.0")
    library.XXH3_128bits.restype = _Hash128
    library.XXH3_128bits.argtypes = [ctypes.c_char_p, ctypes.c_size_t]
    digest = library.XXH3_128bits(data, len(data))
    return f"{digest.high:016x}{digest.low:016x}".encode()


def write_safetensors(path, tensors, meta):
    """{name: (dtype, shape, bytes)}, by the format's specification and with the
    checksum that Hearsay asks for: whole, whatever it says."""
    zeros = "0" * 32
    header = {"__metadata__": {**meta, "hearsay.format": "1", "hearsay.checksum": zeros}}
    data = b""
    for name, (dtype, shape, raw) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape,
                        "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-(8 + len(text)) % 64)
    whole = struct.pack("<Q", len(text)) + text + data
    path.write_bytes(whole.replace(zeros.encode(), checksum(whole), 1))


def read_safetensors(path):
    """(tensors, metadata) as write_safetensors takes them."""
    raw = path.read_bytes()
    size = struct.unpack("<Q", raw[:8])[0]
    header = json.loads(raw[8:8 + size])
    meta = header.pop("__metadata__")
    data = raw[8 + size:]
    ordered = sorted(header.items(), key=lambda item: item[1]["data_offsets"][0])
    tensors = {name: (t["dtype"], t["shape"], data[slice(*t["data_offsets"])])
               for name, t in ordered}
    for key in ("hearsay.checksum", "hearsay.format"):
        meta.pop(key, None)
    return tensors, meta


class Mounted:
    """A tmpfs of `size` bytes at `path`, or a skip where that is not allowed."""

    def __init__(self, test, path, options):
        path.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", path],
                              capture_output=True, text=True, check=False)
        if done.returncode != 0:
            test.skipTest(f"mounting needs root: {done.stderr.strip()}")
        self.path = path
        test.addCleanup(self.unmount)

    def unmount(self):
        if os.path.ismount(self.path):
            subprocess.run(["umount", "--lazy", self.path], check=False)

    def remount(self, options):
        subprocess.run(["mount", "-o", f"remount,{options}", self.path], check=True)


class NodeTest(unittest.TestCase):
    """Helpers for tests that start one node, or a few, in a folder of theirs."""

    maxDiff = None

    def nodes(self, count, sections, **options):
        """A cluster that ends with the test."""
        made = cluster.Cluster(count, sections, **options)
        def end():
            outcome = getattr(self, "_outcome", None)
            result = getattr(outcome, "result", None)
            bad = result is not None and any(
                test is self for test, _ in result.failures + result.errors)
            made.__exit__(AssertionError if bad else None, None, None)
        self.addCleanup(end)
        return made

    def until(self, what, condition, seconds=30):
        """Waits until `condition()` holds; a daemon that does not answer yet is
        a reason to wait."""
        deadline = time.monotonic() + seconds
        while True:
            with contextlib.suppress(OSError, http.client.HTTPException):
                if condition():
                    return
            self.assertLess(time.monotonic(), deadline, f"not {what} within {seconds} s")
            time.sleep(0.01)

    def errors_of(self, node):
        """What it said on stderr that is no line of the log."""
        return [line for line in node.said().splitlines() if not LOG_LINE.match(line)]

    def assert_refuses(self, node, code, *words, flags=()):
        """Started, it ends with `code` and one line that contains `words`."""
        node.log.write_text("")
        node.start(*flags)
        self.assert_ended(node, code, *words)

    def assert_ended(self, node, code, *words, seconds=30):
        self.assertEqual(node.wait(seconds), code, node.said())
        lines = self.errors_of(node)
        self.assertEqual(len(lines), 1, node.said())
        self.assertTrue(lines[0].startswith("hearsayd: "), lines[0])
        for word in words:
            self.assertIn(str(word), lines[0])


class Veteran(NodeTest):
    """A node that has trained and stopped in order: it has something to lose.
    Every test has its own copy of its folder. The module sets `shards`."""

    shards = None

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        made = cluster.Cluster(1, cls.shards.sections)
        cls.addClassCleanup(made.__exit__, None, None, None)
        cls.model = made[0]
        cls.model.start()
        made.until("60 steps", lambda n: n.own()["step"] >= 60)
        assert cls.model.terminate() == CLEAN

    def setUp(self):
        self.node = self.nodes(1, self.shards.sections)[0]
        for part in ("state", "ledger"):
            shutil.copytree(self.model.folder / part, self.node.folder / part,
                            ignore=shutil.ignore_patterns("admin*"))

    def kept(self):
        return snapshot(self.node.folder / "state/checkpoints",
                        self.node.folder / "ledger")

    def refuses(self, code, *words):
        before = self.kept()
        self.assert_refuses(self.node, code, *words)
        self.assertEqual(self.kept(), before)

    def runs_again(self, at_least=60):
        """Nothing was lost: it resumes and trains on."""
        self.node.start()
        self.until("trains on", lambda: self.node.own()["step"] > at_least)
        self.assertEqual(self.node.terminate(), CLEAN)


class Faults(NodeTest):
    """Clusters of nodes that spend budget, and what must hold after a fault."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.shards = Shards(rows=4000, count=8)
        cls.addClassCleanup(cls.shards.remove)

    def started(self, count, lab=None, sections=None, prepare=None, late=0, within=20,
                window=0.5, tls=True, **changes):
        """A cluster that trains and is one ring, but for the `late` last nodes, which
        are not started. `sections` in place of those of private nodes; `prepare` is
        shown the nodes before they start."""
        self.cluster = self.nodes(
            count, sections or invariants.sections(self.shards, **changes), lab=lab, tls=tls)
        if prepare:
            prepare(self.cluster.nodes)
        first = self.cluster.nodes[:count - late]
        for node in first:
            node.config["cluster"]["expect"] = len(first)
            node.start()
        self.cluster.until_ready(nodes=first)
        invariants.until_one_ring(first, within, window)
        self.ledgers = invariants.Ledgers(self.cluster.nodes)
        return self.cluster.nodes

    def lab(self, *sites, **options):
        """Namespaces that end with the test, or a skip where there can be none."""
        reason = lab.reason()
        if reason:
            self.skipTest(reason)
        made = lab.Lab(*sites, **options)
        self.addCleanup(made.close)
        return made

    def withstand(self, strike, cure, meanwhile, seconds, watched=None, times=1,
                  after=None, within=20, peace=(), stalled=0.001):
        """The same fault briefly, after which all memory that it needs is there, and
        then `times` times for `seconds` each. `meanwhile` waits for what must hold
        while it lasts. Afterwards, `within` so many seconds, all is as it was, and
        those `after` it (usually all) are one ring.
        `peace`: of these nodes it must not make any look dead to another.
        `stalled`: see Watch."""
        nodes = self.cluster.nodes
        watched = watched or nodes
        def once(seconds):
            self.ledgers.look()
            strike()
            try:
                begin = time.monotonic()
                meanwhile()
                adapted = time.monotonic() - begin
                time.sleep(max(0, seconds - adapted))
                meanwhile()
                self.ledgers.look()
            finally:
                cure()
            return adapted, invariants.until_one_ring(after or nodes, within)
        once(0)
        footprints = invariants.Footprints(watched, len(nodes))
        with invariants.Watch(watched) as watch, invariants.Peace(peace):
            for _ in range(times):
                adapted, back = once(seconds)
        print(f"adapted after {adapted:.1f} s, one ring {back:.1f} s after the cure")
        watch.assert_never_paused(stalled)
        footprints.assert_back()
        self.assert_ends_whole()

    def assert_ends_whole(self):
        """All whose ledgers are watched stop in order, and their ledgers are whole."""
        self.ledgers.look()
        nodes = self.ledgers.nodes
        for node in nodes:
            node.process.send_signal(signal.SIGTERM)
        self.assertEqual([n.wait(20) for n in nodes], [CLEAN] * len(nodes))
        self.ledgers.assert_whole()
