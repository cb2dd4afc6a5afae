"""Each file of the daemon and the engine works on one thing: sockets, SQL, the bytes of data sets, or HTTP."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

SERVER = Path(__file__).parents[2] / "server"
FILES = sorted(SERVER.rglob("*.py"))

BYTES = (
    *("elements", "encodings", "encapsulation", "codestreams", "header", "in_memory", "part10"),
    *("reencode", "sources", "wide_pixels"),
)
THINGS = {
    "sockets": ("socket", "ssl", "socketserver"),
    "SQL": ("sqlalchemy", "alembic", "sqlite3", "psycopg"),
    "the bytes of data sets": tuple(f"pacsd.dataset.{name}" for name in BYTES),
    "HTTP": ("http.server", "http.client", "urllib.request", "pacsd.http.server"),
}
WIRING = {"pacsd/app.py": "the composition root knows one of each"}


def _imported(file: Path) -> set[str]:
    """The modules that a file imports when it runs; not those for its annotations alone."""
    tree = ast.parse(file.read_text("utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            node.body = []
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.update((node.module, *(f"{node.module}.{each.name}" for each in node.names)))
    return names


def _things(file: Path) -> set[str]:
    imported = _imported(file)
    return {
        thing
        for thing, modules in THINGS.items()
        if any(name == module or name.startswith(f"{module}.") for name in imported for module in modules)
    }


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(SERVER)))
def test_a_file_knows_one_thing_at_most(file: Path) -> None:
    if str(file.relative_to(SERVER)) not in WIRING:
        assert len(_things(file)) <= 1


def test_the_architecture_page_names_what_there_is() -> None:
    """Each path in it is a module or a folder, below `server/`, the engine, the daemon or the project."""
    page = (SERVER.parent / "ARCHITECTURE.md").read_text("utf-8")
    roots = [SERVER, SERVER / "dicomnet", SERVER / "pacsd", SERVER.parent]
    paths = set(re.findall(r"`([\w.]+(?:/[\w.]+)+)/?`", page))
    assert len(paths) > 50
    missing = [
        path
        for path in paths
        if not any((root / path).exists() or (root / f"{path}.py").exists() for root in roots)
    ]
    assert not missing


@pytest.mark.parametrize("thing", THINGS)
def test_each_thing_is_known_somewhere(thing: str) -> None:
    """Or the test above would look for what nothing is called any more."""
    assert any(thing in _things(file) for file in FILES)
