"""A node that dies at any system call of its step loop, whose disk fails at any of
them, or whose power goes: what it had sent is never more than what its ledger counts,
and when it starts again it goes on, or says why not.

The saboteur (tests/crash) runs the real daemon and strikes at the N-th call. Sampled;
HEARSAY_FULL_CRASHES=1 strikes at every one of the first few hundred calls."""

import contextlib
import http.client
import json
import os
import pathlib
import random
import re
import shutil
import struct
import time
import unittest

import cluster
import proxy
import scene
from scene import CLEAN

SABOTEUR = pathlib.Path(os.environ.get(
    "HEARSAY_SABOTEUR", cluster.BIN.parent / "tests/crash/saboteur"))
FULL = os.environ.get("HEARSAY_FULL_CRASHES") == "1"
KILLED = 137
NOT_ALLOWED = 97
REFUSALS = range(100, 105)


class Wire(proxy.Proxy):
    """In front of the witness: knows the furthest step that was sent to it."""

    # transport/chunk.h: the version of the array that a header is of.
    VERSION = struct.Struct("<Q")
    AT = 24
    HEADER = 112
    ACKNOWLEDGES = 1 << 63

    furthest = 0
    arrays = 0

    def _passed(self, header, payload):
        if len(header) == self.HEADER and payload:
            self.arrays += 1
            version = self.VERSION.unpack_from(header, self.AT)[0]
            self.furthest = max(self.furthest, version & ~self.ACKNOWLEDGES)
        return super()._passed(header, payload)


