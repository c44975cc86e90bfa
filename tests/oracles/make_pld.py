#!/usr/bin/env python3
"""Writes pld.tsv: epsilons of the Poisson-subsampled Gaussian on a grid of 1e-4.

Google's dp_accounting puts each step on the grid (connect the dots); the steps are
summed here, by FFT in long double, because the library's own sum, in double, is off by
up to 2e-5 after 100,000 steps. Needs a machine whose long double has 64 bits or more:

    python3 -m venv v && v/bin/pip install dp-accounting==0.6.0 scipy
    v/bin/python make_pld.py > pld.tsv
"""
import math

import numpy as np
import scipy.fft
from dp_accounting.pld import privacy_loss_distribution as pld

GRID = 1e-4
# Phases of (q, sigma, steps), and delta.
ROWS = [
    ([(1e-4, 0.5, 100000)], 1e-7),
    ([(0.01, 1.0, 1000)], 1e-9),
    ([(0.001, 0.6, 20000)], 1e-6),
    ([(0.001, 0.7, 50)], 1e-5),
    ([(0.3, 2.0, 20)], 1e-5),
    ([(0.9, 3.0, 10)], 1e-5),
    ([(0.5, 0.8, 1)], 1e-3),
    ([(0.02, 0.9, 7)], 1e-8),
    ([(1e-3, 20.0, 3000)], 1e-5),
    ([(0.05, 1.2, 300), (0.01, 0.8, 500)], 1e-5),
    ([(0.01, 1.0, 100), (0.1, 2.0, 50), (1, 12.0, 3)], 1e-6),
]


def power(base, exponent):
    result = np.ones_like(base)
    while exponent:
        if exponent & 1:
            result = result * base
        base = base * base
        exponent >>= 1
    return result


def epsilon(phases, delta, direction, length):
    spectrum = None
    log_finite = 0.0
    for q, sigma, steps in phases:
        step = pld.from_gaussian_mechanism(
            sigma, sampling_prob=q, value_discretization_interval=GRID,
            use_connect_dots=True)
        pmf = step._pmf_remove if direction == "remove" else step._pmf_add
        pmf = pmf.to_dense_pmf()
        place = (np.arange(len(pmf._probs)) + pmf._lower_loss) % length
        values = np.zeros(length, dtype=np.longdouble)
        np.add.at(values, place, pmf._probs.astype(np.longdouble))
        term = power(scipy.fft.rfft(values), steps)
        spectrum = term if spectrum is None else spectrum * term
        log_finite += steps * math.log1p(-pmf._infinity_mass)
    mass = np.maximum(scipy.fft.irfft(spectrum, length), 0)
    points = np.arange(length)
    loss = np.where(points < length // 2, points, points - length)
    order = np.argsort(loss)
    loss = loss[order] * np.longdouble(GRID)
    mass = mass[order]
    here = np.cumsum(mass[::-1])[::-1]
    there = np.cumsum((mass * np.exp(-loss))[::-1])[::-1]
    infinite = -math.expm1(log_finite)
    above = np.where((here - np.exp(loss) * there + infinite > delta)
                     & (loss >= 0))[0]
    if len(above) == 0:
        return 0.0
    k = above.max() + 1
    return float(np.log((here[k] + infinite - delta) / there[k]))


print("# q,sigma,steps of each phase\tdelta\tremove\tadd   (by make_pld.py)")
for phases, delta in ROWS:
    found = [epsilon(phases, delta, d, 1 << 20) for d in ("remove", "add")]
    text = " ".join(",".join(map(str, phase)) for phase in phases)
    print(f"{text}\t{delta}\t{found[0]:.9f}\t{found[1]:.9f}")
