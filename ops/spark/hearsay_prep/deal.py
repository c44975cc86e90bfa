"""Which row goes to which shard: model/prep/partition.h and permutation.h, for the
partitions that need no C++ random numbers. A row's shard depends on its rank in its
stratum and on the counts of all strata, so workers deal apart from each other."""

import math
from bisect import bisect_right

from .faults import InputError

_64 = (1 << 64) - 1
_A, _B = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
EVALUATION = -1
MOST_GROUPS = 1000


def _mix(x):
    x = (x ^ x >> 30) * _A & _64
    x = (x ^ x >> 27) * _B & _64
    return x ^ x >> 31


class Permutation:
    """A Feistel network over the next power of two, walked until it stays inside."""

    def __init__(self, size, seed):
        bits = max(2, (max(size, 1) - 1).bit_length())
        self.size = size
        self.right_bits = bits // 2
        self.masks = (1 << bits - self.right_bits) - 1, (1 << self.right_bits) - 1
        self.keys = []
        for _ in range(16 if bits < 16 else 4):
            seed = seed + 0x9E3779B97F4A7C15 & _64
            self.keys.append(_mix(seed))

    def __call__(self, index):
        (left_mask, right_mask), bits, keys = self.masks, self.right_bits, self.keys
        while True:
            left, right = index >> bits, index & right_mask
            for i in range(0, len(keys), 2):
                x = (right ^ keys[i]) * _A & _64
                left ^= (((x ^ x >> 32) * _B & _64) >> 32) & left_mask
                x = (left ^ keys[i + 1]) * _A & _64
                right ^= (((x ^ x >> 32) * _B & _64) >> 32) & right_mask
            index = left << bits | right
            if index < self.size:
                return index


class Partition:
    """"iid", "by:COLUMN" or "by:file"."""

    def __init__(self, text):
        self.text = text
        self.column = text[3:] if text.startswith("by:") and text not in ("by:", "by:file") else ""
        self.by_file = text == "by:file"
        kind = text.partition(":")[0]
        if kind in ("quantity", "dirichlet", "labels"):
            raise InputError(f"--partition {text}: Spark deals iid, by:COLUMN and by:file; for "
                             f"{kind}, an experiment's, take hearsay prep")
        if text != "iid" and not self.by_file and not self.column:
            raise InputError(f"--partition {text}: allowed are iid, by:COLUMN and by:file")

    @property
    def by_group(self):
        return self.by_file or bool(self.column)


class _Stratum:
    def __init__(self, rows, seed):
        self.order = Permutation(rows, seed)
        self.rows = rows
        self.evaluation = 0
        self.ends, self.owners = [], []
        self.whole = False

    def add(self, more, part):
        if more:
            self.ends.append((self.ends[-1] if self.ends else self.evaluation) + more)
            self.owners.append(part)


class Deal:
    """parts: (source, rows) of each shard."""

    def __init__(self, partition, shards, eval_fraction, seed, rows, names):
        self.strata = [_Stratum(count, (_mix(seed) + i + 1) & _64) for i, count in enumerate(rows)]
        total = sum(rows)
        self.evaluation = self._take_evaluation(eval_fraction, total) if eval_fraction else 0
        total -= self.evaluation
        if total < max(shards, 1):
            raise InputError(f"--shards {shards}: there are only {total} training rows")
        if partition.by_group:
            self._by_group(shards, names)
        else:
            count = max(shards, 1)
            self.parts = []
            for i in range(count):
                size = (i + 1) * total // count - i * total // count
                self.parts.append((f"iid {i} of {count}", size))
                self.strata[0].add(size, i)
        for stratum in self.strata:
            stratum.whole = not stratum.evaluation and len(stratum.owners) <= 1

    def _take_evaluation(self, fraction, total):
        wanted = max(1.0, math.floor(fraction * total))
        before = taken = 0.0
        for stratum in self.strata:
            share = (_round((before + stratum.rows) / total * wanted) -
                     _round(before / total * wanted))
            stratum.evaluation = min(share, max(stratum.rows, 1) - 1)
            before += stratum.rows
            taken += stratum.evaluation
        if not taken:
            raise InputError("--eval-fraction: too few rows to take any for the evaluation")
        return int(taken)

    def _by_group(self, shards, names):
        def rows(group):
            return self.strata[group].rows - self.strata[group].evaluation
        groups = [group for group in range(len(self.strata)) if rows(group) > 0]
        if shards > len(groups):
            raise InputError(f"--shards {shards} asks for more than the {len(groups)} group(s) "
                             "that the rows fall into")
        apart = shards in (0, len(groups))
        if not apart:
            groups.sort(key=rows, reverse=True)  # Stable, as the product's.
        self.parts = [("", 0)] * (len(groups) if apart else shards)
        for i, group in enumerate(groups):
            part = i if apart else min(range(shards), key=lambda part: self.parts[part][1])
            source, size = self.parts[part]
            self.parts[part] = (source + ", " * bool(source) + names[group], size + rows(group))
            self.strata[group].add(rows(group), part)

    def __call__(self, stratum, rank):
        """Where the row goes that is the rank-th of its stratum."""
        here = self.strata[stratum]
        if here.whole:
            return here.owners[0]
        place = here.order(rank)
        if place < here.evaluation:
            return EVALUATION
        return here.owners[bisect_right(here.ends, place)]


def _round(x):
    """Half away from zero, of what is not negative."""
    whole = math.floor(x)
    return whole if x - whole < 0.5 else whole + 1
