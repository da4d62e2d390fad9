"""How a script's attempt is watched: its log, its figures, its end, and what it sees at /opt/ml. Real processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests import scripts
from tests.scripts import DEAF, FOREVER, lay_out, log, run, says, until
from vizsla import records
from vizsla.backends import local
from vizsla.container import packages
from vizsla.job import Launch, ProfileSettings, ScriptSettings
from vizsla.jobdir import VANISHED, JobDir
from vizsla.supervise import error_of, how_it_died


@pytest.fixture(autouse=True)
def nothing_runs_on(tmp_path: Path) -> Iterator[None]:
    """Whatever a test leaves running is ended."""
    yield
    for folder in (tmp_path / "runs" / "training").glob("*"):
        local.kill(JobDir(folder))


def failure(folder: JobDir) -> str:
    return (folder.output / "failure").read_text()


def values(folder: JobDir, name: str) -> list[tuple[int | None, object]]:
    found = records.read(folder.records, ["script"])
    return [(record.step, record.value) for record in found if record.name == name]


# ---- the end of a script


def test_a_script_that_ends_well_completes_its_job(tmp_path: Path) -> None:
    folder = lay_out(tmp_path, "print('done')\n")
    attempt = run(folder)
    assert (attempt.state, attempt.reason, attempt.exit_code) == ("Completed", None, 0)
    assert log(folder)[-1] == "done"
    assert not (folder.output / "failure").exists()


def test_what_a_script_leaves_running_ends_with_it_and_holds_nothing_up(tmp_path: Path) -> None:
    script = (
        "import subprocess, sys\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "print('left', child.pid)\n"
    )
    folder = lay_out(tmp_path, script)
    assert run(folder).state == "Completed"
    (said,) = [line for line in log(folder) if line.startswith("left")]
    assert not psutil.pid_exists(pid := int(said.split()[1])) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_the_last_words_of_a_script_are_kept_also_without_a_newline(tmp_path: Path) -> None:
    folder = lay_out(tmp_path, "import sys\nsys.stdout.write('x' * 300_000 + '\\nthe end')\n")
    assert run(folder).state == "Completed"
    assert log(folder)[-2:] == ["x" * 300_000, "the end"]


def test_a_crash_is_named_by_its_last_line_and_kept_whole(tmp_path: Path) -> None:
    noise = "for n in range(500): print('noise', n)\n"
    attempt = run(folder := lay_out(tmp_path, f"{noise}def deep():\n    raise KeyError('ear')\ndeep()\n"))
    assert attempt.state == "Failed"
    assert attempt.reason == "Exit code 1. KeyError: 'ear'"
    assert attempt.exit_code == 1
    said = failure(folder)
    assert said.startswith("Traceback (most recent call last)")
    assert "in deep" in said
    assert said.endswith("KeyError: 'ear'")
    assert "noise" not in said


def test_a_script_that_writes_its_own_failure_keeps_it(tmp_path: Path) -> None:
    script = (
        "import os, sys\n"
        "open(os.path.join(os.environ['SM_OUTPUT_DIR'], 'failure'), 'w').write('the photos are all black')\n"
        "print('and more')\nsys.exit(3)\n"
    )
    attempt = run(folder := lay_out(tmp_path, script))
    assert failure(folder) == "the photos are all black"
    assert attempt.reason == "Exit code 3. the photos are all black"


def test_a_script_that_ends_without_a_word_is_named_by_its_code(tmp_path: Path) -> None:
    attempt = run(folder := lay_out(tmp_path, "import os\nos._exit(3)\n"))
    assert (attempt.state, failure(folder)) == ("Failed", "Exit code 3.")


def test_a_script_that_the_system_killed_is_named_by_the_signal(tmp_path: Path) -> None:
    attempt = run(lay_out(tmp_path, "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n"))
    assert (attempt.state, attempt.reason) == ("Failed", "The process was ended by SIGKILL.")


@pytest.mark.parametrize(("code", "said"), [(3, "Exit code 3."), (-11, "The process was ended by SIGSEGV.")])
def test_ends_have_words(code: int, said: str) -> None:
    assert how_it_died(code) == said


def test_the_last_of_two_tracebacks_is_the_error() -> None:
    top = "Traceback (most recent call last):"
    assert error_of(["a", top, "caught", "b", top, "E: last"]) == [top, "E: last"]
    assert error_of([str(number) for number in range(30)]) == [str(number) for number in range(10, 30)]


# ---- stopped


def test_a_script_that_hears_sigterm_may_finish_its_work(tmp_path: Path) -> None:
    script = (
        "import os, signal, sys, time\n"
        "def end(*_):\n"
        "    open(os.path.join(os.environ['SM_MODEL_DIR'], 'half'), 'w').close()\n"
        "    sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, end)\n"
    )
    local.start(folder := lay_out(tmp_path, script + FOREVER))
    until(lambda: says(folder, "begun"))
    local.ask_to_stop(folder)
    attempt = scripts.ended(folder)
    assert (attempt.state, attempt.reason) == ("Stopped", "stopped by the user")
    assert (folder.model / "half").exists()


def test_max_runtime_stops_a_job(tmp_path: Path) -> None:
    attempt = run(lay_out(tmp_path, FOREVER, launch=Launch(max_runtime=0.7)))
    assert (attempt.state, attempt.reason) == ("Stopped", "max_runtime of 0.7 s is over")


def test_max_runtime_stops_a_job_that_will_not_hear(tmp_path: Path) -> None:
    folder = lay_out(tmp_path, "import os\nprint(f'pid {os.getpid()}.', flush=True)\n" + DEAF)
    limited = folder.job().model_copy(update={"launch": Launch(max_runtime=1.5, stop_grace=0.5)})
    (folder.path / "job.json").write_text(limited.model_dump_json())
    attempt = run(folder)
    assert (attempt.state, attempt.reason) == ("Stopped", "max_runtime of 1.5 s is over")
    until(lambda: not psutil.pid_exists(pid_of(folder)))


def test_a_script_goes_with_the_worker_that_watches_it(tmp_path: Path) -> None:
    folder = lay_out(tmp_path, "import os\nprint(f'pid {os.getpid()}.', flush=True)\n" + DEAF)
    attempt = local.start(folder)
    until(lambda: says(folder, "begun"))
    os.kill(attempt.process.pid, signal.SIGKILL)
    until(lambda: not psutil.pid_exists(pid_of(folder)))
    ended = scripts.ended(folder)
    assert (ended.state, ended.reason) == ("Failed", VANISHED)


def pid_of(folder: JobDir) -> int:
    said = next(line for line in log(folder) if line.startswith("pid "))
    return int(said.removeprefix("pid ").removesuffix("."))


# ---- what it says


def test_metrics_are_what_their_regex_finds_in_the_output(tmp_path: Path) -> None:
    script = (
        "import sys\n"
        "print('epoch 1 loss: 0.5; acc: 0.25;')\n"
        "print('loss: soon; loss: nothing')\n"
        "print('loss: 3e-1; acc: 0.75;', file=sys.stderr)\n"
        "print('loss: nan;')\n"
    )
    folder = lay_out(tmp_path, script, metrics={"my loss": "loss: ([^;]+);", "acc": "acc: ([0-9.]+);"})
    run(folder)
    losses = values(folder, "my loss")
    assert losses[:2] == [(0, 0.5), (1, 0.3)]
    assert [step for step, _ in losses] == [0, 1, 2]
    assert str(losses[2][1]) == "nan"
    assert values(folder, "acc") == [(0, 0.25), (1, 0.75)]


def test_output_that_is_no_text_is_kept_in_the_log(tmp_path: Path) -> None:
    script = "import sys\nsys.stdout.buffer.write(b'caf\\xe9\\nloss: 1;\\n')\n"
    folder = lay_out(tmp_path, script, metrics={"loss": "loss: ([0-9]+);"})
    assert run(folder).state == "Completed"
    assert len([line for line in log(folder) if line.startswith("caf")]) == 1
    assert values(folder, "loss") == [(0, 1.0)]


# ---- what it uses


def samples(folder: JobDir) -> list[tuple[float, Mapping[str, Any]]]:
    found = records.read(folder.records, ["system"])
    return [(each.t, each.value) for each in found if each.name == "sample" and isinstance(each.value, Mapping)]


def sampled(tmp_path: Path, script: str) -> JobDir:
    folder = lay_out(tmp_path, script, launch=Launch(profile=ProfileSettings(interval_ms=100)))
    assert run(folder).state == "Completed", log(folder)
    return folder


def said(folder: JobDir, name: str) -> float:
    """The number that a script has printed after `name`."""
    return next(float(line.split()[1]) for line in log(folder) if line.startswith(f"{name} "))


def test_a_job_is_sampled_while_nothing_of_its_own_can_run(tmp_path: Path) -> None:
    script = (
        "import threading, time\n"
        "ticks = 0\n"
        "def tick():\n"
        "    global ticks\n"
        "    while True:\n"
        "        ticks += 1\n"
        "        time.sleep(0.01)\n"
        "threading.Thread(target=tick, daemon=True).start()\n"
        "before = ticks\n"
        "print('from', time.time())\n"
        "sum(range(60_000_000))\n"  # one call into C, which never lets go of the lock
        "print('to', time.time())\n"
        "print('ticks', ticks - before)\n"
    )
    folder = sampled(tmp_path, script)
    assert said(folder, "ticks") <= 2
    within = [t for t, _ in samples(folder) if said(folder, "from") < t < said(folder, "to")]
    assert len(within) >= 3


def test_what_a_job_computes_is_what_its_samples_say(tmp_path: Path) -> None:
    script = (
        "import time\nprint('begun', time.time())\nwhile time.process_time() < 1: pass\n"
        "print('computed', time.process_time())\ntime.sleep(1)\nprint('slept', time.time())\n"
    )
    folder = sampled(tmp_path, script)
    computed = sum(each["job_cpu"] / 100 * each["seconds"] for _, each in samples(folder))
    assert 0.8 * said(folder, "computed") < computed < 0.5 + 1.5 * said(folder, "computed")
    asleep = [each["job_cpu"] for t, each in samples(folder) if said(folder, "slept") - 0.7 < t < said(folder, "slept")]
    assert max(asleep) < 20


def test_samples_end_with_the_job(tmp_path: Path) -> None:
    folder = sampled(tmp_path, "import time\ntime.sleep(0.5)\n")
    attempt = folder.attempts()[-1]
    begun, ended = (datetime.fromisoformat(text or "").timestamp() for text in (attempt.created, attempt.ended))
    assert samples(folder)
    assert all(begun < t < ended + 0.01 for t, _ in samples(folder))
    assert not list(folder.records.glob("system/*.open"))


def test_each_attempt_has_its_own_samples(tmp_path: Path) -> None:
    folder = sampled(tmp_path, "import time\ntime.sleep(0.3)\n")
    first = len(samples(folder))
    assert run(folder).state == "Completed"
    assert len(samples(folder)) > first
    assert {file.name[:4] for file in folder.records.glob("system/*")} == {"0001", "0002"}


def test_a_job_without_a_profiler_has_no_samples(tmp_path: Path) -> None:
    folder = lay_out(tmp_path, "pass", launch=Launch(profile=ProfileSettings(enabled=False)))
    assert run(folder).state == "Completed"
    assert not (folder.records / "system").exists()


# ---- /opt/ml


def opt_ml_is_to_be_had() -> str:
    """ "", or why a user namespace is not to be had here."""
    try:
        tried = subprocess.run(
            ["unshare", "--user", "--map-root-user", "--mount", "mount", "-t", "tmpfs", "x", "/mnt"],
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError as error:
        return str(error)
    return tried.stderr.strip()


NO_NAMESPACE = opt_ml_is_to_be_had()


def in_opt() -> set[str]:
    return {path.name for path in Path("/opt").glob("*")}


@pytest.mark.skipif(bool(NO_NAMESPACE), reason=f"no user namespaces here: {NO_NAMESPACE}")
def test_a_script_finds_its_folder_at_opt_ml_and_the_rest_of_opt_in_its_place(tmp_path: Path) -> None:
    script = (
        "import json, os\n"
        "open('/opt/ml/model/model.pth', 'w').write('weights')\n"
        "print(json.dumps([sorted(os.listdir('/opt')), sorted(os.listdir('/opt/ml/input'))]))\n"
    )
    folder = lay_out(tmp_path, script)
    before = in_opt()
    assert run(folder).state == "Completed"
    opt, inputs = json.loads(log(folder)[-1])
    assert set(opt) == {*before, "ml"}
    assert inputs == ["config", "data"]
    assert (folder.model / "model.pth").read_text() == "weights"
    assert in_opt() == before


def test_where_opt_ml_cannot_be_had_one_line_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = tmp_path / "bin" / "unshare"
    fake.parent.mkdir()
    fake.write_text("#!/bin/sh\necho 'unshare: Operation not permitted' >&2\nexit 1\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake.parent}:{os.environ['PATH']}")
    folder = lay_out(tmp_path, "print('went on')\n")
    assert run(folder).state == "Completed"
    assert log(folder) == [
        "/opt/ml cannot be had here (unshare: Operation not permitted): use the SM_* variables",
        "went on",
    ]


@pytest.mark.skipif(bool(NO_NAMESPACE), reason=f"no user namespaces here: {NO_NAMESPACE}")
def test_where_a_mount_fails_half_way_the_script_finds_opt_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = tmp_path / "bin" / "mkdir"  # the tmpfs lies on /opt by then
    fake.parent.mkdir()
    fake.write_text("#!/bin/sh\necho 'mkdir: no room' >&2\nexit 1\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake.parent}:{os.environ['PATH']}")
    folder = lay_out(tmp_path, "import json, os\nprint(json.dumps(sorted(os.listdir('/opt'))))\n")
    assert run(folder).state == "Completed"
    said, opt = log(folder)
    assert said == "/opt/ml cannot be had here (mkdir: no room): use the SM_* variables"
    assert set(json.loads(opt)) == in_opt()


# ---- requirements.txt

IMPORTS = "import ears\nprint('ears', ears.COUNT)\n"


def package(place: Path) -> str:
    """The requirements of a script that needs a package which lies in a folder; nothing is downloaded."""
    home = place / "ears"
    home.mkdir()
    (home / "ears.py").write_text("COUNT = 2\n")
    (home / "build_backend.py").write_text(BACKEND)
    (home / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "build_backend"\nbackend-path = ["."]\n'
    )
    return f"{home}\n"


BACKEND = """
import zipfile

