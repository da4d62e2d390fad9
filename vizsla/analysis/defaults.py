"""The six rules that watch every `vizsla train`, and where they differ from what SageMaker documents, with the reason.

A rule that the user names takes the documented defaults. These here have to be quiet on healthy trainings: the
documented ones were made for single steps of long runs, and fine-tuning a classifier is short, has dropout and flips
in its training loss, and a learning rate that falls to 0. docs/rules.md prints this table, and how often each rule is
right (`make rules-table`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from vizsla.job import RuleRequest


@dataclass(frozen=True, slots=True)
class Difference:
    """A parameter that is not as documented, and why."""

    parameter: str
    value: str
    reason: str


PROFILE: Mapping[str, tuple[Difference, ...]] = MappingProxyType(
    {
        "VanishingGradient": (
            Difference(
                "threshold",
                "0.00000001",
                "AdamW divides a gradient by its size: a layer stops only at its epsilon. ConvNeXt begins with 5e-8.",
            ),
            Difference(
                "patience",
                "5",
                "One step is no evidence: gradients are small while the head is still close to zero.",
            ),
            Difference(
                "share_of_largest",
                "0.0001",
                "When the photos are learnt, all gradients become small. Where they vanish, the last layers' do not.",
            ),
        ),
        "Overfit": (
            Difference(
                "ratio_threshold",
                "0.5",
                "A sound fine-tuning ends with a validation loss well above its training loss: by 0.8 times on ELPV.",
            ),
            Difference(
                "rise_percent",
                "40",
                "A gap alone does no harm (dogs: 1.29 against 0.11, and still falling), nor does a rise by what a few "
                "dozen photos tell anyway (20 to 40 %); learning by heart shows in a loss that has left its lowest.",
            ),
            Difference(
                "least_gap",
                "0.2",
                "Photos that are easy to tell apart end with losses close to zero, whose ratio says nothing.",
            ),
            Difference(
                "patience",
                "3",
                "At a high learning rate an epoch or two can be 3 times worse than their neighbours, and recover.",
            ),
        ),
        "Overtraining": (
            Difference(
                "by_epoch",
                "true",
                "The loss of a single batch sets no new low for 5 steps in almost any training.",
            ),
        ),
        "PoorWeightInitialization": (
            Difference(
                "threshold",
                "100000000",
                "Sound networks differ much more than 10 times between layers: residual sums grow, gates see little.",
            ),
            Difference(
                "distribution_range",
                "0.000000001",
                "The gradients of sound networks span 1e-5 to 1e-2, and less while the head is close to zero.",
            ),
            Difference(
                "share_of_largest",
                "0.000000000001",
                "Easy photos are learnt within ten steps, and all gradients are at 1e-12 then. Bad weights hold them "
                "back in some layers only; just after the head has left zero, sound ones differ by 1e-10.",
            ),
            Difference(
                "patience",
                "10",
                "Off: the losses of the first steps are mostly noise. loss_not_decreasing looks at whole epochs.",
            ),
        ),
        "LossNotDecreasing": (
            Difference(
                "by_epoch",
                "true",
                "The loss of one batch rises and falls by more than a step teaches.",
            ),
            Difference("mode", "train", "A validation loss that rises is the matter of overfit and overtraining."),
            Difference("num_steps", "1", "Epochs are few: the second one is held against the first."),
            Difference(
                "enough_percent",
                "10",
                "With a learning rate that falls to 0 the last epochs of a sound training change nothing any more.",
            ),
            Difference(
                "share_of_chance",
                "0.5",
                "A training that goes on from a probe begins where others end: hardly anything is left to fall.",
            ),
        ),
        "ClassImbalance": (
            Difference(
                "threshold_imbalance",
                "20",
                "Data sets of many classes have some with a tenth of the photos of others, and train well.",
            ),
            Difference(
                "threshold_misprediction",
                "1",
                "Off: a hard class is not a rare one, and the first epochs take most photos for others.",
            ),
            Difference("samples", "200", "Small data sets show 500 labels only after many epochs."),
        ),
    }
)


def requests() -> tuple[RuleRequest, ...]:
    """The default rules, under their own names and without actions."""
    return tuple(
        RuleRequest(name=rule, rule=rule, parameters={each.parameter: each.value for each in differences})
        for rule, differences in PROFILE.items()
    )
