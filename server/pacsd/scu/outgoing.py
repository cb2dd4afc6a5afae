"""Associations that we open: which contexts to propose for what is to be done."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from dicomnet import (
    AssociateRequest,
    AssociationEnded,
    AssociationRejected,
    DicomNet,
    ExtendedNegotiation,
    ProposedPresentationContext,
    RoleSelection,
    own_user_information,
)
from pacsd.dataset.transfer_syntaxes import EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN
from pacsd.errors import DestinationUnreachable
from pacsd.model import StoredInstance
from pacsd.scu.peer import Peer
from pacsd.selected import kinds_of

__all__ = [
    "MAX_CONTEXTS",
    "AbstractAndTransferSyntaxes",
    "associate",
    "association_parts",
    "in_associations",
    "storage_syntaxes",
]

MAX_CONTEXTS: Final = 128
"""Presentation contexts in one association: the odd numbers up to 255 (PS3.8 §9.3.2.2)."""

AbstractAndTransferSyntaxes = tuple[str, tuple[str, ...]]

_UNCOMPRESSED: Final = (EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN)


def associate(
    net: DicomNet,
    peer: Peer,
    proposals: Sequence[AbstractAndTransferSyntaxes],
    *,
    calling_ae_title: str,
    as_scp_of: Iterable[str] = (),
    offered: Mapping[str, bytes] = MappingProxyType({}),
) -> None:
    """Connect `net` to a peer and propose one context for each pair of abstract and transfer syntaxes.

    `as_scp_of` are the SOP classes whose requests the peer shall be able to send us on this association (C-GET);
    `offered` is the extended negotiation (56H) of others, whose answers `net.association` then has.
    Raises DestinationUnreachable, saying where and why.
    """
    request = AssociateRequest(
        called_ae_title=peer.ae_title,
        calling_ae_title=calling_ae_title,
        presentation_contexts=tuple(
            ProposedPresentationContext(
                context_id=2 * index + 1, abstract_syntax=abstract_syntax, transfer_syntaxes=transfer_syntaxes
            )
            for index, (abstract_syntax, transfer_syntaxes) in enumerate(proposals)
        ),
        user_information=own_user_information(
            maximum_length=net.configuration.maximum_length,
            roles=tuple(
                RoleSelection(sop_class_uid=uid, scu_role=False, scp_role=True)
                for uid in dict.fromkeys(as_scp_of)
            ),
            extended_negotiations=tuple(
                ExtendedNegotiation(sop_class_uid=uid, information=information)
                for uid, information in offered.items()
            ),
        ),
    )
    try:
        net.connect(peer.host, peer.port, tls=peer.tls)
        net.associate(request)
    except AssociationEnded as error:
        # The reason first, and the address once: whoever asked for a C-MOVE is shown 64 characters.
        why = str(error).removeprefix(f"cannot connect to {peer.host}:{peer.port}: ")
        raise DestinationUnreachable(f"{why}: {peer.ae_title} at {peer.host}:{peer.port}") from error
    except AssociationRejected as error:
        raise DestinationUnreachable(f"{peer.ae_title} at {peer.host}:{peer.port}: {error}") from error


def storage_syntaxes(stored: Iterable[tuple[str, str]]) -> list[AbstractAndTransferSyntaxes]:
    """Return what to propose for sending instances of these SOP classes and transfer syntaxes.

    Each stored syntax has a context of its own, so that the peer's choice in one takes nothing from another; one
    more per class offers it uncompressed, for peers that take nothing else.
    """
    pairs = dict.fromkeys(stored)
    proposals: list[tuple[str, tuple[str, ...]]] = [(sop_class, (syntax,)) for sop_class, syntax in pairs]
    proposals += [
        (sop_class, _UNCOMPRESSED) for sop_class in dict.fromkeys(sop_class for sop_class, _ in pairs)
    ]
    return proposals


def association_parts(
    kinds: Iterable[tuple[str, str]],
) -> Iterator[tuple[list[AbstractAndTransferSyntaxes], int]]:
    """Split instances, in their order, into what one association's contexts can carry: proposals, and how many.

    `kinds` are their SOP classes and transfer syntaxes.
    """
    count = 0
    pairs: dict[tuple[str, str], None] = {}
    for pair in kinds:
        if pair not in pairs and len(storage_syntaxes([*pairs, pair])) > MAX_CONTEXTS:
            yield storage_syntaxes(pairs), count
            count, pairs = 0, {}
        pairs[pair] = None
        count += 1
    if count:
        yield storage_syntaxes(pairs), count


def in_associations(
    instances: Sequence[StoredInstance],
) -> Iterator[tuple[list[AbstractAndTransferSyntaxes], Sequence[StoredInstance]]]:
    """Split instances as `association_parts` does; with the proposals."""
    begin = 0
    for proposals, count in association_parts(kinds_of(instances)):
        yield proposals, instances[begin : begin + count]
        begin += count
