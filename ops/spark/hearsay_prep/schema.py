"""The schema file of `hearsay prep`, which has the better messages (lines, nearest
keys): what it refuses is refused here too, in fewer words."""

import math
import tomllib

from .expression import Arithmetic, Condition
from .faults import InputError

_MOST_CATEGORIES = 255
_BYTES = ["padding"] + [str(byte) for byte in range(1, _MOST_CATEGORIES)]
_SPELT = {"false": ["0", "false", "False", "FALSE", "f", "F", "no", "No", "NO"],
          "true": ["1", "true", "True", "TRUE", "t", "T", "yes", "Yes", "YES"]}
_KINDS = {"categorical": "name from kind public categories other missing fill",
          "binned": "name from value kind public min max width edges missing fill",
          "numeric": "name from value kind public min max fill indicator missing",
          "integer": "name from value kind public min max fill indicator missing",
          "boolean": "name from kind public when true false fill indicator missing",
          "text": "name from kind public length padding cut missing fill"}


class Table:
    """One table of the file, with look-ups that say what is wrong with it."""

    def __init__(self, table, title):
        self.table, self.title = table, title
        if not isinstance(table, dict):
            self.fail("must be a table")

    def fail(self, what):
        raise InputError(self.title + ": " + what)

    def allow(self, keys):
        for key in self.table:
            if key not in keys.split():
                self.fail(f'unknown key "{key}"; known here: {", ".join(keys.split())}')

    def __contains__(self, key):
        return key in self.table

    def get(self, key, kind, word, *absent):
        if key not in self.table:
            if absent:
                return absent[0]
            self.fail(f'needs the key "{key}"')
        value = self.table[key]
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            self.fail(f"{key}: must be {word}")
        return value

    def text(self, key, *absent):
        return self.get(key, str, "text in quotes", *absent)

    def name(self, key):
        return self.text(key) or self.fail(f"{key}: must not be empty")

    def flag(self, key, absent):
        return self.get(key, bool, "true or false", absent)

    def number(self, key, *absent):
        value = self.get(key, (int, float), "a finite number", *absent)
        if value is not None and not math.isfinite(value):
            self.fail(f"{key}: must be a finite number")
        return value if value is None else float(value)

    def array(self, key):
        return self.get(key, list, "an array: [...]")

    def raw(self, key, value):
        if isinstance(value, bool) or not isinstance(value, (str, int)):
            self.fail(f"{key}: needs text in quotes or whole numbers")
        return str(value)

    def raws(self, key):
        return [self.raw(key, value) for value in self.array(key)]

    def condition(self, key, language=Condition):
        try:
            return language(self.text(key))
        except ValueError as error:
            self.fail(f"{key}: {error}")

    def bounds(self):
        low, high = self.number("min"), self.number("max")
        if not low < high or not math.isfinite(high - low):
            self.fail("min: must be below max")
        return low, high

    def require_public(self):
        if not self.flag("public", True):
            self.fail("public: what stands here was inferred from private rows: make it what is "
                      "known without the rows, and then remove this line")

    def unique(self, key, names):
        for i, name in enumerate(names):
            if name in names[:i]:
                self.fail(f'{key}: "{name}" is there twice')


