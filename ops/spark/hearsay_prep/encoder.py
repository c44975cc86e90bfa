"""Rows of one file into codes and values, as model/prep/encoder.cc does."""

import bisect
import math
from itertools import chain

from .expression import parse_number
from .faults import (CATEGORY, FIELDS, LABEL, MISSING, NUMBER, DropRow, InputError,
                     RowError, quoted)

_MOST_REMEMBERED = 1 << 16
_LONGEST_REMEMBERED = 64


class _Memo(dict):
    """What texts came to; most columns hold few different ones."""

    def __init__(self, make):
        super().__init__()
        self.make = make

    def __missing__(self, text):
        result = self.make(text)
        if len(self) < _MOST_REMEMBERED and len(text or "") <= _LONGEST_REMEMBERED:
            self[text] = result
        return result


def _scaled(number, minimum, maximum):
    clamped = min(max(number, minimum), maximum)
    return 2 * ((clamped - minimum) / (maximum - minimum)) - 1


class Encoder:
    def __init__(self, schema, header, path):
        self.schema, self.header, self.path = schema, header, path
        missing = schema.needed() - set(header)
        if missing:
            raise InputError(f"{path}: the schema needs the column{'s' * (len(missing) > 1)} "
                             f"{', '.join(sorted(missing))}, but the file has {', '.join(header)}")
        self.missing = set(schema.missing) | {None}  # None: Parquet's null.
        self.numbers_stand_for_missing = any(
            parse_number(token) is not None for token in schema.missing)
        self.keep = schema.keep and self._condition(schema.keep)
        self.keep_fields = self._fields(schema.keep.columns if schema.keep else [])
        # In the schema's order: (has codes, memo, field or fields).
        self.columns = []
        for column in schema.columns:
            field, make = self._bind(column)
            self.columns.append((column.categorical or column.kind == "text", _Memo(make), field))
        self.codes = [(memo, field) for is_code, memo, field in self.columns if is_code]
        self.values = [(memo, field) for is_code, memo, field in self.columns if not is_code]
        if schema.label_column:
            at = header.index(schema.label_column)
            self.label = lambda fields, memo=_Memo(self._make_number_label): memo[fields[at]]
        else:
            self.classes = [when and (when, [header.index(name) for name in when.columns])
                            for _, when in schema.classes]
            ats = self._fields([name for name in dict.fromkeys(
                name for _, when in schema.classes if when for name in when.columns)])
            self.label_fields = ats
            self.label = lambda fields, memo=_Memo(self._make_label): memo[
                _pick(fields, ats)]

    def _bind(self, column):
        """Its field, or fields, and what to make of them: bytes or numbers."""
        if column.when:
            holds = self._condition(column.when)
            return (self._fields(column.when.columns),
                    lambda fields: (1.0 if holds(fields) else -1.0,))
        if column.value:
            return self._fields(column.value.columns), lambda fields: self._make_derived(
                column, fields)
        codes = {value: code for code, (_, values) in enumerate(column.categories)
                 for value in values}
        make = {"text": self._make_text, "boolean": self._make_boolean,
                "numeric": self._make_number}.get(
                    column.kind, lambda *of: bytes((self._make_code(*of),)))
        return self.header.index(column.source), lambda text: make(column, codes, text)

    def _fields(self, names):
        return tuple(self.header.index(name) for name in names)

    def _values(self, fields):
        return [None if field in self.missing else field for field in fields]

    def _condition(self, condition):
        """Of the tuple of its columns' fields."""
        memo = _Memo(lambda fields: condition.holds(self._values(fields)))
        return memo.__getitem__

    def append(self, fields, codes, values, labels):
        """Extends the three; they stay as they are where it throws."""
        if len(fields) != len(self.header):
            raise RowError(FIELDS, f"{len(fields)} fields, the "
                           f"{'header' if self.schema.has_header else 'schema'} has "
                           f"{len(self.header)}")
        if self.keep and not self.keep(_pick(fields, self.keep_fields)):
            return False
        try:
            row = [memo[fields[field] if type(field) is int else _pick(fields, field)]
                   for memo, field in self.codes]
            found = [memo[fields[field] if type(field) is int else _pick(fields, field)]
                     for memo, field in self.values]
        except (RowError, DropRow):
            for _, memo, field in self.columns:  # Which of several comes first?
                memo[fields[field] if type(field) is int else _pick(fields, field)]
            raise
        label = self.label(fields)
        codes += b"".join(row)
        values.extend(chain.from_iterable(found))
        labels.append(label)
        return True

    def _missing_code(self, column, text):
        if column.missing == "drop":
            raise DropRow
        if column.kind == "binned" and column.fill is not None:
            return self._bin(column, column.fill)
        if column.fill_value is not None:
            for code, (_, values) in enumerate(column.categories):
                if column.fill_value in values:
                    return code
            return len(column.categories)
        if column.missing == "category":
            return len(column.names()) - 1
        place = ('missing = "category"' if column.categorical else
                 'fill = "TEXT"' if column.kind == "text" else "fill = NUMBER")
        raise RowError(MISSING, f"column {column.source}: the value is missing "
                                f"({quoted(text or '')}); the schema may give missing values a "
                                f"place by {place}, or drop such rows by missing = \"drop\"")

    @staticmethod
    def _bin(column, number):
        """The first inner edge beyond the number ends its bin; the end bins are open."""
        return bisect.bisect_right(column.edges, number, 1, len(column.edges) - 1) - 1

    def _make_code(self, column, codes, text):
        if text in codes:  # Then it is never missing.
            return codes[text]
        if text in self.missing:
            return self._missing_code(column, text)
        if column.kind == "binned":
            return self._bin(column, self._number(column.source, text))
        if column.other:
            return len(column.categories)
        allowed = [value for _, values in column.categories for value in values]
        listed = ", ".join(allowed[:12]) + (
            f", ... ({len(allowed)} in all)" if len(allowed) > 12 else "")
        raise RowError(CATEGORY, f"column {column.source}: {quoted(text)} is none of the "
                                 f"categories {listed}")

    def _make_text(self, column, _, text):
        if text in self.missing:
            text = self._missing_code(column, text) if column.fill_value is None else (
                column.fill_value)
        size = column.length
        code = text.encode()  # In which no byte 255 is.
        code = code[:size] if column.cuts == "end" else code[-size:]
        return code.ljust(size, b"\0") if column.pads == "end" else code.rjust(size, b"\0")

    def _make_boolean(self, column, codes, text):
        if text in self.missing and text not in codes:
            return self._number_or_fill(column, None, text)
        return self._indicated(column, 1.0 if self._make_code(column, codes, text) == 1 else -1.0,
                               False)

    def _make_number(self, column, _, text):
        return self._number_or_fill(column, self._read_number(column.source, text), text)

    def _make_derived(self, column, fields):
        number = None
        numbers = []
        for name, text in zip(column.value.columns, fields):
            numbers.append(self._read_number(name, text))
            if numbers[-1] is None:
                break
        else:
            number = column.value.value(numbers)
        if column.kind == "binned":
            return bytes((self._missing_code(column, column.value.text) if number is None else
                          self._bin(column, number),))
        return self._number_or_fill(column, number, column.value.text)

    def _read_number(self, column, text):
        """None: a missing value."""
        if text is None or self.numbers_stand_for_missing and text in self.missing:
            return None
        number = parse_number(text)
        if number is None and text not in self.missing:
            raise RowError(NUMBER, f"column {column}: {quoted(text)} is not a finite number")
        return number

    def _number_or_fill(self, column, number, text):
        if number is None:
            if column.fill is None:
                self._missing_code(column, text)
            return self._indicated(column, _scaled(column.fill, column.minimum, column.maximum),
                                   True)
        if column.whole and number != math.floor(number):
            raise RowError(NUMBER, f"column {column.source}: {quoted(text)} is not a whole number")
        return self._indicated(column, _scaled(number, column.minimum, column.maximum), False)

    @staticmethod
    def _indicated(column, value, is_missing):
        return (value, 1.0 if is_missing else -1.0) if column.indicator else (value,)

    @staticmethod
    def _number(column, text):
        number = parse_number(text)
        if number is None:
            raise RowError(NUMBER, f"column {column}: {quoted(text)} is not a finite number")
        return number

    def _make_number_label(self, text):
        if text in self.missing:
            raise RowError(MISSING, f"column {self.schema.label_column}: the label is missing")
        return _scaled(self._number(self.schema.label_column, text), self.schema.label_minimum,
                       self.schema.label_maximum)

    def _make_label(self, fields):
        by_place = dict(zip(self.label_fields, fields))
        for i, entry in enumerate(self.classes):
            if entry is None:
                return i
            when, places = entry
            if when.holds(self._values([by_place[place] for place in places])):
                return i
        seen = ", ".join(f"{self.header[place]} = "
                         f"{quoted('missing' if field in self.missing else field)}"
                         for place, field in by_place.items())
        raise RowError(LABEL, f"no class of the label {self.schema.label_name} holds for {seen}")


