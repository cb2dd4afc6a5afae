"""A Prometheus with this project's own configuration and alerts, which asks servers under test and is in a hurry."""

from __future__ import annotations

import copy
import json
import re
import shutil
import subprocess
import threading
import urllib.parse
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import yaml

from support.deadline import wait_until
from support.peers import free_port, missing

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

DEPLOYED = Path(__file__).parents[2] / "deploy" / "prometheus"
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
PACE = 0.25
"""Seconds between two looks at what fires."""


def program(name: str) -> str:
    """One of Prometheus' programs; without it the test ends here (see `missing`)."""
    found = shutil.which(name)
    if found is None:
        missing(f"{name} is not installed (Debian package prometheus)")
    return found


def deployed_alerts() -> list[dict[str, Any]]:
    """The rules of alerts.yml."""
    groups = yaml.safe_load((DEPLOYED / "alerts.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def hastened(rule: Mapping[str, Any], factor: float) -> dict[str, Any]:
    """The same rule with all its durations divided by `factor`: `for`, ranges, offsets, and numbers of days in seconds.

    What a server measures in seconds itself, and is compared with a number of seconds, stays as it is.
    """

    def shorter(found: re.Match[str]) -> str:
        return f"{max(1, round(int(found[1]) * UNITS[found[2]] * 1000 / factor))}ms"

    faster = dict(copy.deepcopy(rule))
    faster["expr"] = re.sub(r"(?<=[\[ ])(\d+)([smhdw])\b", shorter, rule["expr"])
    faster["expr"] = re.sub(r"\b86400\b", f"{86400 / factor:g}", faster["expr"])
    if "for" in rule:
        faster["for"] = re.sub(r"^(\d+)([smhdw])$", shorter, rule["for"])
    return faster


@dataclass(frozen=True, slots=True)
class Target:
    """A server's HTTP side, and how often it is asked."""

    address: str
    seconds: float


@dataclass(slots=True)
class Prometheus:
    """Runs while it is open. `fired` are the alerts that have fired so far, by name and the server's address."""

    folder: Path
    targets: list[Target]
    factors: Mapping[str, float]
    """By which the durations of an alert are divided."""
    fired: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    _url: str = ""
    _process: subprocess.Popen[bytes] | None = None
    _ended: threading.Event = field(default_factory=threading.Event)
    _watch: threading.Thread | None = None

    def __enter__(self) -> Self:
        command = program("prometheus")
        self.folder.mkdir()
        configuration = self._configuration()
        (self.folder / "prometheus.yml").write_text(yaml.safe_dump(configuration))
        rules = [hastened(rule, self.factors[rule["alert"]]) for rule in deployed_alerts()]
        group = {"name": "pacsd", "rules": rules}
        (self.folder / "alerts.yml").write_text(yaml.safe_dump({"groups": [group]}))
        address = f"127.0.0.1:{free_port()}"
        self._url = f"http://{address}"
        with (self.folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [
                    command,
                    f"--config.file={self.folder}/prometheus.yml",
                    f"--storage.tsdb.path={self.folder}/data",
                    f"--web.listen-address={address}",
                ],
                stdout=log,
                stderr=log,
            )
        try:
            wait_until(self._is_ready, within=30, what="Prometheus is ready")
        except AssertionError:
            self._end()
            raise
        self._watch = threading.Thread(target=self._keep_watching, name="alerts", daemon=True)
        self._watch.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def _end(self) -> None:
        self._ended.set()
        if self._watch is not None:
            self._watch.join(30)
        assert self._process is not None
        self._process.terminate()
        self._process.wait(30)

    def _configuration(self) -> dict[str, Any]:
        """The deployed one, but for other targets, and for how often they are asked."""
        configuration: dict[str, Any] = yaml.safe_load((DEPLOYED / "prometheus.yml").read_text())
        (job,) = configuration["scrape_configs"]
        configuration["global"] = {"scrape_interval": "1s", "evaluation_interval": f"{PACE * 1000:.0f}ms"}
        configuration["scrape_configs"] = [
            {
                **job,
                "job_name": target.address,
                "scrape_interval": f"{target.seconds * 1000:.0f}ms",
                "scrape_timeout": f"{target.seconds * 1000:.0f}ms",
                "static_configs": [{"targets": [target.address], "labels": {"job": job["job_name"]}}],
            }
            for target in self.targets
        ]
        return configuration

    def _is_ready(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self.folder / "log").read_text()[-2000:]
        try:
            with urllib.request.urlopen(f"{self._url}/-/ready", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def _ask(self, path: str) -> Any:
        with urllib.request.urlopen(f"{self._url}/api/v1/{path}", timeout=10) as answer:
            return json.load(answer)["data"]

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Each series that answers, with its `metric` (labels) and its `value`."""
        found: list[dict[str, Any]] = self._ask(f"query?{urllib.parse.urlencode({'query': expression})}")[
            "result"
        ]
        return found

    def value(self, expression: str) -> float:
        """The value of the one series that answers."""
        (one,) = self.query(expression)
        return float(one["value"][1])

    def _keep_watching(self) -> None:
        while not self._ended.wait(PACE):
            for alert in self._ask("alerts")["alerts"]:
                if alert["state"] == "firing":
                    self.fired.setdefault((alert["labels"]["alertname"], alert["labels"]["instance"]), alert)
