"""How much of what can be killed is killed: a sample in `make test`, everything in `make crash`."""

from __future__ import annotations

import os
import random

ROUNDS = int(os.environ.get("PACSD_TEST_CRASH_ROUNDS", "6"))
"""`make crash` has a hundred."""
SEED = os.environ.get("PACSD_TEST_CRASH_SEED", "20240229")
"""Of all that is chosen by chance, as far as a running machine can be repeated."""
IS_WHOLE = ROUNDS >= 100
POLICIES = ("keep-first", "replace", "reject")
DATABASES = ("sqlite", "postgresql")


def combinations(*sample: tuple[str, str]) -> list[tuple[str, str]]:
    """All pairs of policy and database, or the sample of them."""
    return [(policy, database) for policy in POLICIES for database in DATABASES] if IS_WHOLE else [*sample]


def chance() -> random.Random:
    """Numbers that the seed decides on."""
    return random.Random(SEED)
