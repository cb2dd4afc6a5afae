"""PS3.8 Tables 9-6 to 9-10, written down once more from the Standard, to judge the engine's own copy by."""

from __future__ import annotations

from dataclasses import dataclass

from tests.dicomnet.pair import associate_accept, associate_request

from dicomnet.dimse.events import MessageReceived
from dicomnet.upper_layer import events as ul
from dicomnet.upper_layer import pdu

TABLE_9_10 = """
Evt   1    2    3    4    5    6    7    8    9    10   11   12   13
1     AE1  .    .    .    .    .    .    .    .    .    .    .    .
2     .    .    .    AE2  .    .    .    .    .    .    .    .    .
3     .    AA1  AA8  .    AE3  AA8  AA8  AA8  AA8  AA8  AA8  AA8  AA6
4     .    AA1  AA8  .    AE4  AA8  AA8  AA8  AA8  AA8  AA8  AA8  AA6
5     AE5  .    .    .    .    .    .    .    .    .    .    .    .
6     .    AE6  AA8  .    AA8  AA8  AA8  AA8  AA8  AA8  AA8  AA8  AA7
7     .    .    AE7  .    .    .    .    .    .    .    .    .    .
8     .    .    AE8  .    .    .    .    .    .    .    .    .    .
9     .    .    .    .    .    DT1  .    AR7  .    .    .    .    .
10    .    AA1  AA8  .    AA8  DT2  AR6  AA8  AA8  AA8  AA8  AA8  AA6
11    .    .    .    .    .    AR1  .    .    .    .    .    .    .
12    .    AA1  AA8  .    AA8  AR2  AR8  AA8  AA8  AA8  AA8  AA8  AA6
13    .    AA1  AA8  .    AA8  AA8  AR3  AA8  AA8  AR10 AR3  AA8  AA6
14    .    .    .    .    .    .    .    AR4  AR9  .    .    AR4  .
15    .    .    AA1  AA2  AA1  AA1  AA1  AA1  AA1  AA1  AA1  AA1  .
16    .    AA2  AA3  .    AA3  AA3  AA3  AA3  AA3  AA3  AA3  AA3  AA2
17    .    AA5  AA4  AA4  AA4  AA4  AA4  AA4  AA4  AA4  AA4  AA4  AR5
18    .    AA2  .    .    .    .    .    .    .    .    .    .    AA2
19    .    AA1  AA8  .    AA8  AA8  AA8  AA8  AA8  AA8  AA8  AA8  AA7
"""

REJECT = pdu.AssociateReject(result=1, source=1, reason=7)
"""What the acceptor's user answers here."""


def read_table() -> dict[tuple[int, int], str]:
    header, *rows = (line.split() for line in TABLE_9_10.strip().splitlines())
    return {
        (int(row[0]), int(state)): action
        for row in rows
        for state, action in zip(header[1:], row[1:], strict=True)
    }


CELLS = read_table()
"""Actions by event and state; "." is blank."""


@dataclass(frozen=True)
class Effect:
    """What one action is seen to do; None leaves as it was."""

    next_state: int
    sends: object = None
    indicates: type | None = None
    artim: bool | None = None
    closes: bool = False


ABORTS_AS_USER = pdu.Abort(source=0, reason=0)
ABORTS_UNEXPECTED = pdu.Abort(source=2, reason=2)
ABORTS_UNRECOGNIZED = pdu.Abort(source=2, reason=1)

EFFECTS = {
    "AE1": Effect(4),
    "AE2": Effect(5, sends=associate_request()),
    "AE3": Effect(6, indicates=ul.AssociateAccepted),
    "AE4": Effect(1, indicates=ul.AssociateRejected, closes=True),
    "AE5": Effect(2, artim=True),
    "AE6": Effect(3, indicates=ul.AssociateRequested, artim=False),
    "AE7": Effect(6, sends=associate_accept()),
    "AE8": Effect(13, sends=REJECT, artim=True),
    "DT1": Effect(6, sends="data"),
    "DT2": Effect(6, indicates=MessageReceived),
    "AR1": Effect(7, sends=pdu.ReleaseRequest()),
    "AR2": Effect(8, indicates=ul.ReleaseRequested),
    "AR3": Effect(1, indicates=ul.ReleaseConfirmed, closes=True),
    "AR4": Effect(13, sends=pdu.ReleaseResponse(), artim=True),
    "AR5": Effect(1, artim=False),
    "AR6": Effect(7, indicates=MessageReceived),
    "AR7": Effect(8, sends="data"),
    "AR9": Effect(11, sends=pdu.ReleaseResponse()),
    "AR10": Effect(12, indicates=ul.ReleaseConfirmed),
    "AA1": Effect(13, sends=ABORTS_AS_USER, artim=True),
    "AA2": Effect(1, artim=False, closes=True),
    "AA3": Effect(1, indicates=ul.AbortReceived, closes=True),
    "AA4": Effect(1, indicates=ul.TransportLost),
    "AA5": Effect(1, artim=False),
    "AA6": Effect(13),
    "AA7": Effect(13, sends="abort"),
    "AA8": Effect(13, sends=ABORTS_UNEXPECTED, indicates=ul.ProtocolViolated, artim=True),
}
"""PS3.8 Tables 9-6 to 9-9; AR8 depends on the side and is not here."""


def effect_of(action: str, event: int, side: str) -> Effect:
    """Return what the Standard has an action do when an event brings it about."""
    if action == "AR8":
        return Effect(9 if side == "R" else 10, indicates=ul.ReleaseRequested)
    effect = EFFECTS[action]
    if action == "AA1" and event != 15:
        # Beyond the Standard, which says nothing to a user who asked for nothing yet.
        return Effect(13, sends=effect.sends, indicates=ul.ProtocolViolated, artim=True)
    if action == "AA2" and event == 16:
        return Effect(1, indicates=ul.AbortReceived, artim=False, closes=True)  # as above
    if action == "AA8" and event == 19:
        return Effect(13, sends=ABORTS_UNRECOGNIZED, indicates=ul.ProtocolViolated, artim=True)
    return effect
