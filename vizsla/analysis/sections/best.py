"""The best training job of a sweep, with the hyperparameters to train the final model with."""

from __future__ import annotations

from collections.abc import Sequence

from vizsla.analysis import page
from vizsla.analysis.page import Section
from vizsla.analysis.sweeps import SweepView, TrialView
from vizsla.words import count, duration, number


def section(sweep: SweepView, trials: Sequence[TrialView]) -> Section:
    """Says so where no training job has a value."""
    best = sweep.best_of(trials)
    if best is None:
        said = [f"No training job has a value of {sweep.objective_name}, so none is the best."]
        return Section("best", "Best training job", page.render("sentences.html.j2", {"sentences": said}))
    sentence = f"{best.name} has the best {sweep.objective_name}: {number(best.value)}"
    if best.epochs is not None:
        sentence += f", after {count(best.epochs, 'epoch')}"
    sentence += f" and {duration(best.seconds)}."
    if sweep.baseline is not None:
        sentence += f" Before tuning it was {number(sweep.baseline)}."
    values = {"sentence": sentence, "hyperparameters": best.hyperparameters}
    return Section("best", "Best training job", page.render("best.html.j2", values))
