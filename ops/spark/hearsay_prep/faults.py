"""What can be wrong with an input, as `hearsay prep` says it."""

FIELDS = "wrong number of fields"
QUOTES = "broken quotes"
MISSING = "missing value"
CATEGORY = "unknown category"
NUMBER = "not a number"
LABEL = "label of no class"


class InputError(Exception):
    """The job cannot go on: a file, the schema, the options."""


class RowError(Exception):
    """A row that cannot be used, why, and what to count it by."""

    def __init__(self, fault, what):
        super().__init__(what)
        self.fault = fault

    def __reduce__(self):  # Exceptions travel between processes.
        return RowError, (self.fault, str(self))


class DropRow(Exception):
    """A missing value in a column with missing = "drop"."""


def quoted(text):
    return '"' + text[:60] + ("..." if len(text) > 60 else "") + '"'
