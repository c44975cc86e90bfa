"""Faults of the network between nodes in namespaces of their own (lab.py; needs
root). Each scene ends with the invariants: one ring, nobody's training paused,
ledgers whole, nothing leaked."""

import threading
import time
import unittest

import invariants
import scene
from invariants import Peace, Watch, lasting, until_mixing, until_one_ring
from lab import TUNDELAY

LONG = 8  # Seconds: longer than every timeout of profile "local".


class InterfaceDown(scene.Faults):
    def test_down_for_a_minute(self):
        lab = self.lab("abcd")
        a, b, c, d = self.started(4, lab)
        def meanwhile():
            until_one_ring([a, c, d])
            until_one_ring([b])
        # The node that is cut off trains on, too.
        self.withstand(lambda: lab.down("b"), lambda: lab.up("b"), meanwhile,
                       lasting(60, LONG))


class OneWay(scene.Faults):
    def test_a_node_that_is_heard_but_hears_nobody(self):
        lab = self.lab("abcd")
        a, b, c, d = self.started(4, lab)
        self.withstand(lambda: lab.deaf("b", "acd"), lab.heal,
                       lambda: until_one_ring([a, c, d]), lasting(60, LONG))

    def test_a_node_that_does_not_hear_its_successor(self):
        # Nobody is dead; only this one edge is, and the others mix around it.
        lab = self.lab("abcd")
        nodes = self.started(4, lab)
        self.withstand(lambda: lab.deaf("b", "c"), lab.heal,
                       lambda: until_mixing(nodes), lasting(60, LONG))


class Partition(scene.Faults):
    def test_four_and_four_are_two_rings_and_then_one(self):
        lab = self.lab("abcdefgh")
        nodes = self.started(8, lab)
        def two_rings():
            until_one_ring(nodes[::2])
            until_one_ring(nodes[1::2])
        self.withstand(lambda: lab.partition("aceg", "bdfh"), lab.heal, two_rings,
                       lasting(60, LONG))


class Flapping(scene.Faults):
    def test_an_interface_that_comes_and_goes(self):
        lab = self.lab("abcd")
        nodes = self.started(4, lab)
        calm = threading.Event()
        def flap():
            while not calm.wait(0.5):
                lab.down("b")
                calm.wait(0.5)
                lab.up("b")
        def strike():
            calm.clear()
            self.flapping = threading.Thread(target=flap)
            self.flapping.start()
        def cure():
            calm.set()
            self.flapping.join()
        self.withstand(strike, cure, lambda: until_mixing(nodes[:1] + nodes[2:]),
                       lasting(60, LONG))


# Layers whose arrays are large enough for a link to be slow.
LARGE = [{"type": "dense", "units": 512, "activation": "tanh"}, {"type": "dense", "units": 2}]


class SlowLink(scene.Faults):
    def slow(self, rate, meanwhile, peaceful):
        lab = self.lab("abcd")
        def sections(i):
            return {**invariants.sections(self.shards, train__sample_rate=0.005)(i),
                    "model.layer": LARGE}
        nodes = self.started(4, lab, sections)
        self.withstand(lambda: lab.slow("b", rate), lambda: lab.fast("b"),
                       lambda: meanwhile(nodes), lasting(60, LONG), within=60,
                       peace=nodes if peaceful else (),
                       # Who holds large weights may lose the core, on a busy machine.
                       stalled=0.05)

    def test_slower_than_the_steps(self):
        self.slow("8mbit", lambda nodes: until_mixing(nodes, window=3), peaceful=True)

    def test_too_slow_for_arrays(self):
        # Its arrays come too late for anybody; the others go around it.
        self.slow("256kbit", lambda nodes: until_mixing(nodes[:1] + nodes[2:], window=2),
                  peaceful=False)


class RingOrder(scene.Faults):
    """Two sites whose members' names alternate: by name every exchange crosses."""

    def test_neighbours_are_of_one_site(self):
        if not TUNDELAY.exists():
            self.skipTest(f"needs {TUNDELAY}")
        lab = self.lab("ace", "bdf", wan={
            "delay_ms": 40, "jitter_ms": 1, "loss_percent": 0, "rate_mbit": 100})
        nodes = self.started(6, lab, within=60, cluster__profile="wan",
                             mixing__ring_order="bandwidth", mixing__interval="20ms")
        def crossing():
            """Of a ring that all go by, how many edges cross; nothing if they do not."""
            asks = {}
            for node in nodes:
                said = [l for l in node.said().splitlines() if "topology: the ring: next" in l]
                asks[node.name] = said[-1].split()[-1]
            seen, at = set(), "a"
            while at not in seen:
                seen.add(at)
                at = asks[at]
            if len(seen) < 6:
                return None
            return sum((a in "ace") != (b in "ace") for a, b in asks.items())
        self.cluster.until("a short ring", lambda n: crossing() == 2, seconds=60)
        time.sleep(6)
        self.assertEqual(crossing(), 2)
        self.assert_ends_whole()


class WideArea(scene.Faults):
    """Two sites, 40 to 50 ms apart, by a link of 20 Mbit/s that loses 1 %."""

    def test_loses_packets_and_is_cut(self):
        if not TUNDELAY.exists():
            self.skipTest(f"needs {TUNDELAY}")
        lab = self.lab("aceg", "bdfh", wan={
            "delay_ms": 40, "jitter_ms": 10, "loss_percent": 1, "rate_mbit": 20})
        nodes = self.started(8, lab, within=60, cluster__profile="wan")
        with Watch(nodes) as watch, Peace(nodes):
            time.sleep(lasting(60, 10))
        watch.assert_never_paused()
        def two_rings():
            until_one_ring(nodes[::2], 60)
            until_one_ring(nodes[1::2], 60)
        self.withstand(lab.cut, lab.mend, two_rings, lasting(60, 0), within=60)


if __name__ == "__main__":
    unittest.main()
