"""Real processes, really ended: by Ctrl-C, by SIGTERM, by SIGKILL, and gone on with afterwards."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psutil
import pytest
import torch

from tests.cli.conftest import tiny
from tests.conftest import Ended, run_vizsla
from tests.photos import write_folder
from vizsla import bundle, records
from vizsla.jobdir import JobDir, advance
from vizsla.serving.predictor import Predictor
from vizsla.training.checkpoint import FILE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.conftest import Trained

PATIENCE_S = 200  # a test fails after this; no machine is asked to be faster


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures enough for a few steps an epoch."""
    folder = tmp_path_factory.mktemp("photos")
    write_folder(folder, {"disc": 20, "rows": 20, "checker": 20})
    return folder


def made(*more: str) -> list[str]:
    """--set options for the tiny network on those pictures."""
    return tiny("batch_size=8", "evaluate.test=false", *more)


@dataclass(frozen=True)
class Running:
    """A `vizsla train` that has not ended yet, and its job."""

    process: subprocess.Popen[str]
    job: JobDir

    def until(self, happened: Callable[[JobDir], bool]) -> None:
        """Waits until something happened in the job."""
        deadline = time.monotonic() + PATIENCE_S
        while not happened(self.job):
            assert time.monotonic() < deadline, "it never happened"
            assert self.process.poll() is None, f"ended before it happened: {self.process.communicate()}"
            time.sleep(0.01)

    def end(self, number: signal.Signals) -> Ended:
        """Sends a signal to this process alone, and waits for it to end."""
        self.process.send_signal(number)
        return self.ended()

    def ended(self) -> Ended:
        out, err = self.process.communicate(timeout=PATIENCE_S)
        return Ended(self.process.returncode, out, err)