class Column:
    """As InputColumn of model/prep/schema.h; kind "numeric" covers integers too."""

    def __init__(self, table):
        self.name = table.name("name")
        table.title += " " + self.name
        self.source = table.text("from", self.name)
        self.kind = table.text("kind")
        if self.kind not in _KINDS:
            table.fail(f"kind: must be one of {', '.join(_KINDS)}, not \"{self.kind}\"")
        table.require_public()
        table.allow("name kind when" if "when" in table and self.kind == "boolean"
                    else _KINDS[self.kind])
        self.categories = []  # (name, values)
        self.edges = []
        self.minimum, self.maximum = 0.0, 1.0
        self.other = self.whole = self.indicator = False
        self.when = self.value = self.fill = self.fill_value = None
        self.length = 0
        if "value" in table:
            if "from" in table:
                table.fail("value: stands instead of from")
            self.value = table.condition("value", Arithmetic)
        self.missing = table.text("missing", "error")
        if self.missing not in ("error", "category", "drop"):
            table.fail('missing: must be "error", "category" or "drop"')
        if "fill" in table and "missing" in table:
            table.fail("fill: stands instead of missing")
        self.categorical = self.kind in ("categorical", "binned")
        if self.missing == "category" and not self.categorical:
            table.fail('missing: "category" is for categorical and binned columns')
        {"categorical": self._categorical, "binned": self._binned, "numeric": self._numeric,
         "integer": self._numeric, "boolean": self._boolean, "text": self._text}[self.kind](table)
        if self.indicator and self.fill is None:
            table.fail("indicator: needs fill, the value instead of a missing one")
        if len(self.names()) > _MOST_CATEGORIES:
            table.fail(f"has {len(self.names())} categories, and at most 255 fit")

    def names(self):
        """Of the categories of a shard's column."""
        names = [name for name, _ in self.categories] if self.kind == "categorical" else [
            _bin_name(*pair) for pair in zip(self.edges, self.edges[1:])]
        return names + ["other"] * self.other + ["missing"] * (self.missing == "category")

    def _categorical(self, table):
        for node in table.array("categories"):
            if isinstance(node, dict):
                inner = Table(node, table.title + ": categories")
                inner.allow("name values")
                self.categories.append((inner.name("name"), inner.raws("values")))
                continue
            values = [table.raw("categories", value)
                      for value in (node if isinstance(node, list) else [node])]
            if not values:
                table.fail("categories: an empty list")
            self.categories.append((values[0], values))
        values = [value for _, spelt in self.categories for value in spelt]
        self.other = table.flag("other", False)
        if "fill" in table:
            self.fill_value = table.raw("fill", table.table["fill"])
            if not self.other and self.fill_value not in values:
                table.fail(f'fill: "{self.fill_value}" is a value of no category')
        if not self.categories:
            table.fail("categories: needs at least one")
        table.unique("categories", self.names())
        table.unique("categories", values)

    def _binned(self, table):
        self.fill = table.number("fill", None)
        if "edges" in table:
            if any(key in table for key in ("min", "max", "width")):
                table.fail("edges: stands instead of min, max and width")
            edges = table.array("edges")
            if any(isinstance(e, bool) or not isinstance(e, (int, float)) or not math.isfinite(e)
                   for e in edges) or any(a >= b for a, b in zip(edges, edges[1:])):
                table.fail("edges: must be increasing numbers")
            if len(edges) < 2:
                table.fail("edges: needs two or more")
            self.edges = [float(edge) for edge in edges]
            return
        low, high = table.bounds()
        width = table.number("width")
        if width <= 0:
            table.fail("width: must be positive")
        if (high - low) / width > 10_000:
            table.fail("width: makes too many bins")
        self.edges = [low + i * width for i in range(math.ceil((high - low) / width))] + [high]

    def _numeric(self, table):
        self.whole = self.kind == "integer"
        self.kind = "numeric"
        self.minimum, self.maximum = table.bounds()
        self.fill = table.number("fill", None)
        if self.fill is not None and not self.minimum <= self.fill <= self.maximum:
            table.fail("fill: must lie between min and max")
        self.indicator = table.flag("indicator", False)

    def _text(self, table):
        length = table.number("length")
        if not 1 <= length <= 2048 or length != int(length):
            table.fail("length: must be a whole number of bytes, 1 to 2048")
        self.length = int(length)
        self.pads, self.cuts = (table.text(key, "end") for key in ("padding", "cut"))
        if not {self.pads, self.cuts} <= {"start", "end"}:
            table.fail('padding, cut: must be "start" or "end"')
        self.fill_value = table.text("fill", None)

    def _boolean(self, table):
        if "when" in table:
            self.when = table.condition("when")
            return
        if ("true" in table) != ("false" in table):
            table.fail("needs both true = [...] and false = [...], or neither")
        for word, spelt in _SPELT.items():
            self.categories.append((word, table.raws(word) if word in table else spelt))
        for value in set(self.categories[0][1]) & set(self.categories[1][1]):
            table.fail(f'false: "{value}" is also true')
        if "fill" in table:
            self.fill = float(table.flag("fill", False))
        self.indicator = table.flag("indicator", False)


def _bin_name(begin, end):
    def spelt(number):  # As std::to_chars: the shorter of both notations.
        if number == int(number) and abs(number) < 1e5:
            return str(int(number))
        return min(_fixed(number), _scientific(number), key=len)
    if begin != math.floor(begin) or end != math.floor(end):
        return f"[{spelt(begin)},{spelt(end)})"
    return spelt(begin) if end - begin == 1 else f"{spelt(begin)}-{spelt(end - 1)}"


def _digits(number):
    mantissa, _, exponent = f"{number!r}".partition("e")
    sign = "-" if mantissa.startswith("-") else ""
    whole, _, rest = mantissa.lstrip("-").partition(".")
    rest = "" if rest == "0" else rest
    point = len(whole) + int(exponent or 0)
    digits = (whole + rest).lstrip("0")
    point -= len(whole + rest) - len(digits)
    return sign, digits.rstrip("0") or "0", point


def _fixed(number):
    sign, digits, point = _digits(number)
    if point <= 0:
        return sign + "0." + "0" * -point + digits
    if point >= len(digits):  # All digits of the double, not only those that identify it.
        return sign + str(abs(int(number)))
    return sign + digits[:point] + "." + digits[point:]


