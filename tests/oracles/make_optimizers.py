#!/usr/bin/env python3
"""Writes optimizers.tsv: weights after each step of PyTorch's optimisers and schedules.

The gradients are made up and the same for all; in float64, so that the last digits are
nobody's rounding. Any PyTorch from 1.13 on will do; Debian's is python3-torch:

    python3 make_optimizers.py > optimizers.tsv
"""
import torch
from torch.optim import SGD, Adam, AdamW
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, SequentialLR, StepLR

STEPS = 24
torch.manual_seed(7)
# Rounded to float32, which is what the test reads.
START = torch.randn(3).double()
GRADIENTS = (torch.randn(STEPS, 3) * torch.tensor([1.0, 0.1, 5.0])).double()


def warmup(optimizer, steps, then):
    rise = LinearLR(optimizer, start_factor=1 / steps, end_factor=1.0, total_iters=steps - 1)
    return SequentialLR(optimizer, [rise, then], milestones=[steps])


CASES = {
    "sgd": (lambda p: SGD(p, lr=0.05), None),
    "momentum": (lambda p: SGD(p, lr=0.05, momentum=0.9), None),
    "nesterov": (lambda p: SGD(p, lr=0.05, momentum=0.8, nesterov=True), None),
    "adam": (lambda p: Adam(p, lr=0.02, betas=(0.85, 0.97), eps=1e-6), None),
    "adamw": (lambda p: AdamW(p, lr=0.02, weight_decay=0.1), None),
    "momentum_warmup_cosine": (
        lambda p: SGD(p, lr=0.05, momentum=0.9),
        lambda o: warmup(o, 5, CosineAnnealingLR(o, T_max=STEPS - 5, eta_min=0.05 * 0.1))),
    "adamw_warmup_step": (
        lambda p: AdamW(p, lr=0.02, weight_decay=0.1),
        lambda o: warmup(o, 4, StepLR(o, step_size=6, gamma=0.3))),
}


def show(values):
    print("\t".join(f"{v:.9g}" for v in values.tolist()))


print(f"# by make_optimizers.py, PyTorch {torch.__version__}")
print("gradients")
for gradient in GRADIENTS:
    show(gradient)
for name, (make, schedule) in CASES.items():
    weights = torch.nn.Parameter(START.clone())
    optimizer = make([weights])
    rate = schedule(optimizer) if schedule else None
    print(name)
    show(weights.data)
    for gradient in GRADIENTS:
        weights.grad = gradient.clone()
        optimizer.step()
        if rate:
            rate.step()
        show(weights.data)
