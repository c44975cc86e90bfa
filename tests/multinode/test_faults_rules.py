"""Faults under every way to mix, where nodes spend budget. Gossip goes on, whatever
its rule, with the same invariants as pairwise; rules whose trainers wait end with a
reason that names who is missing; a round of a resync that loses a member changes
nothing, and the next goes without."""

import signal
import unittest

import invariants
import scene
from invariants import lasting, until_mixing, until_one_ring

GOSSIP = ("one_way", "push_sum", "naive_newest")
LONG = 8  # Seconds: longer than every timeout of profile "local".


def each_rule(test):
    """A test of a class for each rule of gossip: test_<fault>_<rule>."""
    def of(rule):
        return lambda self: test(self, rule)
    def decorate(cls):
        for rule in GOSSIP:
            setattr(cls, f"test_{rule}", of(rule))
        return cls
    return decorate


def killed(self, rule):
    a, b, c, d = self.started(4, mixing__rule=rule)
    def back():
        b.start()
        self.cluster.until_ready(nodes=[b])
    self.withstand(b.kill, back, lambda: until_one_ring([a, c, d]), 0,
                   watched=[a, c, d], times=lasting(5, 1))


def frozen(self, rule):
    a, b, c, d = self.started(4, mixing__rule=rule)
    self.addCleanup(lambda: b.process.send_signal(signal.SIGCONT))
    self.withstand(lambda: b.process.send_signal(signal.SIGSTOP),
                   lambda: b.process.send_signal(signal.SIGCONT),
                   lambda: until_one_ring([a, c, d]), lasting(30, LONG),
                   watched=[a, c, d])


def parted(self, rule):
    lab = self.lab("abcd")
    nodes = self.started(4, lab, mixing__rule=rule)
    def two_rings():
        until_one_ring(nodes[::2])
        until_one_ring(nodes[1::2])
    self.withstand(lambda: lab.partition("ac", "bd"), lab.heal, two_rings, lasting(30, LONG))


@each_rule(killed)
class Killed(scene.Faults):
    pass


@each_rule(frozen)
class Frozen(scene.Faults):
    pass


@each_rule(parted)
class Parted(scene.Faults):
    pass


class InStep(scene.Faults):
    """What waits for all ends, and says for whom it waited."""

    def reason(self, node):
        return " ".join(node.get("/healthz")[1]["reasons"])

    def ends(self, rule, nodes, *names, seconds=30):
        self.cluster.until_state("failed", seconds=seconds, nodes=nodes)
        for node in nodes:
            text = self.reason(node)
            self.assertIn(rule, text)
            self.assertTrue(any(f"{name}" in text.split(rule, 1)[1] for name in names), text)
        print(rule, "of", nodes[0].name, ":", self.reason(nodes[0]))

    def in_step(self, rule, lab=None, **changes):
        # Who wakes in the middle of a round may wait for it as long as that.
        self.cluster = self.nodes(4, invariants.sections(
            self.shards, mixing__rule=rule, resync__timeout="15s", **changes), lab=lab)
        for node in self.cluster.nodes:
            node.config["cluster"]["expect"] = 4
            node.start()
        self.cluster.until_ready()
        self.ledgers = invariants.Ledgers(self.cluster.nodes)
        self.cluster.until("training", lambda n: n.own()["step"] > 30)
        return self.cluster.nodes

    def part(self, rule, **changes):
        lab = self.lab("abcd")
        nodes = self.in_step(rule, lab, **changes)
        lab.partition("ac", "bd")
        self.addCleanup(lab.heal)
        self.ends(rule, nodes[::2], "b", "d")
        self.ends(rule, nodes[1::2], "a", "c")
        lab.heal()
        self.assert_ends_whole()

    def test_all_reduce_parted(self):
        self.part("all_reduce")

    def test_local_sgd_parted(self):
        self.part("local_sgd", resync__every_steps=5)

    def test_all_reduce_frozen(self):
        a, b, c, d = self.in_step("all_reduce")
        b.process.send_signal(signal.SIGSTOP)
        self.addCleanup(lambda: b.process.send_signal(signal.SIGCONT))
        self.ends("all_reduce", [a, c, d], "b")
        b.process.send_signal(signal.SIGCONT)
        self.ends("all_reduce", [b], "a", "c", "d")
        self.assert_ends_whole()

    def test_local_sgd_frozen(self):
        a, b, c, d = self.in_step("local_sgd", resync__every_steps=5)
        b.process.send_signal(signal.SIGSTOP)
        self.addCleanup(lambda: b.process.send_signal(signal.SIGCONT))
        self.ends("local_sgd", [a, c, d], "b")
        b.process.send_signal(signal.SIGCONT)
        self.ends("local_sgd", [b], "a", "c", "d")
        self.assert_ends_whole()

    def test_parameter_server_parted(self):
        lab = self.lab("abcd")
        nodes = self.in_step("parameter_server", lab, mixing__server="a")
        lab.partition("ac", "bd")
        self.addCleanup(lab.heal)
        # Who cannot reach the server ends; who can goes on.
        self.ends("parameter_server", nodes[1::2], "a")
        before = nodes[2].own()["step"]
        self.cluster.until("c goes on", lambda n: n.own()["step"] > before + 20,
                           nodes=[nodes[2]])
        lab.heal()
        self.assert_ends_whole()

    def test_symmetric_blocking_parted_goes_on_after_its_deadlines(self):
        lab = self.lab("abcd")
        nodes = self.in_step("symmetric_blocking", lab)
        lab.partition("ac", "bd")
        self.addCleanup(lab.heal)
        before = max(n.own()["step"] for n in nodes)
        self.cluster.until("going on", lambda n: n.own()["step"] > before + 100)
        lab.heal()
        self.assert_ends_whole()


