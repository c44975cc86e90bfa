"""Every rule, live: where it ends, and what a death does to it. The quadratic probe
has node i's target at 1 in element i and at 0 elsewhere, so the optimum of n nodes
that count equally is 1/n in the first n elements."""

import math
import time
import unittest

from cluster import Cluster, mean, run

COUNT = 4
DIMENSION = 64
RATE = 0.05


def probe(rule, steps=300, step_time="5ms", interval="5ms", resync=None, throttle=None,
          loss=0.0, **mixing):
    def sections(i):
        config = {
            "train": {"steps": steps, "learning_rate": RATE},
            "mixing": {"rule": rule, "interval": interval, **mixing},
            "test": {"probe": "quadratic", "dimension": DIMENSION, "index": i,
                     "step_time": step_time, "exchange_loss": loss},
        }
        if rule == "parameter_server":
            config["mixing"]["server"] = "a"
        if resync:
            config["resync"] = resync
        if throttle:
            config["train"]["throttle"] = throttle(i)
        return config
    return sections


def resync(node):
    return node.status()["cluster"]["resync"]


def reasons(node):
    return " ".join(node.get("/healthz")[1]["reasons"])


def settled(cluster, past=250, nodes=None):
    """The first elements of the mean of all nodes, and the largest of the rest, while
    all train: whoever ends first is forgotten by those that train on. And how many
    steps each took meanwhile, its share of COUNT."""
    cluster.until("settled", lambda n: n.own()["step"] > past, nodes=nodes or cluster.nodes)
    rows = []
    began = [n.own()["step"] for n in cluster.nodes]
    for _ in range(30):
        rows.append(mean([n.weights() for n in cluster.nodes]))
        time.sleep(0.05)
    steps = [n.own()["step"] - b for n, b in zip(cluster.nodes, began)]
    shares = [COUNT * s / sum(steps) for s in steps]
    middle = mean(rows)
    weights = [w * COUNT for w in middle[:COUNT]]
    print(cluster[0].config["mixing"]["rule"], "weights:",
          " ".join(f"{w:.3f}" for w in weights), "shares of the steps:",
          " ".join(f"{s:.3f}" for s in shares))
    return weights, max(map(abs, middle[COUNT:])), shares


class Even(unittest.TestCase):
    """Four even nodes: each counts by its steps, about once, and the others' targets
    are met. A busy machine makes steps uneven (a server waits for nobody, its workers
    for it), and is not what these tests are about."""

    def check(self, rule, tolerance, past=250, **options):
        with Cluster(COUNT, probe(rule, steps=100000, **options)) as cluster:
            cluster.start().until_ready()
            weights, rest, shares = settled(cluster, past)
            for weight, share in zip(weights, shares):
                self.assertAlmostEqual(weight / share, 1, delta=tolerance)
            self.assertLess(rest, 1e-3)
            self.assertEqual(cluster.stop(), [0] * COUNT)

    def test_pairwise(self):
        self.check("pairwise", 0.1)

    def test_one_way(self):
        self.check("one_way", 0.15)

    def test_push_sum(self):
        self.check("push_sum", 0.15)

    def test_push_sum_owes_what_was_lost(self):
        self.check("push_sum", 0.15, loss=0.05, past=500)

    def test_naive_newest(self):
        # The weights are right; what is lost is speed.
        self.check("naive_newest", 0.15, past=500)

    def test_symmetric_blocking(self):
        self.check("symmetric_blocking", 0.15)

    def test_parameter_server(self):
        self.check("parameter_server", 0.15)

    def test_all_reduce_steps_in_step(self):
        with Cluster(COUNT, probe("all_reduce")) as cluster:
            cluster.start().until_ready()
            cluster.until_state("finished")
            rows = [n.weights() for n in cluster.nodes]
            for row in rows:
                self.assertEqual(row, rows[0])
            self.assertAlmostEqual(rows[0][0] * COUNT, 1 - (1 - RATE) ** 300, delta=1e-5)
            self.assertEqual(cluster.stop(), [0] * COUNT)

    def test_local_sgd_ends_every_round_at_one_mean(self):
        with Cluster(COUNT, probe("local_sgd", resync={"every_steps": 10})) as cluster:
            cluster.start().until_ready()
            cluster.until_state("finished")
            rows = [n.weights() for n in cluster.nodes]
            for row in rows:
                self.assertLess(math.dist(row, rows[0]), 1e-6)
            self.assertAlmostEqual(rows[0][0] * COUNT, 1, delta=1e-4)

    def test_none(self):
        with Cluster(2, probe("none")) as cluster:
            cluster.start().until_ready()
            cluster.until_state("finished")
            self.assertAlmostEqual(cluster[0].weights()[0], 1, delta=1e-4)
            self.assertAlmostEqual(cluster[0].weights()[1], 0, delta=1e-4)


