"""What every place where jobs run must do, as tests that each backend's own test inherits (tests/backends/).

A subclass gives the fixture `backend`, and ends whatever still runs when a test is over. Nothing here looks at how a
place does it: jobs are asked for, looked at and fetched through backends.base.Backend alone.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import TINY
from tests.photos import write_folder
from vizsla import bundle
from vizsla.backends.base import Backend, Status
from vizsla.errors import UserError
from vizsla.job import Job, Launch, Metric, partition
from vizsla.jobdir import FINISHED
from vizsla.plan import resolve

SAVES = """
import os
from pathlib import Path
Path(os.environ["SM_MODEL_DIR"], "weights.txt").write_text("42")
Path(os.environ["SM_OUTPUT_DATA_DIR"], "curve.csv").write_text("1,2")
"""
FAILS = """
print("epoch 1")
raise RuntimeError("the third photo ate the gradient")
"""
WAITS = """
import time
print("ready", flush=True)
time.sleep(600)
"""
SAVES_WHEN_STOPPED = """
import os, signal, sys, time
from pathlib import Path
def save(*_):
    Path(os.environ["SM_MODEL_DIR"], "weights.txt").write_text("half")
    sys.exit()
signal.signal(signal.SIGTERM, save)
print("ready", flush=True)
time.sleep(600)
"""
GOES_ON = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("ready", flush=True)
for _ in range(6000):
    time.sleep(0.1)
"""
SPEAKS = """
import sys
for number in range(400):
    print("line", number, flush=True, file=(sys.stdout, sys.stderr)[number % 2])
print("\\u00fcber", end="", flush=True)
"""
SAYS_WHAT_IT_GOT = """
import json, os, sys
from pathlib import Path
photos = sorted(path.name for path in Path(os.environ["SM_CHANNEL_TRAINING"]).iterdir())
found = {"arguments": sys.argv[1:], "hps": json.loads(os.environ["SM_HPS"]), "photos": photos}
Path(os.environ["SM_MODEL_DIR"], "found.json").write_text(json.dumps(found))
"""
MEASURES = """
for loss in (0.9, 0.5, 0.7):
    print(f"average test loss: {loss}; accuracy: 0.5", flush=True)
"""
LOSS = Metric(name="average test loss", regex="average test loss: ([0-9.]+);")
NEVER_SEEN = Metric(name="recall", regex="recall: ([0-9.]+);")

Script = Callable[..., Job]


def ended(backend: Backend, name: str) -> Status:
    """The job's status once it is finished."""
    while (status := backend.poll(name)).state not in FINISHED:
        time.sleep(0.05)
    return status


def ready(backend: Backend, name: str) -> None:
    """Returns once the script has printed `ready`."""
    assert "ready" in backend.logs(name, follow=True), backend.poll(name)


