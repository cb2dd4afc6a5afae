"""Prometheus' own judgement of its configuration and of the alerts."""

from __future__ import annotations

import os
import re

import pytest

from containers.project import ROOT, docker


@pytest.mark.parametrize(
    "command",
    [
        ("check", "config", "/etc/prometheus/prometheus.yml"),
        ("test", "rules", "/etc/prometheus/alerts_test.yml"),
    ],
    ids=" ".join,
)
def test_promtool_finds_nothing_wrong(command: tuple[str, ...]) -> None:
    named = re.search(r"^PROMETHEUS_IMAGE=(\S+)$", (ROOT / ".env").read_text(), re.MULTILINE)
    assert named is not None
    image = os.environ.get("PROMETHEUS_IMAGE", named[1])
    mount = f"{ROOT}/deploy/prometheus:/etc/prometheus:ro"
    output = docker("run", "--rm", "--entrypoint", "promtool", "--volume", mount, image, *command)
    assert "SUCCESS" in output