class Uneven(unittest.TestCase):
    """One node of four is four times slower."""

    def settled(self, rule, **options):
        slow = lambda i: 4.0 if i == 3 else 1.0
        with Cluster(COUNT, probe(rule, steps=100000, throttle=slow, **options)) as cluster:
            cluster.start().until_ready()
            return settled(cluster, nodes=cluster.nodes[:3])[0]

    def test_gradients_count_by_rate(self):
        weights = self.settled("push_sum")
        fast, slow = 4 / 3.25, 1 / 3.25
        self.assertAlmostEqual(weights[3] / slow, 1, delta=0.15)
        self.assertAlmostEqual(mean([[w] for w in weights[:3]])[0] / fast, 1, delta=0.15)

    def test_nodes_count_equally_if_that_is_the_objective(self):
        weights = self.settled("pairwise", objective="nodes")
        for weight in weights:
            self.assertAlmostEqual(weight, 1, delta=0.1)


class Wires(unittest.TestCase):
    """Each format of the wire reaches fp32's fixed point, in fewer bytes."""

    def test_formats(self):
        bytes_ = {}
        for wire in ("fp32", "bf16", "int8", "topk:0.1"):
            with self.subTest(wire), Cluster(
                    COUNT, probe("pairwise", steps=100000, wire=wire)) as cluster:
                cluster.start().until_ready()
                weights, rest, shares = settled(cluster)
                for weight, share in zip(weights, shares):
                    self.assertAlmostEqual(weight / share, 1, delta=0.1)
                self.assertLess(rest, 5e-3)
                links = cluster[0].get("/v1/links")[1]["links"]
                out = next(l for l in links if l["direction"] == "out")
                metrics = cluster[0].get("/metrics")[1].decode()
                sent = sum(float(line.split()[-1]) for line in metrics.splitlines()
                           if line.startswith("hearsay_exchange_bytes_total")
                           and 'direction="out"' in line)
                done = sum(l["ok"] for l in links)
                bytes_[wire] = sent / done
                self.assertEqual(out["failed"], 0)
        print({wire: round(b) for wire, b in bytes_.items()}, "bytes a message")
        self.assertLess(bytes_["bf16"], bytes_["fp32"])

    def test_a_late_joiner_fetches_rounded_weights(self):
        with Cluster(3, probe("pairwise", steps=100000, wire="int8")) as cluster:
            for node in cluster.nodes:
                node.config["cluster"]["expect"] = 2
            cluster[0].start()
            cluster[1].start()
            cluster.until("training", lambda n: n.own()["step"] > 100,
                          nodes=cluster.nodes[:2])
            cluster[2].start()
            cluster.until("training", lambda n: n.own()["step"] > 5)
            self.assertIn("fetched the weights of", cluster[2].said())


