"""ProfilerConfig, FrameworkProfile and its parts: SageMaker's words for what is recorded of a training's time.

They become the settings `profile.…` of a job, checked where they are written; nothing is evaluated.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar

from vizsla.errors import UserError

INTERVALS_MS = (100, 200, 500, 1000, 5000, 60000)


@dataclass(frozen=True, slots=True)
class _Range:
    """Which steps are profiled: those named, or else the ones SageMaker takes. Steps and times exclude each other."""

    start_step: int | None = None
    num_steps: int | None = None
    start_unix_time: int | None = None
    duration: float | None = None
    profile_default_steps: bool = False

    DEFAULT: ClassVar[range] = range(0)

    def __post_init__(self) -> None:
        _check_range(type(self).__name__, self)

    def window(self) -> range | None:
        """The steps; None for a range of time, which is not to be had here."""
        return self.DEFAULT if self.profile_default_steps else _window(self) or _unless_timed(self, self.DEFAULT)


@dataclass(frozen=True, slots=True)
class DetailedProfilingConfig(_Range):
    """The operators of these steps."""

    DEFAULT: ClassVar[range] = range(5, 6)


@dataclass(frozen=True, slots=True)
class DataloaderProfilingConfig(_Range):
    """How photos are loaded: here the phases of all steps are recorded anyway."""

    metrics_regex: str = ".*"

    DEFAULT: ClassVar[range] = range(7, 8)


@dataclass(frozen=True, slots=True)
class PythonProfilingConfig(_Range):
    """The Python functions of these steps, by cProfile."""

    python_profiler: object = "cprofile"
    cprofile_timer: object = "total_time"

    DEFAULT: ClassVar[range] = range(9, 12)

    def __post_init__(self) -> None:
        _check_range(type(self).__name__, self)
        _check_word("python_profiler", self.python_profiler, ("cprofile", "pyinstrument"))
        _check_word("cprofile_timer", self.cprofile_timer, ("total_time", "cpu_time", "off_cpu_time", "default"))


@dataclass(frozen=True, slots=True)
class HorovodProfilingConfig(_Range):
    """Horovod is not used here."""

    DEFAULT: ClassVar[range] = range(13, 14)


@dataclass(frozen=True, slots=True)
class SMDataParallelProfilingConfig(_Range):
    """SageMaker's data parallel library is not used here."""

    DEFAULT: ClassVar[range] = range(15, 16)


@dataclass(frozen=True, slots=True)
class FrameworkProfile:
    """What is profiled in which steps, with SageMaker's precedence.

    Where any `…_profiling_config` is given, only those are on; else the range holds for all of them; without one, each
    has its own. vizsla has one window of steps: from the first that the operators or Python are wanted of, to the last.
    """

    local_path: str = "/opt/ml/output/profiler"
    file_max_size: int = 10485760
    file_close_interval: int = 60
    file_open_fail_threshold: int = 50
    detailed_profiling_config: DetailedProfilingConfig | None = None
    dataloader_profiling_config: DataloaderProfilingConfig | None = None
    python_profiling_config: PythonProfilingConfig | None = None
    horovod_profiling_config: HorovodProfilingConfig | None = None
    smdataparallel_profiling_config: SMDataParallelProfilingConfig | None = None
    start_step: int | None = None
    num_steps: int | None = None
    start_unix_time: int | None = None
    duration: float | None = None

    def __post_init__(self) -> None:
        for name, kind in _PARTS.items():
            given = getattr(self, name)
            if given is not None and not isinstance(given, kind):
                raise UserError(f"{name} is {given!r}.", f"Give it a {kind.__name__}(…).")
        if not self._parts:
            _check_range("FrameworkProfile", self)

    def settings(self) -> dict[str, str]:
        """As settings of a job. A range of time leaves the window as it is."""
        detailed, python = self._asked("detailed_profiling_config"), self._asked("python_profiling_config")
        windows = [part.window() for part in (detailed, python) if part]
        found = {"profile.python": "true"} if python else {}
        if None in windows:
            return found
        steps = [step for window in windows if window for step in (window.start, window.stop)]
        first, end = (min(steps), max(steps)) if steps else (0, 0)
        return found | {"profile.start_step": str(first), "profile.num_steps": str(end - first)}

    def without_effect(self) -> Iterator[str]:
        """Names of arguments that ask for something which is not to be had here."""
        ours = ("detailed_profiling_config", "dataloader_profiling_config", "python_profiling_config", *_RANGE)
        yield from (name for name in _given(self) if name not in ours)
        for each in (self, *self._parts.values()):
            yield from (name for name in ("start_unix_time", "duration") if getattr(each, name) is not None)
        for each in self._parts.values():
            yield from (name for name in _given(each) if name in ("metrics_regex", "cprofile_timer", "python_profiler"))

    def _asked(self, name: str) -> _Range | None:
        """What is asked of one part, by the precedence."""
        if self._parts:
            return self._parts.get(name)
        given = {each: getattr(self, each) for each in _RANGE}
        return _PARTS[name](**given)

    @property
    def _parts(self) -> dict[str, _Range]:
        return {name: given for name in _PARTS if (given := getattr(self, name)) is not None}


