#!/usr/bin/env python3
"""The Spark job against `hearsay prep`: the same bytes for the same input, the same
rows refused for the same reasons at the same lines. Exit status 77: nothing to
test with.

  HEARSAY_PYTHON=/a/python/with/pyspark tests/spark/test_prep.py
"""

import hashlib
import importlib.util
import json
import os
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("HEARSAY_BIN", ROOT / "build/release/bin"))
SHARED = pathlib.Path(os.environ.get("HEARSAY_SHARED", ROOT / "../shared"))
SKIPPED = 77
STATES = ["02_ak", "10_de", "56_wy"]

HARD = """name = "hard"
keep = "a is not missing or w = '1'"
[csv]
comment = "#"
missing = ["", "-9", "?"]
[label]
name = "y"
classes = [{ name = "no", when = "y in {0, no}" }, { name = "yes", when = "y = 1 and not (a > 50)" },
           { name = "rest", when = "a >= -1e3" }]
[[column]]
name = "a"
kind = "numeric"
min = -10
max = 99.5
fill = 3.25
indicator = true
[[column]]
name = "ratio"
from = "b"
kind = "integer"
min = 0
max = 1000
missing = "drop"
[[column]]
name = "w"
kind = "categorical"
categories = [["1", "one"], { name = "quote \\" \\\\ \\u00e9", values = ["é", 'say "hi"', "line\\nline"] }, 7]
missing = "category"
other = true
[[column]]
name = "strict"
from = "w"
kind = "categorical"
categories = ["1", "one", "é", "a,b", "7", "line\\nline", "-9", " blank "]
fill = "one"
[[column]]
name = "bins"
from = "a"
kind = "binned"
edges = [-1.5, 0, 1, 2.25, 100000, 1e22]
missing = "category"
[[column]]
name = "flag"
from = "y"
kind = "boolean"
fill = false
indicator = true
[[column]]
name = "both"
kind = "boolean"
when = "w = 7 or a < 5"
[[column]]
name = "derived"
kind = "numeric"
value = "- (a - 3) / (b - 1) * 1.5"
min = -2
max = 7
fill = 0.3
indicator = true
[[column]]
name = "sum"
kind = "binned"
value = "a + b"
edges = [-10, 0, 0.7, 1e3]
missing = "category"
[[column]]
name = "bytes"
from = "w"
kind = "text"
length = 5
padding = "start"
cut = "start"
fill = "nothing"
"""
NUMBERS = ["0", "1", "1.0", "01", "-3.25", "+7", "+-7", ".5", "5.", ".", "-", "1e2", "1E2", "1e",
           "1e400", "1e-400", "1e-310", "1e-400", "-2000", "0x10", "inf", "nan", "1_0", "12345678", "123456.5", "99999999999999999999",
           "0.1", "3.3333333333333333333333", " 1", "-9", "?", "", "1000", "50.000000000000001"]
TEXTS = ["1", "one", "é", "7", "07", "other", "", "?", "-9", "a", "x\ty", "5\" pipe", " blank ",
         "lone\rreturn"]
QUOTED = ["a,b", "line\nline", 'say "hi"', "line\r\nline", "\n", "", "#", "1"]


def hard_csv(path, rows):
    draw = random.Random(7)

    def number():
        text = draw.choice(NUMBERS)
        return f'"{text}"' if draw.random() < 0.05 else text

    def text():
        if draw.random() < 0.7:
            return draw.choice(TEXTS)
        return '"' + draw.choice(QUOTED).replace('"', '""') + '"' + "x" * (draw.random() < 0.02)
    lines = ["\ufeff# a \"comment", "", "a,unused,w,b,y"]
    for _ in range(rows):
        fields = [number(), "u", text(), number(), draw.choice(["0", "1", "1", "no", "yes", "2", "?", ""])]
        if draw.random() < 0.01:
            fields.append("more")
        lines.append(",".join(fields) + draw.choice(["", "\r"]))
        if draw.random() < 0.02:
            lines.append(draw.choice(["", "\r", "# \"not a quote", '""']))
    path.write_bytes("\n".join(lines).encode())


