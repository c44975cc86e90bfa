"""Shards as model/shard.h and model/safetensors.h describe them, to the byte."""

import json
import os
import struct

from .faults import InputError
from .xxh3 import Xxh3

_CHECKSUM = '"hearsay.checksum":"'


class Number(float):
    """A float that is written as nlohmann-json does: it turns to exponents one
    power of ten before Python, the rest is alike."""

    def __repr__(self):
        text = float.__repr__(self)
        if 1e15 <= abs(self) < 1e16 and "e" not in text:
            digits = text.lstrip("-")[:-2].rstrip("0")
            mantissa = digits[0] + ("." + digits[1:] if len(digits) > 1 else "")
            text = ("-" if self < 0 else "") + mantissa + "e+15"
        return text


def _dump(value):
    if isinstance(value, dict):
        return "{" + ",".join(f"{_dump(key)}:{_dump(value[key])}" for key in value) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(map(_dump, value)) + "]"
    if isinstance(value, float):
        return repr(Number(value))
    return json.dumps(value, ensure_ascii=False)


def _meaning(schema):
    columns = []
    for column in schema.shard_columns():
        if column.categories:
            columns.append({"categories": column.categories, "kind": "categorical",
                            "name": column.name})
        else:
            columns.append({"kind": "numeric", "max": float(column.maximum),
                            "min": float(column.minimum), "name": column.name})
    label = {"classes": [name for name, _ in schema.classes]}
    if not schema.classes:
        label |= {"max": float(schema.label_maximum), "min": float(schema.label_minimum)}
    return {"columns": columns, "label": label | {"name": schema.label_name}}


def fingerprint(schema):
    return Xxh3(_dump(_meaning(schema)).encode()).hex()


def round_public_size(rows):
    unit = 1
    while rows // unit >= 100:
        unit *= 10
    return (rows + unit // 2) // unit * unit


def header(schema, source, rows, public_size):
    """The header with zeros for a checksum, and the sizes of the tensors in the
    file's order: values, labels, codes."""
    meaning = _meaning(schema)
    meaning["label"] = dict(sorted((meaning["label"] |
                                    {"description": schema.label_description}).items()))
    metadata = {"hearsay.kind": "shard", "hearsay.name": schema.name,
                "hearsay.public_size": str(public_size), "hearsay.schema": _dump(meaning),
                "hearsay.schema_fingerprint": fingerprint(schema)}
    if source:
        metadata["hearsay.source"] = source
    metadata |= {"hearsay.format": "1", "hearsay.checksum": "0" * 32}
    described = {"__metadata__": metadata}
    sizes, begin = [], 0
    for name, dtype, width, shape in (
            ("values", "F32", 4 * schema.value_columns, [rows, schema.value_columns]),
            ("labels", "F32", 4, [rows]),
            ("codes", "U8", schema.code_columns, [rows, schema.code_columns])):
        sizes.append(rows * width)
        if width:
            described[name] = {"dtype": dtype, "shape": shape,
                               "data_offsets": [begin, begin + sizes[-1]]}
        begin += sizes[-1]
    text = _dump(described).encode()
    text += b" " * (-(8 + len(text)) % 64)
    return struct.pack("<Q", len(text)) + text, sizes


class Writer:
    """A shard that comes in pieces; written beside its destination, for the driver
    to rename once all are there."""

    def __init__(self, path, head, sizes):
        self.path = path
        self.head = head
        begin = len(head)
        self.at = []
        for size in sizes:
            self.at.append(begin)
            begin += size
        self.ends = self.at[1:] + [begin]
        self.file = open(path, "w+b")
        self.file.write(head)

    def append(self, *pieces):
        """Of values, labels, codes."""
        for i, piece in enumerate(pieces):
            self.file.seek(self.at[i])
            self.file.write(piece)
            self.at[i] += len(piece)

    def close(self):
        if self.at != self.ends:
            raise InputError(f"{self.path}: the input changed while it was read")
        self.file.seek(0)
        digest = Xxh3()
        while block := self.file.read(1 << 20):
            digest.add(block)
        self.file.seek(self.head.index(_CHECKSUM.encode()) + len(_CHECKSUM))
        self.file.write(digest.hex().encode())
        self.file.flush()
        os.fsync(self.file.fileno())
        self.file.close()
