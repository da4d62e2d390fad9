"""What to change, in the words a user types: `--set lr=0.001` for the built-in classifier, a sentence for a script.

A cure names one setting at a time, the most likely first, with a value worked out from the plan that was run.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

USUAL_LR = 0.01  # the default
HIGHEST_LR = 0.1  # above it fine-tuning hardly ever works

Settings = Mapping[str, Any] | None
"""The plan's settings by key; None for a script, whose settings are its own."""


def lower_lr(settings: Settings, factor: float = 10) -> str:
    """A learning rate `factor` times lower; the usual one where that were still far above it."""
    if settings is None:
        return f"Lower the learning rate, to a {factor:g}th to begin with."
    lower = settings["lr"] / factor
    lower = USUAL_LR if lower > HIGHEST_LR else lower
    return f"Lower the learning rate: --set lr={lower:.3g} (it is {settings['lr']:g})."


def higher_lr(settings: Settings, factor: float = 10) -> str:
    """A learning rate `factor` times higher, at most a common one."""
    if settings is None:
        return f"Raise the learning rate, {factor:g} times to begin with."
    if settings["lr"] >= HIGHEST_LR:
        asked = "look whether gradients arrive: `vizsla debug NAME --rule vanishing_gradient`"
        return f"The learning rate is high already (it is {settings['lr']:g}); {asked}."
    higher = min(settings["lr"] * factor, HIGHEST_LR)
    return f"Raise the learning rate: --set lr={higher:.3g} (it is {settings['lr']:g})."


def other_lr(settings: Settings) -> str:
    """The learning rate towards the usual one: lower where it was higher, higher where it was lower."""
    if settings is None:
        return "Try a learning rate ten times lower, then one ten times higher."
    if settings["lr"] > 3 * USUAL_LR:
        return lower_lr(settings, max(10.0, settings["lr"] / USUAL_LR))
    if settings["lr"] < USUAL_LR / 3:
        return higher_lr(settings, USUAL_LR / settings["lr"])
    return f"{lower_lr(settings)} Check that the labels are right: `vizsla data check`."


def falling(settings: Settings, rose: bool) -> str:
    """For a loss that stands still or rose: first of all, the layers that are frozen have to have learnt something."""
    if settings is not None and _is_random_and_frozen(settings) and settings["lr"] <= 3 * USUAL_LR:
        frozen = f"train_from={settings['train_from']} with weights=none keeps random layers as they are"
        return f"Start from good weights: --set weights=pretrained, or --set train_from=all ({frozen})."
    return lower_lr(settings) if rose else other_lr(settings)


def _is_random_and_frozen(settings: Mapping[str, Any]) -> bool:
    return bool(settings["weights"] == "none" and settings["train_from"] != "all")


def regularize(settings: Settings) -> str:
    """Against learning the photos by heart."""
    if settings is None:
        return "Add photos or augmentation, more dropout or weight decay, train fewer layers, or stop earlier."
    advice = ["Add photos if you can; then one of:"]
    if settings["train_from"] != "head":
        advice.append("--set train_from=head (fewer weights),")
    if settings["dropout"] < 0.5:
        advice.append(f"--set dropout={min(0.5, settings['dropout'] + 0.2):g},")
    advice.append(f"--set weight_decay={max(settings['weight_decay'] * 5, 0.01):g},")
    return " ".join(advice).rstrip(",") + ". Check that the labels are right: `vizsla data check`."


def fewer_epochs(settings: Settings, best_epoch: int | None) -> str:
    """Stopping where it was best; `best_epoch` counts from 1."""
    if settings is None:
        return "Stop when the validation loss stops falling: keep the best checkpoint, and train for fewer epochs."
    wanted = f"--set epochs={best_epoch}" if best_epoch else "fewer epochs"
    return f"Stop earlier: {wanted}, or --set patience={max(2, min(5, settings['epochs'] // 3))} to do so by itself."


def from_pretrained(settings: Settings) -> str:
    """Weights that signals and gradients pass through."""
    if settings is None:
        return "Use ReLU-like activations, normalisation layers or skip connections, and a scaled initialization (He)."
    if settings["weights"] != "pretrained":
        return "Start from good weights: --set weights=pretrained."
    if settings["train_from"] == "head":
        return "Choose another model (`vizsla models`): of this one the head alone is trained, from good weights."
    return f"Train fewer layers: --set train_from=head (it is {settings['train_from']}), or choose another model."


def initialize(settings: Settings) -> str:
    """Weights whose scale keeps the signal's."""
    if settings is None:
        return "Scale the initial weights to the layer's inputs (He for ReLU, Xavier for tanh), not zero or constant."
    if settings["weights"] != "pretrained":
        return f"Start from good weights: --set weights=pretrained (it is {settings['weights']})."
    return lower_lr(settings)


def enlarge(settings: Settings) -> str:
    """For values that differ too little: a lower learning rate would keep them so."""
    if settings is None or settings["weights"] != "pretrained":
        return initialize(settings)
    if settings["weight_decay"] > 0:
        now = settings["weight_decay"]
        return f"Lower the weight decay, which shrinks weights: --set weight_decay={now / 10:g} (it is {now:g})."
    return "Look at the layers before: what they give varies as little, or their weights are close to zero."


def spared(settings: Settings) -> str:
    """For units that died or saturated."""
    if settings is None:
        return "Lower the learning rate and start from smaller weights and biases, or use a leaky activation."
    anew = "without --resume" if settings["weights"] == "pretrained" else "from --set weights=pretrained"
    return f"{lower_lr(settings)} Dead units do not come back: start anew, {anew}."
