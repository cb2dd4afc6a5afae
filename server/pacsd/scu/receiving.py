"""Storage SCP on an association of our own: what a C-GET brings becomes files in a folder (PS3.4 §C.4.3)."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from dicomnet import (
    IMPLEMENTATION_CLASS_UID,
    IMPLEMENTATION_VERSION_NAME,
    CStoreRequest,
    DicomNet,
    NetConfiguration,
    PresentationContext,
    ReceivedDataset,
    Status,
)
from pacsd.dataset.part10 import part10_header
from pacsd.dataset.uids import is_keepable_uid, name_of_uid
from pacsd.errors import DatasetInvalid
from pacsd.storage.disk import FULL, sync_directory

__all__ = ["ReceivingNet"]

OUT_OF_RESOURCES = 0xA700
CANNOT_UNDERSTAND = 0xC000


class ReceivingNet(DicomNet):
    """A connection whose peer may send us instances; each becomes `<folder>/<SOP Instance UID>.dcm`.

    Of a UID that is not valid the file has another name, see `dataset.uids.name_of_uid`. A file appears whole, with
    its content on the disk, before it is acknowledged, and takes the place of an older one of its name. The folder must
    exist.
    """

    def __init__(self, configuration: NetConfiguration, folder: Path, *, source_ae_title: str) -> None:
        super().__init__(configuration)
        self._folder = folder
        self._source_ae_title = source_ae_title
        self.kept = 0
        """Instances that are files now and were acknowledged."""
        self.bytes_kept = 0
        """Of all these files together."""
        self.refused: list[tuple[str, str]] = []
        """SOP Instance UID, or "" where it was none, and reason of those that we refused."""

    def on_receive_c_store_request(
        self, context: PresentationContext, request: CStoreRequest, dataset: ReceivedDataset
    ) -> None:
        """Keep one instance and answer; a failure here is told to the peer and noted, and others go on."""
        uid = request.affected_sop_instance_uid
        try:
            self.bytes_kept += self._keep(context, request, dataset)
        except DatasetInvalid as error:
            self._refuse(context, request, CANNOT_UNDERSTAND, "", str(error))
        except OSError as error:
            reason = f"cannot write a file: {error.strerror}"
            status = OUT_OF_RESOURCES if error.errno in FULL else int(Status.PROCESSING_FAILURE)
            self._refuse(context, request, status, uid, reason)
        else:
            self.kept += 1
            self.send_c_store_response(context, request, status=Status.SUCCESS)

    def _refuse(
        self, context: PresentationContext, request: CStoreRequest, status: int, uid: str, reason: str
    ) -> None:
        self.refused.append((uid, reason))
        self.send_c_store_response(context, request, status=status, error_comment=reason)

    def _keep(self, context: PresentationContext, request: CStoreRequest, dataset: ReceivedDataset) -> int:
        """Write one file and return its length in bytes; raises DatasetInvalid, OSError."""
        uid = request.affected_sop_instance_uid
        if not is_keepable_uid(uid):
            raise DatasetInvalid("SOP Instance UID is no UID", keywords=("SOPInstanceUID",))
        name = name_of_uid(uid)
        header = part10_header(
            sop_class_uid=request.affected_sop_class_uid or context.abstract_syntax,
            sop_instance_uid=uid,
            transfer_syntax_uid=dataset.transfer_syntax,
            implementation_class_uid=IMPLEMENTATION_CLASS_UID,
            implementation_version_name=IMPLEMENTATION_VERSION_NAME,
            calling_ae_title=self._source_ae_title,
        )
        unfinished = self._folder / f".{name}.{secrets.token_hex(4)}.part"
        try:
            length = _write(unfinished, header, dataset)
            unfinished.replace(self._folder / f"{name}.dcm")
            sync_directory(self._folder)
        finally:
            unfinished.unlink(missing_ok=True)
        return length


def _write(path: Path, header: bytes, dataset: ReceivedDataset) -> int:
    with path.open("xb") as file:
        file.write(header)
        for fragment in dataset:
            file.write(fragment)
        file.flush()
        os.fdatasync(file.fileno())
        return file.tell()
