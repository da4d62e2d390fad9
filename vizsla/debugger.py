"""The debugger for any PyTorch loop, without the rest of vizsla.

    with vizsla.debugger.watch(model, loss_fn, rules=["vanishing_gradient"], out="debug/") as dbg:
        for images, labels in loader:
            loss = loss_fn(model(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            dbg.step(loss)

It runs in the user's own process, with the same inspector, rules and records as a job has. Nothing it does changes the
training, and nothing that fails in it ends the training.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self, runtime_checkable

import torch
from torch import nn

from vizsla import records
from vizsla.analysis import rules as catalogue
from vizsla.analysis.rules import Context, Finding
from vizsla.errors import UserError, named
from vizsla.job import DebugSettings, RuleRequest
from vizsla.observers import answers, operators, places
from vizsla.observers.inspector import Hook, Inspector
from vizsla.observers.raw import RawFiles
from vizsla.observers.rules import HeardWriter, LiveRules
from vizsla.observers.saving import Saving
from vizsla.observers.visit import At
from vizsla.records import Record, Writer
from vizsla.segments import Segments
from vizsla.training.events import Stop

log = logging.getLogger("vizsla.debugger")

LossFunction = Callable[..., Any]


@runtime_checkable
class Asked(Protocol):
    """What `vizsla.Rule` and `rule_configs.overfit()` are to this module."""

    @property
    def request(self) -> RuleRequest: ...


def watch(
    model: nn.Module,
    loss_fn: LossFunction | None = None,
    rules: Iterable[str | RuleRequest | Asked] | str = (),
    out: str | os.PathLike[str] = "debug",
    settings: DebugSettings | None = None,
    steps: int | None = None,
) -> Watch:
    """Begins to watch a model that is about to be trained.

    model: as the loop calls it, compiled or not. Whether a pass is training or evaluation is its `training`.
    loss_fn: the loss, for its name; if it is a module, labels, predictions and the evaluations' losses come from it.
    rules: `"overfit:ratio_threshold=0.2"`, requests with actions, or `vizsla.Rule`s; one that is typed needs no list.
    out: a folder for the records, made if it is not there; what was recorded there before is superseded.
    settings: what is recorded, and how often.
    steps: how many training steps there will be, if that is known: then about 60 of them are saved.

    Raises UserError for a rule or a folder that cannot be.
    """
    several = rules if isinstance(rules, Iterable) and not isinstance(rules, str) else [rules]
    requests = catalogue.distinct(map(_request, several))
    return Watch(model, loss_fn, requests, places.folder(out, "debug"), (settings or DebugSettings(), steps))


def _request(rule: object) -> RuleRequest:
    if isinstance(rule, str):
        return catalogue.parse(rule)
    if isinstance(rule, RuleRequest):
        return rule
    if isinstance(rule, Asked):
        return rule.request
    raise UserError(f"{rule!r} is no rule.", 'Write rules=["overfit:ratio_threshold=0.2"], or Rule.sagemaker(…).')


class Watch:
    """A training that is watched, from `watch`. Close it, or use it in a `with`, so that its hooks go away again."""

    def __init__(
        self,
        model: nn.Module,
        loss_fn: LossFunction | None,
        requests: Sequence[RuleRequest],
        out: Path,
        recording: tuple[DebugSettings, int | None],
    ) -> None:
        settings, steps = recording
        number = places.next_attempt(out / "records")
        self._streams = ExitStack()
        findings = self._streams.enter_context(Writer(Segments(out / "records" / "findings", number)))
        self._rules = LiveRules(requests, findings.write, Context(others=_records_of))
        stream = HeardWriter(Segments(out / "records" / "debugger", number), self._rules.hear)
        self._records = self._streams.enter_context(stream)
        saving = {
            "train": Saving(settings.save_every, steps, settings.start_step, settings.end_step),
            "eval": Saving(settings.eval_save_every),
        }
        self._inspector = Inspector(model, settings, saving, stream.write, RawFiles(out, "tensors"))
        self._inspector.expect(0, 0)
        self._loss_fn = loss_fn if isinstance(loss_fn, nn.Module) else None
        self._loss_hook = (
            self._loss_fn.register_forward_hook(Hook(self._loss_given), with_kwargs=True) if self._loss_fn else None
        )
        self._wants_losses = "losses" in settings.collections
        self._evaluation = answers.Evaluation()
        self._step = self._evaluations = 0
        self._closed = False
        self.switched_off = ""
        """What the debugger failed with; "" while it works. The training goes on either way."""
        self._attempt(lambda: self._begin(steps))

    def step(
        self,
        loss: torch.Tensor | float | None = None,
        *,
        logits: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
    ) -> None:
        """A training step is done: call it after the backward pass. In evaluation mode: one more batch is evaluated.

        loss: the step's; reading it waits for the device. logits (B, C) and labels (B,) are needed only where the loss
        is a function, as those of a loss module are seen by themselves.
        """
        batch = answers.answers(logits, labels)
        if self._inspector.model.training:
            self._attempt(lambda: self._train_step(loss, batch))
        elif self._loss_fn is None:
            self._attempt(lambda: self._evaluation.add(loss, batch))

    @property
    def stop(self) -> Stop | None:
        """Set, with its `reason`, once a rule whose action is `stop` has found something: leave the loop then."""
        return self._rules.stop

    @property
    def findings(self) -> list[Finding]:
        """What the rules have found so far, the first hundred of each."""
        return list(self._rules.findings)

    def evaluations(self) -> tuple[catalogue.Evaluation, ...]:
        """How each rule stands; final once this is closed."""
        return self._rules.evaluations()

    def close(self) -> None:
        """The training is over: takes every hook away, lets the rules conclude, and seals the records. Once."""
        if self._closed:
            return
        self._attempt(self._conclude)
        self._closed = True
        if not self.switched_off:
            self._let_go()
        self._rules.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _attempt(self, do: Callable[[], object]) -> None:
        """Does what belongs to the debugger alone; where it fails, the debugger is switched off."""
        if self._closed or self.switched_off:
            return
        try:
            do()
            if self._inspector.error:
                raise self._inspector.error
        except Exception as error:
            log.warning("the debugger failed and is switched off: %s", named(error))
            log.debug("", exc_info=error)
            self.switched_off = named(error)
            self._rules.give_up(f"The debugger failed and was switched off: {self.switched_off}.")
            self._let_go()

    def _let_go(self) -> None:
        self._inspector.close()
        if self._loss_hook:
            self._loss_hook.remove()
        with suppress(OSError):  # the disk may be what has failed
            self._mark_end()
        try:
            self._streams.close()
        except OSError as error:
            log.warning("the last records could not be sealed: %s", error)

    def _mark_end(self) -> None:
        """On record: why the debugger was switched off, and that nothing more comes, as smdebug's hook says it too."""
        if self.switched_off:
            off = {"debugger": self.switched_off}
            self._records.write(Record(time.time(), "attempt", "switched_off", value=off))
        self._records.write(Record(time.time(), "attempt", "end"))

    def _begin(self, steps: int | None) -> None:
        self._rules.begin()
        value = {"from_global_step": 0, **({"steps": steps} if steps else {})}
        self._records.write(Record(time.time(), "attempt", "start", value=value))

    def _train_step(self, loss: torch.Tensor | float | None, batch: answers.Answers | None) -> None:
        self._end_evaluation()
        at = self._at(self._step)
        if loss is not None:
            self._write_loss(float(answers.mean(loss)), "train", at)
        self._see(batch)
        self._inspector.end_step(at)
        self._step += 1
        self._inspector.expect(self._step, self._evaluations)
        self._rules.settle()

    def _loss_given(self, _loss_fn: nn.Module, args: Any, kwargs: Any, loss: Any) -> None:
        if torch.compiler.is_compiling():
            return
        with operators.ours():
            batch = answers.given_to_loss((args, kwargs))
        if self._inspector.model.training:
            self._attempt(lambda: self._see(batch))
        elif isinstance(loss, torch.Tensor):
            self._attempt(lambda: self._evaluation.add(loss, batch))

    def _see(self, batch: answers.Answers | None) -> None:
        visit = self._inspector.looks("train")
        if visit and batch:
            self._inspector.guard(lambda: visit.answers(*batch))

    def _end_evaluation(self) -> None:
        """An evaluation has ended when the next training step has, or the training."""
        if not self._evaluation.begun and not self._inspector.looks("eval"):
            return
        done, self._evaluation = self._evaluation, answers.Evaluation()
        at = self._at(self._evaluations)
        loss = done.loss()
        if loss is not None:
            self._write_loss(loss, "eval", at)
        self._inspector.end_evaluation(at, done.answers())
        self._evaluations += 1

    def _write_loss(self, loss: float, mode: str, at: At) -> None:
        if self._wants_losses:
            kind = type(self._loss_fn).__name__ if self._loss_fn else ""
            name = f"{kind}_output_0" if kind else "loss"
            value: dict[str, float | str] = {"collection": "losses", "type": kind, "value": loss}
            self._records.write(Record(time.time(), "tensor", name, mode, at.step, at.global_step, value=value))

    def _at(self, step: int) -> At:
        return At(step, self._step + self._evaluations)

    def _conclude(self) -> None:
        self._end_evaluation()
        self._rules.finish()
        self._rules.settle()


def _records_of(name: str) -> Sequence[Record]:
    """The records of another run, by the folder it was watched in or the job's."""
    for folder in (Path(name) / "records", Path(name) / "checkpoints" / "vizsla" / "records"):
        if folder.is_dir():
            return records.read(folder)
    raise UserError(f"{name} has no records.", "Name the folder that another training was watched in.")
