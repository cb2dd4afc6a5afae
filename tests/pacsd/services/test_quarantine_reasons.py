"""An administrator reads in docs/integrity.md what each reason in the quarantine's list means."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[3]


def _reasons() -> set[str]:
    """What the services say when they put a file aside."""
    found = set()
    for file in (ROOT / "server" / "pacsd" / "services").glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Call) and re.search(
                r"\b(quarantine|_take_over)$", ast.unparse(node.func)
            ):
                found |= {each.value for each in node.args if isinstance(each, ast.Constant)}
    return found


def test_the_page_has_each_reason_and_no_other() -> None:
    page = (ROOT / "docs" / "integrity.md").read_text("utf-8")
    _, _, table = page.partition("| reason in the list |")
    listed = set(re.findall(r"^\| `([^`]+)` \|", table, re.MULTILINE))
    assert len(listed) > 3
    assert listed == _reasons()
