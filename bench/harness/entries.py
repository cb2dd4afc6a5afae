"""The entries of `servers.toml`: what each server's command, files and limits are."""

from __future__ import annotations

import shlex
import subprocess
import sys
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.errors import ServerError

BENCH_DIR = Path(__file__).resolve().parent.parent
SERVERS_FILE = BENCH_DIR / "servers.toml"

Entry = dict[str, Any]


def load_entries(paths: Sequence[Path]) -> dict[str, Entry]:
    """Return the entries of all files by name; a later file's entry takes the place of an earlier one's."""
    entries: dict[str, Entry] = {}
    for path in paths:
        entries.update(tomllib.loads(path.read_text()).get("servers", {}))
    for name, entry in entries.items():
        entry["name"] = name
    return entries


def resolve(entries: Mapping[str, Entry], name: str) -> Entry:
    """Return an entry with all that it extends merged in, and its files as texts."""
    if name not in entries:
        raise ServerError(f"unknown server {name!r}; known: {', '.join(entries)}")
    entry = dict(entries[name])
    files = {each: _text(content) for each, content in entry.get("files", {}).items()}
    if parent := entry.pop("extends", None):
        base = resolve(entries, parent)
        files = base["files"] | files
        base.pop("edit", None)
        entry = base | entry
    for each, edit in entry.get("edit", {}).items():
        if edit["find"] not in files.get(each, ""):
            raise ServerError(f"{name}: the text to edit is not in {each}")
        files[each] = files[each].replace(edit["find"], edit["replace"])
    return entry | {"files": files}


def _text(content: str | Mapping[str, str]) -> str:
    return content if isinstance(content, str) else content["text"]


def expand(text: str, values: Mapping[str, object]) -> str:
    """Put the values in for {port}, {aet} and so on; other braces stay."""
    for name, value in values.items():
        text = text.replace("{" + name + "}", str(value))
    return text


def everywhere() -> dict[str, object]:
    """Return the values that do not depend on a run."""
    return {"python": sys.executable, "bench_dir": BENCH_DIR}


def environment(entry: Entry, values: Mapping[str, object]) -> dict[str, str]:
    """Return what an entry adds to the environment."""
    return {name: expand(text, values) for name, text in entry.get("env", {}).items()}


def version_of(entry: Entry, inherited: Mapping[str, str]) -> str:
    """Return the first line that the entry's version command prints."""
    if not (command := entry.get("version")):
        return ""
    own = environment(entry, everywhere())
    try:
        done = subprocess.run(
            shlex.split(expand(command, everywhere())),
            capture_output=True,
            check=False,
            text=True,
            timeout=30,
            env={**inherited, **own},
        )
    except (OSError, subprocess.SubprocessError):
        return "not available"
    lines = (done.stdout or done.stderr).strip().splitlines()
    return lines[0].strip("$ ") if lines else ""
