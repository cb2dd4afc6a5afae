"""Where in a TOML text each key stands, so that an error can name the line."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["KeyPath", "key_lines"]

KeyPath = tuple[str | int, ...]
"""Keys from the top; an element of an array of tables is a number, from 0."""


def key_lines(text: str) -> dict[KeyPath, int]:
    """The line (from 1) of each key and table of `text`, which must be valid TOML."""
    lines: dict[KeyPath, int] = {}
    counts: dict[KeyPath, int] = {}
    table: KeyPath = ()
    for number, statement, parsed in _statements(text):
        if statement.startswith("["):
            table = _header(parsed, counts, starts_element=statement.startswith("[["))
            lines.setdefault(table, number)
            continue
        for path in _paths(parsed):
            lines.setdefault(table + path, number)
    return lines


def _statements(text: str) -> Iterator[tuple[int, str, Mapping[str, Any]]]:
    """Each key with its value, or header: its first line, itself and what it parses to.

    Where a statement ends is left to the TOML parser: lines are added until it is satisfied.
    """
    start, statement = 1, ""
    for number, line in enumerate(text.splitlines(), 1):
        if not statement:
            start = number
        statement += line + "\n"
        try:
            parsed = tomllib.loads(statement)
        except tomllib.TOMLDecodeError:
            continue
        if parsed:
            yield start, statement.lstrip(), parsed
        statement = ""


def _header(parsed: Mapping[str, Any], counts: dict[KeyPath, int], *, starts_element: bool) -> KeyPath:
    """The path that a `[table]` or `[[array of tables]]` header opens; `counts` holds the arrays so far."""
    path: KeyPath = ()
    value: Any = parsed
    while value:
        if isinstance(value, list):
            value = value[0]
            continue
        (key, value), *_ = value.items()
        path += (key,)
        is_new = starts_element and value == [{}]
        if is_new:
            counts[path] = counts.get(path, 0) + 1
        if path in counts:
            path += (counts[path] - 1,)
        if is_new:
            break
    return path


def _paths(parsed: Mapping[str, Any]) -> Iterator[KeyPath]:
    for key, value in parsed.items():
        yield (key,)
        for child in _children(value):
            yield (key, *child)


def _children(value: object) -> Iterator[KeyPath]:
    if isinstance(value, Mapping):
        yield from _paths(value)
    elif isinstance(value, list):
        for position, element in enumerate(value):
            yield (position,)
            for child in _children(element):
                yield (position, *child)
