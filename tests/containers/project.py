"""The project's own compose files in a folder of their own, run by Docker Compose as an administrator does."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from functools import cache
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

from support.deadline import wait_until
from support.peers import free_port, missing

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).parents[2]
WORKSTATION_PORT = free_port()
PEERS = f"""
[[peer]]
ae_title = "TESTSCU"
host = "host.docker.internal"
port = {WORKSTATION_PORT}
# This machine calls from an address of Docker's network.
check_host = false
"""
COMMAND_DEADLINE = 300


def require_docker() -> None:
    """End the test here where no daemon answers, or Compose is missing."""
    if shutil.which("docker") is None:
        missing("docker is not installed (Debian packages docker.io and docker-compose)")
    if subprocess.run(["docker", "version"], capture_output=True, check=False).returncode:
        missing("no Docker daemon answers")
    compose_command()


def docker(*arguments: str | Path, standard_input: bytes | None = None) -> str:
    """Run the client and return what it printed."""
    return run(["docker", *map(str, arguments)], standard_input=standard_input)


@cache
def compose_command() -> tuple[str, ...]:
    """`docker compose`, or the `docker-compose` of older Debian."""
    if subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode == 0:
        return ("docker", "compose")
    if shutil.which("docker-compose") is None:
        missing("docker-compose is not installed")
    return ("docker-compose",)


def run(
    command: list[str],
    *,
    standard_input: bytes | None = None,
    folder: Path = ROOT,
    environment: Mapping[str, str] | None = None,
) -> str:
    """Run a program, require exit status 0, return its standard output and error."""
    result = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, **(environment or {})},
        input=standard_input,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=COMMAND_DEADLINE,
        check=False,
    )
    output = result.stdout.decode(errors="replace")
    assert result.returncode == 0, f"{' '.join(command)} ended with {result.returncode}:\n{output}"
    return output


class Project:
    """One installation; `host`, `port` is where it speaks DICOM, as for `support.server.PacsdServer`."""

    def __init__(self, folder: Path, *, name: str, image: str, database: str = "sqlite") -> None:
        """Copy what an installation consists of into `folder`, with a peer added; nothing runs yet."""
        self.folder = folder
        self.name = name
        self.host = "127.0.0.1"
        self.port, self.http_port, self.prometheus_port = free_port(), free_port(), free_port()
        files = ["docker-compose.yml", *(["deploy/compose.postgres.yml"] if database == "postgresql" else [])]
        self.environment = {
            "COMPOSE_PROJECT_NAME": name,
            "COMPOSE_FILE": os.pathsep.join(files),
            "PACSD_IMAGE": image,
            "DICOM_ADDRESS": self.host,
            "DICOM_PORT": str(self.port),
            "DICOM_TLS_PORT": str(free_port()),
            "HTTP_PORT": str(self.http_port),
            "PROMETHEUS_PORT": str(self.prometheus_port),
        }
        for part in (".env", "docker-compose.yml"):
            shutil.copy(ROOT / part, folder)
        for part in ("config", "deploy"):
            shutil.copytree(ROOT / part, folder / part)
        self.configuration = folder / "config" / "pacsd.toml"
        self.configuration.write_text(self.configuration.read_text() + PEERS)
        self._write_secret("postgres_password", "p@ss/w:rd")

    def _write_secret(self, name: str, value: str) -> None:
        folder = self.folder / "secrets"
        folder.mkdir(mode=0o700, exist_ok=True)
        (folder / name).write_text(value + "\n")

    def compose(self, *arguments: str) -> str:
        """Run Docker Compose in the installation's folder."""
        return run([*compose_command(), *arguments], folder=self.folder, environment=self.environment)

    def up(self, image: str | None = None) -> None:
        """Start it, of another image where one is named, and wait until it is ready."""
        if image is not None:
            self.environment["PACSD_IMAGE"] = image
        self.compose("up", "--detach", "--no-build")
        wait_until(lambda: self.readiness()["ok"], within=90, what="pacsd is ready")

    def down(self, *, with_volumes: bool = False) -> None:
        """Stop it and remove its containers."""
        self.compose("down", *(["--volumes"] if with_volumes else []))

    def give_archive(self, source: str, *, to: str, folder: str = ".") -> None:
        """Change who owns `folder` and all below it, in the archive's volume or folder `source`."""
        mount = f"--volume={source}:/archive"
        options = ("--rm", "--user=0", mount, "--workdir=/archive", "--entrypoint=chown")
        docker("run", *options, self.environment["PACSD_IMAGE"], "--recursive", to, folder)

    def container(self, service: str = "pacsd") -> str:
        """The id of a service's container, running or not."""
        return docker(
            "ps", "--all", "--quiet", "--no-trunc",
            "--filter", f"label=com.docker.compose.project={self.name}",
            "--filter", f"label=com.docker.compose.service={service}",
        ).strip()  # fmt: skip

    def state(self) -> dict[str, Any]:
        """What Docker says of pacsd's container."""
        found: dict[str, Any] = json.loads(docker("inspect", "--format", "{{json .State}}", self.container()))
        return found

    def health(self) -> str:
        """`starting`, `healthy` or `unhealthy`."""
        return str(self.state()["Health"]["Status"])

    def readiness(self) -> dict[str, Any]:
        """What /readyz says; not ok, without checks, where nobody answers."""
        try:
            return _get_json(f"http://{self.host}:{self.http_port}/readyz")
        except urllib.error.HTTPError as error:
            with error:
                return dict(json.load(error))
        except OSError:
            return {"ok": False}

    def log(self) -> str:
        """What pacsd's container has written."""
        return docker("logs", self.container())

    def ask_prometheus(self, expression: str) -> list[float]:
        """The values of an expression now, by Prometheus' query API; none while it does not answer.

        An expression that it does not understand fails.
        """
        query = urllib.parse.urlencode({"query": expression})
        try:
            answer = _get_json(f"http://{self.host}:{self.prometheus_port}/api/v1/query?{query}")
        except urllib.error.HTTPError as error:
            with error:
                if error.code == HTTPStatus.BAD_REQUEST:
                    raise AssertionError(f"{expression}: {error.read().decode()}") from error
            return []
        except OSError:
            return []
        assert answer["status"] == "success", answer
        return [float(series["value"][1]) for series in answer["data"]["result"]]


def _get_json(url: str) -> dict[str, Any]:
    with urllib.request.urlopen(url, timeout=10) as response:
        found: dict[str, Any] = json.load(response)
        return found
