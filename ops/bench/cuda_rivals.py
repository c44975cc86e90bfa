#!/usr/bin/env python3
"""What hearsay_cuda_bench measures, in PyTorch on the same GPU: plain SGD and
private SGD with ghost norms, each as it is written and as a CUDA graph, and
Opacus where it is installed; and what the device can do at most.

  cuda_rivals.py [SECONDS [BENCH]]     of each measurement; 1 without
                                       BENCH: what hearsay_cuda_bench printed

A line of JSON each; with BENCH a table of it beside them at the end. Batches are of fixed size and lie on the device; no rows are
sampled, and the noise is not from a cryptographic generator."""

import json
import pathlib
import statistics
import sys
import time

import torch
from torch import nn

SECONDS = float(sys.argv[1]) if len(sys.argv) > 1 else 1.0
RATE, SIGMA, CLIP = 0.05, 1.0, 1.0
MODELS = {"i": (10, 64, 64, 2), "ii": (784, 512, 256, 10)}


def network(widths):
    layers = []
    for i, (inputs, units) in enumerate(zip(widths, widths[1:])):
        layers.append(nn.Linear(inputs, units))
        if i < len(widths) - 2:
            layers.append(nn.ReLU())
    return nn.Sequential(*layers).cuda()


def timed(call, at_once=100):
    """Microseconds a call, and the quickest of the repetitions."""
    for _ in range(20):
        call()
    torch.cuda.synchronize()
    times, until = [], time.perf_counter() + SECONDS
    while time.perf_counter() < until or len(times) < 5:
        begin = time.perf_counter()
        for _ in range(at_once):
            call()
        torch.cuda.synchronize()
        times.append((time.perf_counter() - begin) / at_once * 1e6)
    return statistics.median(times), min(times)


def plain(net, x, y):
    loss = nn.CrossEntropyLoss()
    weights = list(net.parameters())
    def step():
        gradients = torch.autograd.grad(loss(net(x), y), weights)
        with torch.no_grad():
            torch._foreach_add_(weights, gradients, alpha=-RATE)
    return step


def ghost(net, x, y):
    """Norms from inputs and output gradients, then one weighted product a layer."""
    layers = [m for m in net if isinstance(m, nn.Linear)]
    loss = nn.CrossEntropyLoss(reduction="sum")
    batch = len(x)
    def step():
        inputs, outputs, value = [], [], x
        for module in net:
            if isinstance(module, nn.Linear):
                inputs.append(value.detach())
                value = module(value)
                value.retain_grad()
                outputs.append(value)
            else:
                value = module(value)
        deltas = torch.autograd.grad(loss(value, y), outputs)
        with torch.no_grad():
            squared = sum((a.square().sum(1) + 1) * g.square().sum(1)
                          for a, g in zip(inputs, deltas))
            factor = (CLIP / (squared.sqrt() + 1e-6)).clamp(max=1.0)
            for layer, a, g in zip(layers, inputs, deltas):
                g = g * factor[:, None]
                for parameter, total in ((layer.weight, g.t() @ a), (layer.bias, g.sum(0))):
                    total.add_(torch.randn_like(total), alpha=SIGMA * CLIP)
                    parameter.add_(total, alpha=-RATE / batch)
    return step


def opacus(net, x, y):
    from opacus.grad_sample import GradSampleModule
    from opacus.optimizers import DPOptimizer
    wrapped = GradSampleModule(net)
    optimizer = DPOptimizer(torch.optim.SGD(wrapped.parameters(), lr=RATE),
                            noise_multiplier=SIGMA, max_grad_norm=CLIP,
                            expected_batch_size=len(x))
    loss = nn.CrossEntropyLoss()
    def step():
        optimizer.zero_grad()
        loss(wrapped(x), y).backward()
        optimizer.step()
    return step


def graphed(step):
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        for _ in range(5):
            step()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay


SAID = []


def say(**row):
    SAID.append(row)
    print(json.dumps(row), flush=True)


def limits():
    n = 8192
    a, b = torch.randn(n, n, device="cuda"), torch.randn(n, n, device="cuda")
    for arithmetic in ("float32", "tf32", "bf16"):
        torch.backends.cuda.matmul.allow_tf32 = arithmetic == "tf32"
        kind = torch.bfloat16 if arithmetic == "bf16" else torch.float32
        left, right = a.to(kind), b.to(kind)
        micros, _ = timed(lambda: torch.mm(left, right), at_once=5)
        say(limit=arithmetic, tflop_per_s=round(2 * n**3 / micros * 1e-6, 1))
    micros, _ = timed(lambda: b.copy_(a), at_once=20)
    say(limit="copy", tb_per_s=round(2 * a.numel() * 4 / micros * 1e-6, 2))


def table(bench):
    """Steps beside what the device can multiply and what others take."""
    limit = {row["limit"]: row["tflop_per_s"] for row in SAID if "tflop_per_s" in row}
    def rival(row, what, graph, arithmetic):
        return next((r["median_us"] for r in SAID if "median_us" in r and r["rival"] == what and
                     r["graph"] == graph and r["model"] == row["model"] and
                     r["batch"] == row["batch"] and r["arithmetic"] == arithmetic), None)
    def times(other, row):
        return "-" if other is None else f"{other / row['median_us']:.2f}"
    head = "{:6} {:>5} {:8} {:>9} {:>9} {:>9} {:>12} {:>12}"
    print(head.format("model", "batch", "", "us a step", "of limit", "x opacus", "x plain SGD",
                      "x ghost"))
    for line in pathlib.Path(bench).read_text().splitlines():
        row = json.loads(line) if line.startswith("{") else {}
        if row.get("mode") != "device":
            continue
        arithmetic = row["arithmetic"]
        # PyTorch has no private step in bf16, and nothing like exact noise.
        like = arithmetic if arithmetic in ("float32", "tf32") else "tf32"
        most = limit.get(arithmetic, limit.get("float32"))
        print(head.format(row["model"], row["batch"], arithmetic, f"{row['median_us']:.1f}",
                          f"{row['tflop_per_s'] / most:.1%}",
                          times(rival(row, "opacus", False, "float32"), row),
                          times(rival(row, "plain", True, like), row),
                          times(rival(row, "ghost", True, like), row)))


def main():
    limits()
    for name, widths in MODELS.items():
        for batch in (256, 1024):
            for tf32 in (False, True):
                torch.backends.cuda.matmul.allow_tf32 = tf32
                for what, make, record in (
                        ("plain", plain, False), ("plain", plain, True),
                        ("ghost", ghost, False), ("ghost", ghost, True),
                        ("opacus", opacus, False)):
                    if what == "opacus" and tf32:
                        continue
                    x = torch.randn(batch, widths[0], device="cuda")
                    y = torch.randint(0, widths[-1], (batch,), device="cuda")
                    try:
                        step = make(network(widths), x, y)
                        median, least = timed(graphed(step) if record else step,
                                              10 if what == "opacus" else 100)
                    except Exception as error:  # The others are measured all the same.
                        say(model=name, batch=batch, rival=what, graph=record,
                            failed=str(error).splitlines()[0][:120])
                        continue
                    say(model=name, batch=batch, arithmetic="tf32" if tf32 else "float32",
                        rival=what, graph=record, median_us=round(median, 2),
                        least_us=round(least, 2))
    if len(sys.argv) > 2:
        table(sys.argv[2])


if __name__ == "__main__":
    main()
