"""Who comes late fetches the current weights before its first step: its first
weights are the others', its donors are not slowed, and a donor that dies or gives
nonsense is followed by the next.

On a quadratic probe the elements from HALF on start at 1 and decay to 0 on every
node alike, so after t steps of rate r a trained node has (1 - r)^t there, and a
node that begins with the initial weights has 1."""

import contextlib
import statistics
import time
import unittest

from cluster import Cluster

DIMENSION = 64
HALF = DIMENSION // 2


def probe(count, dimension=DIMENSION, late=(), expect=None, **more):
    """Sections of `count` nodes; those in `late` are not waited for."""
    def sections(i):
        config = {
            "cluster": {"expect": expect or count - len(late)},
            "train": {"steps": 1000000, "learning_rate": 0.01},
            "test": {"probe": "quadratic", "dimension": dimension, "index": i,
                     "step_time": "5ms"},
            "checkpoint": {"every_steps": 20},
        }
        for section, keys in more.get(f"node{i}", {}).items():
            config.setdefault(section, {}).update(keys)
        return config
    return sections


def undecayed(node):
    """Mean of the elements that decay from 1."""
    return statistics.mean(node.weights()[HALF:DIMENSION])


def events(node, kind="joining"):
    return [e["text"] for e in node.get("/v1/events")[1]["events"] if e["kind"] == kind]


