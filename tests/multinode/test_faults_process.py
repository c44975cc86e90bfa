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

import scene
from invariants import Peace, lasting, metric, until_one_ring

HOUR = 3600

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

    def test_ahead_and_back(self):
        if not FAKETIME.exists():
            self.skipTest("needs Debian's package faketime")
        clock = scene.folder() / "clock"
        self.addCleanup(shutil.rmtree, clock.parent)
        def jump(seconds):
            # At once: half a file would be another time.
            aside = clock.with_suffix(".new")
            aside.write_text(f"{seconds:+d}")
            aside.rename(clock)
        jump(0)
        def prepare(nodes):
            nodes[1].environment = {
                "LD_PRELOAD": str(FAKETIME), "FAKETIME_TIMESTAMP_FILE": str(clock),
                "FAKETIME_NO_CACHE": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
        nodes = self.started(4, prepare=prepare)
        jumps = itertools.cycle([HOUR, -HOUR, 400 * 24 * HOUR])
        def strike():
            self.ahead = next(jumps)
            jump(self.ahead)
        def meanwhile():
            self.until(f"{self.ahead} s ahead", lambda: abs(
                metric(nodes[1], "checkpoint_last_success_timestamp_seconds")
                - time.time() - self.ahead) < HOUR / 2)
            until_one_ring(nodes)
        self.withstand(strike, lambda: jump(0), meanwhile, lasting(30, 3), times=3,
                       peace=nodes)


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
