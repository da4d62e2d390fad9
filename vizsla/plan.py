"""The Plan: a job with every default filled that needs neither the data nor the machine; checked, frozen, hashed.

`resolve(job)` is the one place where defaults are filled and conflicts found. Later code reads `plan.lr`, and never
asks whether something was given. What belongs to the machine (threads, memory format) is in `job.Launch` and in the
worker's execution.json, so the same plan has the same hash everywhere.
"""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from vizsla import backbones, keys
from vizsla.job import CLASSIFIER, Job


def _numbers(value: Any) -> Any:
    return [part.strip() for part in value.strip("[]()").split(",")] if isinstance(value, str) else value


def _number_or_auto(value: Any) -> Any:
    return None if value == "auto" else value


Shares = Annotated[tuple[float, float, float], BeforeValidator(_numbers)]


class DataPlan(keys.Section):
    """Which photos take part, and in which split."""

    fraction: float = Field(1.0, gt=0, le=1)
    """Share of the training photos to use, between 0 and 1; stratified and seeded, every class keeps at least one."""
    labels: str | None = None
    """A CSV of image and label inside the photo folder, such as labels.csv; without it, folders are classes."""
    max_bad: float = Field(0.05, ge=0, le=1)
    """Share of bad photos above which training is refused."""
    split: Shares = (0.7, 0.15, 0.15)
    """Shares of train, valid and test where the folder does not say; they add up to 1, and test may be 0."""

    @field_validator("split")
    @classmethod
    def _adds_up(cls, split: tuple[float, float, float]) -> tuple[float, float, float]:
        train, valid, test = split
        if min(split) < 0 or abs(sum(split) - 1) > 1e-6:
            raise ValueError("the three shares must be 0 or more and add up to 1")
        if train == 0 or valid == 0:
            raise ValueError(f"train ({train:g}) and valid ({valid:g}) must be above 0; test ({test:g}) may be 0")
        return split


class ImagePlan(keys.Section):
    """How a photo becomes the network's input."""

    size: int = Field(224, ge=16, le=1024)
    """Side of the square the network sees, in pixels; by default the backbone's own size."""
    resize: Literal["direct", "crop"] = "direct"
    """direct: the whole photo, squeezed to a square. crop: the shorter side to size/0.875, then the middle."""
    max_pixels: int = Field(89_478_485, ge=1, le=178_956_970)
    """Photos with more pixels than this are bad: they could be decompression bombs. Pillow's own limit by default."""


class ProbePlan(keys.Section):
    """The classifier that is fitted on frozen features: what a probe is, and what fine-tuning begins with."""

    l2: Annotated[float | None, BeforeValidator(_number_or_auto)] = Field(None, gt=0)
    """Strength of its regularisation; by default the one that is best on the valid photos."""
    stages: Literal["auto", "last", "all", "none"] = "auto"
    """What it looks at: the last stage, several stages (all), or whichever of the two is better on valid (auto). With
    none there is no probe, and the head begins from zero."""


class EvaluatePlan(keys.Section):
    """What is measured after training."""

    test: bool = True
    """Ask the held-out test photos, once, when training has ended. A search's trials leave them alone."""


class Plan(keys.Section):
    """Everything that decides the result of a training, apart from the photos and the machine."""

    model: str = backbones.DEFAULT
    """Backbone: one that `vizsla models` lists, or any name timm knows."""
    weights: str = "pretrained"
    """pretrained (found on this machine or downloaded), none (random), or a .safetensors or .pth file."""
    method: Literal["auto", "probe", "finetune"] = "auto"
    """probe: fit the head on frozen features. finetune: begin with that head and train on from train_from. auto: both,
    as long as an epoch in two gets better, and keep what is best on the valid photos."""
    train_from: str = "last"
    """Everything before this stage is frozen: last (the last stage and the head), head, all, or a stage's name."""
    epochs: int = Field(8, ge=1, le=10_000)
    """How often training goes over the training photos."""
    batch_size: int = Field(64, ge=1, le=4096)
    """Training photos a step."""
    lr: float = Field(0.01, gt=0)
    """Learning rate of the head, the highest of its schedule; pretrained stages learn at a twentieth of it."""
    optimizer: Literal["adamw", "adam", "sgd"] = "adamw"
    """adamw, adam, or sgd (with Nesterov momentum 0.9)."""
    schedule: Literal["cosine", "constant"] = "cosine"
    """Both rise to lr over the first tenth of the steps. cosine: then falls to 0. constant: stays at lr."""
    weight_decay: float = Field(0.01, ge=0)
    """Weight decay; not applied to biases and norms."""
    dropout: float = Field(0.2, ge=0, lt=1)
    """Share of the head's inputs dropped in training."""
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    """Probability spread over the other classes in the training loss."""
    patience: int = Field(0, ge=0)
    """Stop after this many epochs without a better valid loss; 0 never stops early, but for method=auto, where it
    is 2."""
    seed: int = Field(0, ge=0, lt=2**32)
    """Decides the split, the order of the photos, flips and dropout."""
    views: int = Field(2, ge=0, le=64)
    """Ways to look at each training photo, made once: as it is, flipped, then drawn crops and colours. 0 draws a new
    one every epoch, which cannot be kept and takes the whole network each time."""
    flips: Literal["horizontal", "all", "none"] = "horizontal"
    """horizontal: photos of the world. all: pictures without an up, such as cells or maps, turned as well. none."""
    data: DataPlan = DataPlan()
    image: ImagePlan = ImagePlan()
    probe: ProbePlan = ProbePlan()
    evaluate: EvaluatePlan = EvaluatePlan()

    @model_validator(mode="after")
    def _fits_together(self) -> Plan:
        if self.patience >= self.epochs > 1:
            raise ValueError(f"patience={self.patience} can never end a training of epochs={self.epochs}")
        if self.method == "probe" and self.probe.stages == "none":
            raise ValueError("method=probe fits a probe, and probe.stages=none asks for none")
        return self

    def digest(self) -> str:
        """Hex sha256 of the plan; two plans with the same digest ask for the same training."""
        canonical = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()


def resolve(job: Job) -> Plan:
    """The plan of a job for the built-in classifier.

    Raises UserError for an unknown setting, a value that cannot be, or settings that exclude each other.
    """
    if job.entry_point != CLASSIFIER:
        raise ValueError(f"only the built-in classifier has a plan, not {job.entry_point}")
    plan = keys.parse(Plan, job.own_hyperparameters)
    if "size" in plan.image.model_fields_set:
        return plan
    native = backbones.find(plan.model).size
    return plan.model_copy(update={"image": plan.image.model_copy(update={"size": native})})
