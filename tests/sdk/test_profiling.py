"""The profiler in SageMaker's words, as the job that comes of them."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Any

import pytest

from tests.analysis.jobs import ended
from vizsla import (
    DataloaderProfilingConfig,
    DetailedProfilingConfig,
    Estimator,
    FrameworkProfile,
    HorovodProfilingConfig,
    ProfilerConfig,
    ProfilerRule,
    PythonProfilingConfig,
    SMDataParallelProfilingConfig,
    UserError,
    rule_configs,
)
from vizsla.api import requests
from vizsla.job import PROFILER_RULES, Job, ProfileSettings
from vizsla.sdk import arguments
from vizsla.sdk.jobs import TrainingJob


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    (tmp_path / "photos").mkdir()
    return tmp_path / "photos"


def job(estimator: Estimator, photos: Path) -> Job:
    return requests.job(estimator.request(str(photos)))


def profile(estimator: Estimator, photos: Path) -> ProfileSettings:
    return job(estimator, photos).launch.profile


def test_the_words_people_type(photos: Path) -> None:
    estimator = Estimator(
        profiler_config=ProfilerConfig(
            system_monitor_interval_millis=200, framework_profile_params=FrameworkProfile(num_steps=20)
        ),
        rules=[ProfilerRule.sagemaker(rule_configs.ProfilerReport(StepOutlier_stddev=5))],
    )
    made = profile(estimator, photos)
    assert (made.interval_ms, made.start_step, made.num_steps) == (200, 0, 20)
    (rule,) = job(estimator, photos).outside_rules
    assert (rule.name, rule.rule, rule.parameters) == ("ProfilerReport", "ProfilerReport", {"StepOutlier_stddev": "5"})


def test_without_a_word_a_training_is_profiled_as_on_the_command_line(photos: Path) -> None:
    assert profile(Estimator(), photos) == profile(Estimator(profiler_config=ProfilerConfig()), photos)
    assert profile(Estimator(), photos) == ProfileSettings()


@pytest.mark.parametrize(
    "off", [{"disable_profiler": True}, {"profiler_config": ProfilerConfig(disable_profiler=True)}]
)
def test_it_can_be_switched_off(photos: Path, off: dict[str, Any]) -> None:
    assert not profile(Estimator(**off), photos).enabled


def window(made: FrameworkProfile, photos: Path) -> tuple[int, int, bool]:
    found = profile(Estimator(profiler_config=ProfilerConfig(framework_profile_params=made)), photos)
    return found.start_step, found.num_steps, found.python


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (FrameworkProfile(start_step=7, num_steps=3), (7, 3, True)),
        (FrameworkProfile(start_step=7), (7, 1, True)),
        (FrameworkProfile(num_steps=3), (0, 3, True)),
        (FrameworkProfile(), (5, 7, True)),  # operators of step 5, Python of steps 9 to 11
        (FrameworkProfile(detailed_profiling_config=DetailedProfilingConfig()), (5, 1, False)),
        (
            FrameworkProfile(detailed_profiling_config=DetailedProfilingConfig(profile_default_steps=True)),
            (5, 1, False),
        ),
        (FrameworkProfile(python_profiling_config=PythonProfilingConfig(2, 4)), (2, 4, True)),
        (FrameworkProfile(dataloader_profiling_config=DataloaderProfilingConfig()), (0, 0, False)),
        (
            FrameworkProfile(detailed_profiling_config=DetailedProfilingConfig(3, 2), start_step=50, num_steps=9),
            (3, 2, False),
        ),
        (FrameworkProfile(start_unix_time=1, duration=5.0), (0, 10, True)),
    ],
)
def test_of_ranges_and_parts_the_precedence_is_sagemakers(
    made: FrameworkProfile, expected: tuple[int, int, bool], photos: Path
) -> None:
    assert window(made, photos) == expected


@pytest.mark.parametrize(
    ("attempt", "said"),
    [
        (lambda: ProfilerConfig(system_monitor_interval_millis=300), "system_monitor_interval_millis=300"),
        (lambda: ProfilerConfig(framework_profile_params={"num_steps": 1}), "framework_profile_params is"),  # type: ignore[arg-type]
        (lambda: FrameworkProfile(start_step=1, start_unix_time=5), "range of steps and one of time"),
        (lambda: DetailedProfilingConfig(num_steps=1, duration=5), "range of steps and one of time"),
        (lambda: DetailedProfilingConfig(start_step=-1), "start_step=-1"),
        (lambda: FrameworkProfile(num_steps=0), "num_steps=0"),
        (lambda: FrameworkProfile(num_steps="__import__('os')"), "num_steps="),  # type: ignore[arg-type]
        (lambda: FrameworkProfile(detailed_profiling_config=DataloaderProfilingConfig()), "detailed_profiling_config"),  # type: ignore[arg-type]
        (lambda: PythonProfilingConfig(python_profiler="gprof"), "python_profiler='gprof'"),
        (lambda: Estimator(profiler_config={"interval": 5}), "profiler_config is"),  # type: ignore[arg-type]
        (lambda: Estimator().update_profiler(framework_profile_params=FrameworkProfile(),
                                             disable_framework_metrics=True), "exclude each other"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_where_it_is_written(attempt: object, said: str) -> None:
    assert callable(attempt)
    with pytest.raises(UserError, match=said):
        attempt()


def test_the_six_intervals_are_named() -> None:
    with pytest.raises(UserError) as refused:
        ProfilerConfig(system_monitor_interval_millis=1)
    assert "100, 200, 500, 1000, 5000, 60000" in refused.value.hint


class Timer(enum.Enum):
    """As SageMaker's enumerations are."""

    CPU_TIME = "CPU_TIME"


