"""hypothesis strategies: values and keys of each Value Representation that have a fair chance to match."""

from __future__ import annotations

from hypothesis import strategies as st

__all__ = ["MOMENTS", "RANGES", "REPRESENTATIONS", "keys_like"]

# Few characters, so that keys match; among them all that are special to LIKE, GLOB or regular expressions.
_TEXT = st.text(st.sampled_from("aAbB%_/[]^-.'é山 !"), max_size=4)
_NAME = st.text(st.sampled_from("aAbß^^==éeê 山かが"), max_size=6)
_DAY = st.builds("{}{}{}".format, *map(st.sampled_from, (["2023", "2024"], ["01", "02", "12"], ["01", "28"])))
_OLD_DAY = _DAY.map(lambda day: f"{day[:4]}.{day[4:6]}.{day[6:]}")


def _clock(*seconds: int) -> st.SearchStrategy[str]:
    numbers = (st.integers(10, 12), *map(st.sampled_from, ([0, 30, 59], seconds, [0, 5, 500000])))
    return st.builds("{:02}{:02}{:02}.{:06}".format, *numbers)


_CLOCK = _clock(0, 59, 60)
_TIME = st.builds("{:.{}}".format, _CLOCK, st.sampled_from([2, 4, 6, 8, 13]))
_DATE_TIME = st.builds(
    "{:.{}}{}".format,
    st.builds(str.__add__, _DAY, _clock(0, 59)),
    st.sampled_from([4, 6, 8, 10, 12, 14, 16, 21]),
    st.sampled_from(["", "", "+0000", "-0500", "+1100"]),
)
_NUMBER = st.sampled_from(
    ["0", "-0", "1", "01", "+1", "1.0", "1e0", "10", "1E1", "0.1", ".10", "-1", " 1 ", "1."]
)
_UID = st.sampled_from(["1.2", "1.2.3", "1.2.30", "1.23"])
_AGE = st.sampled_from(["042Y", "042M", "004Y"])


def _ranges(moment: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    both = st.builds("{}{}{}".format, moment, st.sampled_from(["-", " - "]), moment)
    return st.one_of(moment, both, moment.map("{}-".format), moment.map("-{}".format))


@st.composite
def _patterns(draw: st.DrawFn, values: st.SearchStrategy[str]) -> str:
    """A value with some of its characters behind wildcards."""
    characters = list(draw(values))
    for at in range(len(characters)):
        characters[at] = draw(
            st.sampled_from([characters[at]] * 4 + ["?", "*", "", characters[at].swapcase()])
        )
    return "".join(characters)


def _several(values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(values, values, values, st.lists(values, min_size=2, max_size=3).map("\\".join))


# Few of them, so that moments lie on the ends of ranges.
_SOME_DAYS = st.sampled_from(["20240101", "2024.01.02", "20240102", "20240103"])
_SOME_TIMES = st.sampled_from(["10", "103000", "1030", "10:30:00.5", "11"])

MOMENTS = st.tuples(
    _SOME_DAYS | _SOME_DAYS | st.sampled_from(["", "unknown"]),
    _SOME_TIMES | _SOME_TIMES | st.sampled_from(["", "noon"]),
)
"""A date and a time of day."""

RANGES = st.tuples(_ranges(_SOME_DAYS), _ranges(_SOME_TIMES) | st.just(""))
"""Keys for the two, of one value each."""

# By Value Representation: what may be kept, and what may be asked for.
REPRESENTATIONS = {
    "LO": (_several(_TEXT), _several(_patterns(_TEXT))),
    "LT": (_several(_TEXT), _several(_patterns(_TEXT))),
    "PN": (_several(_NAME), _several(_patterns(_NAME))),
    "DA": (_several(_DAY | _OLD_DAY | st.just("unknown")),
           _several(_ranges(_DAY) | _ranges(_OLD_DAY) | st.builds("{:.{}}*".format, _DAY, st.integers(4, 7)))),
    "TM": (_several(_TIME | st.just("noon")),
           _several(_ranges(_TIME) | st.builds("{:.{}}*".format, _CLOCK, st.integers(1, 6)))),
    "DT": (_several(_DATE_TIME | st.just("once")), _several(_ranges(_DATE_TIME))),
    "DS": (_several(_NUMBER | st.just("heavy")), _several(_NUMBER)),
    "AS": (_several(_AGE), _several(_patterns(_AGE))),
    "UI": (_several(_UID), _several(_patterns(_UID))),
}  # fmt: skip


def keys_like(vr: str, kept: list[str]) -> st.SearchStrategy[str]:
    """Keys of a VR, often made from what is kept."""
    one_of_these = st.sampled_from(kept)
    if vr == "DS":
        return REPRESENTATIONS[vr][1] | one_of_these
    if vr in ("DA", "TM", "DT"):
        return REPRESENTATIONS[vr][1] | _ranges(one_of_these)
    return REPRESENTATIONS[vr][1] | _patterns(one_of_these)
