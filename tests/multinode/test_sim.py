"""The simulator against real daemons: one configuration, the same numbers of
exchanges and the same disagreement."""

import json
import math
import statistics
import subprocess
import time
import unittest

from cluster import BIN, Cluster, mean

COUNT = 4
DIMENSION = 8
RATE = 0.05
STEP, INTERVAL, DELAY, SECONDS = 0.010, 0.020, 0.003, 6


def distance(rows):
    middle = mean(rows)
    return math.sqrt(statistics.mean(math.dist(r, middle) ** 2 for r in rows)) / \
        math.hypot(*middle)


class Simulated(unittest.TestCase):
    def simulated(self, slow):
        settings = {
            "sim.nodes": COUNT, "sim.until": f"{SECONDS}s", "sim.sample_every": "100ms",
            "mixing.interval": f"{int(INTERVAL * 1e3)}ms",
            "compute.step_time": f"{int(STEP * 1e3)}ms", "compute.spread": "constant",
            "network.latency": f"{int(DELAY * 1e3)}ms", "model.kind": "own",
            "model.dimension": DIMENSION, "model.learning_rate": RATE}
        if slow > 1:
            # A list is written in a file.
            settings_file = f'[compute]\nslower = ["{COUNT - 1}={slow}"]\n'
        else:
            settings_file = ""
        done = subprocess.run(
            [BIN / "hearsay", "sim", "/dev/stdin", "-o", "json",
             *[word for k, v in settings.items() for word in ("--set", f"{k}={v}")]],
            input=settings_file, text=True, capture_output=True, check=True)
        result = json.loads(done.stdout)
        settled = [s for s in result["samples"] if s["seconds"] > SECONDS / 2]
        return (result["exchanges"] / SECONDS / COUNT,
                statistics.mean(s["consensus_distance"] for s in settled),
                statistics.mean(s["mean"][COUNT - 1] * COUNT for s in settled))

    def measured(self, slow):
        def sections(i):
            return {
                "train": {"steps": 100000, "learning_rate": RATE,
                          "throttle": float(slow) if i == COUNT - 1 else 1.0},
                "mixing": {"rule": "pairwise", "interval": f"{int(INTERVAL * 1e3)}ms"},
                "test": {"probe": "quadratic", "dimension": DIMENSION, "index": i,
                         "step_time": f"{int(STEP * 1e3)}ms",
                         "exchange_delay": f"{int(DELAY * 1e3)}ms"}}

        def asked(cluster):
            return sum(l["ok"] for n in cluster.nodes
                       for l in n.get("/v1/links")[1]["links"] if l["direction"] == "out")
        with Cluster(COUNT, sections) as cluster:
            cluster.start().until_ready()
            cluster.until("settled", lambda n: n.own()["step"] > 300,
                          nodes=cluster.nodes[:COUNT - 1])
            before, began = asked(cluster), time.monotonic()
            distances, last = [], []
            while time.monotonic() - began < SECONDS / 2:
                rows = [n.weights() for n in cluster.nodes]
                distances.append(distance(rows))
                last.append(mean(rows)[COUNT - 1] * COUNT)
                time.sleep(0.02)
            took = time.monotonic() - began
            return ((asked(cluster) - before) / took / COUNT, statistics.mean(distances),
                    statistics.mean(last))

    def check(self, slow):
        simulated, measured = self.simulated(slow), self.measured(slow)
        for what, a, b, tolerance in zip(
                ("exchanges a second and node", "distance", "last node's weight"),
                simulated, measured, (0.10, 0.20, 0.15)):
            print(f"slow {slow}: {what}: simulated {a:.4f}, measured {b:.4f}")
            self.assertAlmostEqual(b / a, 1, delta=tolerance, msg=what)

    def test_even_nodes(self):
        self.check(1)

    def test_one_of_four_is_four_times_slower(self):
        self.check(4)


if __name__ == "__main__":
    unittest.main()