def test_what_means_nothing_here_is_said_once(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arguments, "_told", set[str]().copy)
    framework = FrameworkProfile(
        local_path="/tmp/x",
        python_profiling_config=PythonProfilingConfig(start_unix_time=5, cprofile_timer=Timer.CPU_TIME),
        dataloader_profiling_config=DataloaderProfilingConfig(metrics_regex="load"),
        horovod_profiling_config=HorovodProfilingConfig(),
        smdataparallel_profiling_config=SMDataParallelProfilingConfig(),
    )
    Estimator(profiler_config=ProfilerConfig(s3_output_path="s3://x", framework_profile_params=framework))
    (line,) = caplog.messages
    assert line.removeprefix("These arguments have no effect on this machine: ").rstrip(".").split(", ") == [
        *("cprofile_timer", "horovod_profiling_config", "local_path", "metrics_regex", "s3_output_path"),
        *("smdataparallel_profiling_config", "start_unix_time"),
    ]


def test_what_is_changed_later_is_for_trainings_to_come(
    tmp_path: Path, photos: Path, caplog: pytest.LogCaptureFixture
) -> None:
    estimator = Estimator()
    estimator.update_profiler(rules=["step_outlier"], system_monitor_interval_millis=1000)
    assert profile(estimator, photos).interval_ms == 1000
    assert [rule.rule for rule in job(estimator, photos).rules][-1] == "StepOutlier"
    assert len(job(estimator, photos).rules) == 7, "the default ones stay"
    estimator.update_profiler(disable_framework_metrics=True)
    assert (profile(estimator, photos).interval_ms, profile(estimator, photos).num_steps) == (1000, 0)
    assert not caplog.messages
    estimator.latest_training_job = TrainingJob(ended(tmp_path))
    estimator.disable_profiling()
    assert not profile(estimator, photos).enabled
    assert "dogs goes on as it was started" in caplog.text
    estimator.enable_default_profiling()
    assert profile(estimator, photos) == ProfileSettings()


def test_an_attached_estimator_profiles_as_its_job_did(photos: Path) -> None:
    first = job(Estimator(profiler_config=ProfilerConfig(system_monitor_interval_millis=100)), photos)
    again = Estimator._of(first, None)
    assert profile(again, photos) == first.launch.profile
    again.update_profiler(system_monitor_interval_millis=5000)
    assert profile(again, photos).interval_ms == 5000


def test_a_script_is_profiled_by_the_same_words(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("pass\n")
    estimator = Estimator(
        entry_point="train.py",
        source_dir=tmp_path,
        profiler_config=ProfilerConfig(framework_profile_params=FrameworkProfile(start_step=3, num_steps=2)),
    )
    made = requests.job(estimator.request(None)).launch.profile
    assert (made.start_step, made.num_steps) == (3, 2)


@pytest.mark.parametrize("rule", sorted(PROFILER_RULES))
def test_every_rule_of_the_profilers_is_a_rule_config(rule: str) -> None:
    made = ProfilerRule.sagemaker(getattr(rule_configs, rule)(scan_interval_us=60000000), name="mine")
    assert (made.request.rule, made.request.name) == (rule, "mine")


@pytest.mark.parametrize(
    ("rule", "parameters"),
    [
        ("BatchSize", "cpu_threshold_p95 gpu_threshold_p95 gpu_memory_threshold_p95 patience window"),
        ("CPUBottleneck", "threshold gpu_threshold cpu_threshold patience"),
        ("Dataloader", "min_threshold max_threshold"),
        ("GPUMemoryIncrease", "increase patience window"),
        ("IOBottleneck", "threshold gpu_threshold io_threshold patience"),
        ("LoadBalancing", "threshold patience"),
        ("LowGPUUtilization", "threshold_p95 threshold_p5 window patience"),
        ("MaxInitializationTime", "threshold"),
        ("StepOutlier", "stddev mode n_outliers"),
    ],
)
def test_their_parameters_are_sagemakers(rule: str, parameters: str) -> None:
    given = {name: 1 if name != "mode" else None for name in parameters.split()}
    if rule == "LoadBalancing":
        given["threshold"] = 0.5  # type: ignore[assignment]
    made = ProfilerRule.sagemaker(getattr(rule_configs, rule)(**given))
    assert set(made.request.parameters) == {name for name, value in given.items() if value is not None}
