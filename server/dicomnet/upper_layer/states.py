"""The state table of the Upper Layer as data (PS3.8 §9.2, Tables 9-6 to 9-10).

The table does not know which side it works for: the one difference between requestor and acceptor (AR-8) is
asked of the association, so that neither side is treated more kindly than the other.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, IntEnum
from types import MappingProxyType
from typing import Final

__all__ = ["NEXT_STATE", "TRANSITIONS", "Action", "Event", "State"]


class State(IntEnum):
    """Protocol states (PS3.8 §9.2.1); the values are the Standard's numbers."""

    IDLE = 1
    AWAITING_ASSOCIATE_RQ = 2
    AWAITING_LOCAL_ASSOCIATE_RESPONSE = 3
    AWAITING_TRANSPORT_CONNECTION = 4
    AWAITING_ASSOCIATE_AC_OR_RJ = 5
    DATA_TRANSFER = 6
    AWAITING_RELEASE_RP = 7
    AWAITING_LOCAL_RELEASE_RESPONSE = 8
    COLLISION_REQUESTOR_AWAITING_LOCAL_RESPONSE = 9
    COLLISION_ACCEPTOR_AWAITING_RELEASE_RP = 10
    COLLISION_REQUESTOR_AWAITING_RELEASE_RP = 11
    COLLISION_ACCEPTOR_AWAITING_LOCAL_RESPONSE = 12
    AWAITING_TRANSPORT_CLOSE = 13


class Event(IntEnum):
    """What can happen (PS3.8 Table 9-10, first column); the values are the Standard's numbers."""

    LOCAL_ASSOCIATE_REQUEST = 1
    TRANSPORT_CONNECTED = 2
    ASSOCIATE_AC_RECEIVED = 3
    ASSOCIATE_RJ_RECEIVED = 4
    TRANSPORT_INDICATION = 5
    ASSOCIATE_RQ_RECEIVED = 6
    LOCAL_ASSOCIATE_ACCEPT = 7
    LOCAL_ASSOCIATE_REJECT = 8
    LOCAL_DATA_REQUEST = 9
    DATA_TF_RECEIVED = 10
    LOCAL_RELEASE_REQUEST = 11
    RELEASE_RQ_RECEIVED = 12
    RELEASE_RP_RECEIVED = 13
    LOCAL_RELEASE_RESPONSE = 14
    LOCAL_ABORT = 15
    ABORT_RECEIVED = 16
    TRANSPORT_CLOSED = 17
    ARTIM_EXPIRED = 18
    INVALID_PDU_RECEIVED = 19


class Action(Enum):
    """What is done about it (PS3.8 Tables 9-6 to 9-9); the values are the Standard's names."""

    AE_1 = "AE-1"
    AE_2 = "AE-2"
    AE_3 = "AE-3"
    AE_4 = "AE-4"
    AE_5 = "AE-5"
    AE_6 = "AE-6"
    AE_7 = "AE-7"
    AE_8 = "AE-8"
    DT_1 = "DT-1"
    DT_2 = "DT-2"
    AR_1 = "AR-1"
    AR_2 = "AR-2"
    AR_3 = "AR-3"
    AR_4 = "AR-4"
    AR_5 = "AR-5"
    AR_6 = "AR-6"
    AR_7 = "AR-7"
    AR_8 = "AR-8"
    AR_9 = "AR-9"
    AR_10 = "AR-10"
    AA_1 = "AA-1"
    AA_2 = "AA-2"
    AA_3 = "AA-3"
    AA_4 = "AA-4"
    AA_5 = "AA-5"
    AA_6 = "AA-6"
    AA_7 = "AA-7"
    AA_8 = "AA-8"


