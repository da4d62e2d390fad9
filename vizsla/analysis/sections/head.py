"""What a page opens with: name, state, what went wrong, and the few figures that somebody came for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from vizsla.analysis.facts import JobFacts
from vizsla.analysis.page import Head, Tile
from vizsla.analysis.sweeps import SweepView, TrialView
from vizsla.words import NONE, count, duration, loss, moment, number, percent


def of_job(facts: JobFacts) -> Head:
    """The head of a training job's page."""
    model = facts.plan.model if facts.plan else facts.job.entry_point
    told = [model, f"created {moment(facts.job.created)}"]
    if len(facts.attempts) > 1:
        told.append(count(len(facts.attempts), "attempt"))
    return Head("Training job", facts.folder.name, facts.status, told, _job_tiles(facts), _job_notes(facts))


def _job_tiles(facts: JobFacts) -> list[Tile]:
    tiles = [Tile("Time", duration(facts.seconds), "" if facts.finished else "so far")]
    if facts.series.finished_epochs:
        planned = facts.series.planned_epochs
        tiles.append(Tile("Epochs", str(facts.series.finished_epochs), f"of {planned}" if planned else ""))
    if facts.data:
        counts = facts.data.counts
        note = f"to train; {counts.valid:,} to validate, {counts.test:,} held out"
        tiles.append(Tile("Photos", f"{counts.train:,}", note))
        if facts.data.bad:
            tiles.append(
                Tile(
                    "Left out",
                    str(len(facts.data.bad)),
                    f"bad {'photo' if len(facts.data.bad) == 1 else 'photos'}, named below",
                )
            )
    return _result_tiles(facts) + tiles + _speed_tiles(facts)


def _speed_tiles(facts: JobFacts) -> list[Tile]:
    steps, verdict = facts.profile.steps, facts.profile.verdict
    if steps is None or steps.images_per_second is None:
        return []
    bound = f"; bound by {verdict.bound}" if verdict else ""
    return [Tile("Speed", f"{steps.images_per_second:.1f}", f"images a second{bound}")]


def _result_tiles(facts: JobFacts) -> list[Tile]:
    tiles = []
    if facts.evaluation:
        low, high = facts.evaluation.accuracy_95
        note = f"{percent(low, 1)} to {percent(high, 1)} (95 %)"
        tiles.append(Tile("Held-out accuracy", percent(facts.evaluation.accuracy), note))
    kept = facts.kept_epoch
    if kept is not None:
        accuracy = dict(facts.series.epochs["valid_accuracy"]).get(kept)
        valid_loss = dict(facts.series.epochs["valid_loss"]).get(kept)
        place = f"epoch {kept}" if kept else "the probe"
        tiles.append(Tile("Valid accuracy", percent(accuracy), f"{place}, loss {loss(valid_loss)}"))
    return tiles


def _job_notes(facts: JobFacts) -> list[str]:
    notes = []
    if facts.last and (facts.last.reason or facts.last.hint):
        notes.append("\n".join(part for part in (facts.last.reason, facts.last.hint) if part))
    if facts.last is None:
        notes.append("The job has not been started.")
    elif not facts.finished:
        notes.append("The job is still running: this is how it stands now.")
    return [*notes, *facts.problems]


def of_sweep(sweep: SweepView, trials: Sequence[TrialView]) -> Head:
    """The head of a sweep's page."""
    told = [f"{sweep.strategy} search", f"{sweep.direction} {sweep.objective_name}", f"created {moment(sweep.created)}"]
    notes = [sweep.reason] if sweep.reason else []
    if sweep.status in ("InProgress", "Stopping"):
        notes.append("The search is still running: this is how it stands now.")
    return Head("Tuning job", sweep.name, sweep.status, told, _sweep_tiles(sweep, trials), notes)


def _sweep_tiles(sweep: SweepView, trials: Sequence[TrialView]) -> list[Tile]:
    best = sweep.best_of(trials)
    states = Counter(trial.status for trial in trials)
    by_state = ", ".join(f"{number} {status}" for status, number in states.items())
    tiles = [
        Tile(f"Best {sweep.objective_name}", number(best.value) if best else NONE, best.name if best else "none yet"),
        Tile("Training jobs", str(len(trials)), by_state),
        Tile("Time", duration(sweep.seconds), f"{duration(sum(trial.seconds for trial in trials))} of training"),
    ]
    if sweep.baseline is not None:
        tiles.append(Tile("Before tuning", number(sweep.baseline), sweep.objective_name))
    return tiles
