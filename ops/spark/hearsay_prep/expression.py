"""The languages of `keep` and `when`, and of `value`: model/prep/expression.h and
arithmetic.h have their grammars."""

import math
import re

from .faults import MISSING, NUMBER, RowError

_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_TOKEN = re.compile(r"[ \t\n]*(?:('[^']*')|([A-Za-z0-9_.+-]+)|(<=|>=|!=|'.*|.|\Z))", re.S)
_KEYWORDS = {"and", "or", "not", "in", "is", "missing"}
_DEEPEST = 64
_MOST_NODES = 1000


def parse_number(text):
    """A finite decimal number, or None; also of one that is too small for a double, as
    std::from_chars has it."""
    found = _NUMBER.fullmatch(text)
    if not found:
        return None
    number = float(text)
    vanished = number == 0 and found.group(1).strip("0.")
    return number if math.isfinite(number) and not vanished else None


class _Parser:
    def __init__(self, text):
        self.text = text
        self.columns = []
        self.at = 0
        self.depth = 0
        self.advance()

    def advance(self):
        found = _TOKEN.match(self.text, self.at)
        self.quoted = found.group(1) is not None
        self.token = found.group(found.lastindex)
        self.begin = found.start(found.lastindex)
        self.at = found.end()
        if self.token.startswith("'") and not self.quoted:
            self.fail("a closing quote")

    def fail(self, expected):
        found = f"found {self.token}" if self.token else "found the end"
        raise ValueError(f'"{self.text}": at character {self.begin + 1}: expected {expected}, '
                         f"{found}")

    def take(self, token):
        if self.quoted or self.token != token:
            return False
        self.advance()
        return True

    def expect(self, token):
        if not self.take(token):
            self.fail(f"'{token}'")

    def word(self, what):
        token = self.token
        if not self.quoted and (token in _KEYWORDS or
                                not re.match(r"[A-Za-z0-9_.+-]", token)):
            self.fail(what)
        quoted = self.quoted
        self.advance()
        return (token[1:-1], True) if quoted else (token, False)

    def column(self, name):
        if name not in self.columns:
            self.columns.append(name)
        return self.columns.index(name)

    def deeper(self):
        self.depth += 1
        if self.depth > _DEEPEST:
            self.fail("fewer parentheses inside each other")


class _ConditionParser(_Parser):
    def parse(self):
        root = self.disjunction()
        if self.quoted or self.token:
            self.fail("'and', 'or' or the end")
        return root

    def value(self):
        text, is_quoted = self.word("a value")
        return text, None if is_quoted else parse_number(text)

    def number(self):
        before = self.token, self.begin
        text, number = self.value()
        if number is None:
            self.token, self.begin = before
            self.fail("a number to compare with")
        return text, number

    def disjunction(self):
        node = self.conjunction()
        while self.take("or"):
            node = ("or", node, self.conjunction())
        return node

    def conjunction(self):
        node = self.term()
        while self.take("and"):
            node = ("and", node, self.term())
        return node

    def term(self):
        self.deeper()
        if self.take("not"):
            node = ("not", self.term())
        elif self.take("("):
            node = self.disjunction()
            self.expect(")")
        else:
            node = self.test()
        self.depth -= 1
        return node

    def test(self):
        column = self.column(self.word("a column")[0])
        if self.take("="):
            return ("equal", column, [self.value()])
        if self.take("!="):
            return ("not", ("equal", column, [self.value()]))
        for sign, kind, negated in (("<=", "at most", False), (">=", "below", True),
                                    ("<", "below", False), (">", "at most", True)):
            if self.take(sign):
                node = (kind, column, self.number()[1])
                return ("not", node) if negated else node
        if self.take("is"):
            negated = self.take("not")
            self.expect("missing")
            return ("not", ("missing", column)) if negated else ("missing", column)
        negated = self.take("not")
        if not self.take("in"):
            self.fail("one of = != < <= > >= in is")
        self.expect("{")
        values = [self.value()]
        while self.take(","):
            values.append(self.value())
        self.expect("}")
        return ("not", ("equal", column, values)) if negated else ("equal", column, values)