# One line an event, one column a state, as in the Standard, so that the two can be read side by side.
_TABLE: Final = """
     1     2     3     4     5     6     7     8     9     10    11    12    13
1    AE-1  .     .     .     .     .     .     .     .     .     .     .     .
2    .     .     .     AE-2  .     .     .     .     .     .     .     .     .
3    .     AA-1  AA-8  .     AE-3  AA-8  AA-8  AA-8  AA-8  AA-8  AA-8  AA-8  AA-6
4    .     AA-1  AA-8  .     AE-4  AA-8  AA-8  AA-8  AA-8  AA-8  AA-8  AA-8  AA-6
5    AE-5  .     .     .     .     .     .     .     .     .     .     .     .
6    .     AE-6  AA-8  .     AA-8  AA-8  AA-8  AA-8  AA-8  AA-8  AA-8  AA-8  AA-7
7    .     .     AE-7  .     .     .     .     .     .     .     .     .     .
8    .     .     AE-8  .     .     .     .     .     .     .     .     .     .
9    .     .     .     .     .     DT-1  .     AR-7  .     .     .     .     .
10   .     AA-1  AA-8  .     AA-8  DT-2  AR-6  AA-8  AA-8  AA-8  AA-8  AA-8  AA-6
11   .     .     .     .     .     AR-1  .     .     .     .     .     .     .
12   .     AA-1  AA-8  .     AA-8  AR-2  AR-8  AA-8  AA-8  AA-8  AA-8  AA-8  AA-6
13   .     AA-1  AA-8  .     AA-8  AA-8  AR-3  AA-8  AA-8  AR-10 AR-3  AA-8  AA-6
14   .     .     .     .     .     .     .     AR-4  AR-9  .     .     AR-4  .
15   .     .     AA-1  AA-2  AA-1  AA-1  AA-1  AA-1  AA-1  AA-1  AA-1  AA-1  .
16   .     AA-2  AA-3  .     AA-3  AA-3  AA-3  AA-3  AA-3  AA-3  AA-3  AA-3  AA-2
17   .     AA-5  AA-4  AA-4  AA-4  AA-4  AA-4  AA-4  AA-4  AA-4  AA-4  AA-4  AR-5
18   .     AA-2  .     .     .     .     .     .     .     .     .     .     AA-2
19   .     AA-1  AA-8  .     AA-8  AA-8  AA-8  AA-8  AA-8  AA-8  AA-8  AA-8  AA-7
"""


def _read_table() -> dict[tuple[Event, State], Action]:
    header, *rows = (line.split() for line in _TABLE.strip().splitlines())
    return {
        (Event(int(event)), State(int(state))): Action(action)
        for event, *actions in rows
        for state, action in zip(header, actions, strict=True)
        if action != "."
    }


TRANSITIONS: Final[Mapping[tuple[Event, State], Action]] = MappingProxyType(_read_table())
"""Table 9-10; a pair that is absent cannot occur (local events) or is ignored (transport and timer events)."""

NEXT_STATE: Final[Mapping[Action, State]] = MappingProxyType(
    {
        Action.AE_1: State.AWAITING_TRANSPORT_CONNECTION,
        Action.AE_2: State.AWAITING_ASSOCIATE_AC_OR_RJ,
        Action.AE_3: State.DATA_TRANSFER,
        Action.AE_4: State.IDLE,
        Action.AE_5: State.AWAITING_ASSOCIATE_RQ,
        Action.AE_7: State.DATA_TRANSFER,
        Action.AE_8: State.AWAITING_TRANSPORT_CLOSE,
        Action.DT_1: State.DATA_TRANSFER,
        Action.DT_2: State.DATA_TRANSFER,
        Action.AR_1: State.AWAITING_RELEASE_RP,
        Action.AR_2: State.AWAITING_LOCAL_RELEASE_RESPONSE,
        Action.AR_3: State.IDLE,
        Action.AR_4: State.AWAITING_TRANSPORT_CLOSE,
        Action.AR_5: State.IDLE,
        Action.AR_6: State.AWAITING_RELEASE_RP,
        Action.AR_7: State.AWAITING_LOCAL_RELEASE_RESPONSE,
        Action.AR_9: State.COLLISION_REQUESTOR_AWAITING_RELEASE_RP,
        Action.AR_10: State.COLLISION_ACCEPTOR_AWAITING_LOCAL_RESPONSE,
        Action.AA_1: State.AWAITING_TRANSPORT_CLOSE,
        Action.AA_2: State.IDLE,
        Action.AA_3: State.IDLE,
        Action.AA_4: State.IDLE,
        Action.AA_5: State.IDLE,
        Action.AA_6: State.AWAITING_TRANSPORT_CLOSE,
        Action.AA_7: State.AWAITING_TRANSPORT_CLOSE,
        Action.AA_8: State.AWAITING_TRANSPORT_CLOSE,
    }
)
"""The state after an action. AE-6 and AR-8 choose between two, and so are not here."""