class Resync(scene.Faults):
    """Rounds follow on each other, so that a fault meets one in whatever phase."""

    def rounds(self, node):
        return node.status()["cluster"]["resync"]

    def resyncing(self, mode, lab=None):
        return self.started(4, lab, resync__every_steps=1, resync__mode=mode,
                            resync__timeout="2s")

    def until_rounds_of(self, count, nodes):
        """A round of so many succeeds, of a node that saw none fail since."""
        before = {n.name: self.rounds(n)["ok"] for n in nodes}
        self.cluster.until(f"rounds of {count}", lambda n: (
            self.rounds(n)["ok"] > before[n.name] + 3
            and self.rounds(n)["last_round"]["members"] == count
            and not self.rounds(n)["last_round"]["error"]), nodes=nodes, seconds=30)

    def overlapped(self, strike, cure, parts, watched):
        def meanwhile():
            for part in parts:
                until_one_ring(part)
                if len(part) > 1:
                    self.until_rounds_of(len(part), part)
        self.withstand(strike, cure, meanwhile, lasting(30, LONG), watched=watched)

    def test_overlapped_killed(self):
        a, b, c, d = self.resyncing("overlapped")
        def back():
            b.start()
            self.cluster.until_ready(nodes=[b])
        self.overlapped(b.kill, back, [[a, c, d]], [a, c, d])

    def test_overlapped_frozen(self):
        a, b, c, d = self.resyncing("overlapped")
        self.addCleanup(lambda: b.process.send_signal(signal.SIGCONT))
        self.overlapped(lambda: b.process.send_signal(signal.SIGSTOP),
                        lambda: b.process.send_signal(signal.SIGCONT),
                        [[a, c, d]], [a, c, d])

    def test_overlapped_parted(self):
        lab = self.lab("abcd")
        nodes = self.resyncing("overlapped", lab)
        self.overlapped(lambda: lab.partition("ac", "bd"), lab.heal,
                        [nodes[::2], nodes[1::2]], nodes)

    def blocking(self, strike, cure, others):
        """Training waits, for the limit of a round at most, and goes on."""
        self.until_rounds_of(4, self.cluster.nodes)
        self.ledgers.look()
        strike()
        before = max(n.own()["step"] for n in others)
        self.cluster.until("going on", lambda n: n.own()["step"] > before + 50,
                           nodes=others, seconds=60)
        cure()
        until_mixing(self.cluster.nodes, 30)
        self.until_rounds_of(4, self.cluster.nodes)
        self.assert_ends_whole()

    def test_blocking_killed(self):
        a, b, c, d = self.resyncing("blocking")
        def back():
            b.start()
            self.cluster.until_ready(nodes=[b])
        self.blocking(b.kill, back, [a, c, d])

    def test_blocking_frozen(self):
        a, b, c, d = self.resyncing("blocking")
        self.addCleanup(lambda: b.process.send_signal(signal.SIGCONT))
        self.blocking(lambda: b.process.send_signal(signal.SIGSTOP),
                      lambda: b.process.send_signal(signal.SIGCONT), [a, c, d])

    def test_blocking_parted(self):
        lab = self.lab("abcd")
        nodes = self.resyncing("blocking", lab)
        self.blocking(lambda: lab.partition("ac", "bd"), lab.heal, nodes)


if __name__ == "__main__":
    unittest.main()
