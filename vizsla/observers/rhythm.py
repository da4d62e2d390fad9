"""Where the time goes in a loop that is not ours, told by hooks on its models and their optimizers.

load: from the optimizer's step, or what the loop says is the end of a step, to the next forward pass. forward: the pass
itself. backward: from there to the optimizer's step, so the loss and zero_grad are in it; where several passes come
before one step, so is loading the next batch. update: the optimizer's step. observe: what others have hooked onto the
pass, and what a loop does between the optimizer's step and the end of its own. evaluate: passes in another mode than
training, and what lies between them.
"""

from __future__ import annotations

import logging
import os
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import nn
from torch.optim.optimizer import Optimizer, register_optimizer_step_post_hook, register_optimizer_step_pre_hook
from torch.utils.hooks import RemovableHandle

from vizsla.errors import named
from vizsla.observers import activations
from vizsla.observers.inspector import Hook, inner
from vizsla.observers.profiler import phase_record
from vizsla.observers.visit import At
from vizsla.observers.window import Window
from vizsla.records import Record, Writer
from vizsla.training.clock import Clock, Phase

log = logging.getLogger("vizsla.profiler")

UNSEEN = ""
ModeOf = Callable[[nn.Module], str]
Wrap = Callable[[Callable[..., None]], Callable[..., None]]


def by_training(model: nn.Module) -> str:
    """The mode of a pass where nobody says more: "train", or "eval" where the model is told to evaluate."""
    return "train" if inner(model).training else "eval"