def _scientific(number):
    sign, digits, point = _digits(number)
    exponent = f"{'-' if point < 1 else '+'}{abs(point - 1):02}"
    return sign + digits[0] + ("." + digits[1:] if len(digits) > 1 else "") + "e" + exponent


class _ShardColumn:
    def __init__(self, name, categories, minimum=0.0, maximum=1.0):
        self.name, self.categories = name, categories
        self.minimum, self.maximum = minimum, maximum


class Schema:
    def __init__(self, text, path):
        try:
            top = Table(tomllib.loads(text), path)
        except tomllib.TOMLDecodeError as error:
            raise InputError(f"{path}: {error}") from None
        for key in ("images", "text"):
            if key in top:
                top.fail(f"{key}: is not for Spark: hearsay prep reads such files")
        if "statistics" in top:
            top.fail("statistics: Spark releases none: let hearsay prep --ledger release them, "
                     "and write what it found into the schema as min, max and categories")
        top.allow("name description public_size csv keep label column")
        self.name = top.name("name")
        self.public_size = top.get("public_size", (int, float), "a whole number", None)
        if self.public_size is not None and (self.public_size < 1 or
                                             self.public_size != int(self.public_size)):
            top.fail("public_size: must be a positive whole number")
        top.text("description", "")
        self._read_csv(Table(top.get("csv", dict, "a table", {}), path + ": csv"))
        self.keep = top.condition("keep") if "keep" in top else None
        self.columns = [Column(Table(node, path + ": column")) for node in top.array("column")]
        if not self.columns:
            top.fail("needs at least one [[column]]")
        top.unique("column", [column.name for column in self.shard_columns()])
        self._read_label(Table(top.get("label", dict, "a table"), path + ": label"))
        self.code_columns = sum(column.length or column.categorical for column in self.columns)
        self.value_columns = len(self.shard_columns()) - self.code_columns

    def _read_csv(self, table):
        table.allow("header columns separator comment trim missing")
        self.has_header = table.flag("header", True)
        self.csv_columns = table.raws("columns") if "columns" in table else []
        if self.has_header and self.csv_columns:
            table.fail("columns: only for files without a header line")
        if not self.has_header and not self.csv_columns:
            table.fail("header = false needs columns = [names in order]")
        table.unique("columns", self.csv_columns)
        self.separator = table.text("separator", ",")
        if len(self.separator.encode()) != 1 or self.separator in '"\n':
            table.fail("separator: must be one character, and no quote")
        self.comment = table.text("comment", "")
        self.trim = table.flag("trim", False)
        self.missing = table.raws("missing") if "missing" in table else [""]

    def _read_label(self, table):
        table.allow("name description public classes column min max")
        table.require_public()
        self.label_name = table.name("name")
        self.label_description = table.text("description", "")
        self.label_column, self.label_minimum, self.label_maximum = None, 0.0, 0.0
        self.classes = []  # (name, Condition or None: all other rows)
        if ("classes" in table) == ("column" in table):
            table.fail("needs either classes = [{ name, when }, ...] or column, min and max")
        if "column" in table:
            self.label_column = table.name("column")
            self.label_minimum, self.label_maximum = table.bounds()
            return
        for node in table.array("classes"):
            inner = Table(node, table.title + ": classes")
            inner.allow("name when")
            if self.classes and self.classes[-1][1] is None:
                inner.fail("a class without when takes all other rows, so it must be the last")
            self.classes.append((inner.name("name"),
                                 inner.condition("when") if "when" in inner else None))
        table.unique("classes", [name for name, _ in self.classes])
        if len(self.classes) < 2:
            table.fail("classes: needs two or more")

    def shard_columns(self):
        columns = []
        for column in self.columns:
            if column.length:
                columns += [_ShardColumn(f"{column.name} {i}", _BYTES)
                            for i in range(column.length)]
            elif column.categorical:
                columns.append(_ShardColumn(column.name, column.names()))
            else:
                columns.append(_ShardColumn(column.name, [], column.minimum, column.maximum))
            if column.indicator:
                columns.append(_ShardColumn(column.name + " missing", []))
        return columns

    def needed(self):
        """The input's columns that it reads, in no order."""
        names = {column.source for column in self.columns
                 if column.when is None and column.value is None}
        conditions = [self.keep] + [column.when or column.value for column in self.columns] + [
            when for _, when in self.classes]
        for condition in conditions:
            names |= set(condition.columns) if condition else set()
        return names | ({self.label_column} if self.label_column else set())


def load_schema(path):
    try:
        with open(path, encoding="utf-8") as file:
            return Schema(file.read(), path)
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot read: {error}") from None