class Topologies(unittest.TestCase):
    """Eight nodes that start apart agree, by every topology, and past a death."""

    def check(self, topology, group=lambda i: ""):
        def sections(i):
            config = probe("pairwise", steps=100000)(i)
            config["mixing"]["topology"] = topology
            config["node"] = {"group": group(i)}
            return config
        with Cluster(8, sections) as cluster:
            if topology.startswith("file:"):
                for i, node in enumerate(cluster.nodes):
                    names = [n.name for n in cluster.nodes]
                    (node.folder / "who.txt").write_text("".join(
                        f"{a}: {names[(j + 1) % 8]} {names[(j + 3) % 8]}\n"
                        for j, a in enumerate(names)))
            cluster.start().until_ready()
            self.assertEqual(cluster[0].status()["cluster"]["topology"],
                             topology.split(":")[0])
            cluster.until("settled", lambda n: n.own()["step"] > 200)
            distance = [self.distance(cluster.nodes) for _ in range(10)]
            cluster[3].kill()
            alive = cluster.nodes[:3] + cluster.nodes[4:]
            step = max(n.own()["step"] for n in alive)
            cluster.until("going on", lambda n: n.own()["step"] > step + 200, nodes=alive)
            after = [self.distance(alive) for _ in range(10)]
            print(f"{topology}: distance {mean([[d] for d in distance])[0]:.3f}, "
                  f"{mean([[d] for d in after])[0]:.3f} after a death")
            # Each alone would be at its own target: a distance of sqrt(7).
            self.assertLess(mean([[d] for d in distance])[0], 0.8)
            self.assertLess(mean([[d] for d in after])[0], 0.8)
            used = {l["peer"] for n in alive for l in n.get("/v1/links")[1]["links"]
                    if l["direction"] == "out"}
            self.assertGreater(len(used), 6)

    def distance(self, nodes):
        rows = [n.weights() for n in nodes]
        middle = mean(rows)
        return math.sqrt(sum(math.dist(r, middle) ** 2 for r in rows) / len(rows)) \
            / math.hypot(*middle)

    def test_ring(self):
        self.check("ring")

    def test_exponential(self):
        self.check("exponential")

    def test_random_matching(self):
        self.check("random_matching")

    def test_torus(self):
        self.check("torus")

    def test_complete(self):
        self.check("complete")

    def test_hierarchical(self):
        self.check("hierarchical", lambda i: "east" if i < 4 else "west")

    def test_file(self):
        self.check("file:who.txt")


class Death(unittest.TestCase):
    """A node of four is killed in the middle."""

    def kill(self, rule, victim, **options):
        cluster = Cluster(COUNT, probe(rule, steps=600, **options))
        cluster.__enter__()
        self.addCleanup(cluster.__exit__, None, None, None)
        cluster.start().until_ready()
        cluster.until("training", lambda n: n.own()["step"] > 50)
        cluster[victim].kill()
        return cluster, [n for i, n in enumerate(cluster.nodes) if i != victim]

    def goes_on(self, rule, victim, **options):
        cluster, others = self.kill(rule, victim, **options)
        cluster.until_state("finished", nodes=others)

    def fails(self, rule, victim, *words, seconds=20, **options):
        cluster, others = self.kill(rule, victim, **options)
        cluster.until_state("failed", seconds=seconds, nodes=others)
        for node in others:
            for word in words:
                self.assertIn(word, reasons(node))
        print(rule, ":", reasons(others[0]))

    def test_gossip_goes_on(self):
        for rule in ("pairwise", "one_way", "push_sum", "naive_newest"):
            with self.subTest(rule):
                self.goes_on(rule, 2)

    def test_a_pair_that_is_broken_lets_the_other_go_on_after_its_deadline(self):
        self.goes_on("symmetric_blocking", 1)

    def test_all_reduce_ends_with_a_name(self):
        self.fails("all_reduce", 2, "all_reduce", "c")

    def test_local_sgd_ends_with_a_name(self):
        self.fails("local_sgd", 0, "local_sgd", "a", resync={"every_steps": 5})

    def test_a_dead_server_ends_the_run(self):
        self.fails("parameter_server", 0, "parameter_server", "a")

    def test_a_dead_worker_does_not(self):
        self.goes_on("parameter_server", 3)

    def test_a_frozen_member_of_an_all_reduce_ends_it_too(self):
        import signal
        cluster = Cluster(COUNT, probe("all_reduce", steps=100000))
        with cluster:
            cluster.start().until_ready()
            cluster.until("training", lambda n: n.own()["step"] > 50)
            cluster[2].process.send_signal(signal.SIGSTOP)
            others = [cluster[0], cluster[1], cluster[3]]
            cluster.until_state("failed", seconds=30, nodes=others)
            print("frozen:", reasons(others[0]))
            self.assertIn("c", reasons(others[0]))


