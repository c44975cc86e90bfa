"""The Spark job: read and encode by partitions of the input, count at the driver,
deal by rank, and bring each shard's rows to one task, in the order of the input.

Two passes: encoded rows (a byte or a float a column) wait in Spark's storage, on
disk where memory is short, as they do in `hearsay prep`."""

import itertools
import os
import struct
from array import array

from pyspark import StorageLevel

from . import shard
from .deal import EVALUATION, MOST_GROUPS, Deal, Partition
from .encoder import Encoder, ends_inside, split_quoted
from .faults import QUOTES, DropRow, InputError, RowError

_CHUNK_ROWS = 8192
_PIECE_BYTES = 1 << 18
_FIRST_BAD = 10
_MOST_WRITERS = 2000
_MARK = "\ufeff"


class Facts:
    """What a partition of the input came to, beside its rows."""

    def __init__(self, file, index):
        self.file, self.index = file, index
        self.read = self.left_out = self.dropped = self.lines = 0
        self.faults = {}
        self.first_bad = []  # (line of the partition, from 1; what)
        self.rows = []       # Of each stratum.
        self.groups = []     # Its name, where dealt by a column.
        # The line of a quote that the partition does not close; 0: of one before it.
        self.open_quote = None
        self.error = None

    def refuse(self, line, error):
        self.faults[error.fault] = self.faults.get(error.fault, 0) + 1
        if len(self.first_bad) < _FIRST_BAD:
            self.first_bad.append((line, str(error)))


class Slice:
    """How a partition of the input begins and ends. `inside`: with the rest of a
    record that is of the partition before; `rest`: what follows its own last one."""

    def __init__(self, file, index, is_first, skips_header):
        self.file, self.index = file, index
        self.is_first, self.skips_header = is_first, skips_header
        self.inside = False
        self.rest = ""


def records(lines, schema, place, facts):
    """(line, text, whether it has quotes) of each; comments and blank lines are none."""
    comment, inside = schema.comment, place.inside
    lines = iter(lines)
    if place.is_first:
        first = next(lines, None)
        if first is not None:
            lines = itertools.chain([first.removeprefix(_MARK)], lines)
    begin, open_text = 0, []
    for text in lines:
        facts.lines += 1
        if inside:
            open_text.append(text)
            inside = ends_inside(text, True, schema)
            if inside or not begin:
                continue
            yield begin, "\n".join(open_text), True
        elif '"' not in text:
            if text and text != "\r" and not (comment and text.startswith(comment)):
                yield facts.lines, text, False
        elif not (comment and text.startswith(comment)):
            inside = ends_inside(text, False, schema)
            if not inside:
                yield facts.lines, text, True
            begin, open_text = facts.lines, [text]
    if inside:
        facts.open_quote = begin
        if begin and place.rest:
            yield begin, "\n".join(open_text + [place.rest]), True


def _split(text, has_quotes, schema):
    if has_quotes:
        return split_quoted(text, schema)
    fields = text.removesuffix("\r").split(schema.separator)
    if schema.trim:
        blanks = "".join(c for c in " \t" if c != schema.separator)
        fields = [field.strip(blanks) for field in fields]
    return fields, False


def csv_rows(lines, schema, place, facts):
    """(line, fields, RowError or None) of each record that is not blank."""
    found = records(lines, schema, place, facts)
    if place.skips_header:
        for _, text, has_quotes in found:
            if _split(text, has_quotes, schema)[0] != [""]:
                break
    for line, text, has_quotes in found:
        fields, broken = _split(text, has_quotes, schema)
        if broken:
            yield line, fields, RowError(QUOTES, "there is text behind the closing quote of a field")
        elif has_quotes or fields != [""]:
            yield line, fields, None


def first_record(schema):
    """Of a file's first partition: the fields of its header."""
    def find(lines):
        facts = Facts(0, 0)
        for _, fields, error in csv_rows(lines, schema, Slice(0, 0, True, False), facts):
            return [(fields, str(error) if error else None)]
        return [(None, None)]
    return find


