"""The table of ops/recipes/nine, as Markdown, from what its runs left behind."""

import datetime
import json
import pathlib
import sys

out, epochs = pathlib.Path(sys.argv[1]), int(sys.argv[2])


def seconds(name):
    """From the first step to the last, of the node whose log it is."""
    events = json.loads((out / f"{name}.events.json").read_text())["events"]
    times = {word: datetime.datetime.fromisoformat(e["time"].replace("Z", "+00:00"))
             for e in events if e["kind"] == "training"
             for word in ("training", "finished") if e["text"].startswith(word)}
    return (times["finished"] - times["training"]).total_seconds()


print("| | seconds an epoch | accuracy, worst node | epsilon | delta |")
print("|---|---|---|---|---|")
for nodes in (1, 2, 4):
    for rule in ("all_reduce", "pairwise"):
        name = f"{rule}-{nodes}"
        if not (out / f"{name}.json").exists():
            continue
        models = json.loads((out / f"{name}.json").read_text())["models"]
        status = json.loads((out / f"{name}.status.json").read_text())["nodes"]
        privacy = max((n["privacy"] for n in status), key=lambda p: p["epsilon"])
        words = "one node" if nodes == 1 else f"{nodes} nodes, `{rule}`"
        print(f"| {words} | {seconds(name) / epochs:.2f} "
              f"| {100 * min(m['accuracy'] for m in models):.2f} % "
              f"| {privacy['epsilon']:.2f} | {privacy['delta']:g} |")
