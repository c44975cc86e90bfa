#!/usr/bin/env python3
"""Hearsay's CSV tokeniser against Python's csv module, on generated rows: quotes,
embedded newlines, commas and zero bytes, lone carriage returns, bytes that are no
UTF-8, blank lines, a byte order mark, no last newline, now and then a field of a
megabyte. Blocks of several sizes.

  tests/prep/csv_differential.py CSV_DUMP [--rows 1000000] [--seed 1]

They differ by design in two things, so neither is generated: a lone carriage
return outside quotes ends a row of Python's, and is a character of ours; text
behind a closing quote is joined on by Python, and an error of ours.
"""

import argparse
import csv
import pathlib
import random
import subprocess
import sys
import tempfile

PLAIN = ["", "0", "1", "17", "-3.25", "Oslo", "New York", " blank ", "5\" pipe", "\t", "\x00",
         "a\x00b", "\xff\xfe", "\xe9", "'", "#", "x" * 30, "y" * 63, "z" * 64, "w" * 65]
QUOTED = ["", "a,b", "line\nline", "line\r\nline", "lone\rreturn", "\"", "\"\"", "say \"hi\"",
          ",", "\n", "\r", "\x00,\x00", "\"\n\"", "," * 70, "\n" * 70, "\"" * 70]


def field(random_):
    kind = random_.random()
    if kind < 0.6:
        return random_.choice(PLAIN)
    text = random_.choice(QUOTED) if kind < 0.95 else "".join(
        random_.choice("ab,\"\n\r\x00\xff ") for _ in range(random_.randrange(200)))
    if random_.random() < 0.00002:
        text += "L" * (1 << 20) + "\""
    return '"' + text.replace('"', '""') + '"'


def rows(random_, count):
    for _ in range(count):
        columns = random_.choice((1, 2, 3, 10))
        yield ",".join(field(random_) for _ in range(columns))
        if random_.random() < 0.02:
            yield ""


def expected(text):
    # Bytes as characters, one each.
    csv.field_size_limit(1 << 30)
    for row in csv.reader(_lines(text)):
        if row:
            yield ",".join(value.encode("latin-1").hex() for value in row)


def _lines(text):
    """Lines that end in a line feed only: a carriage return is the reader's."""
    begin = 0
    while begin < len(text):
        end = text.find("\n", begin) + 1 or len(text)
        yield text[begin:end]
        begin = end


def compare(program, random_, count, folder):
    text = random_.choice(("\n", "\r\n")).join(rows(random_, count))
    if not text.strip("\r\n") or text[0] == "\x00" or text[1:2] == "\x00":
        text = "first\n" + text
    if random_.random() < 0.5:
        text += "\n"
    mark = random_.choice(("", "\xef\xbb\xbf"))
    path = folder / "rows.csv"
    path.write_bytes((mark + text).encode("latin-1"))
    wanted = list(expected(text))
    for block in (random_.randrange(1, 5000), 1 << 20):
        done = subprocess.run([program, path, str(block)], text=True, capture_output=True,
                              check=False)
        if done.returncode != 0:
            return f"blocks of {block}: {done.stderr}"
        got = done.stdout.split("\n")[:-1]
        if got != wanted:
            row = next((i for i, pair in enumerate(zip(got, wanted)) if pair[0] != pair[1]),
                       min(len(got), len(wanted)))
            return (f"blocks of {block}: record {row + 1} of {len(wanted)}: "
                    f"got {got[row:row + 1]}, wanted {wanted[row:row + 1]}")
    return None


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    flags = parser.parse_args()
    random_ = random.Random(flags.seed)
    done = 0
    with tempfile.TemporaryDirectory() as folder:
        while done < flags.rows:
            count = min(random_.choice((1, 10, 1000, 50_000)), flags.rows - done)
            found = compare(flags.program, random_, count, pathlib.Path(folder))
            if found:
                print(f"seed {flags.seed}, after {done} rows: {found}", file=sys.stderr)
                return 1
            done += count
    print(f"{done} rows: no difference")
    return 0


if __name__ == "__main__":
    sys.exit(main())