def encode(schema, partition, headers, paths, slices, strict, make_rows):
    """A function for mapPartitionsWithIndex: chunks of encoded rows, then Facts."""
    def run(index, lines):
        place = slices[index]
        facts = Facts(place.file, index)
        encoder = Encoder(schema, headers[place.file], paths[place.file])
        group_field = headers[place.file].index(partition.column) if partition.column else None
        groups = {}
        facts.rows = [] if partition.column else [0]
        codes, values, labels, strata = bytearray(), array("f"), array("f"), array("H")
        for line, fields, error in make_rows(lines, schema, place, facts):
            facts.read += 1
            try:
                if error:
                    raise error
                if not encoder.append(fields, codes, values, labels):
                    facts.left_out += 1
                    continue
            except DropRow:
                facts.dropped += 1
                continue
            except RowError as fault:
                facts.refuse(line, fault)
                if strict:
                    break
                continue
            stratum = 0
            if partition.column:
                name = fields[group_field] or ""
                if name not in groups:
                    if len(groups) == MOST_GROUPS:
                        facts.error = _too_many_groups(partition)
                        break
                    groups[name] = len(groups)
                    facts.rows.append(0)
                stratum = groups[name]
                strata.append(stratum)
            facts.rows[stratum] += 1
            if len(labels) == _CHUNK_ROWS:
                yield len(labels), bytes(codes), _little(values), _little(labels), strata
                codes, values, labels, strata = bytearray(), array("f"), array("f"), array("H")
        if labels:
            yield len(labels), bytes(codes), _little(values), _little(labels), strata
        facts.groups = list(groups)
        yield facts
    return run


def _little(floats):
    if struct.pack("=H", 1) != struct.pack("<H", 1):
        floats = array("f", floats)
        floats.byteswap()
    return floats.tobytes()


def _too_many_groups(partition):
    return f"--partition {partition.text}: more than {MOST_GROUPS} different values"


class _Pile:
    """Rows on their way to one shard."""

    def __init__(self):
        self.rows, self.bytes, self.pieces = 0, 0, 0
        self.values, self.labels, self.codes = [], [], []

    def take(self):
        piece = (self.rows, b"".join(self.values), b"".join(self.labels), b"".join(self.codes))
        self.rows = self.bytes = 0
        self.values, self.labels, self.codes = [], [], []
        self.pieces += 1
        return piece


def deal_rows(deal, runs, widths):
    """((plan, partition, piece), (rows, values, labels, codes)); runs[index]: of each
    of the partition's strata, its number and the rank of its first row here."""
    code_width, value_width = widths

    def run(index, chunks):
        ranks = [list(entry) for entry in runs.get(index, [])]
        piles = {}
        for chunk in chunks:
            if isinstance(chunk, Facts):
                continue
            rows, codes, values, labels, strata = chunk
            for row in range(rows):
                entry = ranks[strata[row] if strata else 0]
                owner = deal(*entry)
                entry[1] += 1
                pile = piles.get(owner)
                if pile is None:
                    pile = piles[owner] = _Pile()
                pile.values.append(values[row * value_width:(row + 1) * value_width])
                pile.labels.append(labels[row * 4:row * 4 + 4])
                pile.codes.append(codes[row * code_width:(row + 1) * code_width])
                pile.rows += 1
                pile.bytes += value_width + 4 + code_width
                if pile.bytes >= _PIECE_BYTES:
                    yield (owner, index, pile.pieces), pile.take()
        for owner, pile in piles.items():
            if pile.rows:
                yield (owner, index, pile.pieces), pile.take()
    return run


