"""The least that a storage SCP on pynetdicom can do: write the encoded data set.

python bench/peers/pynetdicom_min.py PORT AE_TITLE FOLDER
"""

from __future__ import annotations

import sys
from pathlib import Path

from pynetdicom import AE, AllStoragePresentationContexts, evt
from pynetdicom.sop_class import Verification


def main(port: int, ae_title: str, folder: Path) -> None:
    """Serve until the process is stopped."""

    def on_store(event: evt.Event) -> int:
        (folder / event.request.AffectedSOPInstanceUID).write_bytes(event.encoded_dataset())
        return 0x0000

    entity = AE(ae_title)
    entity.maximum_pdu_size = 131072
    entity.maximum_associations = 2000
    entity.supported_contexts = AllStoragePresentationContexts
    entity.add_supported_context(Verification)
    entity.start_server(("127.0.0.1", port), evt_handlers=[(evt.EVT_C_STORE, on_store)])


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