@contextmanager
def running(place: Path, name: str, *arguments: str | Path) -> Iterator[Running]:
    """`vizsla train … --json --name NAME` in `place`; whatever happens, nothing of it runs on afterwards."""
    job = JobDir(place / "vizsla-runs" / "training" / name)
    process = subprocess.Popen(
        [sys.executable, "-m", "vizsla", "train", *map(str, arguments), "--json", "--name", name],
        cwd=place,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield Running(process, job)
    finally:
        process.kill()
        process.communicate()
        kill_job(job)


def kill_job(job: JobDir) -> None:
    """SIGKILL for the job's whole process group."""
    attempt = advance(job)
    if attempt and attempt.process.alive():
        os.killpg(attempt.process.pid, signal.SIGKILL)


def starts_up(job: JobDir) -> bool:
    """Whether the training process is importing torch, before it can listen to anybody."""
    workers = [child for attempt in job.attempts() for child in psutil.Process(attempt.process.pid).children()]
    return any(worker.cpu_times().user > 0.3 for worker in workers)


def looks_at_photos(job: JobDir) -> bool:
    return (job.private / "progress.json").exists()


def steps_of(epoch: int, least: int) -> Callable[[JobDir], bool]:
    """Whether an epoch has done so many steps."""
    return lambda job: sum(r.name == "train_loss" and r.epoch == epoch for r in records.read(job.records)) >= least


def series(job: JobDir) -> list[tuple[int | None, str, object]]:
    """All losses and accuracies of a job, bit for bit."""
    kinds = ("train_loss", "lr", "valid_loss", "valid_accuracy", "epoch_train_loss")
    return [(r.global_step, r.name, r.value) for r in records.read(job.records) if r.name in kinds]


def last_weights(job: JobDir) -> dict[str, torch.Tensor]:
    net: dict[str, torch.Tensor] = torch.load(job.checkpoints / FILE, weights_only=True)["net"]
    return net


def finished(job: JobDir) -> str:
    """Waits for a job that nobody watches, and says how it ended."""
    deadline = time.monotonic() + PATIENCE_S
    while not ((attempt := advance(job)) and attempt.finished):
        assert time.monotonic() < deadline, "it never ended"
        time.sleep(0.05)
    return attempt.state


# ---- the command is ended


@pytest.fixture(scope="module", params=[signal.SIGINT, signal.SIGTERM])
def stopped(
    request: pytest.FixtureRequest, photos: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[signal.Signals, JobDir, Ended]:
    """A training whose command was ended by a signal in the middle of the third epoch."""
    with running(tmp_path_factory.mktemp("stopped"), "long", photos, *made("epochs=10000")) as it:
        it.until(steps_of(3, 1))
        return request.param, it.job, it.end(request.param)


def test_ended_in_mid_training_the_best_finished_epoch_is_kept(stopped: tuple[signal.Signals, JobDir, Ended]) -> None:
    _, job, ended = stopped
    document = ended.document
    assert (document["status"], document["bundle"]) == ("Stopped", str(job.model))
    assert document["epochs"] >= 2
    assert Predictor(job.model).manifest.metrics == document["metrics"]
    assert not job.attempts()[-1].process.alive()


def test_the_exit_code_tells_the_signal(stopped: tuple[signal.Signals, JobDir, Ended]) -> None:
    number, _, ended = stopped
    assert ended.code == {signal.SIGINT: 130, signal.SIGTERM: 143}[number]


def test_what_was_said_before_the_signal_is_not_said_again(stopped: tuple[signal.Signals, JobDir, Ended]) -> None:
    lines = stopped[2].err.splitlines()
    assert [line for line in lines if line.startswith("checking ")] == ["checking 60 photos of 3 classes"]
    assert lines[-1] == "Go on with: vizsla train --resume long"
    assert "Traceback" not in stopped[2].err


@pytest.mark.parametrize("when", [starts_up, looks_at_photos])
def test_ended_before_the_first_epoch_there_is_no_model_and_that_is_said(
    tmp_path: Path, photos: Path, when: Callable[[JobDir], bool]
) -> None:
    with running(tmp_path, "short", photos, *made("epochs=10000", "batch_size=2")) as it:
        it.until(when)
        ended = it.end(signal.SIGINT)
    assert ended.code == 130
    assert (ended.document["status"], ended.document["bundle"]) == ("Stopped", None)
    assert "Stopped: " in ended.err
    assert ", before the " in ended.err
    assert "Traceback" not in ended.err


def test_a_job_goes_on_without_the_command_that_started_it(tmp_path: Path, photos: Path) -> None:
    with running(tmp_path, "orphan", photos, *made("epochs=8")) as it:
        it.until(steps_of(1, 1))
        assert it.end(signal.SIGKILL).code == -signal.SIGKILL
        assert finished(it.job) == "Completed"
    assert bundle.read(it.job.model, verify=True).metrics["valid_loss"] is not None


def test_ctrl_c_while_a_question_is_answered_leaves_with_130(tmp_path: Path, trained: Trained) -> None:
    asked = [sys.executable, "-m", "vizsla", "evaluate", str(trained.folder), str(trained.photos)]
    process = subprocess.Popen(asked, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + PATIENCE_S
    while not psutil.Process(process.pid).children():
        assert time.monotonic() < deadline, "it never asked"
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, out) == (130, "")
    assert "Traceback" not in err


# ---- the job is killed, and gone on with


def killed_and_resumed_equals_uninterrupted(place: Path, *arguments: str | Path) -> None:
    """Runs the same training twice, once with a SIGKILL for the whole job in the middle of its second epoch."""
    with running(place, "straight", *arguments) as straight:
        assert straight.ended().code == 0
    with running(place, "killed", *arguments) as killed:
        killed.until(steps_of(2, 2))
        kill_job(killed.job)
        ended = killed.ended()
    assert (ended.code, ended.document["status"]) == (1, "Failed")
    assert "ended without a word" in ended.err
    assert "Traceback" not in ended.err
    resumed = run_vizsla("train", "--resume", "killed", "--json", cwd=place)
    assert resumed.code == 0, resumed.err
    assert f"goes on after epoch {resumed_from(killed.job)} of" in resumed.err
    assert series(killed.job) == series(straight.job)
    assert same_weights(killed.job, straight.job)


def resumed_from(job: JobDir) -> int:
    """The number of epochs that the second attempt did not have to do again."""
    starts = [r.value for r in records.read(job.records) if (r.kind, r.name) == ("attempt", "start")]
    assert len(starts) == 2
    epochs = json.loads(json.dumps(starts[1]))["from_epoch"]
    assert epochs >= 1
    return int(epochs)


def same_weights(job: JobDir, other: JobDir) -> bool:
    """Whether both the last weights and the kept ones are equal, bit for bit."""
    last, others = last_weights(job), last_weights(other)
    kept, others_kept = bundle.read(job.model).weights, bundle.read(other.model).weights
    return kept == others_kept and all(torch.equal(last[name], others[name]) for name in last | others)


def test_a_killed_job_resumed_equals_one_that_ran_through(tmp_path: Path, photos: Path) -> None:
    killed_and_resumed_equals_uninterrupted(tmp_path, photos, *made("epochs=12"))


@pytest.mark.dogs
def test_a_killed_job_on_real_photos_resumed_equals_one_that_ran_through(tmp_path: Path, dogs: Path) -> None:
    breeds = [folder for folder in sorted(dogs.iterdir()) if len(list(folder.iterdir())) >= 7][:12]
    for breed in breeds:
        (tmp_path / "dogs" / breed.name).mkdir(parents=True)
        for photo in sorted(breed.iterdir())[:7]:
            (tmp_path / "dogs" / breed.name / photo.name).symlink_to(photo.resolve())
    options = ("epochs=3", "image.size=160", "batch_size=16", "evaluate.test=false")
    more = [part for option in options for part in ("--set", option)]
    killed_and_resumed_equals_uninterrupted(tmp_path, tmp_path / "dogs", *more)
