#!/usr/bin/env python3
"""`hearsay prep` on Spark: CSV (plain, .gz; .zst where Hadoop's native library is) or
Parquet of any size and a schema in, the same shards out, to the byte.

  spark-submit ops/spark/prep.py --schema S.toml INPUT... --out FOLDER
      [--shards 4] [--partition iid|by:COLUMN|by:file] [--seed 1]
      [--eval-fraction 0.1 | --eval FILE...] [--public-size N] [--strict] [--force]

INPUT: files, folders (their files by name) or patterns, of whatever file system Spark
reads. FOLDER: one that the driver and all workers have mounted; else --collect, and
shards pass through the driver. Needs PySpark 3.3 and Python 3.11, and nothing else.
Where the driver runs in the cluster, ship the package too: --py-files
hearsay_prep.zip (cd ops/spark && zip -r hearsay_prep.zip hearsay_prep).

On one machine `hearsay prep` is some eighty times quicker; this is for input that
lies where only a cluster reads it. A float of Parquet without a fraction is the
whole number, null and NaN are missing. Text is UTF-8: Hadoop replaces other bytes.
"""

import argparse
import json
import os
import pathlib
import secrets
import shutil
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent


def parse():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("input", nargs="+")
    parser.add_argument("--schema", required=True, help="what the columns mean (TOML)")
    parser.add_argument("--out", required=True, help="folder for the shards")
    parser.add_argument("--shards", type=int, default=0,
                        help="how many (default: one, or one a group)")
    parser.add_argument("--partition", default="iid")
    parser.add_argument("--seed", type=int, default=1, help="deals the rows (public)")
    parser.add_argument("--eval-fraction", type=float, default=0,
                        help="this share of the rows becomes eval.safetensors: public")
    parser.add_argument("--eval", nargs="+", default=[], help="public files that become it")
    parser.add_argument("--public-size", type=int, default=0)
    parser.add_argument("--strict", action="store_true", help="stop at the first bad row")
    parser.add_argument("--force", action="store_true", help="replace the folder's shards")
    parser.add_argument("--collect", action="store_true",
                        help="the driver writes; workers need not see the folder")
    parser.add_argument("--splits", type=int, default=2,
                        help="cut a file that is not packed into at least so many")
    parser.add_argument("-o", "--output", choices=["table", "json"], default="table")
    flags = parser.parse_args()
    if not 0 <= flags.eval_fraction < 1:
        parser.error("--eval-fraction must be at least 0 and below 1")
    if flags.eval_fraction and flags.eval:
        parser.error("--eval-fraction and --eval exclude each other")
    if not 0 <= flags.shards <= 100_000:
        parser.error("--shards must be 1 to 100000")
    if not 0 <= flags.seed < 1 << 64:
        parser.error("--seed must be 0 to 2^64 - 1")
    if flags.public_size < 0:
        parser.error("--public-size must be positive")
    return flags


def expand(spark, patterns, InputError):
    """Files of each, by name; hidden ones (and Spark's _SUCCESS) are none."""
    jvm, configuration = spark._jvm, spark.sparkContext._jsc.hadoopConfiguration()
    files = []
    for pattern in patterns:
        path = jvm.org.apache.hadoop.fs.Path(pattern)
        system = path.getFileSystem(configuration)
        found = system.globStatus(path) or []
        if not len(found):
            raise InputError(f"{pattern}: no such file")
        for status in found:
            inner = system.listStatus(status.getPath()) if status.isDirectory() else [status]
            names = sorted(entry.getPath().toString() for entry in inner if entry.isFile())
            files += [name.removeprefix("file:") for name in names
                      if not name.rsplit("/", 1)[-1].startswith((".", "_"))]
    for i, file in enumerate(files):
        if file in files[:i]:
            raise InputError(f"{file}: is given twice; a record must be in one shard only")
    return files


def old_shards(folder):
    return [name for name in sorted(os.listdir(folder)) if name == "eval.safetensors" or
            name.startswith("part-") and name.endswith(".safetensors")]


def facts(plan, schema):
    found = {"file": plan.file, "source": plan.source, "rows": plan.rows}
    if schema.classes:
        found["class_counts"] = dict(zip([name for name, _ in schema.classes],
                                         plan.class_counts))
    return found


def write_facts(flags, schema, fingerprint, plans, evaluation):
    """As prep does, for its owner's eyes: it counts rows."""
    described = {"schema": 1, "partition": flags.partition, "seed": flags.seed,
                 "schema_fingerprint": fingerprint,
                 "shards": [facts(plan, schema) for plan in plans]}
    if evaluation:
        described["evaluation"] = facts(evaluation, schema)
    path = os.path.join(flags.out, "partition.json")
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(file, "w", encoding="utf-8") as text:
        text.write(json.dumps(described, indent=2, ensure_ascii=False) + "\n")
        text.flush()
        os.fsync(file)


