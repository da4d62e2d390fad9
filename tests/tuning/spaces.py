"""Any space that the checks let through, for hypothesis."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from vizsla.tuning.space import Categorical, Continuous, Integer, Range, Scaling, Space

FINITE = st.floats(allow_nan=False, allow_infinity=False, min_value=-1e150, max_value=1e150)
NAMES = st.from_regex(r"[a-rt-z][a-z0-9_.\-]{0,7}", fullmatch=True)


@st.composite
def continuous(draw: DrawFn) -> Continuous:
    scaling: Scaling = draw(st.sampled_from(["Auto", "Linear", "Logarithmic", "ReverseLogarithmic"]))
    ends: SearchStrategy[float] = FINITE
    if scaling == "Logarithmic":
        ends = st.floats(1e-150, 1e150)
    if scaling == "ReverseLogarithmic":
        ends = st.floats(0, 1, exclude_max=True)
    low, high = sorted(draw(st.lists(ends, min_size=2, max_size=2, unique=True)))
    return Continuous(low, high, scaling)


@st.composite
def integers(draw: DrawFn) -> Integer:
    scaling: Scaling = draw(st.sampled_from(["Auto", "Linear", "Logarithmic"]))
    ends = st.integers(1 if scaling == "Logarithmic" else -(2**32), 2**32)
    low, high = sorted(draw(st.lists(ends, min_size=2, max_size=2, unique=True)))
    return Integer(low, high, scaling)


@st.composite
def categorical(draw: DrawFn) -> Categorical:
    return Categorical(tuple(draw(st.lists(st.text(min_size=1, max_size=5), min_size=1, max_size=5, unique=True))))


@st.composite
def spaces(draw: DrawFn) -> Space:
    """Any space the checks let through, with one to four ranges."""
    spans: SearchStrategy[Range] = st.one_of(continuous(), integers(), categorical())
    return draw(st.dictionaries(NAMES, spans, min_size=1, max_size=4))