class Resync(unittest.TestCase):
    def consensus(self, node):
        return node.status()["cluster"]["consensus"]["relative_distance"]

    def check(self, mode, algorithm="auto", **options):
        with Cluster(COUNT, probe("none", steps=100000, resync={
                "every_steps": 50, "mode": mode, "algorithm": algorithm, **options})) as cluster:
            cluster.start().until_ready()
            weights, rest, shares = settled(cluster)
            cluster.until("five rounds", lambda n: resync(n)["ok"] >= 5)
            for node in cluster.nodes:
                round_ = resync(node)
                self.assertEqual(round_["failed"], 0, round_)
                self.assertEqual(round_["last_round"]["members"], COUNT)
            # Each step counts, though some were taken while a round was under way.
            for weight, share in zip(weights, shares):
                self.assertAlmostEqual(weight / share, 1, delta=0.1)
            self.assertLess(rest, 1e-3)
            self.assertEqual(cluster.stop(), [0] * COUNT)

    def test_overlapped(self):
        self.check("overlapped")

    def test_blocking_with_halving_doubling(self):
        self.check("blocking", "halving_doubling")

    def test_adaptive_waits_for_distance(self):
        self.check("adaptive", "ring", above=0.01)
        with Cluster(2, probe("pairwise", resync={
                "every_steps": 10, "mode": "adaptive", "above": 1e6})) as cluster:
            cluster.start().until_ready()
            cluster.until_state("finished")
            self.assertEqual(resync(cluster[0])["ok"], 0)

    def test_slow_momentum_is_the_same_on_all(self):
        with Cluster(COUNT, probe("none", steps=200, resync={
                "every_steps": 10, "mode": "blocking", "slow_momentum": 0.3})) as cluster:
            cluster.start().until_ready()
            cluster.until_state("finished")
            rows = [n.weights() for n in cluster.nodes]
            for row in rows:
                self.assertLess(math.dist(row, rows[0]), 1e-6)
            self.assertAlmostEqual(rows[0][0] * COUNT, 1, delta=0.05)

    def test_a_death_fails_a_round_or_none_and_the_next_goes_without(self):
        for mode in ("overlapped", "blocking"):
            with self.subTest(mode), Cluster(COUNT, probe("pairwise", steps=1500, resync={
                    "every_steps": 20, "mode": mode})) as cluster:
                cluster.start().until_ready()
                cluster.until("a round", lambda n: resync(n)["ok"] > 2)
                cluster[0].kill()  # Who proposes them.
                others = cluster.nodes[1:]
                cluster.until("a round of three", lambda n: (
                    resync(n)["last_round"]["ok"] and
                    resync(n)["last_round"]["members"] == 3), nodes=others)
                cluster.until_state("finished", nodes=others)
                print(mode, "failed rounds:", [resync(n)["failed"] for n in others])
                for node in others:
                    self.assertLessEqual(resync(node)["failed"], 2)

    def test_groups_average_by_themselves_while_all_gossip(self):
        for rule, apart in (("none", True), ("pairwise", False)):
            def sections(i):
                config = probe(rule, steps=4000, resync={"every_steps": 20, "among": "group"})(i)
                config["node"] = {"group": "east" if i < 2 else "west"}
                return config
            with self.subTest(rule), Cluster(COUNT, sections) as cluster:
                cluster.start().until_ready()
                cluster.until("rounds", lambda n: resync(n)["ok"] >= 5)
                for node in cluster.nodes:
                    self.assertEqual(resync(node)["last_round"]["members"], 2)
                for _ in range(100):  # Soon; on a busy machine rounds are late.
                    rows = [n.weights() for n in cluster.nodes]
                    inside, between = math.dist(rows[0], rows[1]), math.dist(rows[0], rows[2])
                    # At (1/2, 1/2, 0, 0) and (0, 0, 1/2, 1/2), or at a quarter each.
                    if (abs(between - 1) < 0.3 and inside < 0.6 * between if apart
                            else between < 0.6):
                        break
                    time.sleep(0.1)
                else:
                    self.fail(f"{rule}: {inside:.3f} inside a group, {between:.3f} between")
                print(f"{rule}: {inside:.3f} inside a group, {between:.3f} between")

    def test_an_operator_asks_for_one(self):
        with Cluster(3, probe("none", steps=50)) as cluster:
            cluster.start().until_ready()
            cluster.until_state("finished")
            run("resync", "--addr", f"unix:{cluster[1].folder}/state/admin.sock")
            cluster.until("done", lambda n: resync(n)["ok"] == 1)
            rows = [n.weights() for n in cluster.nodes]
            for row in rows:
                self.assertLess(math.dist(row, rows[0]), 1e-6)


if __name__ == "__main__":
    unittest.main()