def build_wheel(where, config_settings=None, metadata_directory=None):
    info = "ears-1.0.dist-info"
    with zipfile.ZipFile(f"{where}/ears-1.0-py3-none-any.whl", "w") as wheel:
        wheel.write("ears.py")
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\\nName: ears\\nVersion: 1.0\\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr(f"{info}/RECORD", "")
    return "ears-1.0-py3-none-any.whl"
"""


def test_requirements_are_named_and_not_installed(tmp_path: Path) -> None:
    folder = lay_out(tmp_path, IMPORTS, requirements=package(tmp_path))
    assert run(folder).reason == "Exit code 1. ModuleNotFoundError: No module named 'ears'"
    assert log(folder)[0].startswith("requirements.txt is not installed; --set script.install=true installs it")


def test_requirements_are_installed_for_the_job_alone_when_asked_for(tmp_path: Path) -> None:
    asked = Launch(script=ScriptSettings(install=True))
    folder = lay_out(tmp_path, IMPORTS, launch=asked, requirements=package(tmp_path))
    attempt = run(folder)
    assert (attempt.state, log(folder)[-1]) == ("Completed", "ears 2"), log(folder)
    assert (packages(folder) / "ears.py").exists()
    assert run(folder).state == "Completed"  # again over what is there
    with pytest.raises(ModuleNotFoundError):
        __import__("ears")


def test_requirements_that_cannot_be_installed_fail_the_job(tmp_path: Path) -> None:
    asked = Launch(script=ScriptSettings(install=True))
    folder = lay_out(tmp_path, "print('ran')\n", launch=asked, requirements=f"{tmp_path}/nowhere.whl\n")
    attempt = run(folder)
    assert attempt.state == "Failed"
    assert "nowhere.whl" in (attempt.reason or "")
    assert not says(folder, "ran")
