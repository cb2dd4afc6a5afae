"""The command line: which databases and sizes, what is asked of each, and the report."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from harness import entries, query
from harness.comparison import log
from harness.errors import ServerError, WireError
from harness.report import Row, Section, circumstances, document, median_of, publish
from harness.server import running
from pacsd.errors import PacsdError
from scale.archive import Archive
from scale.databases import DATABASES, filled, kept_in
from scale.questions import questions

_COLUMNS = (
    ("database", "database"),
    ("studies", "studies"),
    ("qps", "queries/s"),
    ("of_smallest", "of the smallest's"),
    *query.ANSWER_COLUMNS,
    ("failures", "failures"),
)


def parser() -> argparse.ArgumentParser:
    """Return the parser; lists are comma-separated."""
    top = argparse.ArgumentParser(description="C-FIND on generated indices; see bench/README.md.")
    top.add_argument("--studies", type=_sizes, default="10000,100000,1000000", help="sizes of the archive")
    top.add_argument("--databases", type=_databases, default="sqlite,postgresql")
    top.add_argument(
        "--rounds", type=int, default=3, help="of each size and database; tables have the medians"
    )
    top.add_argument("--query-seconds", type=float, default=2.0, help="for each sort of query in a round")
    top.add_argument(
        "--folder",
        type=Path,
        help="keep the databases here, and take those that are (else they are removed); "
        "run as root, it must be one that the user postgres may enter",
    )
    top.add_argument("--fill-only", action="store_true", help="make the databases and ask nothing")
    top.add_argument("--out", type=Path, help="prefix of the report's files (.md and .json)")
    return top


def _sizes(argument: str) -> list[int]:
    try:
        return sorted(Archive(int(each)).studies for each in argument.split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _databases(argument: str) -> list[str]:
    names = argument.split(",")
    if not set(names) <= set(DATABASES):
        raise argparse.ArgumentTypeError(f"of {', '.join(DATABASES)}, not {argument!r}")
    return names


def _entry(url: str) -> entries.Entry:
    """Return pacsd with its default settings on this database."""
    known = entries.load_entries([entries.SERVERS_FILE])
    edit = {"find": "sqlite:///{storage_dir}/index.db", "replace": url}
    # The index was filled without a store, which a start would refuse.
    adopt = ["{python} -m pacsd adopt store --config {work_dir}/pacsd.toml"]
    known["filled"] = {"name": "filled", "extends": "pacsd", "edit": {"pacsd.toml": edit}, "prepare": adopt}
    return entries.resolve(known, "filled")


def _measure(url: str, archive: Archive, options: argparse.Namespace) -> dict[str, Row]:
    asked = questions(archive)
    with running(_entry(url), None) as server:
        rounds = [query.measure(server, asked, options.query_seconds) for _ in range(options.rounds)]
    found = {}
    for name in asked:
        rows = [each[name] for each in rounds]
        wrong = [wrong for row in rows for wrong in row["wrong"]][:3]
        found[name] = median_of(rows, query.FIGURES) | {"match_count": wrong or "ok"}
    return found


def _cases(options: argparse.Namespace, folder: Path) -> dict[str, list[Row]]:
    cases: dict[str, list[Row]] = {}
    for database in options.databases:
        smallest: dict[str, Row] = {}
        for studies in options.studies:
            archive = Archive(studies)
            with filled(database, archive, folder) as url:
                if options.fill_only:
                    continue
                log(f"  {database}, {studies} studies: asking")
                found = _measure(url, archive, options)
            for name, row in found.items():
                base = smallest.setdefault(name, row).get("qps")
                row |= {"database": database, "studies": studies}
                row["of_smallest"] = round(row["qps"] / base, 2) if base and row.get("qps") else None
                cases.setdefault(name, []).append(row)
    return cases


def main(arguments: Sequence[str] | None = None) -> None:
    """Fill, ask, and print the tables."""
    options = parser().parse_args(arguments)
    try:
        with kept_in(options.folder) as folder:
            cases = _cases(options, folder)
    except (OSError, PacsdError, ServerError, WireError) as error:
        sys.exit(str(error))
    if cases:
        _report(
            Section("C-FIND on a generated index, one association", _COLUMNS, list(cases.items())), options
        )


def _report(section: Section, options: argparse.Namespace) -> None:
    meta = circumstances() | {"rounds": options.rounds}
    head = (
        f"{meta['date']}; {meta['cpus']} CPUs, Linux {meta['kernel']}, Python {meta['python']}, "
        f"{options.rounds} round(s), medians\n"
    )
    text = head + document([section])
    tables = [{"case": case, "rows": rows} for case, rows in section.cases]
    publish(text, {"meta": meta, "cases": tables}, options.out)
