"""The parts `store` and `client`."""

from __future__ import annotations

import itertools
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from harness import clients, store
from harness.comparison import Comparison, log
from harness.instances import Instance, plan
from harness.query import missing_in_index
from harness.report import Row, Section, median_of, with_ratios
from harness.server import Server, running
from harness.templates import template

if TYPE_CHECKING:
    from harness.entries import Entry

_FIGURES = (
    "instances_s", "mb_s", "p50_ms", "p99_ms", "max_ms", "cpu_s_per_1000", "peak_pss_mb", "peak_rss_sum_mb",
    "max_vmhwm_mb", "seconds", "acked", "refused", "missing",
)  # fmt: skip
_COLUMNS = (
    ("server", "server"),
    ("instances_s", "inst/s"),
    ("mb_s", "MB/s"),
    ("p50_ms", "p50 ms"),
    ("p99_ms", "p99 ms"),
    ("cpu_s_per_1000", "CPU s/1000"),
    ("peak_pss_mb", "peak PSS MB"),
    ("max_vmhwm_mb", "VmHWM MB"),
    ("pdu", "PDU"),
    ("acked", "acked"),
    ("refused", "refused"),
    ("missing", "acked, not in index"),
    ("rate_ratio", "target/peer rate"),
    ("cost_ratio", "target/peer CPU"),
    ("failures", "failures"),
)
_COUNTS = {"small": 4000, "mr": 2000, "ct": 1000, "large": 8}


def _missing(server: Server, entry: Entry, lists: list[list[Instance]], acknowledged: set[str]) -> int | None:
    if entry.get("storage_only"):
        return None
    return missing_in_index(server, [each for mine in lists for each in mine], acknowledged)


def _rows(comparison: Comparison, rows: dict[str, list[Row]]) -> list[Row]:
    merged = [median_of(found, _FIGURES) | {"server": name} for name, found in rows.items()]
    return with_ratios(merged, comparison.target, "instances_s", "cpu_s_per_1000")


def store_part(comparison: Comparison) -> Section:
    """Replay of prepared C-STOREs, a table for each combination of kind, syntax, PDU, associations and TCP."""
    options = comparison.options
    section = Section("C-STORE replay", _COLUMNS)
    for kind, syntax, pdu, associations, tcp in itertools.product(
        options.kinds, options.syntax, options.pdu, options.assoc, options.ack
    ):
        load = store.Load(kind, syntax, pdu, tcp, options.max_seconds)
        rows: dict[str, list[Row]] = {entry["name"]: [] for entry in comparison.servers}
        for number, entry in comparison.rounds():

            def measure(
                entry: Entry = entry,
                load: store.Load = load,
                associations: int = associations,
                number: int = number,
            ) -> Row:
                return _replay_once(comparison, entry, load, associations, number)

            row = comparison.guarded(entry, measure)
            log(
                f"  store {kind} {syntax} pdu {pdu} x{associations} {tcp} round {number + 1} {entry['name']}: "
                f"{row.get('instances_s')}/s missing={row.get('missing')} {row['failures'] or ''}"
            )
            rows[entry["name"]].append(row)
        title = f"{kind}, {syntax}, PDU <= {pdu}, {associations} association(s), client ACK {tcp}"
        section.cases.append((title, _rows(comparison, rows)))
    return section


def _replay_once(
    comparison: Comparison, entry: Entry, load: store.Load, associations: int, number: int
) -> Row:
    options = comparison.options
    with running(entry, options.tmp, keep=options.keep) as server:
        lists = plan(options.count or _COUNTS[load.kind], associations, 100 + number)
        row, acknowledged = store.replay(server, load, lists)
        done = {uid for mine in acknowledged for uid in mine}
        return row | {"missing": _missing(server, entry, lists, done)}


def client_part(comparison: Comparison) -> Section:
    """The same files sent by copies of stock clients, start-up included."""
    options, kind = comparison.options, comparison.options.client_kind
    section = Section("C-STORE with stock clients", _COLUMNS)
    for associations in options.assoc:
        lists = plan(options.client_count, associations, 300)
        count = sum(map(len, lists))
        with tempfile.TemporaryDirectory(prefix="bench-files-", dir=options.tmp) as folder:
            folders = [
                template(kind).write_files(Path(folder) / str(number), mine)
                for number, mine in enumerate(lists)
            ]
            for client in options.clients:
                rows: dict[str, list[Row]] = {entry["name"]: [] for entry in comparison.servers}
                for number, entry in comparison.rounds():

                    def measure(
                        entry: Entry = entry,
                        client: str = client,
                        folders: list[Path] = folders,
                        lists: list[list[Instance]] = lists,
                    ) -> Row:
                        return _client_once(comparison, entry, client, folders, lists)

                    row = comparison.guarded(entry, measure)
                    log(
                        f"  {client} {kind} x{associations} round {number + 1} {entry['name']}: "
                        f"{row.get('instances_s')}/s {row['failures'] or ''}"
                    )
                    rows[entry["name"]].append(row)
                title = f"{associations} x {client}, {count} {kind} files, start-up and scan included"
                section.cases.append((title, _rows(comparison, rows)))
    return section


def _client_once(
    comparison: Comparison, entry: Entry, client: str, folders: list[Path], lists: list[list[Instance]]
) -> Row:
    options = comparison.options
    sent = {each.sop for mine in lists for each in mine}
    with running(entry, options.tmp, keep=options.keep) as server:
        row = clients.send_folders(server, client, options.client_kind, folders, len(sent))
        return row | {"missing": _missing(server, entry, lists, sent)}
