#!/usr/bin/env python3
"""The table of ops/recipes/accuracy: accuracy_table.py OUT RECIPE..."""
import json
import pathlib
import statistics
import sys


def main(out, recipes):
    out = pathlib.Path(out)
    print("| recipe | seconds | accuracy, mean of runs | lowest, highest | epsilon, delta |")
    print("|---|---|---|---|---|")
    for recipe in recipes:
        accuracies, seconds, epsilons, deltas = [], [], [], set()
        for file in sorted(out.glob(f"{recipe}.*.status.json")):
            run = file.name.removesuffix(".status.json")
            for node in json.loads(file.read_text())["nodes"]:
                privacy = node["privacy"]
                assert privacy["valid"], f"{run}: the claim is not valid"
                epsilons.append(privacy["epsilon"])
                deltas.add(privacy["delta"])
            seconds.append(float((out / f"{run}.seconds").read_text()))
            # The worst node's.
            accuracies.append(100 * min(
                model["accuracy"]
                for model in json.loads((out / f"{run}.json").read_text())["models"]))
        print(f"| `{recipe}` | {statistics.mean(seconds):.0f} "
              f"| {statistics.mean(accuracies):.2f} % of {len(accuracies)} "
              f"| {min(accuracies):.2f}, {max(accuracies):.2f} "
              f"| {max(epsilons):.3f}, {deltas.pop():g} |")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
