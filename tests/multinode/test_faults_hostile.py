"""A member that is let in by name and sends nonsense: numbers that are none, weights
far off, old ones. It is set aside, for longer each time, and everybody can see why.
Each scene ends with the invariants (invariants.py): one ring, nobody's training
paused, ledgers whole, nothing leaked."""

import math
import re
import time
import unittest

import scene
from invariants import Footprints, Peace, Watch, until_mixing, until_one_ring

FIRST = 10  # Seconds aside the first time (daemon/neighbours.cc); then twice that.


class Hostile:
    KIND = REASON = COUNTED = None
    MIXING = {}

    def edge(self, node):
        """What `node` says of d."""
        return next(e for e in node.get("/v1/links")[1]["edges"] if e["peer"] == "d")

    def aside(self, nodes, times):
        """Waits until all of `nodes` have set d aside so often. The shortest of the spans
        that they said is left, each when it was first seen: they do it at their own time."""
        first = {}

        def now():
            edges = [self.edge(n) for n in nodes]
            aside = [e["quarantines"] >= times and e["quarantine"] for e in edges]
            for i, quarantine in enumerate(aside):
                if quarantine:
                    first.setdefault(i, quarantine["left_seconds"])
            return all(aside)
        self.until(f"d set aside {times} times", now, seconds=60)
        for node in nodes:
            edge = self.edge(node)
            self.assertEqual(edge["quarantine"]["reason"], self.REASON)
            self.assertGreater(edge["dropped"][self.COUNTED], 0)
            # It is a suspect of nothing else: others reach it, and it answers probes.
            self.assertEqual((edge["state"], edge["member"]["state"]), ("connected", "alive"))
            self.assertLessEqual(edge["quarantine"]["left_seconds"],
                                 FIRST * 2 ** (edge["quarantines"] - 1))
        return min(first.values())

    def test_it_is_set_aside_for_longer_and_longer(self):
        changes = {f"mixing__{key}": value for key, value in self.MIXING.items()}
        nodes = self.started(4, late=1, **changes)
        a, b, c, d = nodes
        honest = [a, b, c]
        asked = [c, a]  # By the ring: c asks d, and d asks a.
        before = Footprints(honest, 4)
        d.config["test"] = {"misbehave": self.KIND}
        with Watch(honest) as watch, Peace(honest):
            d.start()
            self.cluster.until_ready(nodes=[d])
            self.aside(asked, 1)
            until_mixing(honest)
            self.assertGreater(self.aside(asked, 2), FIRST)
            until_mixing(honest)
            shown = scene.must("links", "--addr", f"unix:{c.folder / 'state/admin.sock'}")
            print(shown)
            self.assertRegex(shown, rf"quarantined .*: {re.escape(self.REASON)}")
            self.ledgers.look()
        watch.assert_never_paused()
        for node in honest:
            # Their own steps, of noise of a few tenths each, and no more.
            self.assertTrue(all(math.isfinite(w) and abs(w) < 1e3 for w in node.weights()),
                            f"{node.name} has let something in")
        # A new process is no excuse, good behaviour is: once the time is over.
        self.assertEqual(d.terminate(), scene.CLEAN)
        del d.config["test"]
        d.start()
        self.cluster.until_ready(nodes=[d])
        begin = time.monotonic()
        self.assertTrue(any(self.edge(n)["quarantine"] for n in asked))
        until_one_ring(nodes, 60)
        print(f"one ring {time.monotonic() - begin:.1f} s after it came back honest")
        before.assert_back()
        self.assert_ends_whole()


class NotFinite(Hostile, scene.Faults):
    KIND = "nan"
    REASON = COUNTED = "not_finite"


class FarOff(Hostile, scene.Faults):
    KIND = "huge"
    REASON = COUNTED = "beyond_clip"
    MIXING = {"clip": 100.0}


class Old(Hostile, scene.Faults):
    KIND = "stale"
    REASON, COUNTED = "stale", "stale_array"
    MIXING = {"max_staleness": 50}


if __name__ == "__main__":
    unittest.main()
