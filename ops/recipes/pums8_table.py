"""The table of ops/recipes/pums8, as Markdown, from what its runs left behind."""

import json
import pathlib
import sys

out = pathlib.Path(sys.argv[1])


def accuracies(name):
    """(of each node, of their average or None)"""
    document = json.loads((out / f"{name}.json").read_text())
    average = document.get("average")
    return [m["accuracy"] for m in document["models"]], average and average["accuracy"]


def spent(name):
    nodes = json.loads((out / f"{name}.status.json").read_text())["nodes"]
    return max(n["privacy"]["epsilon"] for n in nodes)


def percent(value):
    return f"{100 * value:.1f}"


print("| | epsilon spent | accuracy, mean of nodes | worst node | average model |")
print("|---|---|---|---|---|")
for epsilon in ("0.3", "1"):
    for name, words in (("alone", "each alone"), ("ring", "the ring")):
        nodes, average = accuracies(f"{name}-{epsilon}")
        print(f"| {words}, epsilon {epsilon} | {spent(f'{name}-{epsilon}'):.3f} "
              f"| {percent(sum(nodes) / len(nodes))} | {percent(min(nodes))} "
              f"| {percent(average) if name == 'ring' else ''} |")
pooled, _ = accuracies("pooled")
print(f"| pooled, without privacy | | {percent(pooled[0])} | | |")