def load_job():
    spec = importlib.util.spec_from_file_location("spark_prep", ROOT / "ops/spark/prep.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    sys.path.insert(0, str(ROOT / "ops/spark"))
    return module


class SparkTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        from pyspark.sql import SparkSession
        cls.job = load_job()
        cls.spark = SparkSession.builder.master("local[2]").config(
            "spark.ui.enabled", "false").config("spark.sql.shuffle.partitions", "2").getOrCreate()
        cls.spark.sparkContext.setLogLevel("OFF")
        cls.spark.sparkContext._jsc.hadoopConfiguration().set(
            "textinputformat.record.delimiter", "\n")

    @classmethod
    def tearDownClass(cls):
        cls.spark.stop()

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)

    def prep(self, schema, *arguments):
        out = self.folder / "prep"
        shutil.rmtree(out, ignore_errors=True)
        found = subprocess.run([BIN / "hearsay", "prep", "--schema", schema, *arguments, "--out",
                                out, "-o", "json"], capture_output=True, text=True, check=False)
        self.assertEqual(found.returncode, 0, found.stderr)
        return json.loads(found.stdout), hashes(out)

    def run_job(self, schema, *arguments):
        """What the job would print, and its shards."""
        out = self.folder / "spark"
        shutil.rmtree(out, ignore_errors=True)
        argv, sys.argv = sys.argv, ["prep.py", "--schema", str(schema), *map(str, arguments),
                                    "--out", str(out), "-o", "json"]
        printed = []
        try:
            flags = self.job.parse()
            self.job.print = printed.append
            self.job.run(self.spark, flags)
        finally:
            sys.argv = argv
        self.assertEqual([name for name in os.listdir(out) if name.startswith(".spark")], [])
        return json.loads(printed[-1]), hashes(out)

    def compare(self, schema, *arguments, splits=()):
        report, wanted = self.prep(schema, *arguments)
        found, shards = self.run_job(schema, *arguments, *splits)
        for key in ("schema_fingerprint", "rows_read", "rows_left_out", "rows_dropped", "rows_bad",
                    "bad_by_reason", "first_bad"):
            self.assertEqual(found[key], report[key], key)
        self.assertEqual(shards, wanted)
        return report

    def fails(self, *arguments):
        """What a run that must fail says."""
        from hearsay_prep.faults import InputError
        try:
            self.run_job(*arguments)
        except InputError as error:
            return str(error)
        except Exception as error:
            return self.job.reason(error) or str(error)
        self.fail("it did not fail")

    def small(self, schema="", csv="x,y\n1,0\n2,1\n3,1\n"):
        (self.folder / "s.toml").write_text(schema or SMALL)
        (self.folder / "rows.csv").write_text(csv)
        return self.folder / "s.toml", self.folder / "rows.csv"


SMALL = """name = "small"
[label]
name = "y"
classes = [{ name = "0", when = "y = 0" }, { name = "1", when = "y = 1" }]
[[column]]
name = "x"
kind = "numeric"
min = 0
max = 1e15
"""