class BackendContract:
    """Inherit this, and give it a fixture `backend`."""

    @pytest.fixture
    def script(self, tmp_path: Path) -> Script:
        """Makes a job of a script: its name, the code, and fields of Job."""

        def made(name: str, code: str, **fields: object) -> Job:
            source = tmp_path / f"source-of-{name}"
            source.mkdir(exist_ok=True)
            (source / "train.py").write_text(code)
            asked = {"channels": {}, **fields}
            return Job.model_validate({"name": name, "entry_point": "train.py", "source": str(source), **asked})

        return made

    # ---- from start to end

    def test_a_job_runs_to_its_end_and_its_files_are_fetched(self, backend: Backend, script: Script) -> None:
        assert backend.submit(script("saves", SAVES), None) == "saves"
        done = ended(backend, "saves")
        assert (done.name, done.state, done.reason) == ("saves", "Completed", None)
        assert done.ended is not None
        assert done.created <= done.ended
        folder = backend.fetch("saves")
        assert (folder / "model" / "weights.txt").read_text() == "42"
        assert (folder / "output" / "data" / "curve.csv").read_text() == "1,2"

    def test_a_job_that_fails_says_why(self, backend: Backend, script: Script) -> None:
        backend.submit(script("fails", FAILS), None)
        done = ended(backend, "fails")
        assert done.state == "Failed"
        assert done.reason is not None
        assert "the third photo ate the gradient" in done.reason
        failure = (backend.fetch("fails") / "output" / "failure").read_text()
        assert failure.startswith("Traceback (most recent call last)")

    def test_the_classifier_runs_through_the_same_door(self, backend: Backend, tmp_path: Path) -> None:
        write_folder(tmp_path / "photos", {"disc": 12, "stripes": 12}, seed=1)
        hyperparameters, launch = partition(dict(pair.split("=") for pair in (*TINY, "epochs=1")))
        channels = {"training": str(tmp_path / "photos")}
        job = Job(name="shapes", channels=channels, hyperparameters=hyperparameters, launch=launch)
        backend.submit(job, resolve(job))
        done = ended(backend, "shapes")
        assert done.state == "Completed", done
        made = bundle.read(backend.fetch("shapes") / "model")
        assert done.metrics["valid_loss"] == made.metrics["valid_loss"]

    def test_two_jobs_run_at_once(self, backend: Backend, script: Script) -> None:
        for name in ("one", "two"):
            backend.submit(script(name, WAITS), None)
        for name in ("one", "two"):
            ready(backend, name)
        assert [backend.poll(name).state for name in ("one", "two")] == ["InProgress", "InProgress"]
        assert backend.stop("one").state == "Stopped"
        assert backend.poll("two").state == "InProgress"

    # ---- what a script gets

    def test_names_and_values_reach_a_script_verbatim(self, backend: Backend, script: Script, tmp_path: Path) -> None:
        photos = tmp_path / "photos"
        photos.mkdir()
        (photos / "a b.jpg").touch()
        given = {"My-Lr": "0.5", "use_amp": "true", "arch": '"resnet 18"', "plain": "a=b, 'c'", "b": "2"}
        job = script("asks", SAYS_WHAT_IT_GOT, hyperparameters=given, channels={"training": str(photos)})
        backend.submit(job, None)
        assert ended(backend, "asks").state == "Completed"
        found = json.loads((backend.fetch("asks") / "model" / "found.json").read_text())
        assert found == {
            "arguments": [
                *("--My-Lr", "0.5", "--arch", "resnet 18", "-b", "2"),
                *("--plain", "a=b, 'c'", "--use_amp", "True"),
            ],
            "hps": {"My-Lr": 0.5, "use_amp": True, "arch": "resnet 18", "plain": "a=b, 'c'", "b": 2},
            "photos": ["a b.jpg"],
        }

    # ---- what is seen of it

    def test_a_metric_is_its_last_match(self, backend: Backend, script: Script) -> None:
        backend.submit(script("measures", MEASURES, metrics=(LOSS, NEVER_SEEN)), None)
        assert ended(backend, "measures").metrics == {"average test loss": 0.7}

    def test_a_log_is_whole_and_in_order(self, backend: Backend, script: Script) -> None:
        backend.submit(script("speaks", SPEAKS), None)
        said = [f"line {number}" for number in range(400)] + ["über"]
        followed = list(backend.logs("speaks", follow=True))
        assert followed[-401:] == said
        assert list(backend.logs("speaks")) == followed

    def test_a_log_is_followed_while_its_job_runs(self, backend: Backend, script: Script) -> None:
        backend.submit(script("waits", WAITS), None)
        lines = backend.logs("waits", follow=True)
        assert "ready" in lines
        assert backend.poll("waits").state == "InProgress"
        backend.stop("waits")
        list(lines)  # ends with the job

    # ---- ended before its time

    def test_a_job_that_is_stopped_keeps_what_it_finished(self, backend: Backend, script: Script) -> None:
        backend.submit(script("stops", SAVES_WHEN_STOPPED), None)
        ready(backend, "stops")
        stopped = backend.stop("stops")
        assert (stopped.state, stopped.reason) == ("Stopped", "stopped by the user")
        assert (backend.fetch("stops") / "model" / "weights.txt").read_text() == "half"

    def test_a_job_that_will_not_stop_is_killed_after_its_grace(self, backend: Backend, script: Script) -> None:
        backend.submit(script("goes-on", GOES_ON, launch=Launch(stop_grace=1.0)), None)
        ready(backend, "goes-on")
        assert backend.stop("goes-on").state == "Stopped"

    def test_a_job_is_stopped_when_its_time_is_over(self, backend: Backend, script: Script) -> None:
        backend.submit(script("late", WAITS, launch=Launch(max_runtime=1.0)), None)
        done = ended(backend, "late")
        assert done.state == "Stopped"
        assert done.reason is not None
        assert "max_runtime" in done.reason

    def test_stopping_what_has_ended_changes_nothing(self, backend: Backend, script: Script) -> None:
        backend.submit(script("saves", SAVES), None)
        done = ended(backend, "saves")
        assert backend.stop("saves") == done

    # ---- names

    @pytest.mark.parametrize("verb", ["poll", "stop", "fetch", "logs", "remove"])
    def test_a_name_that_is_unknown_is_said(self, backend: Backend, verb: str) -> None:
        with pytest.raises(UserError, match="nobody"):
            getattr(backend, verb)("nobody")

    def test_a_name_is_taken_once(self, backend: Backend, script: Script) -> None:
        backend.submit(script("saves", SAVES), None)
        with pytest.raises(UserError, match="saves"):
            backend.submit(script("saves", FAILS), None)
        assert ended(backend, "saves").state == "Completed"

    def test_a_job_that_cannot_start_takes_no_name(self, backend: Backend, script: Script) -> None:
        lost = script("saves", SAVES)
        Path(str(lost.source), "train.py").unlink()
        with pytest.raises(UserError, match="no script"):
            backend.submit(lost, None)
        backend.submit(script("saves", SAVES), None)
        assert ended(backend, "saves").state == "Completed"

    # ---- removed

    def test_a_job_is_not_removed_while_it_runs(self, backend: Backend, script: Script) -> None:
        backend.submit(script("waits", WAITS), None)
        ready(backend, "waits")
        with pytest.raises(UserError, match="still running"):
            backend.remove("waits")
        assert backend.poll("waits").state == "InProgress"

    def test_a_job_that_was_removed_leaves_its_name_free(self, backend: Backend, script: Script) -> None:
        backend.submit(script("saves", SAVES), None)
        ended(backend, "saves")
        backend.remove("saves")
        with pytest.raises(UserError, match="saves"):
            backend.poll("saves")
        backend.submit(script("saves", WAITS), None)
        ready(backend, "saves")
