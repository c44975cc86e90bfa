"""Clusters of 1, 2, 3, 5 and 8 start in any order, form one ring, begin together,
stop and resume as a whole, and agree in the end. A seed is enough to meet all."""

import random
import re
import time
import unittest

import scene
from scene import CLEAN

shards = None


def setUpModule():
    global shards
    shards = scene.Shards(rows=6000, count=8)
    unittest.addModuleCleanup(shards.remove)


def events(node):
    return node.get("/v1/events")[1]["events"]


def first(node, pattern):
    """The time of the first event that matches, as text that sorts; "" before."""
    return next((e["time"] for e in events(node) if re.search(pattern, e["text"])), "")


class Sizes(scene.NodeTest):
    STEPS = 120

    def made(self, count, **options):
        return self.nodes(count, lambda i: shards.sections(
            i, train__steps=self.STEPS, train__public_size=500,
            train__min_step_time="10ms"), **options)

    def start_in_any_order(self, made):
        chance = random.Random(len(made.nodes))
        order = made.nodes.copy()
        chance.shuffle(order)
        for node in order:
            node.start()
            time.sleep(chance.uniform(0, 0.1))  # Not a wait: disorder.

    def following(self, made):
        """Each node's own idea of who comes next in the ring."""
        following = {}
        for node in made.nodes:
            rings = [e["text"] for e in events(node) if e["text"].startswith("the ring: ")]
            following[node.name] = rings[-1].split()[-1] if rings else "alone"
        return following

    def assert_one_ring(self, made):
        """Following it visits all of them, soon: who is past joining says so in its
        next heartbeat."""
        if len(made.nodes) == 1:
            self.assertEqual(self.following(made), {"a": "alone"})
            return

        def closed():
            following = self.following(made)
            visited, name = [], made[0].name
            while name != "alone" and name not in visited:
                visited.append(name)
                name = following[name]
            return sorted(visited) == sorted(following)

        self.until("one ring", closed, seconds=5)

    def assert_nobody_was_lost(self, made):
        for node in made.nodes:
            for event in events(node):
                self.assertNotRegex(event["text"], "is (failed|suspect|refused)",
                                    f"{node.name} saw {event}")

    def assert_began_together(self, made):
        """cluster.expect = n: nobody paid for a step before all were there."""
        last_up = max(first(n, " listens on ") for n in made.nodes)
        self.assertTrue(last_up)
        began = "^training at step "
        made.until("training", lambda n: first(n, began))
        for node in made.nodes:
            self.assertGreaterEqual(first(node, began), last_up)

    def life(self, count):
        made = self.made(count)
        self.start_in_any_order(made)
        made.until_ready()
        made.until_alive(count)
        self.assert_one_ring(made)
        self.assert_nobody_was_lost(made)
        self.assert_began_together(made)

        made.until("30 steps", lambda n: n.own()["step"] >= 30)
        reached = {n.name: n.own()["step"] for n in made.nodes}
        self.assertEqual(made.stop(), [CLEAN] * count)
        for node in made.nodes:
            self.assertEqual(self.errors_of(node), [])
            step = int(scene.metadata(scene.checkpoints(node)[-1])["hearsay.step"])
            self.assertGreaterEqual(step, reached[node.name])
            reached[node.name] = step

        self.start_in_any_order(made)
        for node in made.nodes:
            self.until("resumed", lambda n=node: first(n, f"^resuming at step {reached[n.name]} "))
        made.until_ready()
        made.until_alive(count)
        made.until_state("finished")
        for node in made.nodes:
            self.assertEqual(node.own()["step"], self.STEPS)
            # The steps before the stop were not paid twice.
            self.assertEqual(scene.charged_steps(scene.ledger(node)), self.STEPS)
        self.assert_one_ring(made)
        if count > 1:
            made.until("agreed", lambda n:
                       n.status()["cluster"]["consensus"]["state"] == "agreed")
        self.assertEqual(made.stop(), [CLEAN] * count)

    def test_1(self):
        self.life(1)

    def test_2(self):
        self.life(2)

    def test_3(self):
        self.life(3)

    def test_5(self):
        self.life(5)

    def test_8(self):
        self.life(8)


class Seeds(scene.NodeTest):
    def test_one_known_address_is_enough(self):
        made = self.nodes(4, lambda i: shards.sections(i, train__public_size=500))
        seed = made[0].config["cluster"]["listen"]
        made[0].config["cluster"]["peers"] = []
        for node in made.nodes[1:]:
            node.config["cluster"]["peers"] = [seed]
        made.start()
        made.until_alive(4)
        # Not by way of the seed: the others keep each other without it.
        self.assertEqual(made[0].terminate(), CLEAN)
        rest = made.nodes[1:]
        made.until_alive(3, nodes=rest)
        made.until("left", lambda n: any(
            m["name"] == "a" and m["state"] == "left"
            for m in n.get("/v1/members")[1]["members"]), nodes=rest)
        steps = {n.name: n.own()["step"] for n in rest}
        made.until("trains on", lambda n: n.own()["step"] > steps[n.name], nodes=rest)
        # And it finds them again, though it has no peers of its own.
        made[0].start()
        made.until_alive(4)

    def test_begins_without_those_who_do_not_come(self):
        made = self.nodes(2, lambda i: shards.sections(i, cluster__expect=3,
                                                       cluster__expect_timeout="1s"))
        made.start()
        made.until_alive(2)
        made.until_state("training")
        made.until("said so", lambda n: first(n, "begins with 2 of 3 expected members"))


if __name__ == "__main__":
    unittest.main()
