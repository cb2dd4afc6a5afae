"""Grafana's provisioning files and dashboard are what Grafana documents, and fit the containers around them."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from support.grafana import DASHBOARD, Dashboard, DataSources, Panel, Providers, Row

ROOT = Path(__file__).parents[2]
GRAFANA = ROOT / "deploy" / "grafana"
PROVISIONING = GRAFANA / "provisioning"
SERVICES = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]


def _data_sources() -> DataSources:
    text = (PROVISIONING / "datasources" / "prometheus.yml").read_text()
    return DataSources.model_validate(yaml.safe_load(text))


def _rows_and_panels() -> list[Row | Panel]:
    return Dashboard.model_validate_json(DASHBOARD.read_text()).panels


def _panels() -> list[Panel]:
    return [each for each in _rows_and_panels() if isinstance(each, Panel)]


def _mounts() -> dict[str, Path]:
    """The folders of the checkout that Grafana's container sees, by their paths there."""
    parts = [mount.split(":") for mount in SERVICES["grafana"]["volumes"]]
    return {part[1]: (ROOT / part[0]).resolve() for part in parts if part[0].startswith(".")}


def test_the_schema_tells_a_misspelt_key() -> None:
    with pytest.raises(ValidationError, match="refreshh"):
        Dashboard.model_validate_json(DASHBOARD.read_text().replace('"refresh"', '"refreshh"'))


def test_it_finds_its_provisioning_where_it_looks() -> None:
    assert _mounts()["/etc/grafana/provisioning"] == PROVISIONING


def test_the_dashboards_are_looked_for_where_they_are() -> None:
    text = (PROVISIONING / "dashboards" / "pacsd.yml").read_text()
    for provider in Providers.model_validate(yaml.safe_load(text)).providers:
        assert _mounts()[provider.options.path] == DASHBOARD.parent


def test_the_data_source_is_the_prometheus_beside_it() -> None:
    (source,) = _data_sources().datasources
    assert source.is_default
    inside = SERVICES["prometheus"]["ports"][0].rpartition(":")[2]
    assert source.url == f"http://prometheus:{inside}"


def test_each_panel_asks_the_provisioned_data_source() -> None:
    known = {source.uid for source in _data_sources().datasources}
    for panel in _panels():
        assert {panel.datasource.uid, *(target.datasource.uid for target in panel.targets)} <= known


def test_panels_and_their_questions_are_told_apart() -> None:
    everything = _rows_and_panels()
    assert (
        len({each.id for each in everything}) == len({each.title for each in everything}) == len(everything)
    )
    for panel in _panels():
        assert len({target.ref_id for target in panel.targets}) == len(panel.targets)


def test_panels_do_not_overlap() -> None:
    places = [each.grid_pos for each in _rows_and_panels()]
    cells = [
        (x, y)
        for place in places
        for x in range(place.x, place.x + place.w)
        for y in range(place.y, place.y + place.h)
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24


def test_each_panel_is_below_the_heading_before_it() -> None:
    everything = _rows_and_panels()
    assert isinstance(everything[0], Row)
    tops = [each.grid_pos.y for each in everything]
    assert tops == sorted(tops)
    for heading in everything:
        if isinstance(heading, Row):
            assert (heading.grid_pos.x, heading.grid_pos.w, heading.grid_pos.h) == (0, 24, 1)


def test_no_line_of_panels_leaves_a_gap() -> None:
    width: dict[int, int] = {}
    for each in _rows_and_panels():
        width[each.grid_pos.y] = width.get(each.grid_pos.y, 0) + each.grid_pos.w
    assert set(width.values()) == {24}