def _pick(fields, places):
    return tuple([fields[place] for place in places])


def split_quoted(text, schema):
    """Fields of a record in which quotes are, and whether text is behind a closing
    one. Requires: each that opens is closed."""
    separator, trim = schema.separator, schema.trim
    text += "\n"
    blanks = "".join(c for c in " \t" if c != separator)
    fields, broken, at = [], False, 0
    while True:
        first = at
        while trim and text[first] in blanks:
            first += 1
        if text[first] == '"':
            close = first + 1
            while (close := text.index('"', close)) and text[close + 1] == '"':
                close += 2
            field = text[first + 1:close].replace('""', '"')
            close += 1
            while trim and text[close] in blanks:
                close += 1
            end = text.find(separator, close)
            end = len(text) - 1 if end < 0 else end
            broken |= text[close:end] not in ("", "\r") or (
                text[close:end] == "\r" and end != len(text) - 1)
        else:
            end = text.find(separator, at)
            end = len(text) - 1 if end < 0 else end
            field = text[at:end]
            if end == len(text) - 1 and field.endswith("\r"):
                field = field[:-1]
            if trim:
                field = field.strip(blanks)
        fields.append(field)
        if end == len(text) - 1:
            return fields, broken
        at = end + 1


def ends_inside(line, inside, schema):
    """Whether the newline behind the line is inside quotes, where it begins inside
    them or with a record."""
    blanks = "".join(c for c in " \t" if c != schema.separator)
    at, size = 0, len(line)
    while True:
        if not inside:
            while schema.trim and at < size and line[at] in blanks:
                at += 1
            if at < size and line[at] == '"':
                inside = True
                at += 1
        if inside:
            while True:
                at = line.find('"', at)
                if at < 0:
                    return True
                if at + 1 == size or line[at + 1] != '"':
                    break
                at += 2
            inside = False
        at = line.find(schema.separator, at)
        if at < 0:
            return False
        at += 1