@dataclass(frozen=True, slots=True)
class ProfilerConfig:
    """How often the system is sampled, and what is profiled in which steps.

    What is None is as it is without a ProfilerConfig: two samples a second, and a profile of the first ten steps. The
    output path and `profile_params` mean nothing here: what is recorded is in the job's folder.
    """

    s3_output_path: str | None = None
    system_monitor_interval_millis: int | None = None
    framework_profile_params: FrameworkProfile | None = None
    profile_params: object = None
    disable_profiler: bool = False

    def __post_init__(self) -> None:
        interval = self.system_monitor_interval_millis
        if interval is not None and (isinstance(interval, bool) or interval not in INTERVALS_MS):
            known = ", ".join(map(str, INTERVALS_MS))
            raise UserError(f"system_monitor_interval_millis={interval!r} cannot be.", f"It is one of {known}.")
        if not isinstance(self.framework_profile_params, FrameworkProfile | None):
            raise UserError(
                f"framework_profile_params is {self.framework_profile_params!r}.",
                "Give it a FrameworkProfile(…), such as FrameworkProfile(num_steps=10).",
            )

    def settings(self) -> dict[str, str]:
        """As settings of a job."""
        if self.disable_profiler:
            return {"profile.enabled": "false"}
        found = {"profile.enabled": "true"}
        if self.system_monitor_interval_millis is not None:
            found["profile.interval_ms"] = str(self.system_monitor_interval_millis)
        return found | (self.framework_profile_params.settings() if self.framework_profile_params else {})

    def without_effect(self) -> list[str]:
        """Names of arguments that ask for something which is not to be had here."""
        own = [name for name in ("s3_output_path", "profile_params") if getattr(self, name) is not None]
        return [*own, *(self.framework_profile_params.without_effect() if self.framework_profile_params else ())]


def updated(config: ProfilerConfig, **changed: Any) -> ProfilerConfig:
    """`config` with what of `changed` is not None, switched on."""
    return replace(config, disable_profiler=False, **{name: it for name, it in changed.items() if it is not None})


_RANGE = ("start_step", "num_steps", "start_unix_time", "duration")
_PARTS: Mapping[str, type[_Range]] = {
    "detailed_profiling_config": DetailedProfilingConfig,
    "dataloader_profiling_config": DataloaderProfilingConfig,
    "python_profiling_config": PythonProfilingConfig,
    "horovod_profiling_config": HorovodProfilingConfig,
    "smdataparallel_profiling_config": SMDataParallelProfilingConfig,
}


def _given(config: object) -> list[str]:
    """The names of a dataclass's fields that are not as they are by default."""
    return [each.name for each in fields(config) if _word(getattr(config, each.name)) != each.default]  # type: ignore[arg-type]


def _window(given: _Range | FrameworkProfile) -> range | None:
    """One of both is enough: a start has one step, a number begins at 0."""
    if given.start_step is None and given.num_steps is None:
        return None
    first = given.start_step or 0
    return range(first, first + (given.num_steps or 1))


def _unless_timed(given: _Range, usual: range) -> range | None:
    return usual if given.start_unix_time is None and given.duration is None else None


def _check_range(who: str, given: _Range | FrameworkProfile) -> None:
    for name, least in (("start_step", 0), ("num_steps", 1), ("start_unix_time", 0), ("duration", 0)):
        value = getattr(given, name)
        fits = isinstance(value, int) or (name == "duration" and isinstance(value, float))
        if value is not None and (not fits or isinstance(value, bool) or value < least):
            raise UserError(f"{who}: {name}={value!r} cannot be.", f"It is a whole number, {least} or more.")
    if _window(given) and (given.start_unix_time is not None or given.duration is not None):
        raise UserError(
            f"{who} has a range of steps and one of time.",
            "Give start_step and num_steps, or start_unix_time and duration.",
        )


def _word(value: object) -> object:
    """The value of one of SageMaker's enumerations, lower case; anything else as it is."""
    plain = getattr(value, "value", value)
    return plain.lower() if isinstance(plain, str) else plain


def _check_word(name: str, value: object, known: tuple[str, ...]) -> None:
    if _word(value) not in known:
        raise UserError(f"{name}={value!r} cannot be.", f"It is one of {', '.join(known)}.")
