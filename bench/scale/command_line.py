"""The command line: which databases and sizes, made or taken from a folder, and the report."""

from __future__ import annotations

import argparse
import contextlib
import datetime as dt
import json
import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from sqlalchemy import create_engine

from harness import entries, query
from harness.comparison import log
from harness.errors import ServerError, WireError
from harness.report import Row, Section, document, median_of
from harness.server import running
from pacsd.index import migrations
from scale import postgres
from scale.archive import Archive
from scale.filling import fill
from scale.questions import questions

_DATABASES = ("sqlite", "postgresql")
_FIGURES = ("qps", "responses_s", "p50_ms", "p99_ms", "first_ms", "cpu_ms_per_query", "matches_per_query")
_COLUMNS = (
    ("database", "database"),
    ("studies", "studies"),
    ("qps", "queries/s"),
    ("of_smallest", "of the smallest's"),
    ("responses_s", "responses/s"),
    ("p50_ms", "p50 ms"),
    ("p99_ms", "p99 ms"),
    ("first_ms", "first ms"),
    ("cpu_ms_per_query", "CPU ms/query"),
    ("matches_per_query", "matches"),
    ("match_count", "match count"),
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
    sizes = sorted(int(each) for each in argument.split(","))
    for studies in sizes:
        Archive(studies)
    return sizes


def _databases(argument: str) -> list[str]:
    names = argument.split(",")
    if not set(names) <= set(_DATABASES):
        raise argparse.ArgumentTypeError(f"of {', '.join(_DATABASES)}, not {argument!r}")
    return names


@contextlib.contextmanager
def _kept_in(folder: Path | None) -> Iterator[Path]:
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        yield folder.resolve()
        return
    temporary = Path(tempfile.mkdtemp(prefix="bench-index-"))
    try:
        temporary.chmod(0o755)  # postgres is another user
        yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextlib.contextmanager
def _filled(database: str, studies: int, folder: Path) -> Iterator[str]:
    """Yield the URL of a filled database, which is made if it is not there."""
    if database == "sqlite":
        path = folder / f"index-{studies}.db"
        if not path.exists():
            unfinished = path.with_suffix(".unfinished")
            for left in folder.glob(f"{unfinished.name}*"):
                left.unlink()
            _fill(f"sqlite:///{unfinished}", studies, database)
            unfinished.rename(path)
        yield f"sqlite:///{path}"
        return
    with postgres.running(folder / "postgresql") as where:
        name, unfinished_name = f"index_{studies}", f"unfinished_{studies}"
        maintenance = create_engine(postgres.database_url("postgres", where), isolation_level="AUTOCOMMIT")
        with maintenance.connect() as connection:
            known = connection.exec_driver_sql("SELECT datname FROM pg_database").scalars().all()
            if name not in known:
                connection.exec_driver_sql(f"DROP DATABASE IF EXISTS {unfinished_name}")
                connection.exec_driver_sql(f"CREATE DATABASE {unfinished_name} TEMPLATE template0")
                _fill(postgres.database_url(unfinished_name, where), studies, database)
                connection.exec_driver_sql(f"ALTER DATABASE {unfinished_name} RENAME TO {name}")
        maintenance.dispose()
        url = postgres.database_url(name, where)
        migrations.upgrade(url)  # an older pacsd may have made it; on SQLite the server itself does this
        yield url


def _fill(url: str, studies: int, database: str) -> None:
    start = time.monotonic()
    fill(url, Archive(studies))
    log(f"  {database}, {studies} studies: filled in {time.monotonic() - start:.0f} s")


def _entry(url: str) -> entries.Entry:
    """Return pacsd with its default settings on this database."""
    known = entries.load_entries([entries.SERVERS_FILE])
    edit = {"find": "sqlite:///{storage_dir}/index.db", "replace": url}
    known["filled"] = {"name": "filled", "extends": "pacsd", "edit": {"pacsd.toml": edit}}
    return entries.resolve(known, "filled")


def _measure(url: str, archive: Archive, options: argparse.Namespace) -> dict[str, Row]:
    asked = questions(archive)
    with running(_entry(url), None) as server:
        rounds = [query.measure(server, asked, options.query_seconds) for _ in range(options.rounds)]
    found = {}
    for name in asked:
        rows = [each[name] for each in rounds]
        wrong = [wrong for row in rows for wrong in row["wrong"]][:3]
        found[name] = median_of(rows, _FIGURES) | {"match_count": wrong or "ok"}
    return found


def _cases(options: argparse.Namespace, folder: Path) -> dict[str, list[Row]]:
    cases: dict[str, list[Row]] = {}
    for database in options.databases:
        smallest: dict[str, Row] = {}
        for studies in options.studies:
            archive = Archive(studies)
            with _filled(database, studies, folder) as url:
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
        with _kept_in(options.folder) as folder:
            cases = _cases(options, folder)
    except (OSError, ServerError, WireError) as error:
        sys.exit(str(error))
    if cases:
        _report(
            Section("C-FIND on a generated index, one association", _COLUMNS, list(cases.items())), options
        )


def _report(section: Section, options: argparse.Namespace) -> None:
    meta = {
        "date": dt.datetime.now(tz=dt.UTC).isoformat(timespec="seconds"),
        "cpus": os.cpu_count(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "rounds": options.rounds,
    }
    head = (
        f"{meta['date']}; {meta['cpus']} CPUs, Linux {meta['kernel']}, Python {meta['python']}, "
        f"{options.rounds} round(s), medians\n"
    )
    text = head + document([section])
    print(text)
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        tables = [{"case": case, "rows": rows} for case, rows in section.cases]
        options.out.with_suffix(".md").write_text(text)
        options.out.with_suffix(".json").write_text(
            json.dumps({"meta": meta, "cases": tables}, indent=1) + "\n"
        )
