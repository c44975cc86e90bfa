"""Fine-tuning, live: nodes begin with a file's weights, keep what is frozen bit for bit,
send only what is trained, and lose nothing of optimiser and average in a crash."""

import json
import math
import pathlib
import shutil
import struct
import tempfile
import unittest

from cluster import Cluster, prepared, private, run
from scene import checkpoints, metadata, read_safetensors, write_safetensors

UNITS = 8


def floats(raw):
    return struct.unpack(f"<{len(raw) // 4}f", raw)


def start_file(path, inputs, scale=0.1):
    """As PyTorch would save an nn.Sequential: names and shapes, no word of Hearsay."""
    shapes = {"0.weight": [UNITS, inputs], "0.bias": [UNITS],
              "2.weight": [2, UNITS], "2.bias": [2]}
    tensors = {}
    for name, shape in shapes.items():
        values = [scale * math.sin(i + len(name)) for i in range(math.prod(shape))]
        tensors[name] = ("F32", shape, struct.pack(f"<{len(values)}f", *values))
    write_safetensors(path, tensors, {"format": "pt"})
    return tensors


class FineTune(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="hearsay-tune-"))
        cls.shards = prepared(cls.folder, rows=4000, shards=2)
        shard = run("inspect", cls.shards / "part-0.safetensors", "-o", "json").stdout
        cls.rows = json.loads(shard)["public_size"]
        cls.start = cls.folder / "start.safetensors"
        cls.tensors = start_file(cls.start, json.loads(shard)["features"])

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder, ignore_errors=True)

    def sections(self, i, steps=400):
        sections = private(self.shards, i, self.rows, steps=steps)
        sections["model"]["weights"] = self.start
        sections["model.layer"][0]["freeze"] = True
        sections["train"] |= {"optimizer": "adamw", "learning_rate": 0.01,
                              "schedule": "cosine", "warmup_steps": 20, "ema": 0.9}
        return sections

    def test_what_is_frozen_stays_and_a_crash_loses_nothing(self):
        with Cluster(2, self.sections) as cluster:
            cluster.start().until_ready()
            a, b = cluster.nodes
            cluster.until("saved", lambda n: len(checkpoints(n)) > 1, nodes=[b])
            b.kill()
            saved = checkpoints(b)[-1]
            self.assertEqual(metadata(saved)["hearsay.ema_steps"],
                             metadata(saved)["hearsay.step"])
            b.start()
            cluster.until_state("finished", seconds=120)
            self.assertIn("resuming at step", b.said())
            self.assertEqual(cluster.stop(), [0, 0])
            for node in cluster.nodes:
                # Two biases and a weight: what is mixed, sent and noised.
                self.assertIn(f"{2 * UNITS + 2} parameters", node.said())
                tensors, meta = read_safetensors(checkpoints(node)[-1])
                self.assertEqual(meta["hearsay.step"], "400")
                self.assertEqual(meta["hearsay.ema_steps"], "400")
                for name in ("0.weight", "0.bias"):
                    self.assertEqual(tensors[name], self.tensors[name], name)
                    self.assertNotIn("ema." + name, tensors)
                moved = math.dist(floats(tensors["2.weight"][2]),
                                  floats(self.tensors["2.weight"][2]))
                behind = math.dist(floats(tensors["2.weight"][2]),
                                   floats(tensors["ema.2.weight"][2]))
                self.assertGreater(moved, 0.1)
                self.assertGreater(behind, 0)
                self.assertLess(behind, moved / 2)
            losses = [json.loads(run("eval", "--model", checkpoints(a)[-1], "--weights", which,
                                     "--data", self.shards / "eval.safetensors",
                                     "-o", "json").stdout)["models"][0]["loss"]
                      for which in ("live", "ema")]
            print("loss of the last weights and of their average:", losses)
            self.assertNotEqual(*losses)
            self.assertLess(max(losses), math.log(2))

    def test_who_froze_something_else_is_refused(self):
        with Cluster(2, self.sections) as cluster:
            other = self.folder / "other.safetensors"
            start_file(other, len(floats(self.tensors["0.weight"][2])) // UNITS, 0.2)
            cluster[1].config["model"]["weights"] = other
            cluster.start()
            cluster.until("told", lambda n: "model" in n.said() and "refused" in n.said())

    def test_a_file_that_does_not_fit_is_refused_by_layer(self):
        with Cluster(1, self.sections) as cluster:
            cluster[0].config["model.layer"][0]["units"] = UNITS + 1
            cluster[0].start()
            self.assertEqual(cluster[0].wait(20), 103)
            self.assertIn("layer 0 (dense)", cluster[0].said())
            self.assertIn(str(self.start), cluster[0].said())
            cluster[0].config["model"]["weights"] = self.folder / "nothing.safetensors"
            cluster[0].start()
            self.assertEqual(cluster[0].wait(20), 103)
            self.assertIn("nothing.safetensors", cluster[0].said())


if __name__ == "__main__":
    unittest.main()