class Plan:
    def __init__(self, name, source, rows, schema, public_size):
        self.name, self.source, self.rows = name, source, rows
        self.file = name + ".safetensors"
        self.public_size = public_size or schema.public_size or shard.round_public_size(rows)
        self.head, self.sizes = shard.header(schema, source, rows, int(self.public_size))
        self.class_counts = [0] * len(schema.classes)


def write(plans, folder, token):
    """A function for mapPartitions over pieces that are sorted by shard: writes each
    whole shard; gives (plan, counts of its classes)."""
    def run(pieces):
        if not os.path.exists(os.path.join(folder, token)):
            raise InputError(f"{folder}: a worker does not see this folder of the driver's: give "
                             "one on a file system that all have mounted, or --collect")
        for number, group in itertools.groupby(pieces, lambda piece: piece[0][0]):
            plan = plans[number]
            writer = shard.Writer(os.path.join(folder, f"{token}-{plan.file}"), plan.head,
                                  plan.sizes)
            counts = list(plan.class_counts)
            for _, (_, values, labels, codes) in group:
                writer.append(values, labels, codes)
                if counts:
                    for label in struct.unpack(f"<{len(labels) // 4}f", labels):
                        counts[int(label)] += 1
            writer.close()
            yield number, counts
    return run


class Source:
    """The files of one kind: text lines of CSV, or rows of Parquet."""

    def __init__(self, spark, schema, files, needed, splits):
        self.files, self.schema, self.needed = files, schema, needed
        self.names = [file.rsplit("/", 1)[-1] for file in files]
        self.parquet = any(file.endswith(".parquet") for file in files)
        if self.parquet and not all(file.endswith(".parquet") for file in files):
            raise InputError("CSV and Parquet files do not go together: give one kind")
        self.headers = []
        rdds = [self._parquet(spark, file) if self.parquet else
                spark.sparkContext.textFile(file, splits) for file in files]
        self.slices = []
        for file, rdd in enumerate(rdds):
            count = rdd.getNumPartitions()
            if count == 0:
                raise InputError(f"{files[file]}: " + ("has no rows" if self.parquet
                                                       else "is empty"))
            for i in range(count):
                self.slices.append(Slice(file, i, i == 0 and not self.parquet,
                                         i == 0 and not self.parquet and schema.has_header))
        self.rdd = rdds[0] if len(rdds) == 1 else spark.sparkContext.union(rdds)
        if not self.parquet:
            self._read_headers(spark.sparkContext)

    def _parquet(self, spark, file):
        from pyspark.sql import functions as F
        frame = spark.read.parquet(file)
        names = sorted(set(frame.columns) & self.needed)
        self.headers.append(names)

        def text(name):
            column = F.col("`" + name.replace("`", "``") + "`")
            kind = dict(frame.dtypes)[name]
            if kind in ("float", "double"):  # 1.0 of a column with gaps is the code 1.
                number = column.cast("double")
                whole = (number == F.floor(number)) & (F.abs(number) < 1e15)
                return F.when(F.isnan(number), None).when(
                    whole, number.cast("long").cast("string")).otherwise(column.cast("string"))
            return column.cast("string")
        return frame.select([text(name).alias(name) for name in names]).rdd.map(list)

    def _read_headers(self, context):
        if not self.schema.has_header:
            self.headers = [self.schema.csv_columns] * len(self.files)
            return
        firsts = [i for i, place in enumerate(self.slices) if place.index == 0]
        found = context.runJob(self.rdd, first_record(self.schema), firsts)
        for file, (fields, error) in zip(self.files, found):
            if fields is None or error:
                raise InputError(f"{file}: {error or 'has no header line'}")
            if "\0" in fields[0][:2]:
                raise InputError(f"{file}: is binary data, not CSV")
            for i, name in enumerate(fields):
                if name in fields[:i]:
                    raise InputError(f'{file}: the header names column "{name}" twice')
            self.headers.append(fields)

    def settle(self, context):
        """Learns where partitions begin inside quotes; only of use where quoted fields
        have newlines, and a file lies in several partitions."""
        schema = self.schema

        def state(lines):
            ends = [False, True]  # Where it begins outside, and where inside.
            for line in lines:
                if '"' in line:
                    ends = [ends_inside(line, end, schema) if end or not (
                        schema.comment and line.startswith(schema.comment)) else False
                        for end in ends]
            yield ends

        def head(lines):
            taken = []
            for line in lines:
                taken.append(line)
                if not ends_inside(line, True, schema):
                    return [("\n".join(taken), True)]
            return [("\n".join(taken), False)]
        ends = self.rdd.mapPartitions(state).collect()
        inside = False
        for i, place in enumerate(self.slices):
            place.inside = inside and place.index > 0
            inside = ends[i][place.inside]
        begun = [i for i, place in enumerate(self.slices) if place.inside]
        heads = dict(zip(begun, context.runJob(self.rdd, head, begun))) if begun else {}
        for i, place in enumerate(self.slices):
            rest = []
            for following in range(i + 1, len(self.slices)):
                if following not in heads:
                    break
                text, closed = heads[following]
                rest.append(text)
                if closed:
                    place.rest = "\n".join(rest)
                    break


