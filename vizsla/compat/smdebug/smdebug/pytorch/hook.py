"""`smd.Hook`: what a script calls. Everything it does during training passes one border, which nothing gets out of.

A call that cannot mean anything (a loss that is no module, an unknown reduction) raises where it is made, before
training; what fails in training is said once and counted, and training goes on.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn
from torch.nn.modules.loss import _Loss

from vizsla.observers.places import is_first_worker

from ..core import config, profiling
from ..core.collection import Collection, Collections, Named
from ..core.missing import absent
from ..core.modes import ModeKeys, check_mode
from ..core.place import for_writing
from ..core.reduction_config import ReductionConfig
from ..core.save_config import SaveConfig, SaveConfigMode
from ..core.saver import Saver
from ..core.store import Store
from .attach import Attached, Callback, Told
from .current import set_hook

log = logging.getLogger("smdebug")


class Hook:
    """Saves tensors of a model as it trains. The arguments are smdebug's; docs/smdebug.md says what each does.

    With USE_SMDEBUG=0, and in all workers but the first, it takes every call and does nothing.
    """

    def __init__(
        self,
        out_dir: str | os.PathLike[str] | None = None,
        export_tensorboard: bool = False,
        tensorboard_dir: str | None = None,
        dry_run: bool = False,
        reduction_config: ReductionConfig | None = None,
        save_config: SaveConfig | dict[ModeKeys, SaveConfigMode] | None = None,
        include_regex: str | Iterable[str] | None = None,
        include_collections: str | Iterable[str] | None = None,
        save_all: bool = False,
        include_workers: str = "one",
    ) -> None:
        if export_tensorboard or tensorboard_dir:
            log.warning("vizsla's smdebug writes no TensorBoard files: `vizsla report` shows what was saved")
        if include_workers != "one":
            log.warning("vizsla's smdebug saves the first worker only: include_workers=%r is ignored", include_workers)
        asked = config.HookConfig(
            out_dir=os.fspath(out_dir) if out_dir is not None else None,
            save_config=save_config if isinstance(save_config, SaveConfig) else SaveConfig(save_config),
            reduction_config=reduction_config,
            include_regex=_list(include_regex),
            include_collections=_list(include_collections),
            save_all=save_all,
        )
        self._set_up(asked, dry_run)

    @classmethod
    def create_from_json_file(cls, json_file_path: str | os.PathLike[str] | None = None) -> Hook:
        """A hook as a SageMaker configuration file asks for. Raises OSError or ValueError for one that cannot be read.

        By default the file that SMDEBUG_CONFIG_FILE_PATH names, then /opt/ml/input/config/debughookconfig.json; without
        either, losses every 500 steps.
        """
        asked = config.found(os.fspath(json_file_path) if json_file_path is not None else None)
        hook = cls.__new__(cls)
        hook._set_up(asked)
        return hook

    create_from_json = create_from_json_file

    def _set_up(self, asked: config.HookConfig, dry_run: bool = False) -> None:
        self._on = config.is_on() and not dry_run and is_first_worker()
        self._process = os.getpid()
        self._failures = 0
        self._lock = threading.RLock()  # a backward pass may call from a thread of its own
        self._save_config = asked.save_config
        place = for_writing(asked.out_dir)
        self.out_dir = str(place.private)
        self._saver = Saver(asked.gathered(), Store(place))
        saver = self._saver
        begins, see = self._guarded(saver.begin_step), self._guarded(saver.see)
        self._attached = Attached(Told(self._guarded, begins, lambda: bool(saver.due), see, saver.next_name))
        self._rhythm = profiling.rhythm(place, lambda: saver.mode, Callback) if self._on else None
        set_hook(self)
        if self._on:
            atexit.register(self.close)

    # ---- what is watched

    def register_module(self, module: nn.Module) -> None:
        """Watches a model: each of its forwards is a step. Raises TypeError."""
        if not isinstance(module, nn.Module):
            raise TypeError(f"register_module takes a torch.nn.Module, not {module!r}")
        if self._on:
            self._attached.model(module)
            if self._rhythm:
                self._rhythm.add(module)

    def register_loss(self, loss_module: nn.Module) -> None:
        """Watches a loss module; its output is in the collection `losses`. Raises TypeError."""
        if not isinstance(loss_module, nn.Module):
            raise TypeError(
                f"register_loss takes a loss module such as torch.nn.CrossEntropyLoss(), not {loss_module!r}. "
                "Save the value of a function with record_tensor_value(tensor_name='loss', tensor_value=loss)."
            )
        if self._on:
            self.get_collection("losses").add_module_tensors(loss_module)  # also where it is a part of a model
            self._attached.loss(loss_module)

    def register_hook(self, module: nn.Module) -> None:
        """register_loss for a loss, register_module for anything else."""
        if isinstance(module, _Loss):
            self.register_loss(module)
        else:
            self.register_module(module)

    # ---- in training

    def set_mode(self, mode: ModeKeys) -> None:
        """What the next steps are for. Raises TypeError."""
        self._saver.mode = check_mode(mode)

    def save_scalar(self, name: str, value: Any, sm_metric: bool = False, timestamp: float | None = None) -> None:
        """A number, saved at every step as `scalar/<name>`; with `sm_metric` as a metric of the job too."""
        self._guarded(lambda: self._saver.scalar(name, float(value), sm_metric))()

    def save_tensor(self, tensor_name: str, tensor_value: Any, collections_to_write: Any = "default") -> None:
        """A tensor (or an array, a list, a number), saved at the steps of the collections that are named."""
        own = self._saver.own
        self._guarded(lambda: own(tensor_name, torch.as_tensor(tensor_value), [*_list(collections_to_write)]))()

    def record_tensor_value(self, tensor_name: str, tensor_value: torch.Tensor) -> None:
        """The value of a loss that is a function, saved as `<tensor_name>_output_0`."""

        def record() -> None:
            name = self._saver.next_name(tensor_name, "output")
            self._saver.see(Named(name, torch.as_tensor(tensor_value), "loss"))

        self._guarded(record)()

    # ---- collections

    def get_collection(self, collection_name: str) -> Collection:
        """The collection of this name; made now if there was none. It is saved if the hook includes it."""
        return self._saver.collections.get(collection_name)

    def get_collections(self) -> dict[str, Collection]:
        return self._saver.collections.everything()

    def add_collection(self, collection: Collection | str) -> None:
        """Adds one that the script made."""
        self._saver.collections.add(collection)

    @property
    def collection_manager(self) -> Collections:
        return self._saver.collections

    @property
    def include_collections(self) -> set[str]:
        """The names of the collections that are saved. Names may be added."""
        return self._saver.collections.included

    # ---- where it is

    @property
    def mode(self) -> ModeKeys:
        return self._saver.mode

    @property
    def step(self) -> int:
        """The steps of all modes together, from 0; -1 before the first."""
        return self._saver.global_step

    @property
    def mode_steps(self) -> dict[ModeKeys, int]:
        return dict(self._saver.mode_steps)

    @property
    def save_config(self) -> SaveConfig:
        return self._save_config

    def get_collections_to_save_for_step(self) -> set[Collection]:
        return set(self._saver.due) if self._on else set()

    # ---- the end

    def close(self) -> None:
        """Writes the last step and says that the training is over. Python's end does it too."""

        if not self._on:
            return

        def finish() -> None:
            try:
                self._saver.flush()
            finally:
                self._saver.store.close()

        self._guarded(finish)()
        self._attached.remove()
        if self._rhythm:
            self._rhythm.close()
        if self._failures > 1:
            log.warning("smdebug: %d times something could not be saved", self._failures)
        self._on = False
        atexit.unregister(self.close)

    cleanup = close

    # ---- the border

    def _guarded(self, do: Callable[..., None]) -> Callable[..., None]:
        """`do` where this hook is on and in the process it was made in; what it raises is logged once."""

        def guarded(*args: Any) -> None:
            if not self._on or self._process != os.getpid():
                return
            try:
                with self._lock:
                    do(*args)
            except Exception as error:
                log.debug("", exc_info=error)
                self._failed(error)

        return guarded

    def _failed(self, error: Exception) -> None:
        self._failures += 1
        if self._failures == 1:
            log.warning("smdebug: something could not be saved, training goes on: %s: %s", type(error).__name__, error)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        raise AttributeError(absent("smdebug.pytorch.Hook", name, [each for each in dir(self) if each[0] != "_"]))


def _list(names: str | Iterable[str] | None) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else tuple(names or ())
