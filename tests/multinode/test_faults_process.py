"""Faults of one process among others: it dies, it freezes, its clock jumps. Each
scene ends with the invariants (invariants.py): one ring, nobody's training
paused, ledgers whole, nothing leaked."""

import signal
import unittest

import scene
from invariants import lasting, until_one_ring


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


if __name__ == "__main__":
    unittest.main()
