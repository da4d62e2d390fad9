"""Looks into a model at its saved steps, whoever trains it: vizsla's own loop or somebody else's.

One hook on the whole model sees each forward pass begin. Where a step is to be saved it opens a visit, and hooks on
the activations until that forward pass ends; at all other steps nothing else is hooked. What fails in here is kept in
`error`, and ends the looking, not the training.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn
from torch.optim.optimizer import Optimizer, register_optimizer_step_pre_hook
from torch.utils.hooks import RemovableHandle

from vizsla.job import DebugSettings
from vizsla.observers import activations, operators
from vizsla.observers.raw import RawFiles
from vizsla.observers.saving import Saving
from vizsla.observers.visit import At, Visit
from vizsla.observers.weights import Weights
from vizsla.records import Record

log = logging.getLogger("vizsla.debugger")


class Hook:
    """A hook that stays with its model: where that is copied or pickled in the middle of a training, it is left out."""

    def __init__(self, call: Callable[..., None]) -> None:
        self._call = call

    def __call__(self, *args: Any) -> None:
        self._call(*args)

    def __reduce__(self) -> tuple[type[Hook], tuple[Callable[..., None]]]:
        return Hook, (_nothing,)


def _nothing(*_args: Any) -> None:
    """What is left of a hook in a copy."""


class Inspector:
    """Hands records to `write` at the end of each step that is saved; `saving` says by mode which those are.

    model: as it is called; one that `torch.compile` or DistributedDataParallel made is looked into.
    raw: where whole tensors go that the settings ask for.
    """

    def __init__(
        self,
        model: nn.Module,
        settings: DebugSettings,
        saving: Mapping[str, Saving],
        write: Callable[[Record], None],
        raw: RawFiles | None = None,
    ) -> None:
        self.model = inner(model)
        self._outer = model
        self.error: Exception | None = None
        self._settings = settings
        self._saving = saving
        self._write = write
        self._raw = raw
        self._weights = Weights()
        self._watched = activations.watched(self.model, settings.include)
        self._still: set[nn.Module] = set()
        self._cut = False
        self._due = {"train": False, "eval": False}
        self._step = 0
        self._visits: dict[str, Visit] = {}
        self._eagerly = False
        self._during_forward: list[RemovableHandle] = []
        self._during_step: list[RemovableHandle] = []
        self._always = model.register_forward_pre_hook(Hook(self._forward_begins), with_kwargs=True)

    def expect(self, step: int, evaluation: int) -> None:
        """Says which training step and which evaluation come next, counted from 0."""
        self._step = step
        self._due = {"train": self._saving["train"](step), "eval": self._saving["eval"](evaluation)}
        self._switch_compiler()

    def looks(self, mode: str) -> Visit | None:
        """The visit that is open in this mode."""
        return self._visits.get(mode)

    def end_step(self, at: At) -> None:
        """A training step is done: writes what was seen of it. Raises what `write` raises."""
        visit = self.looks("train")
        if visit:
            self.guard(lambda: visit.gradients(self.model))
            self._still |= visit.still
        self._release(self._during_step)
        self._close_visit("train", at)

    def end_evaluation(self, at: At, answers: tuple[torch.Tensor, torch.Tensor] | None = None) -> None:
        """An evaluation is done: writes what was seen of it, and its `answers` (labels, predictions) if it is saved."""
        if self._due["eval"] and "eval" not in self._visits:
            self._visits["eval"] = Visit(self.model, self._settings)  # no forward pass was seen; its answers are there
        visit = self.looks("eval")
        if visit and answers:
            self.guard(lambda: visit.answers(*answers))
        self._close_visit("eval", at)

    def guard(self, look: Callable[[], None]) -> None:
        """Looks, and keeps what goes wrong from whoever trains the model."""
        if self.error:
            return
        try:
            with torch.no_grad(), operators.ours():
                look()
        except Exception as error:
            log.debug("", exc_info=error)
            self.error = error
            self.close()

    def close(self) -> None:
        """Takes every hook off the model again."""
        self._always.remove()
        self._release(self._during_forward)
        self._release(self._during_step)
        self._visits.clear()
        self._due = {"train": False, "eval": False}
        self._switch_compiler()

    def _forward_begins(self, model: nn.Module, args: Any, kwargs: Any) -> None:
        if torch.compiler.is_compiling():  # a whole training step was compiled: saved ones are not run that way
            return
        mode = "train" if self.model.training else "eval"
        if self._due[mode] and mode not in self._visits:
            # A tail that shares its network's hooks is given features. Then the whole network is run for us alone.
            given = (args, kwargs) if model is self._outer else None
            self._cut = self._cut or given is None
            self.guard(lambda: self._begin(mode, given))

    def _begin(self, mode: str, given: Any) -> None:
        visit = self._visits[mode] = Visit(self.model, self._settings)
        if mode == "train":
            self._weights.see(visit, self.model, self._step)
            self._during_step.append(register_optimizer_step_pre_hook(self._optimizer_steps))
        if given is not None:
            visit.inputs(given)
        for path, module in self._watched.items():
            if self._cut or module not in self._still:
                self._during_forward += self._hooks(visit, path, module)
        self._during_forward.append(self.model.register_forward_hook(self._forward_ends, always_call=True))
        self._switch_compiler()

    def _hooks(self, visit: Visit, path: str, module: nn.Module) -> list[RemovableHandle]:
        def before(module: nn.Module, args: Any, kwargs: Any) -> None:
            self.guard(lambda: visit.before(path, module, (args, kwargs)))

        def after(module: nn.Module, _args: Any, value: Any) -> None:
            # Outside of guard's no_grad it can be told whether gradients are wanted at all.
            wanted = torch.is_grad_enabled()
            self.guard(lambda: visit.after(path, module, value, wanted))

        return [module.register_forward_pre_hook(before, with_kwargs=True), module.register_forward_hook(after)]

    def _forward_ends(self, _model: nn.Module, _args: Any, _value: Any) -> None:
        self._release(self._during_forward)
        self.guard(self._switch_compiler)

    def _optimizer_steps(self, optimizer: Optimizer, _args: Any, _kwargs: Any) -> None:
        """Gradients are read as the optimizer gets them: unscaled, clipped, and not yet set to zero."""
        visit = self.looks("train")
        ours = {id(parameter) for parameter in self.model.parameters()}
        if visit and any(id(parameter) in ours for group in optimizer.param_groups for parameter in group["params"]):
            self.guard(lambda: visit.gradients(self.model))

    def _close_visit(self, mode: str, at: At) -> None:
        visit = self._visits.pop(mode, None)
        if visit:
            for record in visit.records(mode, at, self._raw):
                self._write(record)

    def _switch_compiler(self) -> None:
        """Hooks inside compiled code are not called: what is looked at runs eagerly, and nothing else does."""
        wanted = bool(self._during_forward) or self._due["train"]
        if wanted == self._eagerly or "torch._dynamo" not in sys.modules:  # not loaded: nothing can have been compiled
            return
        # Not as a context that restores what was before: of two that overlap, the last would restore eager for good.
        torch.compiler.set_stance("force_eager" if wanted else "default")
        self._eagerly = wanted

    @staticmethod
    def _release(handles: list[RemovableHandle]) -> None:
        while handles:
            handles.pop().remove()


def inner(model: nn.Module) -> nn.Module:
    """The module that the user wrote, out of what torch.compile or a parallel wrapper made of it."""
    while isinstance(found := getattr(model, "_orig_mod", None), nn.Module):
        model = found
    if isinstance(model, nn.DataParallel | nn.parallel.DistributedDataParallel):
        return inner(model.module)
    return model
