"""Optuna's side of the search: ranges and tried points in its words, and its answers in ours.

search.py decides what the model is told and how often it is asked; nothing else imports this. Optuna itself is
imported inside the functions, because faces import search.py. A study lives for one question, in memory.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vizsla.tuning.space import Categorical, Integer, Range, Space

if TYPE_CHECKING:
    from optuna import Study
    from optuna.distributions import BaseDistribution
    from optuna.samplers import BaseSampler
    from optuna.trial import FrozenTrial

STARTUP_TRIALS = 6  # random points before the model is asked; why, is in docs/tuning.md


@dataclass(frozen=True, slots=True)
class Told:
    """A point inside the space and its rank: 0 is the best, 1 the worst, None a trial that is still running."""

    point: Mapping[str, str]
    rank: float | None


def at_random(ranges: Space, seed: int) -> dict[str, str]:
    """A point drawn evenly on the scale of each range. `seed` has 32 bits."""
    from optuna.samplers import RandomSampler

    return _ask(ranges, RandomSampler(seed), [])


def promising(ranges: Space, told: Sequence[Told], seed: int) -> dict[str, str]:
    """The point a tree-structured Parzen estimator over all ranges together would try next; `seed` has 32 bits.

    Bergstra et al. 2011, multivariate as in Falkner et al. 2018. With fewer than 6 finished trials it is a random one.
    """
    from optuna.samplers import TPESampler

    sampler = TPESampler(seed=seed, n_startup_trials=STARTUP_TRIALS, multivariate=True, constant_liar=True)
    return _ask(ranges, sampler, told)


def shares(ranges: Space, told: Sequence[Told]) -> dict[str, float]:
    """How much each range has to do with a trial being among the best, adding up to 1; the largest first.

    PED-ANOVA (Watanabe et al. 2023). Its default looks at the best tenth, which of ten trials is one; with the best
    30 % it named the range that mattered as often as a forest of trees does (fANOVA), at 10 trials and at 40.
    """
    from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
    from optuna.samplers import RandomSampler

    study = _study(ranges, RandomSampler(seed=0), told)
    # Named and sorted, because Optuna would go through a set of names, whose order changes from process to process.
    names = sorted(name for name, span in ranges.items() if not _distribution(span).single())
    return get_param_importances(study, evaluator=PedAnovaImportanceEvaluator(target_quantile=0.3), params=names)


def _ask(ranges: Space, sampler: BaseSampler, told: Sequence[Told]) -> dict[str, str]:
    trial = _study(ranges, sampler, told).ask({name: _distribution(ranges[name]) for name in sorted(ranges)})
    return {name: _text(ranges[name], trial.params[name]) for name in sorted(ranges)}


def _study(ranges: Space, sampler: BaseSampler, told: Sequence[Told]) -> Study:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)  # it announces every study on stderr
    study = optuna.create_study(sampler=sampler)
    study.add_trials([_trial(ranges, one) for one in told])
    return study


def _trial(ranges: Space, told: Told) -> FrozenTrial:
    from optuna.trial import TrialState, create_trial

    return create_trial(
        state=TrialState.RUNNING if told.rank is None else TrialState.COMPLETE,
        value=told.rank,
        params={name: _inner(ranges[name], told.point[name]) for name in sorted(ranges)},
        distributions={name: _distribution(ranges[name]) for name in sorted(ranges)},
    )


def _distribution(span: Range) -> BaseDistribution:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(span, Categorical):
        return CategoricalDistribution(span.values)
    log = span.scale == "Logarithmic"
    if isinstance(span, Integer):
        return IntDistribution(span.low, span.high, log=log)
    if span.scale == "ReverseLogarithmic":  # Optuna has no such scale: 1 - x is searched on a logarithmic one
        return FloatDistribution(1 - span.high, 1 - span.low, log=True)
    return FloatDistribution(span.low, span.high, log=log)


def _inner(span: Range, text: str) -> str | int | float:
    """A hyperparameter's text, which the range holds, as the distribution's value."""
    if isinstance(span, Categorical):
        return text
    if isinstance(span, Integer):
        return int(text)
    return 1 - float(text) if span.scale == "ReverseLogarithmic" else float(text)


def _text(span: Range, inner: Any) -> str:
    if isinstance(span, Categorical):
        return str(inner)
    return span.text(1 - inner if span.scale == "ReverseLogarithmic" else inner)