class Bytes(SparkTest):
    def test_adult_is_prepared_as_by_prep(self):
        adult = need("data/adult/adult.data.gz")
        report = self.compare(ROOT / "ops/schemas/adult.toml", adult, "--shards", "3", "--seed",
                              "9", "--eval", need("data/adult/adult.test.gz"))
        self.assertEqual(sum(part["class_counts"][1] for part in report["parts"]), 7841)

    def test_states_are_dealt_by_file_by_column_and_alike(self):
        files = [need(f"data/pums2024/p_{state}.csv.gz") for state in STATES]
        schema = ROOT / "ops/schemas/pums-employed.toml"
        self.compare(schema, *files, "--partition", "by:file", "--eval-fraction", "0.1")
        self.compare(schema, *files, "--partition", "by:MAR", "--shards", "2")
        self.compare(schema, *files, "--shards", "5", "--eval-fraction", "0.07",
                     "--public-size", "123")

    def test_hard_rows_are_read_as_by_prep_wherever_the_file_is_cut(self):
        (self.folder / "s.toml").write_text(HARD)
        hard_csv(self.folder / "rows.csv", 3000)
        report = self.compare(self.folder / "s.toml", self.folder / "rows.csv", "--shards", "3",
                              splits=("--splits", "23"))
        self.assertEqual(set(report["bad_by_reason"]), {
            "wrong number of fields", "broken quotes", "missing value", "unknown category",
            "not a number", "label of no class"})
        self.compare(self.folder / "s.toml", self.folder / "rows.csv", "--partition", "by:w",
                     splits=("--splits", "5", "--collect"))

    def test_a_record_may_fill_several_pieces_of_the_file(self):
        text = '"' + "line\n" * 4000 + '"'
        schema, csv = self.small(SMALL, f"x,y,z\n1,0,{text}\n2,1,z\n3,1,{text}\n4,1,z\n")
        self.compare(schema, csv, splits=("--splits", "9"))

    def test_regression_trims_and_needs_no_header(self):
        schema, csv = self.small("""name = "r"
description = "of \u00e9"
public_size = 77
[csv]
header = false
columns = ["x", "y"]
separator = ";"
trim = true
[label]
name = "y"
column = "y"
min = 0.1
max = 12345678.9
[[column]]
name = "x"
kind = "binned"
min = -1
max = 2.5
width = 0.3
""", " 1 ; 3\n\t\"2\" ;4\r\n-1.5;0\n0.2;nope\n;1\n")
        self.compare(schema, csv)

    def test_schemas_of_few_bytes_have_their_fingerprint(self):
        for width in (0, 40, 90):
            schema, csv = self.small(SMALL.replace('"small"', '"s"') .replace(
                'name = "x"', f'name = "{"x" * (width + 1)}"\nfrom = "x"'))
            self.compare(schema, csv)

    def test_parquet_is_read_as_its_csv(self):
        from pyspark.sql import functions as F
        files = [need(f"data/pums2024/p_{state}.csv.gz") for state in STATES[:2]]
        # Of several files Spark would choose the order.
        first, second = (self.spark.read.csv(str(file), header=True, inferSchema=True)
                         for file in files)
        frame = first.union(second)
        # Gaps made floats of it, as pandas does.
        frame = frame.withColumn("ENG", F.col("ENG").cast("double"))
        frame.write.parquet(str(self.folder / "rows.parquet"))
        schema = ROOT / "ops/schemas/pums-employed.toml"
        _, wanted = self.prep(schema, *files, "--shards", "3")
        _, found = self.run_job(schema, self.folder / "rows.parquet", "--shards", "3")
        self.assertEqual(found, wanted)


