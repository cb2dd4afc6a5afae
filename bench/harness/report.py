"""Medians, percentiles, ratios and tables."""

from __future__ import annotations

import datetime as dt
import json
import os
import platform
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Row = dict[str, Any]
"""Figures by name; `failures` is always a list."""

Columns = Sequence[tuple[str, str]]
"""(name of the figure, title)."""


@dataclass
class Section:
    """The tables of one part: each case has a title and a row for each server."""

    title: str
    columns: Columns
    cases: list[tuple[str, list[Row]]] = field(default_factory=list)


def circumstances() -> dict[str, Any]:
    """Return what a report says of when and where it was measured."""
    return {
        "date": dt.datetime.now(tz=dt.UTC).isoformat(timespec="seconds"),
        "cpus": os.cpu_count(),
        "kernel": platform.release(),
        "python": platform.python_version(),
    }


def publish(text: str, content: dict[str, Any], prefix: Path | None) -> None:
    """Print a report, and write PREFIX.md and PREFIX.json where there is a prefix."""
    print(text)
    if prefix:
        prefix.parent.mkdir(parents=True, exist_ok=True)
        prefix.with_suffix(".md").write_text(text)
        prefix.with_suffix(".json").write_text(json.dumps(content, indent=1) + "\n")


def percentile(values: Iterable[float], fraction: float) -> float:
    """Return a percentile, interpolated between neighbours; of no values, 0."""
    ordered = sorted(values)
    if not ordered:
        return 0.0
    place = (len(ordered) - 1) * fraction
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def median_of(rows: Sequence[Row], keys: Iterable[str]) -> Row:
    """Return the first row with the medians of these figures over all rows, and all failures.

    The first row may be that of a failed round: whatever later rounds have besides is taken from them.
    """
    merged: Row = {}
    for row in reversed(rows):
        merged |= row
    for key in keys:
        if values := [row[key] for row in rows if _is_number(row.get(key))]:
            merged[key] = round(statistics.median(values), 3)
    merged["failures"] = sorted({failure for row in rows for failure in row.get("failures", [])})
    merged["rounds"] = len(rows)
    return merged


def with_ratios(rows: list[Row], target: str, rate: str | None = None, cost: str | None = None) -> list[Row]:
    """Add target / peer to every row of a case that the target is in too, and return the rows."""
    mine: Row = next((row for row in rows if row["server"] == target), {})
    for row in rows:
        for name, key in (("rate_ratio", rate), ("cost_ratio", cost)):
            if key and _is_number(mine.get(key)) and _is_number(row.get(key)) and row[key]:
                row[name] = round(mine[key] / row[key], 2)
    return rows


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def text(value: object) -> str:
    """Return a cell of a table: four digits, lists and counts in words, - for nothing."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    if isinstance(value, (list, tuple)):
        return "; ".join(text(each) for each in value)
    if isinstance(value, dict):
        return ", ".join(f"{key} x{text(count)}" for key, count in value.items()) or "none"
    return str(value)


def table(rows: Sequence[Row], columns: Columns) -> str:
    """Return a table in Markdown of those columns that any row has something for."""
    used = [(key, title) for key, title in columns if any(row.get(key) not in (None, [], "") for row in rows)]
    cells = [[title for _, title in used], *([text(row.get(key)) for key, _ in used] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
        for row in cells
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def document(sections: Iterable[Section]) -> str:
    """Return the tables of all parts in Markdown."""
    lines = []
    for section in sections:
        lines += ["", f"## {section.title}"]
        for title, rows in section.cases:
            lines += ["", f"### {title}", "", table(rows, section.columns)]
    return "\n".join(lines) + "\n"
