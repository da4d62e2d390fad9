"""What to change, in the words a user types: `--set lr=0.001` for the built-in classifier, a sentence for a script.

A cure names one setting at a time, the most likely first, with a value worked out from the plan that was run.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Settings = Mapping[str, Any] | None
"""The plan's settings by key; None for a script, whose settings are its own."""


def lower_lr(settings: Settings, factor: float = 10) -> str:
    """A learning rate `factor` times lower."""
    if settings is None:
        return f"Lower the learning rate, to a {factor:g}th to begin with."
    return f"Lower the learning rate: --set lr={settings['lr'] / factor:.3g} (it is {settings['lr']:g})."


def higher_lr(settings: Settings, factor: float = 10) -> str:
    """A learning rate `factor` times higher, at most a common one."""
    if settings is None:
        return f"Raise the learning rate, {factor:g} times to begin with."
    return f"Raise the learning rate: --set lr={settings['lr'] * factor:.3g} (it is {settings['lr']:g})."


def other_lr(settings: Settings, usual: float = 0.01) -> str:
    """The learning rate towards the usual one: lower where it was higher, higher where it was lower."""
    if settings is None:
        return "Try a learning rate ten times lower, then one ten times higher."
    if settings["lr"] > 3 * usual:
        return lower_lr(settings, max(10.0, settings["lr"] / usual))
    if settings["lr"] < usual / 3:
        return higher_lr(settings, usual / settings["lr"])
    return f"{lower_lr(settings)} Check that the labels are right: `vizsla data check`."


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
    return f"Train fewer layers: --set train_from=head (it is {settings['train_from']}), or choose another model."


def initialize(settings: Settings) -> str:
    """Weights whose scale keeps the signal's."""
    if settings is None:
        return "Scale the initial weights to the layer's inputs (He for ReLU, Xavier for tanh), not zero or constant."
    if settings["weights"] != "pretrained":
        return f"Start from good weights: --set weights=pretrained (it is {settings['weights']})."
    return lower_lr(settings)


def spared(settings: Settings) -> str:
    """For units that died or saturated."""
    if settings is None:
        return "Lower the learning rate and start from smaller weights and biases, or use a leaky activation."
    return f"{lower_lr(settings)} Dead units do not come back: start anew from --set weights=pretrained."
