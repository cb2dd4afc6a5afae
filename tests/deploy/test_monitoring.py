"""Alerts, their tests, dashboard and handbook ask for what a running server really exports, label values included."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from pacsd.settings import ServerSettings
from support import counted
from support.grafana import deployed_panels
from support.prometheus import DEPLOYED, deployed_alerts
from support.server import PacsdServer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client.samples import Sample

ALERTS = deployed_alerts()
PANELS = deployed_panels()
HANDBOOK = (Path(__file__).parents[2] / "docs" / "monitoring.md").read_text()
TOO_MUCH_MB = 10**8
MATCHER = re.compile(r'(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"')


def _asked() -> Iterator[tuple[str, str]]:
    """Where something is asked, and what: each expression and each series."""
    for rule in ALERTS:
        yield rule["alert"], rule["expr"]
    for file in sorted(DEPLOYED.glob("*_test.yml")):
        for test in yaml.safe_load(file.read_text())["tests"]:
            for series in test["input_series"]:
                yield f"{file.name}, {test['name']}", series["series"]
    for panel in PANELS:
        for target in panel["targets"]:
            yield panel["title"], target["expr"]


def _selectors() -> list[tuple[str, str, str]]:
    """Where it stands, the name of the time series, and what its labels have to be."""
    return sorted(
        {
            (where, name, matchers)
            for where, expression in _asked()
            for name, matchers in re.findall(r"\b(pacsd_\w+|up\b)(?:\{([^}]*)\})?", expression)
        }
    )


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> list[Sample]:
    """What a server says that has done one of everything, and then was told to keep more free than there is."""
    server = PacsdServer(tmp_path_factory.mktemp("monitored"), peers=counted.PEERS, settings=counted.SETTINGS)
    server.start()
    try:
        counted.count_everything(server)
        server.configure(
            peers=counted.PEERS,
            settings={**counted.SETTINGS, "storage": {"min_free_mb": TOO_MUCH_MB}},
        )
        assert "configuration-reloaded" in server.reload()
        refused = counted.store(server, counted.instance(99), calling=counted.STRANGER)
        assert refused.status == 0xA700
        text = server.get("/metrics").text
    finally:
        server.stop()
    return [
        sample
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if not sample.name.endswith("_created")
    ]


def _matches(sample: Sample, name: str, matchers: str) -> bool:
    """As Prometheus matches: expressions have to match all of a value, and a label that is not there is empty."""
    tests = {
        "=": lambda value, wanted: value == wanted,
        "!=": lambda value, wanted: value != wanted,
        "=~": lambda value, wanted: re.fullmatch(wanted, value) is not None,
        "!~": lambda value, wanted: re.fullmatch(wanted, value) is None,
    }
    return sample.name == name and all(
        tests[operator](sample.labels.get(label, ""), wanted)
        for label, operator, wanted in MATCHER.findall(matchers)
    )


def _names_labels_it_has(sample: Sample, matchers: str) -> bool:
    return {label for label, _, _ in MATCHER.findall(matchers)} <= set(sample.labels)


@pytest.mark.parametrize(("where", "name", "matchers"), _selectors())
def test_each_selector_matches_what_was_counted(
    exported: list[Sample], where: str, name: str, matchers: str
) -> None:
    if name == "up":  # Prometheus' own
        (job,) = yaml.safe_load((DEPLOYED / "prometheus.yml").read_text())["scrape_configs"]
        assert MATCHER.findall(matchers) == [("job", "=", job["job_name"])]
        return
    found = [
        each for each in exported if _matches(each, name, matchers) and _names_labels_it_has(each, matchers)
    ]
    assert found, f"{where} asks for {name}{{{matchers}}}, which no server exports"
    if matchers and "_test.yml" not in where and not name.endswith(("_seconds", "_ready")):
        assert any(each.value for each in found), "nothing was ever counted there"


def test_a_selector_of_what_is_not_exported_is_told(exported: list[Sample]) -> None:
    """Other values and other labels alike: the test above can fail."""
    counter = "pacsd_operations_total"
    for matchers in ('service="store"', 'service="C-STORE",status="B000"', 'status!~".*"', 'status=~"A7"'):
        assert not any(_matches(each, counter, matchers) for each in exported)
    assert not any(_names_labels_it_has(each, 'services!="x"') for each in exported if each.name == counter)


def test_a_silent_process_is_told_of_before_it_is_killed() -> None:
    """That is after twice `server.beat_timeout`, and then nothing stands still any more."""
    (rule,) = (rule for rule in ALERTS if rule["alert"] == "PacsdStandstill")
    intervals = yaml.safe_load((DEPLOYED / "prometheus.yml").read_text())["global"]
    seconds = [rule["expr"].rpartition("> ")[2], rule.get("for", "0s").removesuffix("s")]
    seconds += [intervals[each].removesuffix("s") for each in ("scrape_interval", "evaluation_interval")]
    assert sum(map(float, seconds)) <= 2 * ServerSettings().beat_timeout


def _rows(heading: str) -> dict[str, list[str]]:
    """The further cells of a table of the handbook by what its rows are about."""
    section = HANDBOOK.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    cells = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in section.splitlines()
        if line.startswith("| `")
    ]
    rows = {name.strip("`"): further for name, *further in cells}
    assert len(rows) == len(cells), "one row each"
    return rows


def test_the_handbook_says_of_each_metric_what_it_means_and_what_to_do(exported: list[Sample]) -> None:
    labels: dict[str, set[str]] = {}
    for sample in exported:
        name = re.sub(r"_(bucket|sum|count)$", "", sample.name)
        labels.setdefault(name, set()).update(set(sample.labels) - {"le"})
    rows = _rows("Metrics")
    assert set(rows) == set(labels)
    for name, (of_row, means, do) in rows.items():
        assert set(re.findall(r"`(\w+)`", of_row)) == labels[name]
        assert means
        assert do


def test_the_handbook_says_of_each_alert_what_to_do() -> None:
    rows = _rows("Alerts")
    assert list(rows) == [rule["alert"] for rule in ALERTS], "in the order of alerts.yml"
    for rule in ALERTS:
        severity, means, do = rows[rule["alert"]]
        assert severity == rule["labels"]["severity"]
        assert means
        assert do


def test_the_dashboard_shows_each_metric(exported: list[Sample]) -> None:
    asked = " ".join(target["expr"] for panel in PANELS for target in panel["targets"])
    names = {re.sub(r"_(bucket|sum|count)$", "", sample.name) for sample in exported}
    assert {name for name in names if not re.search(rf"\b{name}(_bucket|_sum|_count)?\b", asked)} == set()
