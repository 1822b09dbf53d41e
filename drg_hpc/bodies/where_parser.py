"""The grammar of ``--where``, see :mod:`drg_hpc.bodies.where`. Light."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from drg_hpc.errors import UsageError

_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_TOKEN = re.compile(
    rf"""\s*(?:(?P<number>{_NUMBER}(?![\w.:@]))|(?P<sign><=|>=|==|!=|<|>|=)|(?P<bracket>[()])"""
    r"""|(?P<quoted>"[^"]*"|'[^']*'|`[^`]*`)|(?P<word>[A-Za-z_][\w.:@]*))"""
)
_QUANTILE = re.compile(r"q(\d+(?:\.\d+)?)")
_WORDS = ("and", "or", "not")
_DEEPEST = 100


@dataclass(frozen=True)
class Name:
    """A column, or where it stands in quotes and there is no such column, a text."""

    text: str
    quoted: bool = False


@dataclass(frozen=True)
class Quantile:
    """Of the column on the other side, 0 to 100."""

    percent: float


Operand = Name | Quantile | float


@dataclass(frozen=True)
class Comparison:
    """``left sign right``."""

    left: Operand
    sign: str
    right: Operand


@dataclass(frozen=True)
class Not:
    """Not ``of``."""

    of: Condition


@dataclass(frozen=True)
class Joined:
    """``and`` or ``or`` of several."""

    word: str
    parts: tuple[Condition, ...]


Condition = Comparison | Not | Joined


def parse(text: str) -> Condition:
    """The condition that a text says.

    Raises
    ------
    UsageError : it is none; with the place where it ends to be one
    """
    parser = _Parser(text)
    found = parser.either(0)
    if parser.token:
        raise parser.fault("and, or, or the end")
    return found


class _Parser:
    """Recursive descent over tokens (kind, text, place)."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = [*self._cut(text), ("", "", len(text))]
        self._at = 0

    def _cut(self, text: str) -> Iterator[tuple[str, str, int]]:
        at, end = 0, len(text.rstrip())
        while at < end:
            match = _TOKEN.match(text, at)
            if match is None:
                hint = "column names with other characters stand in quotes or backticks"
                hint = "and, or, not are words" if text[at:].lstrip()[:1] in "&|!~" else hint
                raise UsageError(f"--where {text!r}: cannot read {text[at:].strip()[:20]!r}", fix=hint)
            kind = str(match.lastgroup)
            yield kind, match[kind], match.start(kind)
            at = match.end()

    @property
    def token(self) -> str:
        """The next token's text, as a word in small letters; empty at the end."""
        kind, text, _ = self._tokens[self._at]
        return text.lower() if kind == "word" and text.lower() in _WORDS else text

    def fault(self, wanted: str) -> UsageError:
        """The error for what stands here."""
        place = self._tokens[self._at][2]
        found = repr(self._text[place:].strip()[:20]) if self.token else "the end"
        return UsageError(f"--where {self._text!r}: {wanted} is needed where {found} stands")

    def either(self, depth: int) -> Condition:
        """Parts joined by ``or``."""
        return self._joined("or", self._both, depth)

    def _both(self, depth: int) -> Condition:
        return self._joined("and", self._single, depth)

    def _joined(self, word: str, part: Callable[[int], Condition], depth: int) -> Condition:
        parts = [part(depth)]
        while self.token == word:
            self._at += 1
            parts.append(part(depth))
        return parts[0] if len(parts) == 1 else Joined(word, tuple(parts))

    def _single(self, depth: int) -> Condition:
        if depth > _DEEPEST:
            raise UsageError(f"--where: more than {_DEEPEST} levels of parentheses and not")
        if self.token == "not":
            self._at += 1
            return Not(self._single(depth + 1))
        if self.token == "(":
            self._at += 1
            found = self.either(depth + 1)
            if self.token != ")":
                raise self.fault("')'")
            self._at += 1
            return found
        return self._comparison()

    def _comparison(self) -> Condition:
        """``a < b``, or ``a < b < c``, which is ``a < b and b < c``."""
        left, found = self._operand(), list[Condition]()
        while self._tokens[self._at][0] == "sign" or not found:
            if self._tokens[self._at][0] != "sign":
                raise self.fault("a comparison such as >")
            sign = "==" if self.token == "=" else self.token
            self._at += 1
            right = self._operand()
            found.append(Comparison(left, sign, right))
            left = right
        return found[0] if len(found) == 1 else Joined("and", tuple(found))

    def _operand(self) -> Operand:
        kind, text, _ = self._tokens[self._at]
        if kind not in ("number", "quoted", "word") or (kind == "word" and self.token in _WORDS):
            raise self.fault("a column or a number")
        self._at += 1
        if kind == "number":
            return float(text)
        if kind == "quoted":
            return Name(text[1:-1], quoted=text[0] != "`")
        match = _QUANTILE.fullmatch(text)
        if match is None:
            return Name(text)
        if float(match[1]) > 100:
            raise UsageError(f"--where {self._text!r}: {text}: quantiles go from q0 to q100")
        return Quantile(float(match[1]))
