"""One outgoing association as a block of code: opened, used, and released or aborted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType
from typing import TypeVar

from dicomnet import DicomNet, DicomNetError
from pacsd.errors import DestinationUnreachable
from pacsd.scu.outgoing import AbstractAndTransferSyntaxes, associate
from pacsd.scu.peer import Peer

__all__ = ["association"]

SomeNet = TypeVar("SomeNet", bound=DicomNet)


@contextmanager
def association(
    net: SomeNet,
    peer: Peer,
    proposals: Sequence[AbstractAndTransferSyntaxes],
    *,
    calling_ae_title: str,
    as_scp_of: Iterable[str] = (),
    offered: Mapping[str, bytes] = MappingProxyType({}),
) -> Iterator[SomeNet]:
    """Associate `net` with a peer for the length of the block; released at its end, aborted by an exception.

    Arguments as of `outgoing.associate`. Raises DestinationUnreachable, saying where and why, where the association
    doesn't come about, ends before the block does, or has no context for what the block asks.
    """
    try:
        associate(
            net, peer, proposals, calling_ae_title=calling_ae_title, as_scp_of=as_scp_of, offered=offered
        )
        with net:
            yield net
    except DicomNetError as error:
        raise DestinationUnreachable(f"{peer.ae_title} at {peer.host}:{peer.port}: {error}") from error
