"""The parts `idle` and `durability`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness import idle, kills, syncs
from harness.comparison import Comparison, log
from harness.report import Row, Section, text, with_ratios
from harness.server import Server, running

if TYPE_CHECKING:
    from harness.entries import Entry

_IDLE_COLUMNS = (
    ("server", "server"),
    ("accepted_total", "accepted"),
    ("answer", "the rest of this step"),
    ("open_s", "open s"),
    ("cpu_s", "CPU s"),
    ("pss_mb", "PSS MB"),
    ("pss_growth_mb", "PSS growth MB"),
    ("rss_sum_mb", "RSS sum MB"),
    ("processes", "processes"),
    ("threads", "threads"),
    ("idle_cpu_percent", "idle CPU %"),
    ("echo_while_open_ms", "new C-ECHO ms"),
    ("cost_ratio", "target/peer memory growth"),
    ("failures", "failures"),
)
_SYNC_COLUMNS = (
    ("server", "server"),
    ("syncs_before_reply_per_instance", "before the reply, per instance"),
    ("file_synced_before_reply", "file synced"),
    ("index_synced_before_reply", "index synced"),
    ("directory_synced", "directory synced"),
    ("syncs_after_last_reply", "after the last reply"),
    ("order_of_one", "order for one instance"),
    ("failures", "failures"),
)
_KILL_COLUMNS = (
    ("server", "server"),
    ("kind", "kind"),
    ("trials", "kills"),
    ("acked", "acknowledged"),
    ("not_queryable", "not queryable"),
    ("not_retrievable", "not retrievable"),
    ("damaged", "damaged"),
    ("half_there", "unacknowledged, half there"),
    ("restart_s", "restart s"),
    ("failures", "failures"),
)


def idle_part(comparison: Comparison) -> Section:
    """Idle associations, a table for each number of them."""
    options = comparison.options
    section = Section("Idle associations", _IDLE_COLUMNS)
    by_step: dict[int, list[Row]] = {step: [] for step in options.idle}
    for entry in comparison.servers:

        def measure(entry: Entry = entry) -> Row:
            with running(entry, options.tmp, keep=options.keep) as server:
                return {"steps": idle.measure(server, options.idle)}

        row = comparison.guarded(entry, measure)
        for step, found in zip(options.idle, row.get("steps", [row] * len(options.idle)), strict=True):
            by_step[step].append(found | {"server": entry["name"]})
        held = [found["accepted_total"] for found in row.get("steps", [])]
        log(f"  idle {entry['name']}: {held} {row['failures'] or ''}")
    for step, rows in by_step.items():
        title = f"{step} idle association(s)"
        section.cases.append((title, with_ratios(rows, comparison.target, None, "pss_growth_mb")))
    return section


def syncs_part(comparison: Comparison) -> Section:
    """The syncs before each C-STORE response."""
    options, rows = comparison.options, []
    for entry in comparison.servers:

        def measure(entry: Entry = entry) -> Row:
            with running(entry, options.tmp, keep=options.keep) as server:
                return syncs.probe(server, options.tmp)

        row = comparison.guarded(entry, measure)
        log(f"  syncs {entry['name']}: {text(row.get('syncs_before_reply_per_instance'))}")
        rows.append(row | {"server": entry["name"]})
    cases = [("20 ct instances on one association", rows)]
    return Section("Syncs before the C-STORE response", _SYNC_COLUMNS, cases)


def kills_part(comparison: Comparison) -> Section:
    """What is left after `kill -9` under load."""
    options, rows = comparison.options, []
    for kind in options.kill_kinds:
        for entry in comparison.with_index():

            def measure(entry: Entry = entry, kind: str = kind) -> Row:
                return _kill_once(comparison, entry, kind)

            row = comparison.guarded(entry, measure) | {"server": entry["name"], "kind": kind}
            lost = [row.get(key) for key in ("not_queryable", "not_retrievable", "damaged")]
            log(
                f"  kill -9 {kind} {entry['name']}: {row.get('acked')} acked, lost {lost} {row['failures'] or ''}"
            )
            rows.append(row)
    title = f"{options.kills} kill(s) per server, {options.kill_assoc} associations"
    return Section("kill -9 under load", _KILL_COLUMNS, [(title, rows)])


def _kill_once(comparison: Comparison, entry: Entry, kind: str) -> Row:
    options = comparison.options
    server = Server(entry, options.tmp)
    try:
        return kills.probe(server, kind, options.kill_assoc, options.kills)
    finally:
        server.stop()
        server.remove()
