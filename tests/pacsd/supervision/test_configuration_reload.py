"""What only a restart changes is what the shipped configuration says so of."""

from __future__ import annotations

import re
from pathlib import Path

from pacsd.configuration_errors import known_keys
from pacsd.settings import (
    DicomSettings,
    HttpSettings,
    IndexSettings,
    ServerSettings,
    Settings,
    StorageSettings,
    TlsSettings,
)
from pacsd.supervision.configuration_reload import keep_what_needs_a_restart

SHIPPED = Path(__file__).parents[3] / "config" / "pacsd.toml"
OTHER = Settings(
    dicom=DicomSettings(
        enabled=False,
        host="127.0.0.1",
        port=104,
        tls=TlsSettings(enabled=True, port=105, certificate=Path("c")),
    ),
    storage=StorageSettings(root=Path("elsewhere")),
    index=IndexSettings(url="sqlite:///elsewhere.db"),
    http=HttpSettings(port=80),
    server=ServerSettings(umask="027"),
)
"""Another value for each of these settings, or another section."""


def _marked() -> set[str]:
    """The settings below each comment that ends with "(restart)", those that are commented out among them."""
    marked, section, is_marked, is_comment = set(), "", False, False
    for line in SHIPPED.read_text(encoding="utf-8").splitlines():
        if table := re.fullmatch(r"\[([\w.]+)\]", line):
            section = table[1]
        if setting := re.match(r"(?:# )?([a-z_]+) = ", line):
            is_comment = False
            if is_marked:
                marked.add(f"{section}.{setting[1]}")
        elif line.startswith("#"):
            is_marked = line.endswith("(restart)") or (is_comment and is_marked)
            is_comment = True
        else:
            is_marked = is_comment = False
    return marked


def test_a_reload_keeps_what_is_marked_so() -> None:
    kept, keys = keep_what_needs_a_restart(Settings(), OTHER)
    assert kept == Settings(dicom=DicomSettings(tls=kept.dicom.tls))
    assert (kept.dicom.tls.enabled, kept.dicom.tls.port) == (False, 2762)
    # The port of what stays closed is nobody's.
    reported = {*keys, "dicom.tls.port"}
    assert _marked() == {
        key for key in known_keys(Settings) if key in reported or key.partition(".")[0] in reported
    }
