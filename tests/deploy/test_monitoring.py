"""What Prometheus' alerts and Grafana's dashboard ask for is what the server exports."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from pacsd.observability.metrics import Metrics

DEPLOY = Path(__file__).parents[2] / "deploy"
SUFFIXES = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "gauge": ("",)}


def _exported() -> dict[str, frozenset[str]]:
    """The labels of each time series by its name."""
    found: dict[str, frozenset[str]] = {}
    for metric in Metrics().__dict__.values():
        if hasattr(metric, "describe"):
            for family in metric.describe():
                for suffix in SUFFIXES[family.type]:
                    labels = {*metric._labelnames, *(["le"] if suffix == "_bucket" else [])}
                    found[family.name + suffix] = frozenset(labels)
    return found


def _panels() -> list[dict[str, Any]]:
    dashboard = json.loads((DEPLOY / "grafana" / "dashboards" / "pacsd.json").read_text())
    return list(dashboard["panels"])


def _alerts() -> str:
    """Without annotations, which name things for people."""
    text = (DEPLOY / "prometheus" / "alerts.yml").read_text()
    return re.sub(r"^ +(summary|description):.*$|#.*$", "", text, flags=re.MULTILINE)


EXPRESSIONS = [target["expr"] for panel in _panels() for target in panel["targets"]]


@pytest.mark.parametrize("expression", [*EXPRESSIONS, _alerts()])
def test_each_metric_and_label_is_exported(expression: str) -> None:
    exported = _exported()
    for name, selector in re.findall(r"\b(pacsd_\w+)(?:\{([^}]*)\})?", expression):
        assert name in exported
        assert set(re.findall(r"(\w+)(?:=|!=|=~|!~)\"", selector)) <= exported[name]


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_what_is_grouped_by_is_a_label_of_what_is_summed(expression: str) -> None:
    for grouped, name in re.findall(r"sum by \(([^)]*)\) \((?:rate|increase)\((\w+)", expression):
        assert set(grouped.split(", ")) <= _exported()[name]