def place(flags, token, plans, schema, fingerprint, evaluation):
    """All shards are there: they take the place of older ones."""
    for name in old_shards(flags.out) + ["partition.json"]:
        pathlib.Path(flags.out, name).unlink(missing_ok=True)
    for plan in plans + [evaluation] * bool(evaluation):
        os.rename(os.path.join(flags.out, f"{token}-{plan.file}"),
                  os.path.join(flags.out, plan.file))
    write_facts(flags, schema, fingerprint, plans, evaluation)
    folder = os.open(flags.out, os.O_RDONLY)
    os.fsync(folder)
    os.close(folder)


def report(flags, job, plans, evaluation, seconds, fingerprint):
    bad = sum(job.faults.values())
    if flags.output == "json":
        def part(plan):
            return {"file": os.path.join(flags.out, plan.file), "source": plan.source,
                    "rows": plan.rows, "class_counts": plan.class_counts,
                    "public_size": int(plan.public_size)}
        print(json.dumps({"schema": 1, "schema_fingerprint": fingerprint,
                          "rows_read": job.counts["read"],
                          "rows_left_out": job.counts["left_out"],
                          "rows_dropped": job.counts["dropped"], "rows_bad": bad,
                          "bad_by_reason": job.faults, "first_bad": job.first_bad,
                          "seconds": seconds, "eval": part(evaluation) if evaluation else None,
                          "parts": [part(plan) for plan in plans]}, ensure_ascii=False))
        return
    if bad:
        print(f"prep: {bad} bad row(s) dropped (--strict stops at one):", file=sys.stderr)
        for fault, count in job.faults.items():
            print(f"  {count:>9}  {fault}", file=sys.stderr)
        print("such as\n  " + "\n  ".join(job.first_bad), file=sys.stderr)
    for plan in plans + [evaluation] * bool(evaluation):
        print(f"{plan.name:<20} {plan.rows:>9} rows  {plan.source}")
    print(f"{job.counts['read']} rows read, {job.counts['left_out']} left out by the schema, "
          f"{job.counts['dropped']} dropped for a missing value; {seconds:.1f} s")


def run(spark, flags):
    from hearsay_prep.faults import InputError
    from hearsay_prep.job import Job
    from hearsay_prep.schema import load_schema
    from hearsay_prep.shard import fingerprint
    begin = time.monotonic()
    schema = load_schema(flags.schema)
    flags.input = expand(spark, flags.input, InputError)
    flags.eval = expand(spark, flags.eval, InputError)
    if set(flags.input) & set(flags.eval):
        raise InputError("a file is given as input and as --eval: a record must be in one only")
    flags.out = os.path.abspath(flags.out)
    os.makedirs(flags.out, exist_ok=True)
    if old_shards(flags.out) and not flags.force:
        raise InputError(f"{flags.out}: already holds {old_shards(flags.out)[0]}: choose another "
                         "folder, or --force to replace it")
    token = ".spark-" + secrets.token_hex(8)
    pathlib.Path(flags.out, token).touch()
    try:
        job = Job(spark, schema, flags)
        plans, evaluation = job.run(token)
        place(flags, token, plans, schema, fingerprint(schema), evaluation)
    finally:
        for name in os.listdir(flags.out):
            if name.startswith(token):
                os.unlink(os.path.join(flags.out, name))
    report(flags, job, plans, evaluation, time.monotonic() - begin, fingerprint(schema))


def reason(error):
    """One line of what went wrong in a worker, for which Spark has hundreds."""
    text = str(error)
    for line in text.splitlines():
        if "InputError: " in line:
            return line.partition("InputError: ")[2]
    if "native zStandard library not available" in text or "ZStandardCodec" in text:
        return (".zst files need Hadoop's native library, which this Spark has not: unpack them, "
                "or pack them as .gz")
    return None


def main():
    flags = parse()
    sys.path.insert(0, str(HERE))
    try:
        from pyspark.sql import SparkSession
    except ImportError:
        sys.exit("prep: needs PySpark: run it by spark-submit, or pip install pyspark")
    spark = SparkSession.builder.appName("hearsay prep").getOrCreate()
    # Lines end at newlines: a lone carriage return is a character.
    spark.sparkContext._jsc.hadoopConfiguration().set("textinputformat.record.delimiter", "\n")
    folder = tempfile.mkdtemp()
    status = None
    try:
        if (HERE / "hearsay_prep").is_dir():
            spark.sparkContext.addPyFile(shutil.make_archive(
                os.path.join(folder, "hearsay_prep"), "zip", HERE, "hearsay_prep"))
        from hearsay_prep.faults import InputError
        try:
            run(spark, flags)
        except InputError as error:
            status = f"prep: {error}"
        except Exception as error:  # Of a worker; nobody needs Spark's trace for it.
            if not reason(error):
                raise
            status = f"prep: {reason(error)}"
    finally:
        spark.stop()
        shutil.rmtree(folder)
    sys.exit(status)


if __name__ == "__main__":
    main()
