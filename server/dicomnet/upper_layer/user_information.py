"""The user information item's sub-items (PS3.8 §9.3.2.3 and Annex D.1, PS3.7 Annex D.3.3): reading them."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from dicomnet.upper_layer.items import (
    Items,
    first,
    first_uid,
    needed_uid,
    read_items,
    split,
    split_prefixed,
    text,
)
from dicomnet.upper_layer.pdu import (
    AsynchronousOperationsWindow,
    CommonExtendedNegotiation,
    ExtendedNegotiation,
    ItemType,
    RoleSelection,
    UserIdentity,
    UserInformation,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["read_user_information"]

_Negotiation = TypeVar("_Negotiation", RoleSelection, ExtendedNegotiation, CommonExtendedNegotiation)


def read_user_information(items: Items, budget: Iterator[object]) -> UserInformation:
    """Read item 50H from among the items of an A-ASSOCIATE PDU; without one, nothing is known of the peer."""
    content = first(items, ItemType.USER_INFORMATION)
    if content is None:
        return UserInformation()
    items = read_items(content, budget)
    maximum_length = first(items, ItemType.MAXIMUM_LENGTH)
    version_name = first(items, ItemType.IMPLEMENTATION_VERSION_NAME)
    window = first(items, ItemType.ASYNCHRONOUS_OPERATIONS_WINDOW)
    identity = first(items, ItemType.USER_IDENTITY)
    response = first(items, ItemType.USER_IDENTITY_RESPONSE)
    return UserInformation(
        maximum_length=None if maximum_length is None else int.from_bytes(split(maximum_length, 4)[0], "big"),
        implementation_class_uid=first_uid(items, ItemType.IMPLEMENTATION_CLASS_UID) or None,
        implementation_version_name=None if version_name is None else text(version_name) or None,
        asynchronous_operations_window=None if window is None else _window(window),
        roles=_once_per_class(map(_role_selection, items.get(ItemType.ROLE_SELECTION, ()))),
        extended_negotiations=_once_per_class(
            map(_extended_negotiation, items.get(ItemType.EXTENDED_NEGOTIATION, ()))
        ),
        common_extended_negotiations=_once_per_class(
            map(_common_extended_negotiation, items.get(ItemType.COMMON_EXTENDED_NEGOTIATION, ()))
        ),
        user_identity=None if identity is None else _user_identity(identity),
        user_identity_response=None if response is None else bytes(split_prefixed(response)[0]),
    )


def _window(content: memoryview) -> AsynchronousOperationsWindow:
    fields, _ = split(content, 4)
    return AsynchronousOperationsWindow(
        maximum_invoked=int.from_bytes(fields[:2], "big"), maximum_performed=int.from_bytes(fields[2:], "big")
    )


def _role_selection(content: memoryview) -> RoleSelection:
    uid, rest = split_prefixed(content)
    roles, _ = split(rest, 2)
    return RoleSelection(sop_class_uid=needed_uid(uid), scu_role=bool(roles[0]), scp_role=bool(roles[1]))


def _extended_negotiation(content: memoryview) -> ExtendedNegotiation:
    uid, information = split_prefixed(content)
    return ExtendedNegotiation(sop_class_uid=needed_uid(uid), information=bytes(information))


def _common_extended_negotiation(content: memoryview) -> CommonExtendedNegotiation:
    # Byte 2 is the sub-item's version here; a newer one only adds fields behind these (PS3.7 §D.3.3.6.1).
    sop_class, rest = split_prefixed(content)
    service_class, rest = split_prefixed(rest)
    related, uids = split_prefixed(rest)[0] if rest else rest, list[str]()
    while related:
        uid, related = split_prefixed(related)
        uids.append(needed_uid(uid))
    return CommonExtendedNegotiation(
        sop_class_uid=needed_uid(sop_class),
        service_class_uid=needed_uid(service_class),
        related_general_sop_class_uids=tuple(uids),
    )


def _user_identity(content: memoryview) -> UserIdentity:
    fields, rest = split(content, 2)
    primary, rest = split_prefixed(rest)
    # The secondary field is only for type 2, and some leave it out with its length otherwise.
    secondary = split_prefixed(rest)[0] if rest else rest
    return UserIdentity(
        identity_type=fields[0],
        positive_response_requested=bool(fields[1]),
        primary=bytes(primary),
        secondary=bytes(secondary),
    )


def _once_per_class(negotiations: Iterable[_Negotiation]) -> tuple[_Negotiation, ...]:
    first = dict[str, _Negotiation]()
    for negotiation in negotiations:
        first.setdefault(negotiation.sop_class_uid, negotiation)
    return tuple(first.values())
