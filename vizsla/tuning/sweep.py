"""The controller of a sweep: asks the search, starts trials, stops the hopeless ones, until nothing is left to try.

Run as a program by the worker: `python -m vizsla.tuning.sweep FOLDER ATTEMPT`. What it knows it reads from sweep.json
and the trials' folders each time it looks, so it can be killed at any moment: the next attempt finds finished trials
finished, adopts those that still run, and starts those again that were killed.
"""

from __future__ import annotations

import logging
import math
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from vizsla import jobdir
from vizsla.backends import local
from vizsla.errors import JobError, UserError, VizslaError
from vizsla.files import read_json, write_json
from vizsla.job import CLASSIFIER, Job, now
from vizsla.jobdir import VANISHED, JobDir, Outcome
from vizsla.logs import log_to_stderr
from vizsla.machine import cpus
from vizsla.plan import Plan, resolve
from vizsla.tuning import baseline, parents, space, stopping, trials
from vizsla.tuning import search as searches
from vizsla.tuning.search import Search, Tried, WarmTrial
from vizsla.tuning.space import Categorical, Integer, Space
from vizsla.tuning.spec import Sweep
from vizsla.tuning.trials import Trial
from vizsla.workspace import Workspace

log = logging.getLogger("vizsla.sweep")

LOOK_S = 0.2
MOST_STARTS = 3  # of a killed trial by one controller; what kills it each time would do so again
SWEEP_STOPPED = "the sweep was stopped"
STOPPED_EARLY = "stopped early: others had done better by then"
OUT_OF_BUDGET = "the time budget is used up"
DEFAULT_EPOCHS: int = Plan.model_fields["epochs"].default


def load(folder: JobDir) -> Sweep:
    """The sweep of a folder. Raises UserError if it holds none, VizslaError if sweep.json cannot be read."""
    file = folder.path / "sweep.json"
    try:
        return Sweep.model_validate(read_json(file))
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(f"{folder.path} holds no sweep.", "It was killed while it was laid out: start anew.") from None
    except ValueError as error:
        raise VizslaError(f"{file} cannot be read.", "It was changed by hand or the disk lost it.") from error


def save(folder: JobDir, sweep: Sweep) -> None:
    """Writes sweep.json, which makes a folder a sweep."""
    write_json(folder.path / "sweep.json", sweep.model_dump(mode="json"))