class Rhythm:
    """Writes the phases of each step, and profiles the steps that `window` wants. When it fails, the loop goes on.

    records: the stream; it is this object's from here on. by_hand: whether the loop says where a step ends, by `step`;
    else each forward pass in training begins one. mode_of: "train", "eval" or "predict". wrap: what stands for a hook
    on a model, so that the model can be copied.
    """

    def __init__(
        self,
        records: Writer,
        window: Window,
        by_hand: bool = False,
        mode_of: ModeOf = by_training,
        wrap: Wrap = Hook,
    ) -> None:
        self.error: Exception | None = None
        self._records = records
        self._window = window
        self._by_hand = by_hand
        self._mode_of = mode_of
        self._wrap = wrap
        self._process = os.getpid()
        self._closed = self._is_named = False
        self._models: list[nn.Module] = []
        self._handles: list[RemovableHandle] = []
        self._ours: WeakKeyDictionary[Optimizer, bool] = WeakKeyDictionary()
        self._done: Counter[str] = Counter()
        self._at: At | None = None
        self._mode, self._ended = "train", ""
        self._kept: tuple[Phase, ...] = ()
        self._batch_size = 0
        self._clock = Clock()
        self.guard(self._begin)

    def add(self, model: nn.Module, optimizer: Optimizer | None = None) -> None:
        """Hooks onto a model, around what others have hooked onto it before, and onto the optimizers that train it."""
        if model in self._models:
            return
        if not self._models:
            self._handles += [
                register_optimizer_step_pre_hook(partial(self._hooked, self._update_begins)),
                register_optimizer_step_post_hook(partial(self._hooked, self._update_ends)),
            ]
        self._models.append(model)
        if optimizer is not None:
            self._is_named = self._ours[optimizer] = True
        first, last, end = (
            self._wrap(partial(self._hooked, do))
            for do in (self._forward_begins, self._others_have_seen, self._forward_ends)
        )
        self._handles += [
            model.register_forward_pre_hook(first, prepend=True, with_kwargs=True),
            model.register_forward_pre_hook(last),
            model.register_forward_hook(end),
        ]

    def step(self) -> None:
        """The loop has come to the end of a training step; in evaluation, of a batch."""
        self.guard(self._step)

    def close(self) -> None:
        """The training is over: what was seen is written, and the hooks go away."""
        self.guard(self._conclude)
        self._closed = True
        self._let_go()

    def guard(self, do: Callable[[], None]) -> None:
        """Does what belongs to the profiler alone, in the process it was made in; where it fails, it is over."""
        if self.error or self._closed or self._process != os.getpid():
            return
        try:
            do()
        except Exception as error:
            log.warning("the profiler failed and is switched off: %s", named(error))
            log.debug("", exc_info=error)
            self.error = error
            self._give_up()

    def _give_up(self) -> None:
        self._window.abandon()
        self._let_go()
        off = {"profiler": named(self.error)} if self.error else {}
        with suppress(OSError):  # the disk may be what has failed
            self._records.write(Record(time.time(), "attempt", "switched_off", value=off))
        with suppress(OSError):
            self._records.close()

    def _hooked(self, do: Callable[..., None], *args: Any) -> None:
        if not torch.compiler.is_compiling():  # what was compiled whole has no seams to look into
            self.guard(partial(do, *args))

    def _begin(self) -> None:
        self._records.write(Record(time.time(), "attempt", "start", value={"from_global_step": 0}))
        self._window.before(0)
        self._clock.end("observe")
        for phase in self._clock.lap():
            self._records.write(phase_record(phase, "global", None))

    def _conclude(self) -> None:
        self._tell()
        self._window.close()
        if self._by_hand:
            self._records.write(Record(time.time(), "attempt", "end"))
        self._records.close()

    def _let_go(self) -> None:
        while self._handles:
            self._handles.pop().remove()
        self._models.clear()

    # ---- what the hooks see

    def _forward_begins(self, model: nn.Module, args: Any, kwargs: Any) -> None:
        mode = self._mode_of(model)
        changed = mode != self._mode
        again = mode == "train" and self._ended == "forward" and not changed
        self._end("evaluate" if mode != "train" else "backward" if again else "load")
        if changed or (mode == "train" and not self._by_hand):
            self._tell(keep=0 if again else 1)
        self._mode = mode
        if not self._batch_size and mode == "train":
            self._see_batch(model, args, kwargs)

    def _others_have_seen(self, model: nn.Module, _args: Any) -> None:
        self._end("observe" if self._mode_of(model) == "train" else "evaluate")

    def _forward_ends(self, model: nn.Module, _args: Any, _value: Any) -> None:
        self._end("forward" if self._mode_of(model) == "train" else "evaluate")

    def _update_begins(self, optimizer: Optimizer, _args: Any, _kwargs: Any) -> None:
        if self._trains(optimizer):
            # After no pass that could be seen, since it was compiled whole, nothing tells its parts from loading.
            self._end("backward" if self._ended in ("forward", "backward", "update") else UNSEEN)

    def _update_ends(self, optimizer: Optimizer, _args: Any, _kwargs: Any) -> None:
        if self._trains(optimizer):
            self._end("update")

    def _trains(self, optimizer: Optimizer) -> bool:
        """Whether it is the loop's: the one that was named, or one that has a parameter of the models."""
        if optimizer not in self._ours:
            ours = {id(parameter) for model in self._models for parameter in model.parameters()}
            parameters = (parameter for group in optimizer.param_groups for parameter in group["params"])
            self._ours[optimizer] = not self._is_named and any(id(parameter) in ours for parameter in parameters)
        return self._ours[optimizer]

    def _see_batch(self, model: nn.Module, args: Any, kwargs: Any) -> None:
        """How the loop runs, as far as its first batch shows it."""
        tensors = [tensor for tensor in activations.tensors_in((args, kwargs)) if tensor.dim()]
        self._batch_size = len(tensors[0]) if tensors else 1
        precision = {str(parameter.dtype).removeprefix("torch.") for parameter in model.parameters()}
        value: dict[str, float | str] = {"threads": torch.get_num_threads(), "precision": ",".join(sorted(precision))}
        if tensors:
            value["batch_size"] = self._batch_size
        self._records.write(Record(time.time(), "system", "execution", value=value))

    # ---- laps

    def _end(self, name: str) -> None:
        self._clock.end(name)
        self._ended = name

    def _step(self) -> None:
        if self._mode_of(self._models[0]) != "train":
            self._end("evaluate")
            return
        if self._mode != "train":  # an evaluation within the step
            self._end("evaluate")
            self._tell()
            self._mode = "train"
        else:
            self._end("observe")
            self._tell()
        self._end("observe")  # what telling took; it comes with the next step

    def _tell(self, keep: int = 0) -> None:
        """A lap is over, but for its last `keep` phases: they are the beginning of the next."""
        phases = (*self._kept, *self._clock.lap())
        cut = len(phases) - keep
        lap, self._kept = phases[:cut], phases[cut:]
        if self._mode == "train":
            self._tell_step(lap)
        else:
            self._tell_evaluation([phase for phase in lap if phase.name == "evaluate"])

    def _tell_step(self, lap: tuple[Phase, ...]) -> None:
        """What has no pass and no update in it is the rest of the step before."""
        lap = tuple(phase for phase in lap if phase.name != UNSEEN)
        is_step = any(phase.name in ("forward", "update") for phase in lap)
        if is_step:
            self._at = At(self._done["train"], self._done.total())
            self._done["train"] += 1
        if self._at is None:
            return
        for phase in lap:
            self._records.write(phase_record(phase, "train", self._at))
        if is_step:
            self._window.after(self._at, lap)

    def _tell_evaluation(self, passes: list[Phase]) -> None:
        if not passes:
            return
        at = At(self._done[self._mode], self._done.total())
        self._done[self._mode] += 1
        whole = Phase("evaluate", passes[0].t, sum(phase.seconds for phase in passes))
        self._records.write(phase_record(whole, self._mode, at))
