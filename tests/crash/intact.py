"""What an archive looks like from inside when nothing is amiss, whatever its database."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

from crash.versions import version_of
from support.instance import dataset_offset

if TYPE_CHECKING:
    from pathlib import Path

    from support.server import PacsdServer


def rows(url: str) -> dict[str, str]:
    """The paths that the index names, by SOP Instance UID."""
    engine = create_engine(url, poolclass=NullPool)
    try:
        with engine.connect() as connection:
            found = connection.execute(text("SELECT sop_instance_uid, path FROM instances")).all()
    finally:
        engine.dispose()
    assert len({path for _, path in found}) == len(found), "two rows name one file"
    return dict(found)


def published_files(root: Path) -> set[str]:
    """All files in the folders of the days, relative to the root."""
    return {str(path.relative_to(root)) for path in root.glob("[0-9]*/*/*/**/*") if path.is_file()}


def assert_intact(server: PacsdServer, url: str) -> dict[str, int]:
    """Rows and files are one to one, all are whole, nothing is left over; returns the versions by SOP Instance UID."""
    known = rows(url)
    published = published_files(server.root)
    lacking = set(known.values()) - published
    extra = published - set(known.values())
    assert not lacking, f"rows without their file: {sorted(lacking)}"
    assert not extra, f"files without a row: {sorted(extra)}"
    versions = {}
    for uid, path in known.items():
        content = (server.root / path).read_bytes()
        versions[uid] = version_of(uid, content[dataset_offset(content) :])
    assert min(versions.values(), default=1) > 0, "a file is not what was sent"
    assert server.incoming_files() == set()
    for file in (server.root / "quarantine").glob("*.dcm"):
        note = json.loads(file.with_suffix(".json").read_text())
        assert set(note) - {"by", "recorded"} == {"path", "at", "reason"}
    verified = server.run("verify", "--anew")
    assert verified.returncode == 0, verified.stdout + verified.stderr
    return versions
