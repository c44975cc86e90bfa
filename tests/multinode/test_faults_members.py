"""Nodes that come and go: started in any order, late, again, and elsewhere. Each
scene ends with the invariants (invariants.py): one ring, nobody's training paused,
ledgers whole, nothing leaked."""

import random
import time
import unittest

import scene
from cluster import free_ports
from invariants import FULL, lasting, until_one_ring


class RandomStarts(scene.Faults):
    def test_the_same_peers_in_any_order_are_one_ring(self):
        count, starts = (8, 100) if FULL else (4, 10)
        seed = random.randrange(1 << 32)
        print(f"seed {seed}")
        chance = random.Random(seed)
        nodes = self.started(count)
        slowest = 0
        for _ in range(starts - 1):
            self.assert_ends_whole()
            for node in chance.sample(nodes, count):
                node.start()
                time.sleep(chance.choice([0, 0, 0.05, 0.3]))
            self.cluster.until_ready()
            slowest = max(slowest, until_one_ring(nodes))
        print(f"{starts} starts; one ring {slowest:.1f} s after the last node at the latest")
        self.assert_ends_whole()


class LateJoiners(scene.Faults):
    def test_two_join_three_that_train(self):
        nodes = self.started(5, late=2)
        first, late = nodes[:3], nodes[3:]
        def join():
            for node in late:
                node.start()
            self.cluster.until_ready(nodes=late)
        def leave():
            for node in late:
                self.assertEqual(node.terminate(), scene.CLEAN)
        self.withstand(join, leave, lambda: until_one_ring(nodes), lasting(10, 2),
                       watched=first, after=first, times=lasting(10, 3))


class AnotherAddress(scene.Faults):
    def returns(self, end):
        nodes = self.started(4)
        b = nodes[1]
        rest = [n for n in nodes if n is not b]
        def back():
            b.config["cluster"]["listen"] = f"127.0.0.1:{free_ports(1)[0]}"
            b.start()
            self.cluster.until_ready(nodes=[b])
        self.withstand(lambda: end(b), back, lambda: until_one_ring(rest), 0,
                       watched=rest, times=lasting(10, 3))
        return nodes

    def test_leaves_and_returns_elsewhere(self):
        self.returns(lambda b: self.assertEqual(b.terminate(), scene.CLEAN))

    def test_dies_and_returns_elsewhere(self):
        self.returns(lambda b: b.kill())


if __name__ == "__main__":
    unittest.main()