class Condition:
    """Throws ValueError: what is wrong with the text, and where."""

    def __init__(self, text):
        parser = _ConditionParser(text)
        self.root = parser.parse()
        self.columns = parser.columns
        self.text = text

    def holds(self, values):
        """values[i]: the field of columns[i], None if it is missing."""
        return self._holds(self.root, values)

    def _holds(self, node, values):
        kind = node[0]
        if kind == "and":
            return self._holds(node[1], values) and self._holds(node[2], values)
        if kind == "or":
            return self._holds(node[1], values) or self._holds(node[2], values)
        if kind == "not":
            return not self._holds(node[1], values)
        value, column = values[node[1]], self.columns[node[1]]
        if kind == "missing":
            return value is None
        if value is None:
            raise RowError(MISSING, f'column {column} is missing here, but "{self.text}" needs it')
        number = parse_number(value)
        if kind == "equal":
            return any(text == value or (wanted is not None and wanted == number)
                       for text, wanted in node[2])
        if number is None:
            raise RowError(NUMBER, f'column {column}: "{value}" is not a number, but '
                                   f'"{self.text}" needs one')
        return number < node[2] if kind == "below" else number <= node[2]


class _ArithmeticParser(_Parser):
    def parse(self):
        self.nodes = 0
        root = self.sum()
        if self.quoted or self.token:
            self.fail("+ - * / or the end (+ and - stand between blanks; a column of other "
                      "characters in single quotes)")
        if not self.columns:
            self.fail("a column before it, or this were a constant")
        return root

    def add(self, *node):
        self.nodes += 1
        if self.nodes > _MOST_NODES:
            self.fail("a shorter text")
        return node

    def sum(self):
        node = self.product()
        while True:
            if self.take("+"):
                node = self.add("+", node, self.product())
            elif self.take("-"):
                node = self.add("-", node, self.product())
            else:
                return node

    def product(self):
        node = self.factor()
        while True:
            if self.take("*"):
                node = self.add("*", node, self.factor())
            elif self.take("/"):
                divisor = self.factor()
                if divisor == ("number", 0):
                    self.fail("a divisor before it that is not zero")
                node = self.add("/", node, divisor)
            else:
                return node

    def factor(self):
        self.deeper()
        if self.take("-"):
            node = self.add("-", self.add("number", 0.0), self.factor())
        elif self.take("("):
            node = self.sum()
            self.expect(")")
        else:
            if not self.quoted and self.token in ("+", "-"):
                self.fail("a column, a number or '('")
            text, is_quoted = self.word("a column, a number or '('")
            number = None if is_quoted else parse_number(text)
            node = (self.add("column", self.column(text)) if number is None else
                    self.add("number", number))
        self.depth -= 1
        return node


class Arithmetic:
    """Throws ValueError: what is wrong with the text, and where."""

    def __init__(self, text):
        parser = _ArithmeticParser(text)
        self.root = parser.parse()
        self.columns = parser.columns
        self.text = text

    def value(self, numbers):
        """numbers[i]: of columns[i], finite."""
        result = self._value(self.root, numbers)
        if not math.isfinite(result):
            raise RowError(NUMBER, f'"{self.text}" is beyond what a number can be')
        return result

    def _value(self, node, numbers):
        kind = node[0]
        if kind == "number":
            return node[1]
        if kind == "column":
            return numbers[node[1]]
        left, right = self._value(node[1], numbers), self._value(node[2], numbers)
        if kind == "+":
            return left + right
        if kind == "-":
            return left - right
        if kind == "*":
            return left * right
        if right == 0:
            raise RowError(NUMBER, f'"{self.text}" divides by zero')
        return left / right