class Crash(scene.NodeTest):
    """a, which is struck, and b, which sees what a sends and lives on."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        if not SABOTEUR.exists():
            raise unittest.SkipTest(f"no {SABOTEUR}: it is for x86-64, without sanitizers")
        cls.shards = scene.Shards(rows=2000, count=2)
        cls.addClassCleanup(cls.shards.remove)

    def setUp(self):
        self.seed = random.randrange(1 << 30)
        self.chance = random.Random(self.seed)
        self.pair = self.nodes(2, lambda i: self.shards.sections(
            i, train__min_step_time=["1ms", "20ms"][i], checkpoint__every_steps=8,
            mixing__interval="2ms", cluster__expect=1), tls=False)
        self.a, self.b = self.pair.nodes
        ports = cluster.free_ports(3)
        self.wire = Wire(ports[0], ports[1])
        self.addCleanup(self.wire.close)
        self.b.config["cluster"].update(listen=f"127.0.0.1:{ports[1]}",
                                        advertise=f"127.0.0.1:{ports[0]}", peers=[])
        self.a.config["cluster"].update(listen=f"127.0.0.1:{ports[2]}",
                                        peers=[f"127.0.0.1:{ports[0]}"])
        for node in self.pair.nodes:
            node.config["cluster"]["wire"] = "socket"
        self.report = self.a.folder / "report.json"
        self.taken = 0  # Steps that were sent, in all lives.
        self.lives = self.refused = 0
        self.b.start()
        self.until("b is up", lambda: self.b.own()["step"] > 0)

    # --- one life of a

    def begin(self, kind, at):
        self.report.unlink(missing_ok=True)
        self.a.log.write_text("")
        found = scene.checkpoints(self.a)
        self.resumed = int(scene.metadata(found[-1])["hearsay.step"]) if found else 0
        self.wire.furthest = 0
        self.a.launcher = (SABOTEUR, kind, str(at), self.report, self.a.folder, "--")
        self.a.start()

    def end(self, where):
        """Waits for it; what must hold whatever happened."""
        status = self.a.wait(60)
        self.a.kill()
        if status == NOT_ALLOWED:
            self.skipTest("tracing a process is not allowed here")
        self.lives += 1
        self.taken += max(0, self.wire.furthest - self.resumed)
        path = scene.ledger(self.a)
        charged = scene.charged_steps(path) if path.exists() else 0
        self.assertGreaterEqual(charged, self.taken, f"sent more than charged: {where}")
        for checkpoint in scene.checkpoints(self.a):
            with contextlib.suppress(ValueError, struct.error, KeyError):
                step = int(scene.metadata(checkpoint)["hearsay.step"])
                self.assertGreaterEqual(charged, step, where)
        return status

    def refuses_clearly(self, status, where):
        """It did not begin: then for one clear reason, and another data set's life
        goes on."""
        self.assertIn(status, REFUSALS, f"{where}: {self.a.said()[-2000:]}")
        lines = self.errors_of(self.a)
        self.assertEqual(len(lines), 1, f"{where}: {lines}")
        self.assertTrue(lines[0].startswith(f"hearsayd: {self.a.folder}"), lines)
        self.refused += 1
        for part in ("state", "ledger"):
            shutil.rmtree(self.a.folder / part, ignore_errors=True)
        self.b.terminate()  # And what it remembers.
        shutil.rmtree(self.b.folder / "state")
        self.b.start()
        self.until("b is up", lambda: self.b.own()["step"] > 0)
        self.taken = 0

    def struck(self):
        with contextlib.suppress(OSError, ValueError):
            return json.loads(self.report.read_text())
        return None

    # --- what is done to it

    def calls(self):
        """How many there are in some 60 steps."""
        self.begin("none", 0)
        self.until("60 steps", lambda: self.a.own()["step"] > self.resumed + 60)
        self.assertEqual(self.a.terminate(), CLEAN)
        self.assertEqual(self.end("a quiet life"), CLEAN)
        return self.struck()["counted"]

    def lose_power_at(self, at):
        where = f"power lost at call {at}, seed {self.seed}"
        self.begin("power", at)
        status = self.end(where)
        if status != KILLED:
            return self.refuses_clearly(status, where)
        self.assertIsNotNone(self.struck(), where)

    def fail_at(self, kind, at):
        where = f"{kind} at call {at} on a file, seed {self.seed}"
        self.begin(kind, at)
        deadline = time.monotonic() + 60
        while self.struck() is None and self.a.process.poll() is None:
            self.assertLess(time.monotonic(), deadline, where)
            time.sleep(0.01)
        struck = self.struck()
        if self.a.process.poll() is None:
            ledger = struck["path"].endswith("/ledger/ledger")
            harmless = kind in ("EINTR", "short") and struck["call"] == "write"
            if ledger and not harmless and struck["call"] in ("write", "fdatasync"):
                # It says so, trains no more, and lives.
                self.until(f"failed ({where})", lambda: self.a.own()["state"] == "failed")
                self.assertFalse(self.a.own()["privacy"]["valid"], where)
            else:
                step = self.step()
                self.until(f"trains on ({where})", lambda: self.step() > step + 20)
            with contextlib.suppress(ProcessLookupError):
                self.a.process.terminate()
        status = self.end(where)
        if self.struck() is None:
            return self.refuses_clearly(status, where)
        self.assertEqual(status, CLEAN, f"{where}: {self.a.said()[-2000:]}")

    def step(self):
        with contextlib.suppress(OSError, http.client.HTTPException):
            return self.a.own()["step"]
        return 0

    def tell(self, what):
        print(f"{what}: {self.lives} lives, {self.taken} steps sent since the last "
              f"new ledger, {self.wire.arrays} arrays, {self.refused} clear refusals")

    def sampled(self, most, count):
        """Each of the first few, and then ever fewer: or all."""
        if FULL:
            return list(range(1, most + 1))
        ratio = most ** (1 / count)
        points = {max(1, int(self.chance.uniform(1, ratio) * ratio ** i))
                  for i in range(count)}
        return sorted(points)

    def test_power_fails_at_any_call(self):
        most = self.calls()
        for at in self.sampled(min(most, 600 if FULL else most), 18):
            self.lose_power_at(at)
        self.assertGreater(self.taken, 0)
        self.begin("none", 0)
        self.until("trains on", lambda: self.a.own()["step"] > self.resumed)
        self.assertEqual(self.a.terminate(), CLEAN)
        self.end("the last life")
        self.tell(f"power, of {most} calls in 60 steps")

    def test_the_disk_fails_at_any_call(self):
        for kind in ("ENOSPC", "EIO", "short", "EINTR"):
            for at in self.sampled(40, 4):
                self.fail_at(kind, at)
        self.assertGreater(self.taken, 0)
        self.tell("disk")


if __name__ == "__main__":
    unittest.main()
