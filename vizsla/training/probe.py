"""The probe: the best linear classifier on frozen features, fitted in seconds.

Between `features.py`, which has the features, and fine-tuning, which begins with what is found here. A multinomial
logistic regression on standardised features; how strongly it is regularised is chosen on the valid photos. The
standardisation is folded into the weights, so that a probe is one linear layer on features as they come. No torch.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from vizsla.errors import UserError, VizslaError
from vizsla.plan import ProbePlan

Floats = npt.NDArray[np.float32]
Labels = npt.NDArray[np.integer[Any]]
Rows = tuple[Floats, Labels]
"""Features (N, D) and the class of each, from 0, (N,). Each view of a photo is a row."""
Stages = Literal["last", "all"]

# Strong to weak, half a decade apart. Of ELPV's cells 0.03 to 0.3 were best, of 120 breeds of dogs 0.0003 to 0.03.
PATH: Final = tuple(10 ** (half / 2) for half in range(2, -11, -1))
PATIENCE: Final = 2  # strengths in a row that are worse on valid than the best: what follows is worse still
# Relative gain of an iteration that ends a fit. A tenth of it takes twice as long, and was no better on valid photos.
_GAIN: Final = 1e-5
_ITERATIONS: Final = 200
_BLOCK: Final = 256  # features
_CONSTANT: Final = 1e-6  # of a feature's largest value: what varies less than this says nothing but rounding


@dataclass(frozen=True, slots=True)
class Tried:
    """One strength of the regularisation, and what came of it. Losses are mean cross entropies in nats."""

    l2: float
    train_loss: float
    valid_loss: float
    valid_accuracy: float


@dataclass(frozen=True, eq=False)
class Probe:
    """Logits are features @ weight.T + bias. Losses are mean cross entropies in nats, the accuracy is 0 to 1."""

    weight_CD: Floats
    bias_C: Floats
    l2: float
    """Times half the squared norm of the weights of standardised features: the penalty beside the mean loss."""
    stages: Stages
    """What the features are of: the last stage, or several."""
    train_loss: float
    valid_loss: float
    valid_accuracy: float
    seconds: float
    tried: tuple[Tried, ...]
    """Each strength that was fitted, strongest first."""

    def logits(self, features_ND: Floats) -> Floats:
        """(N, classes)."""
        return features_ND @ self.weight_CD.T + self.bias_C


def fit(
    train: Rows,
    valid: Rows,
    num_classes: int,
    settings: ProbePlan,
    stages: Stages = "last",
    near: float | None = None,
) -> Probe:
    """The probe with the lowest valid loss; `settings.l2` fits that strength alone. The same rows give the same probe.

    near: the strength that was best for fewer features of the same photos. More features want as much, up to ten times
    as much, and only that is tried: several stages then take a third of the time. A class may be missing in either
    split. Raises VizslaError for features that are not finite, and UserError where no strength has a finite valid loss.
    """
    began = time.perf_counter()
    for rows, name in ((train, "training"), (valid, "valid")):
        _refuse_broken(rows[0], name)
    scale = _Scale.of(train[0])
    problem = _Problem(scale.apply(train[0]), train[1], num_classes)
    valid_ND = scale.apply(valid[0])
    best: tuple[Tried, Floats, Floats] | None = None
    tried: list[Tried] = []
    for l2, weight_DC, bias_C in _fits(problem, _path(settings, near)):
        tried.append(_judge(problem, weight_DC, bias_C, l2, (valid_ND, valid[1])))
        if best is None or tried[-1].valid_loss < best[0].valid_loss:
            best = tried[-1], weight_DC, bias_C
        if len(tried) - tried.index(best[0]) > PATIENCE:
            break
    if best is None or not np.isfinite(best[0].valid_loss):
        raise UserError("The probe found no classifier of the features.", "Give its strength: --set probe.l2=1.")
    chosen = best[0]
    weight_CD, bias_C = scale.fold(best[1], best[2])
    return Probe(
        weight_CD,
        bias_C,
        chosen.l2,
        stages,
        chosen.train_loss,
        chosen.valid_loss,
        chosen.valid_accuracy,
        time.perf_counter() - began,
        tuple(tried),
    )


def better(last: Probe, several: Probe) -> Probe:
    """The one with the lower valid loss; the last stage alone where they are equal, as it is the smaller network."""
    return several if several.valid_loss < last.valid_loss else last


def _refuse_broken(features_ND: Floats, name: str) -> None:
    broken_N = np.zeros(len(features_ND), dtype=bool)
    for _, columns_ND in _in_blocks(features_ND):
        broken_N |= ~np.isfinite(columns_ND).all(axis=1)
    if broken_N.any():
        raise VizslaError(
            f"{broken_N.sum()} of {len(features_ND)} {name} photos have features that are not finite numbers.",
            "The weights are damaged, or overflow: try --set run.precision=float32, or another model.",
        )


def _in_blocks(features_ND: Floats) -> Iterator[tuple[slice, Floats]]:
    """A few columns at a time: what is computed of them on the way is as large as they are, and larger."""
    for start in range(0, features_ND.shape[1], _BLOCK):
        columns = slice(start, start + _BLOCK)
        yield columns, features_ND[:, columns]


@dataclass(frozen=True, eq=False)
class _Scale:
    """Takes off the mean of each feature and divides by its deviation. One that does not vary counts for nothing."""

    mean_D: Floats
    inverse_D: Floats

    @classmethod
    def of(cls, features_ND: Floats) -> _Scale:
        mean_D, inverse_D = np.zeros((2, features_ND.shape[1]), dtype=np.float32)
        for columns, columns_ND in _in_blocks(features_ND):
            mean_D[columns] = columns_ND.mean(axis=0, dtype=np.float64)
            std = columns_ND.std(axis=0, dtype=np.float64)
            varies = std > _CONSTANT * np.abs(columns_ND).max(axis=0)
            inverse_D[columns] = np.divide(1.0, std, out=np.zeros_like(std), where=varies)
        return cls(mean_D, inverse_D)

    def apply(self, features_ND: Floats) -> Floats:
        scaled = features_ND - self.mean_D
        scaled *= self.inverse_D
        return scaled

    def fold(self, weight_DC: Floats, bias_C: Floats) -> tuple[Floats, Floats]:
        """Weights (C, D) and biases (C,) for features as they were."""
        weight_CD = (weight_DC * self.inverse_D[:, None]).T.astype(np.float64)
        return weight_CD.astype(np.float32), (bias_C - weight_CD @ self.mean_D).astype(np.float32)


class _Problem:
    """Mean cross entropy of a linear classifier on rows, and its gradient."""

    def __init__(self, features_ND: Floats, labels_N: Labels, num_classes: int) -> None:
        self.features_ND, self.labels_N, self.num_classes = features_ND, labels_N, num_classes
        self.size = (features_ND.shape[1], num_classes)

    def start(self) -> npt.NDArray[np.float64]:
        """Weights of zero, and biases that answer with how frequent the classes are."""
        counts = np.bincount(self.labels_N, minlength=self.num_classes) + 1.0
        return np.concatenate([np.zeros(self.size[0] * self.size[1]), np.log(counts / counts.sum())])

    def unpack(self, packed: npt.NDArray[np.float64]) -> tuple[Floats, Floats]:
        """Weights (D, C) and biases (C,)."""
        end = self.size[0] * self.size[1]
        return packed[:end].reshape(self.size).astype(np.float32), packed[end:].astype(np.float32)

    def penalised(self, packed: npt.NDArray[np.float64], l2: float) -> tuple[float, npt.NDArray[np.float64]]:
        """The loss with its penalty, and its gradient."""
        weight_DC, bias_C = self.unpack(packed)
        logits_NC = self.features_ND @ weight_DC + bias_C
        loss, error_NC = _cross_entropy(logits_NC, self.labels_N)
        error_NC[np.arange(len(error_NC)), self.labels_N] -= 1
        error_NC /= len(error_NC)
        weights = packed[: weight_DC.size]
        slope = (self.features_ND.T @ error_NC).ravel() + l2 * weights
        return loss + l2 / 2 * float(weights @ weights), np.concatenate([slope, error_NC.sum(axis=0, dtype=np.float64)])


def _path(settings: ProbePlan, near: float | None) -> Sequence[float]:
    if settings.l2:
        return [settings.l2]
    return PATH if near is None else [l2 for l2 in PATH if 0.99 <= l2 / near <= 10.1] or [near]


def _fits(problem: _Problem, path: Sequence[float]) -> Iterator[tuple[float, Floats, Floats]]:
    """Each strength with its weights (D, C) and biases (C,); each fit begins where the one before it ended."""
    from scipy.optimize import minimize

    limits = {"maxiter": _ITERATIONS, "ftol": _GAIN, "gtol": 0.0}
    packed = problem.start()
    for l2 in path:
        packed = minimize(problem.penalised, packed, args=(l2,), jac=True, method="L-BFGS-B", options=limits).x
        yield l2, *problem.unpack(packed)


def _judge(problem: _Problem, weight_DC: Floats, bias_C: Floats, l2: float, valid: Rows) -> Tried:
    train_loss, _ = _cross_entropy(problem.features_ND @ weight_DC + bias_C, problem.labels_N)
    valid_loss, probabilities_NC = _cross_entropy(valid[0] @ weight_DC + bias_C, valid[1])
    return Tried(l2, train_loss, valid_loss, float((probabilities_NC.argmax(axis=1) == valid[1]).mean()))


def _cross_entropy(logits_NC: Floats, labels_N: Labels) -> tuple[float, Floats]:
    """Its mean, and the probabilities; the logits are overwritten with these."""
    logits_NC -= logits_NC.max(axis=1, keepdims=True)
    of_label_N = logits_NC[np.arange(len(logits_NC)), labels_N].astype(np.float64)
    probabilities_NC = np.exp(logits_NC, out=logits_NC)
    sum_N = probabilities_NC.sum(axis=1)
    loss = float((np.log(sum_N) - of_label_N).mean())
    probabilities_NC /= sum_N[:, None]
    return loss, probabilities_NC