class Loaded:
    def __init__(self):
        self.chunks = None
        self.rows, self.names = [], []
        self.runs = {}


class Job:
    def __init__(self, spark, schema, options):
        self.spark, self.context = spark, spark.sparkContext
        self.schema, self.options = schema, options
        self.counts = {"read": 0, "left_out": 0, "dropped": 0}
        self.faults, self.first_bad = {}, []

    def load(self, files, partition):
        needed = self.schema.needed() | ({partition.column} if partition.column else set())
        source = Source(self.spark, self.schema, files, needed, self.options.splits)
        for header, file in zip(source.headers, files):
            Encoder(self.schema, header, file)
            if partition.column and partition.column not in header:
                raise InputError(f"{file}: has no column {partition.column}; it has "
                                 f"{', '.join(header)}")
        facts, chunks = self._encode(source, partition)
        if not source.parquet and self._open(source, facts):
            chunks.unpersist()
            source.settle(self.context)
            facts, chunks = self._encode(source, partition)
        return self._gather(source, partition, facts, chunks)

    def _encode(self, source, partition):
        make_rows = parquet_rows if source.parquet else csv_rows
        run = encode(self.schema, partition, source.headers, source.files, source.slices,
                     self.options.strict, make_rows)
        chunks = source.rdd.mapPartitionsWithIndex(run).persist(StorageLevel.MEMORY_AND_DISK)
        return chunks.filter(lambda chunk: isinstance(chunk, Facts)).collect(), chunks

    @staticmethod
    def _open(source, facts):
        """Does a record go on in the next partition of its file?"""
        return any(fact.open_quote is not None and i + 1 < len(facts) and source.slices[i + 1].index > 0
                   for i, fact in enumerate(facts))

    def _gather(self, source, partition, facts, chunks):
        loaded = Loaded()
        loaded.chunks = chunks
        if partition.by_file:
            loaded.rows, loaded.names = [0] * len(source.files), list(source.names)
        elif not partition.column:
            loaded.rows, loaded.names = [0], ["all"]
        read, groups, lines, opened = [0] * len(source.files), {}, 0, 1
        for i, fact in enumerate(facts):
            file = source.files[fact.file]
            lines = 0 if source.slices[i].index == 0 else lines
            if fact.error:
                raise InputError(fact.error)
            for line, what in fact.first_bad:
                what = f"{file}:{lines + line}: {what}"
                if self.options.strict:
                    raise InputError(what)
                if len(self.first_bad) < _FIRST_BAD:
                    self.first_bad.append(what)
            if fact.open_quote:
                opened = lines + fact.open_quote
            if fact.open_quote is not None and (i + 1 == len(facts) or
                                                source.slices[i + 1].index == 0):
                raise InputError(f"{file}:{opened}: the quote opened here is never closed")
            for name in self.counts:
                self.counts[name] += getattr(fact, name)
            for fault, count in fact.faults.items():
                self.faults[fault] = self.faults.get(fault, 0) + count
            read[fact.file] += fact.read
            lines += fact.lines
            runs = loaded.runs[i] = []
            for local, count in enumerate(fact.rows):
                stratum = fact.file if partition.by_file else local
                if partition.column:
                    name = fact.groups[local]
                    stratum = groups.setdefault(name, len(groups))
                    if stratum == len(loaded.rows):
                        if stratum == MOST_GROUPS:
                            raise InputError(_too_many_groups(partition))
                        loaded.rows.append(0)
                        loaded.names.append(f"{partition.column} = {name}")
                runs.append((stratum, loaded.rows[stratum]))
                loaded.rows[stratum] += count
        for file, count in zip(source.files, read):
            if count == 0:
                raise InputError(f"{file}: has no rows")
        if sum(loaded.rows) > 0xFFFFFFFF:
            raise InputError("more than 2^32 rows in all")
        return loaded

    def write(self, loaded, deal, plans, token):
        """Gives the counts of classes of each plan."""
        # The evaluation's plan is the last.
        pieces = loaded.chunks.mapPartitionsWithIndex(
            deal_rows(deal, loaded.runs, (self.schema.code_columns,
                                          4 * self.schema.value_columns)))
        writers = min(len(plans), _MOST_WRITERS)
        number = len(deal.parts)
        pieces = pieces.map(lambda item: ((item[0][0] if item[0][0] != EVALUATION else number,
                                           *item[0][1:]), item[1]))
        pieces = pieces.repartitionAndSortWithinPartitions(writers, lambda key: key[0] % writers)
        work = write(plans, self.options.out, token)
        found = work(pieces.toLocalIterator()) if self.options.collect else (
            pieces.mapPartitions(work).collect())
        for plan, counts in found:
            plans[plan].class_counts = counts
        loaded.chunks.unpersist()

    def run(self, token):
        """The plans, and the evaluation's or None; files still have the token's name."""
        options, schema = self.options, self.schema
        partition = Partition(options.partition)
        loaded = self.load(options.input, partition)
        if not sum(loaded.rows):
            raise InputError("no row of the input is left to train on: "
                             f"{self.counts['left_out']} were left out by keep, "
                             f"{self.counts['dropped']} dropped for a missing value, "
                             f"{sum(self.faults.values())} were bad" +
                             (f", such as {self.first_bad[0]}" if self.first_bad else ""))
        deal = Deal(partition, options.shards, options.eval_fraction, options.seed, loaded.rows,
                    loaded.names)
        plans = [Plan(f"part-{i}", source, rows, schema, options.public_size)
                 for i, (source, rows) in enumerate(deal.parts)]
        evaluation = None
        if deal.evaluation:
            evaluation = Plan("eval", _names_of(options.input), deal.evaluation, schema,
                              options.public_size)
        self.write(loaded, deal, plans + [evaluation] * bool(evaluation), token)
        if options.eval:
            whole = Partition("iid")
            loaded = self.load(options.eval, whole)
            if not sum(loaded.rows):
                raise InputError("eval.safetensors: no row is left for it" + (
                    f' (keep = "{schema.keep.text}")' if schema.keep else ""))
            evaluation = Plan("eval", _names_of(options.eval), sum(loaded.rows), schema,
                              options.public_size)
            self.write(loaded, Deal(whole, 1, 0, options.seed, loaded.rows, loaded.names),
                       [evaluation], token)
        return plans, evaluation


def parquet_rows(rows, schema, place, facts):
    """As csv_rows; a null is a missing value."""
    for fields in rows:
        facts.lines += 1
        yield facts.lines, fields, None


def _names_of(files):
    names = [file.rsplit("/", 1)[-1] for file in files]
    return ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