def first_weights(node):
    """As early as it is ready, what it has and how many steps it took itself."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            if node.get("/readyz")[0] == 200:
                return undecayed(node), node.own()["step"]
        time.sleep(0.002)
    raise AssertionError(f"{node.name} was not ready\n{node.said()}")


class Join(unittest.TestCase):
    def trained(self, cluster, nodes, steps=150):
        for node in nodes:
            node.start()
        cluster.until_ready(nodes=nodes)
        cluster.until(f"step {steps}", lambda n: n.own()["step"] >= steps, nodes=nodes)

    def test_a_late_joiner_begins_where_the_others_are(self):
        with Cluster(3, probe(3, late=[2])) as cluster:
            a, b, c = cluster.nodes
            self.trained(cluster, [a, b])
            begin, steps = time.monotonic(), a.own()["step"] + b.own()["step"]
            time.sleep(1.5)
            before = (a.own()["step"] + b.own()["step"] - steps) / (time.monotonic() - begin)
            theirs = undecayed(a)
            begin, steps = time.monotonic(), a.own()["step"] + b.own()["step"]
            c.start()
            weights, own_steps = first_weights(c)
            time.sleep(1.0)
            during = (a.own()["step"] + b.own()["step"] - steps) / (time.monotonic() - begin)
            print(f"the others had {theirs:.3f}, the joiner {weights:.3f} after {own_steps} "
                  f"steps of its own; donors' steps/s {before:.0f} before, {during:.0f} during")
            self.assertLess(theirs, 0.25)
            self.assertLess(weights, theirs + 0.01)
            # By its own steps alone it would be here:
            self.assertGreater(0.99 ** own_steps, 2 * weights)
            self.assertGreater(during / before, 0.9)
            self.assertTrue(any("fetched the weights of" in e for e in events(c)), events(c))
            cluster.until_alive(3)
            self.assertEqual(cluster.stop(), [0, 0, 0])

    def test_fresh_together_all_begin_with_the_initial_weights(self):
        with Cluster(3, probe(3)) as cluster:
            cluster.start().until_ready()
            for node in cluster.nodes:
                self.assertEqual(events(node), [])

    def test_a_resumed_node_fetches_and_keeps_its_own_step_count(self):
        with Cluster(3, probe(3)) as cluster:
            cluster.start().until_ready()
            a, b, c = cluster.nodes
            cluster.until("step 60", lambda n: n.own()["step"] >= 60)
            self.assertEqual(c.terminate(), 0)
            own = int(sorted((c.folder / "state/checkpoints").glob("step-*"))[-1].stem[5:])
            stale = 0.99 ** own
            cluster.until("on", lambda n: n.own()["step"] >= own + 150, nodes=[a, b])
            theirs = undecayed(a)
            c.start()
            weights, step = first_weights(c)
            print(f"its checkpoint had {stale:.3f}, the others {theirs:.3f}, it begins with "
                  f"{weights:.3f} at step {step}")
            self.assertLess(theirs, stale / 2)
            self.assertLess(weights, theirs + 0.01)
            self.assertGreaterEqual(step, own)
            self.assertLess(step, own + 100)

    def test_when_all_restart_together_nobody_waits_for_ever(self):
        with Cluster(3, probe(3)) as cluster:
            cluster.start().until_ready()
            cluster.until("step 60", lambda n: n.own()["step"] >= 60)
            self.assertEqual(cluster.stop(), [0, 0, 0])
            begin = time.monotonic()
            cluster.start().until_ready(seconds=10)
            print(f"ready again after {time.monotonic() - begin:.2f} s")
            cluster.until("on", lambda n: n.own()["step"] >= 100)

    def test_who_resumes_alone_goes_on_alone(self):
        with Cluster(3, probe(3)) as cluster:
            cluster.start().until_ready()
            cluster.until("step 60", lambda n: n.own()["step"] >= 60)
            self.assertEqual(cluster.stop(), [0, 0, 0])
            cluster[0].start()
            cluster.until_ready(seconds=10, nodes=[cluster[0]])
            self.assertEqual(events(cluster[0]), [])

    def test_a_donor_that_gives_nonsense_is_followed_by_the_next(self):
        # Whoever is asked first: both b and c spoil what they send.
        spoil = {"node0": {"mixing": {"clip": 5.0}},
                 "node1": {"test": {"misbehave": "nan"}, "mixing": {"clip": 5.0}},
                 "node2": {"test": {"misbehave": "huge"}, "mixing": {"clip": 5.0}},
                 "node3": {"mixing": {"clip": 5.0}}}
        with Cluster(4, probe(4, late=[3], **spoil)) as cluster:
            a, b, c, d = cluster.nodes
            self.trained(cluster, [a, b, c])
            d.start()
            weights, own_steps = first_weights(d)
            print(f"it has {weights:.3g} after {own_steps} steps:", *events(d), sep="\n  ")
            self.assertLess(weights, 0.5)
            self.assertGreater(0.99 ** own_steps, 0.5)
            self.assertIn("fetched the weights of a", events(d)[-1])

    def test_only_bad_donors_leave_it_with_its_own_weights(self):
        spoil = {f"node{i}": {"test": {"misbehave": "nan"}} for i in range(2)}
        with Cluster(3, probe(3, late=[2], **spoil)) as cluster:
            a, b, c = cluster.nodes
            self.trained(cluster, [a, b], steps=20)
            c.start()
            cluster.until_ready(seconds=60, nodes=[c])
            self.assertIn("goes on with its own", events(c)[-1])
            self.assertTrue(all(abs(w) <= 1 for w in c.weights()))

    def test_a_donor_killed_during_the_fetch_is_followed_by_the_next(self):
        # Both donors hold their arrays back, so that the fetch lasts.
        delay = {f"node{i}": {"test": {"exchange_delay": "600ms"}} for i in range(2)}
        with Cluster(3, probe(3, late=[2], **delay)) as cluster:
            a, b, c = cluster.nodes
            self.trained(cluster, [a, b])
            c.start()
            cluster.until("fetching", lambda n: events(n), nodes=[c])
            asked = events(c)[-1]
            victim = a if "of a " in asked else b
            victim.kill()
            cluster.until_ready(nodes=[c])
            print(*events(c), sep="\n")
            other = "b" if victim is a else "a"
            self.assertIn(f"fetched the weights of {other},", events(c)[-1])

    def test_a_node_that_does_not_mix_never_fetches(self):
        with Cluster(2, probe(2, late=[1], node1={"mixing": {"rule": "none"}})) as cluster:
            a, b = cluster.nodes
            self.trained(cluster, [a])
            b.start()
            cluster.until_ready(nodes=[b])
            self.assertEqual(events(b), [])


if __name__ == "__main__":
    unittest.main()
