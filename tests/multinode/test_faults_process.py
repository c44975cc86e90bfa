"""Faults of one process among others: it dies, it freezes, its clock jumps, the
machine is busy. Each scene ends with the invariants (invariants.py): one ring,
nobody's training paused, ledgers whole, nothing leaked."""

import contextlib
import itertools
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time
import unittest

import cluster
import scene
from invariants import Peace, lasting, metric, until_one_ring

HOUR = 3600  # Seconds.
DAY = 24 * HOUR

# Of Debian's package faketime, which only this test uses.
FAKETIME = pathlib.Path("/usr/lib") / f"{os.uname().machine}-linux-gnu/faketime/libfaketimeMT.so.1"


class KillMinusNine(scene.Faults):
    def test_again_and_again(self):
        a, b, c, d = self.started(4)
        def back():
            b.start()
            self.cluster.until_ready(nodes=[b])
        self.withstand(b.kill, back, lambda: until_one_ring([a, c, d]), 0,
                       watched=[a, c, d], times=lasting(10, 3))


class Frozen(scene.Faults):
    def test_stopped_for_thirty_seconds(self):
        a, b, c, d = self.started(4)
        self.addCleanup(lambda: b.process.send_signal(signal.SIGCONT))
        self.withstand(lambda: b.process.send_signal(signal.SIGSTOP),
                       lambda: b.process.send_signal(signal.SIGCONT),
                       lambda: until_one_ring([a, c, d]), lasting(30, 8),
                       watched=[a, c, d])


class ClockJump(scene.Faults):
    """The clock on the wall of one node jumps; the one that counts from boot, by
    which all waits are timed, does not."""

    def setUp(self):
        if not FAKETIME.exists():
            self.skipTest("needs Debian's package faketime")
        self.folder = scene.folder()
        self.addCleanup(shutil.rmtree, self.folder)
        self.jump(0)

    def prepare(self, nodes):
        """The second has a clock of its own. Certificates are a day old."""
        nodes[1].environment = {
            "LD_PRELOAD": str(FAKETIME), "FAKETIME_TIMESTAMP_FILE": str(self.folder / "clock"),
            "FAKETIME_NO_CACHE": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
        since = ["--from", time.strftime("%Y-%m-%d", time.gmtime(time.time() - DAY))]
        ca = self.folder / "ca"
        cluster.run("tls", "init", "--dir", ca, "--name", "old", *since)
        for node in nodes:
            node.config["tls"] = cluster.certified(node.folder, node.name, *since, ca=ca)

    def jump(self, seconds):
        """That clock is now so far ahead."""
        # At once: half a file would be another time.
        aside = self.folder / "new"
        aside.write_text(f"{seconds:+d}")
        aside.rename(self.folder / "clock")

    def until_ahead(self, node, seconds):
        self.until(f"{seconds} s ahead", lambda: abs(
            metric(node, "checkpoint_last_success_timestamp_seconds")
            - time.time() - seconds) < HOUR / 2)

    def test_nobody_notices_an_hour(self):
        nodes = self.started(4, prepare=self.prepare)
        jumps = itertools.cycle([HOUR, -HOUR])
        def strike():
            self.ahead = next(jumps)
            self.jump(self.ahead)
        def meanwhile():
            self.until_ahead(nodes[1], self.ahead)
            until_one_ring(nodes)
        self.withstand(strike, lambda: self.jump(0), meanwhile, lasting(30, 3), times=2,
                       peace=nodes)

    def test_beyond_the_life_of_certificates(self):
        a, b, c, d = self.started(4, prepare=self.prepare)
        def meanwhile():
            self.until_ahead(b, 400 * DAY)
            until_one_ring([a, c, d])
            self.until("b says why", lambda: all(
                "expired" in m["last_error"] for m in b.get("/v1/members")[1]["members"]
                if m["name"] in ("a", "c", "d")))
        self.withstand(lambda: self.jump(400 * DAY), lambda: self.jump(0), meanwhile,
                       lasting(30, 3))


class BusyMachine(scene.Faults):
    def test_all_cores_pinned(self):
        # By the trainers themselves, and by others beside them.
        nodes = self.started(4, train__min_step_time="0ms")
        with contextlib.ExitStack() as hogs, Peace(nodes):
            for _ in range(2 * os.cpu_count()):
                hog = subprocess.Popen([sys.executable, "-c", "while True: pass"])
                hogs.callback(hog.wait)
                hogs.callback(hog.kill)
            steps = [n.own()["step"] for n in nodes]
            time.sleep(lasting(60, 10))
            until_one_ring(nodes)
            for node, before in zip(nodes, steps):
                self.assertGreater(node.own()["step"], before)
        self.assert_ends_whole()


if __name__ == "__main__":
    unittest.main()
