"""Where an error stands in a plan file: the line of an entry, a table, a row."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["AtLine", "Lines", "located", "where"]


class AtLine(ValueError):
    """An error at a line of the file."""

    def __init__(self, text: str, line: int | None) -> None:
        super().__init__(text)
        self.line = line


def where(error: Exception) -> str:
    line = getattr(error, "line", None)
    return "" if line is None else f", line {line}"


class Lines:
    """Where the tables of a plan file begin."""

    def __init__(self, text: str, kind: str) -> None:
        self._text, self._kind = text, kind
        self._found: dict[str, list[int]] = {}

    def of(self, table: str, number: int) -> int | None:
        """The line of the table's entry, counted from 0; None if it is not found."""
        if table not in self._found:
            find = self._in_toml if self._kind == ".toml" else self._in_json
            self._found[table] = find(table)
        lines = self._found[table]
        return lines[number] if number < len(lines) else None

    def _in_toml(self, table: str) -> list[int]:
        header = re.compile(rf"\s*\[\[\s*{table}\s*\]\]")
        lines = enumerate(self._text.splitlines(), 1)
        return [number for number, line in lines if header.match(line)]

    def entry(self, key: str) -> int | None:
        """The line of an entry or table at the top."""
        if self._kind == ".json":
            return next((line for name, line, _ in self._members() if name == key), None)
        name = re.escape(key)
        found = re.search(rf"(?m)^[ \t]*(?:\"?{name}\"?[ \t]*=|\[[ \t]*{name}\b)", self._text)
        return None if found is None else self._line(found.start())

    def _line(self, at: int) -> int:
        return 1 + self._text.count("\n", 0, at)

    def _members(self) -> Iterator[tuple[str, int, int]]:
        """The entries of a JSON object: key, line, and where the value begins."""
        decoder, at = json.JSONDecoder(), 0
        separator = re.compile(r"\s*[{,]\s*")
        while (begin := separator.match(self._text, at)) is not None:
            try:
                key, stop = decoder.raw_decode(self._text, begin.end())
                colon = re.compile(r"\s*:\s*").match(self._text, stop)
                if colon is None:
                    return
                yield key, self._line(begin.end()), colon.end()
                _, at = decoder.raw_decode(self._text, colon.end())
            except (ValueError, RecursionError):
                return

    def _in_json(self, table: str) -> list[int]:
        start = next((at for key, _, at in self._members() if key == table), None)
        return [] if start is None else [line for line, _ in self._rows(start)]

    def _rows(self, start: int) -> Iterator[tuple[int, int]]:
        """The rows of a JSON list: line, and where the row begins."""
        decoder, line, seen = json.JSONDecoder(), 1, 0
        separator, at = re.compile(r"\s*[\[,]\s*"), start
        while (begin := separator.match(self._text, at)) is not None:
            line += self._text.count("\n", seen, begin.end())
            seen = begin.end()
            try:
                _, at = decoder.raw_decode(self._text, seen)
            except ValueError:
                return
            yield line, seen

    def refused(self, decoder: json.JSONDecoder) -> int | None:
        """The line of the first entry of a JSON object, or of its first row, that is refused."""
        keys: set[str] = set()
        for key, line, start in self._members():
            rows = list(self._rows(start)) if self._text.startswith("[", start) else []
            for at_row, begin in [*rows, (line, start)]:
                try:
                    decoder.raw_decode(self._text, begin)
                except ValueError:
                    return at_row
            if key in keys:
                return line
            keys.add(key)
        return None


@contextmanager
def located(lines: Lines, table: str, number: int | None = None, what: str = "") -> Iterator[None]:
    """Let errors name the line of an entry at the top, or of one row of a table."""
    try:
        yield
    except AtLine:
        raise
    except (ValueError, TypeError) as error:
        line = None if number is None else lines.of(table, number)
        line = lines.entry(table) if line is None else line
        raise AtLine(f"{what}{error}", line) from error