class Controller:
    """One attempt at a sweep."""

    def __init__(self, folder: JobDir) -> None:
        self._folder = folder
        self._workspace = Workspace(folder.path.parent.parent)
        self.sweep = load(folder)
        ranges = space.from_json(self.sweep.ranges)
        warm = learned(self.sweep, self._workspace)
        self._search: Search = searches.make(self.sweep.strategy, ranges, self.sweep.direction, self.sweep.seed, warm)
        self._rule = stopping_rule(self.sweep, ranges)
        self._stop: str | None = None
        self._asked_at: dict[int, float] = {}
        self._starts: Counter[str] = Counter()
        self._judged: dict[int, int] = {}
        self._spent_s = sum(attempt.seconds for attempt in folder.attempts()[:-1])
        self._began = time.monotonic()
        self._shown_at = -math.inf
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._note)

    def run(self) -> Outcome:
        """Runs the sweep to its end."""
        try:
            baseline.prepare(self._folder, self.sweep)
        except JobError:  # the worker was ended, most likely with this sweep; if not, its trials find out why
            log.exception("the features could not be computed beforehand")
        with baseline.held(self._folder):
            return self._search_on()

    def _search_on(self) -> Outcome:
        while True:
            found = trials.read_all(self.sweep, self._workspace)
            running = [trial for trial in found if trial.running and trial.attempt]
            problem = stopping.give_up([trial.tried() for trial in found if not self._to_run_again(trial)])
            wish = self._stop or problem or self._over_budget()
            if wish:
                self._end(running, SWEEP_STOPPED if self._stop else wish)
                if not running:
                    return self._outcome(found, problem)
            else:
                self._stop_early(found, running)
                started = self._fill(found, self.sweep.parallel - len(running))
                if not running and not started:
                    return self._outcome(found, None)
            self._show_life(found)
            time.sleep(LOOK_S)

    def _show_life(self, found: Sequence[Trial]) -> None:
        """Says once a second how far the search is; if the controller is killed, its time counts until then."""
        if time.monotonic() - self._shown_at >= 1:
            self._shown_at = time.monotonic()
            done = sum(not trial.running for trial in found)
            document = {"stage": "search", "done": done, "total": self.sweep.max_jobs, "t": time.time()}
            write_json(self._folder.private / "progress.json", document, durable=False)

    def _fill(self, found: Sequence[Trial], free: int) -> int:
        """Starts trials while `free` places and something to try are left. Returns how many it has started."""
        again = [trial for trial in found if self._to_run_again(trial)][: max(0, free)]
        for trial in again:
            log.info("%s is started again", trial.folder.name)
            self._start(trial.folder)
        first = found[-1].number + 1 if found else 1
        numbers = range(first, min(first + free - len(again), self.sweep.max_jobs + 1))
        for number in numbers:
            found = trials.read_all(self.sweep, self._workspace)
            point = self._search.ask(number, [trial.tried() for trial in found])
            if point is None:
                return len(again) + number - first
            self._start(self._create(number, point))
        return len(again) + len(numbers)

    def _create(self, number: int, point: dict[str, str]) -> JobDir:
        name = self.sweep.trial_name(number)
        place = self._workspace.path / "training" / name
        if place.exists() and not (place / "job.json").exists():
            shutil.rmtree(place)  # a controller was killed while it laid this folder out: nothing has run in it
        job = _trial(self.sweep.template, name, point)
        plan = resolve(job) if job.entry_point == CLASSIFIER else None
        log.info("%s: %s", name, ", ".join(f"{key}={value}" for key, value in point.items()))
        return jobdir.create(self._workspace.take("training", name), job, plan)

    def _start(self, folder: JobDir) -> None:
        self._starts[folder.name] += 1
        local.start(folder, max(1, cpus() // self.sweep.parallel))

    def _to_run_again(self, trial: Trial) -> bool:
        """Whether a trial was killed, or stopped with the sweep, and not because of what it did."""
        attempt = trial.attempt
        if attempt is None:  # a controller was killed before it could start what it had laid out
            return True
        if attempt.state == "Failed" and attempt.reason == VANISHED:
            return self._starts[trial.folder.name] < MOST_STARTS
        return attempt.state == "Stopped" and (attempt.reason or "").startswith(SWEEP_STOPPED)

    def _stop_early(self, found: Sequence[Trial], running: Sequence[Trial]) -> None:
        history = [trial.tried() for trial in found]
        for trial in running:
            hopeless = self._rule and self._rule.should_stop(
                trial.tried(), history, self.sweep.direction, self._judged_epochs(trial)
            )
            self._judged[trial.number] = len(trial.curve)
            if (hopeless and not trial.at_its_end) or trial.status == "Stopping":
                self._ask_to_stop(trial, STOPPED_EARLY)

    def _judged_epochs(self, trial: Trial) -> int:
        """Of a trial that an earlier controller has started, all but the last count as judged."""
        before = 0 if trial.folder.name in self._starts else max(0, len(trial.curve) - 1)
        return self._judged.get(trial.number, before)

    def _end(self, running: Sequence[Trial], reason: str) -> None:
        for trial in running:
            self._ask_to_stop(trial, reason)

    def _ask_to_stop(self, trial: Trial, reason: str) -> None:
        asked = self._asked_at.setdefault(trial.number, time.monotonic())
        if trial.status == "InProgress":
            log.info("%s: %s", trial.folder.name, reason)
            local.ask_to_stop(trial.folder, reason)
        elif time.monotonic() - asked > self.sweep.template.launch.stop_grace:
            local.kill(trial.folder)

    def _outcome(self, found: Sequence[Trial], problem: str | None) -> Outcome:
        for trial in found:
            if trial.attempt is None:  # laid out, and never started: a controller was killed in between
                shutil.rmtree(trial.folder.path, ignore_errors=True)
        if self._stop:
            return Outcome("Stopped", self._stop)
        if problem:
            return Outcome("Failed", problem, "The trials' logs say why: vizsla logs NAME", 1)
        winner = trials.best(found, self.sweep)
        if winner is None:
            return Outcome("Failed", "No trial has a value.", "The trials' logs say why: vizsla logs NAME", 1)
        log.info("best: %s with %s %g", winner.folder.name, self.sweep.objective, winner.objective)
        return Outcome("Completed")

    def _over_budget(self) -> str | None:
        spent_s = self._spent_s + time.monotonic() - self._began
        return OUT_OF_BUDGET if self.sweep.budget_s and spent_s > self.sweep.budget_s else None

    def _note(self, number: int, _frame: object) -> None:
        self._stop = f"stopped by {signal.Signals(number).name}"


def stopping_rule(sweep: Sweep, ranges: Space) -> stopping.Rule | None:
    """What ends hopeless trials of this sweep; None where none are ended."""
    if sweep.strategy == "hyperband":
        return stopping.Hyperband(1, _most_epochs(sweep.template, ranges))
    return stopping.Median() if sweep.early_stopping == "auto" else None


def learned(sweep: Sweep, workspace: Workspace) -> list[WarmTrial]:
    """What the sweeps that this one starts from have learned."""
    earlier: dict[str, list[Tried]] = {}
    for name in sweep.warm_start:
        parent = load(JobDir(workspace.find(name, "tuning")))
        earlier[name] = [_in_full(trial) for trial in trials.read_all(parent, workspace)]
    return parents.learned(sweep.warm_start_kind, earlier) if earlier else []


def _in_full(trial: Trial) -> Tried:
    """A parent's trial with all its hyperparameters: what was fixed there may be searched here."""
    return replace(trial.tried(), hyperparameters=trial.folder.job().hyperparameters)


def _most_epochs(template: Job, ranges: Space) -> int:
    """The most epochs a trial may have, as far as can be known of a script; a classifier's default is its plan's."""
    searched = ranges.get("epochs")
    if isinstance(searched, Integer):
        return searched.high
    given = searched.values if isinstance(searched, Categorical) else [template.hyperparameters.get("epochs", "")]
    return max((int(value) for value in given if value.isdecimal()), default=DEFAULT_EPOCHS)


def _trial(template: Job, name: str, point: Mapping[str, str]) -> Job:
    """A trial's job. A trial of the built-in classifier never asks the held-out photos."""
    alone = {"evaluate.test": "false"} if template.entry_point == CLASSIFIER else {}
    hyperparameters = {**template.hyperparameters, **point, **alone}
    return template.model_copy(update={"name": name, "hyperparameters": hyperparameters, "created": now()})


def main(arguments: Sequence[str]) -> int:
    """The program: one attempt at the sweep in a folder."""
    folder, number = JobDir(Path(arguments[0])), int(arguments[1])
    log_to_stderr("INFO")
    try:
        outcome = Controller(folder).run()
    except VizslaError as error:
        outcome = Outcome("Failed", error.message, error.hint, error.exit_code)
    folder.report_outcome(number, outcome)
    return outcome.exit_code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
