"""An index of which is seen what its database does for it: the plans it really takes, and how many rows it looks at.

Both databases are asked for what they did and not for what they would do: PostgreSQL plans otherwise for a cursor and
for a statement that it has met five times.
"""

from __future__ import annotations

import json
import re
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sqlalchemy import create_engine, event, make_url

from pacsd.index.repository import Index
from pacsd.model import DuplicatePolicy

if TYPE_CHECKING:
    from collections.abc import Iterator

_EXPLAINED = " ".join(
    f"-c {option}"
    for option in (
        "session_preload_libraries=auto_explain",
        "auto_explain.log_min_duration=0",
        "auto_explain.log_analyze=on",
        "auto_explain.log_timing=off",
        "auto_explain.log_format=json",
        "client_min_messages=log",
    )
)
_STEPS_A_ROW = 10
"""Of SQLite's virtual machine; hardly a row is looked at in fewer."""
_PARTIAL = ("_inexact", "_said")
"""How the names of indices end that have few rows in them: all of those are wanted."""
_SMALL = re.compile(r"SCAN (CONSTANT ROW|\(|anon_|\d|(disputed|series_1) USING INDEX ix_series_said)")
"""Values that the statement brings itself, or a few below one row: no table; or an index that has few rows in it."""


@dataclass(slots=True)
class Watched:
    """What was seen since `forget`."""

    index: Index
    url: str
    looked_at: int = 0
    """Rows; on SQLite its steps, in units of what one takes."""
    statements: list[str] = field(default_factory=list)
    """On SQLite, with their values."""
    plans: list[dict[str, Any]] = field(default_factory=list)
    """On PostgreSQL."""

    def forget(self) -> None:
        """Begin anew; what the index has prepared stays."""
        self.looked_at = 0
        self.statements.clear()
        self.plans.clear()

    def read_whole(self) -> list[str]:
        """The steps in which a table or an index was read from one end to the other."""
        whole = [
            f"{node['Node Type']} of {node['Relation Name']}"
            for plan in self.plans
            for node in _nodes(plan)
            if _reads_whole(node)
        ]
        return whole + [step for statement in self.statements for step in self._scans(statement)]

    def _scans(self, statement: str) -> list[str]:
        engine = create_engine(self.url)
        with engine.connect() as connection:
            steps = [row.detail for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}")]
        engine.dispose()
        return [step for step in steps if step.startswith("SCAN") and not _SMALL.match(step)]

    def notice(self, diagnostic: Any) -> None:
        """Take what PostgreSQL tells of a statement at its end."""
        _, _, plan = diagnostic.message_primary.partition("plan:")
        if plan:
            self.plans.append(json.loads(plan)["Plan"])
            self.looked_at += sum(map(_rows, _nodes(self.plans[-1])))

    def trace(self, statement: str) -> None:
        """Take a statement as SQLite begins it."""
        if statement.startswith(("SELECT", "WITH", "INSERT", "UPDATE", "DELETE")):
            self.statements.append(statement)

    def step(self) -> int:
        """Count what one row takes SQLite."""
        self.looked_at += 1
        return 0


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for below in plan.get("Plans", ()):
        yield from _nodes(below)


def _reads_whole(node: dict[str, Any]) -> bool:
    if node["Node Type"] in {"Index Scan", "Index Only Scan"}:
        return "Index Cond" not in node and not node["Index Name"].endswith(_PARTIAL)
    return bool(node["Node Type"] == "Seq Scan")


def _rows(node: dict[str, Any]) -> int:
    if "Relation Name" not in node or node["Node Type"] == "ModifyTable":
        return 0
    removed = node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Index Recheck", 0)
    return int((node["Actual Rows"] + removed) * node["Actual Loops"])


@contextmanager
def watched(url: str) -> Iterator[Watched]:
    """Open an index whose database tells what it does."""
    if url.startswith("postgresql"):
        url = make_url(url).update_query_dict({"options": _EXPLAINED}).render_as_string(hide_password=False)
    seen = Watched(Index(url, duplicates=DuplicatePolicy.KEEP_FIRST), url)

    def listen(connection: Any, _entry: Any) -> None:
        if url.startswith("postgresql"):
            connection.add_notice_handler(seen.notice)
        else:
            connection.set_trace_callback(seen.trace)
            connection.set_progress_handler(seen.step, _STEPS_A_ROW)

    engines = (seen.index._reading, seen.index._writing)
    for engine in engines:
        event.listen(engine, "connect", listen)
    try:
        yield seen
    finally:
        seen.index.dispose()