class BadInput(SparkTest):
    def test_each_mistake_is_named(self):
        schema, csv = self.small()
        missing = self.folder / "no.toml"
        self.assertIn("no.toml: cannot read", self.fails(missing, csv))
        self.assertIn("no such file", self.fails(schema, self.folder / "no.csv"))
        self.assertIn("given twice", self.fails(schema, csv, csv))
        self.assertIn("take hearsay prep", self.fails(schema, csv, "--partition", "labels:2"))
        self.assertIn("has no column z; it has x, y",
                      self.fails(schema, csv, "--partition", "by:z"))
        self.assertIn("only 3 training rows", self.fails(schema, csv, "--shards", "4"))

    def test_columns_that_the_file_has_not_are_named(self):
        schema, csv = self.small(csv="x,z\n1,0\n")
        self.assertIn("the schema needs the column y, but the file has x, z",
                      self.fails(schema, csv))

    def test_schemas_are_refused_as_by_prep(self):
        for before, after, what in (
                ("max =", "maximum =", 'unknown key "maximum"'),
                ("max = 1e15", "max = -1", "min: must be below max"),
                ("min = 0", "min = 0\npublic = false", "inferred from private rows"),
                ("y = 0", "y == 0", "expected a value"),
                ('"numeric"', '"words"', "kind: must be one of"),
                ("[label]", "[lable]", "lable"),
                ("min = 0", "value = \"x / 0\"\nmin = 0", "a divisor before it that is not zero"),
                ("min = 0", "value = \"x -1\"\nmin = 0", "+ and - stand between blanks"),
                ('"numeric"', '"text"\nlength = 2', 'unknown key "min"'),
                ("[[column]]", "[images]\n[[column]]", "images: is not for Spark"),
                ("[[column]]", "[statistics]\nnoise_multiplier = 9\n[[column]]",
                 "statistics: Spark releases none"),
                ("[label]", "[label", "s.toml")):
            schema, csv = self.small(SMALL.replace(before, after, 1))
            self.assertIn(what, self.fails(schema, csv), after)
            refused = subprocess.run([BIN / "hearsay", "prep", "--schema", schema, csv, "--out",
                                      self.folder / "no"], capture_output=True, check=False)
            self.assertNotEqual(refused.returncode, 0, after)

    def test_strict_stops_at_the_first_bad_row(self):
        schema, csv = self.small(csv="x,y\n1,0\n\nbad,1\nworse,1\n")
        self.assertIn('rows.csv:4: column x: "bad" is not a finite number',
                      self.fails(schema, csv, "--strict"))

    def test_an_open_quote_is_an_error_with_its_line(self):
        schema, csv = self.small(csv='x,y\n1,0\n2,"1\n3,1\n' * 1)
        self.assertIn("rows.csv:3: the quote opened here is never closed", self.fails(schema, csv))

    def test_older_shards_stay_unless_forced(self):
        schema, csv = self.small()
        _, wanted = self.prep(schema, csv)
        arguments = ["prep.py", "--schema", str(schema), str(csv), "--out",
                     str(self.folder / "prep")]
        from hearsay_prep.faults import InputError
        argv = sys.argv
        try:
            sys.argv = arguments
            with self.assertRaisesRegex(InputError, "already holds part-0"):
                self.job.run(self.spark, self.job.parse())
            self.assertEqual(hashes(self.folder / "prep"), wanted)
            sys.argv = arguments + ["--force", "--shards", "2"]
            self.job.print = lambda *_: None
            self.job.run(self.spark, self.job.parse())
        finally:
            sys.argv = argv
        self.assertEqual(len(hashes(self.folder / "prep")), 3)
        mode = os.stat(self.folder / "prep/partition.json").st_mode
        self.assertEqual(mode & 0o777, 0o600)


def hashes(folder):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(folder.iterdir()) if not path.name.startswith(".")}


def need(name):
    if not (SHARED / name).exists():
        raise unittest.SkipTest("no such file under $HEARSAY_SHARED (default ../shared)")
    return SHARED / name


def missing():
    if not shutil.which("java"):
        return "no java"
    if not importlib.util.find_spec("pyspark"):
        return "this Python has no pyspark; $HEARSAY_PYTHON may name one that has"
    return None


def main():
    python = os.environ.pop("HEARSAY_PYTHON", None)
    if python:  # Workers take the driver's.
        os.environ["PYSPARK_PYTHON"] = python
        os.execv(python, [python, *sys.argv])
    if missing():
        print(f"skipped: {missing()}")
        return SKIPPED
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
    # Workers find the package without its being shipped.
    os.environ["PYTHONPATH"] = str(ROOT / "ops/spark")
    program = unittest.main(argv=sys.argv, exit=False, verbosity=2)
    if not program.result.wasSuccessful() or program.result.testsRun == 0:
        return 1
    return SKIPPED if program.result.skipped else 0


if __name__ == "__main__":
    sys.exit(main())
