"""The table at the end of ops/demo, from what its two clusters left behind."""

import json
import pathlib
import sys

keep = pathlib.Path(sys.argv[1])
names = sys.argv[2:]


def read(name):
    return json.loads((keep / name).read_text())


def percent(value):
    return f"{100 * value:.1f} %"


alone = [model["accuracy"] for model in read("alone.json")["models"]]
ring = read("ring.json")
together = [model["accuracy"] for model in ring["models"]]
status = read("ring.status.json")
nodes = {node["name"]: node for node in status["nodes"]}
privacy = [nodes[node]["privacy"] for node in "abcd"]

rows = [("node", "data", "alone", "in the ring", "epsilon spent")]
for i, node in enumerate("abcd"):
    spent = f"{privacy[i]['epsilon']:.3f} of {privacy[i]['target_epsilon']:g}"
    rows.append((node, names[i], percent(alone[i]), percent(together[i]), spent))
rows.append(("mean", "", percent(sum(alone) / 4), percent(sum(together) / 4), ""))
rows.append(("average of the weights", "", "", percent(ring["average"]["accuracy"]), ""))

widths = [max(len(row[i]) for row in rows) for i in range(5)]
print("Accuracy on the public evaluation data, same privacy budget:\n")
for row in rows:
    left = "  ".join(cell.ljust(width) for cell, width in zip(row[:2], widths[:2]))
    right = "  ".join(cell.rjust(width) for cell, width in zip(row[2:], widths[2:]))
    print(f"  {left}  {right}".rstrip())
distance = status["cluster"]["consensus"]["relative_distance"]
print(f"\nThe ring's nodes differ from their mean by {100 * distance:.2f} % of its "
      f"length (consensus);\ndelta is {privacy[0]['delta']:g}, accounted in Renyi "
      "divergences. Each run has a ledger of its own here,\nto compare; real records "
      "would be charged for both.")
