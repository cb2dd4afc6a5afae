"""The parts `find` and `retrieve`."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from harness import query, retrieve, store
from harness.comparison import Comparison, log
from harness.instances import KINDS, plan
from harness.report import Row, Section, median_of, with_ratios
from harness.server import Destination, running
from harness.study_index import Query, StudyIndex

if TYPE_CHECKING:
    from harness.entries import Entry

_FIND_COLUMNS = (
    ("server", "server"),
    ("qps", "queries/s"),
    *query.ANSWER_COLUMNS,
    ("acked", "filled"),
    ("instances_s", "fill inst/s"),
    ("rate_ratio", "target/peer rate"),
    ("cost_ratio", "target/peer CPU"),
    ("failures", "failures"),
)
_RETRIEVE_FIGURES = ("instances_s", "mb_s", "cpu_s_per_1000", "instances", "seconds")
_RETRIEVE_COLUMNS = (
    ("server", "server"),
    ("instances_s", "inst/s"),
    ("mb_s", "MB/s"),
    ("cpu_s_per_1000", "CPU s/1000"),
    ("instances", "received"),
    ("content_equal", "content equal"),
    ("rate_ratio", "target/peer rate"),
    ("cost_ratio", "target/peer CPU"),
    ("failures", "failures"),
)


def find_part(comparison: Comparison) -> Section:
    """C-FIND on an index of so many studies, a table for each sort of query."""
    section = Section("C-FIND", _FIND_COLUMNS)
    for studies in comparison.options.studies:
        index = StudyIndex(studies)
        queries = index.queries()
        fills: list[Row] = []
        answers: dict[str, list[Row]] = {name: [] for name in queries}
        for entry in comparison.with_index():
            if studies > entry.get("max_studies", studies):
                reason = f"not run: it holds at most {entry['max_studies']} studies"
                fills.append({"server": entry["name"], "failures": [reason]})
                continue

            def measure(
                entry: Entry = entry,
                index: StudyIndex = index,
                queries: Mapping[str, Sequence[Query]] = queries,
            ) -> Row:
                return _find_once(comparison, entry, index, queries)

            row = comparison.guarded(entry, measure)
            fill = row.get("fill", {}) | {"server": entry["name"]}
            fills.append({key: fill.get(key) for key in ("server", "acked", "instances_s", "failures")})
            log(
                f"  find {studies} studies {entry['name']}: filled {fill.get('acked')} {row['failures'] or ''}"
            )
            for name, found in row.get("answers", {}).items():
                answers[name].append(_answer_row(found) | {"server": entry["name"]})
        title = f"filling {studies} studies ({len(index.instances)} instances)"
        section.cases.append((title, with_ratios(fills, comparison.target, "instances_s")))
        for name, rows in answers.items():
            with_ratios(rows, comparison.target, "qps", "cpu_ms_per_query")
            section.cases.append((f"{name}, {studies} studies", rows))
    return section


def _find_once(
    comparison: Comparison, entry: Entry, index: StudyIndex, queries: Mapping[str, Sequence[Query]]
) -> Row:
    options = comparison.options
    with running(entry, options.tmp, keep=options.keep) as server:
        fill = index.fill(server, options.fill_seconds, options.fill_assoc)
        rounds = [query.measure(server, queries, options.query_seconds) for _ in range(options.rounds)]
    return {"fill": fill, "answers": {name: [each[name] for each in rounds] for name in queries}}


def _answer_row(rounds: Sequence[Row]) -> Row:
    merged = median_of(rounds, query.FIGURES)
    return merged | {"match_count": [wrong for row in rounds for wrong in row["wrong"]][:3] or "ok"}


def retrieve_part(comparison: Comparison) -> Section:
    """C-GET and C-MOVE of one study."""
    section = Section("C-GET and C-MOVE of one study", _RETRIEVE_COLUMNS)
    by_operation: dict[str, list[Row]] = {}
    for entry in comparison.with_index():

        def measure(entry: Entry = entry) -> Row:
            return {"found": _retrieve_once(comparison, entry)}

        row = comparison.guarded(entry, measure)
        for operation, rows in row.get("found", {}).items():
            merged = median_of(rows, _RETRIEVE_FIGURES) | {"server": entry["name"]}
            log(f"  {operation} {entry['name']}: {merged['instances_s']}/s {merged['failures'] or ''}")
            by_operation.setdefault(operation, []).append(merged)
    for operation, rows in by_operation.items():
        with_ratios(rows, comparison.target, "instances_s", "cpu_s_per_1000")
        section.cases.append((operation, rows))
    return section


def _retrieve_once(comparison: Comparison, entry: Entry) -> dict[str, list[Row]]:
    options, repeats = comparison.options, range(comparison.options.rounds * 3)
    found: dict[str, list[Row]] = {}
    with (
        contextlib.closing(Destination(options.tmp)) as destination,
        running(entry, options.tmp, destination_port=destination.port, keep=options.keep) as server,
    ):
        for kind in options.retrieve_kinds:
            instances = plan(options.retrieve_count, 1, 500, list(KINDS).index(kind))[0]
            store.replay(server, store.Load(kind, max_seconds=120.0), [instances])
            study, count = instances[0].study, len(instances)
            equal = retrieve.check_content(server, kind, instances[count // 3])
            found[f"C-GET {count} x {kind}"] = [
                retrieve.measure_get(server, study, count) | {"content_equal": equal} for _ in repeats
            ]
            found[f"C-MOVE {count} x {kind}"] = [
                retrieve.measure_move(server, destination, study, count) for _ in repeats
            ]
    return found
