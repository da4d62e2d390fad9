"""What can hold a training up on a machine without a GPU, one function each: figures → a cause, or None.

Each says what share of the loop's time it costs, worked out from what was measured as its docstring says, and which
settings end it. `bound` puts them together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Final, Literal

from vizsla.analysis.profiling.meter import Figures
from vizsla.words import count, percent

Bound = Literal["loading", "compute", "memory", "oversubscription", "neighbours", "disk"]
Settings = Mapping[str, Any] | None
"""The plan's settings by key; None for a script, whose settings are its own."""

WAITS = 0.1  # share of a step's time that `load` may take before it counts as waiting
IDLE = 0.15  # share of the cores that may have nothing to do
ON_DISK = 0.1  # share of the cores that wait for a disk
CROWDED = 0.25  # share of the cores that others take before they count as neighbours
FULL_PERCENT = 95.0  # of memory
FAULTS_S = 20.0  # major page faults a second: memory that comes and goes
USUAL_BATCH = 64  # the default
FIXED = 0.015  # share of a step that does not grow with its batch
SHARED_S = 0.05  # of computing in a step, below which threads do not share it well
STEPS_IN_EPOCH = 8  # fewer updates an epoch than that, and a larger batch costs more than it brings

# Of the time that computes, what it costs to have twice as many threads as cores, or three times, … Measured with
# forward passes of the default backbone at batch 8, whose threads sleep while they wait: four times as many threads
# took 6 to 10 % more of the cores' time, twice as many no more.
LOST_A_THREAD: Final = 0.03


@dataclass(frozen=True, slots=True)
class Cause:
    """One thing that takes time."""

    bound: Bound
    share: float
    """Of the loop's time, what it would save to end it."""
    message: str
    settings: Mapping[str, str] = field(default_factory=dict)
    advice: str = ""
    """What to do that is no setting; "" where the settings are enough."""
    urgent: bool = False
    """Whether it is worse than slow."""


def waits_for_photos(figures: Figures, _settings: Settings) -> Cause | None:
    """The loop waits in `load`.

    Without loader workers photos are decoded between the steps, on one core, while the others wait: beside the steps,
    and on all cores, the same work adds a `cores`-th of its time. Too few workers gain in proportion to their number
    as far as cores are idle. Where the workers have all cores already, what can be gained is all of the waiting, and
    only smaller photos do.
    """
    waited = figures.part("load")
    if waited < WAITS or _waits_for_disk(figures):
        return None
    said = f"The loop waits for photos {percent(waited, 0)} of the time of a step"
    if figures.loader_workers is None:
        text = f"{said}, and {_idle(figures)}"
        return (
            Cause("loading", waited * _idle_share(figures), text, advice=_SCRIPT_WORKERS) if _is_idle(figures) else None
        )
    if figures.loader_workers < figures.share:
        return _too_few_workers(figures, waited, said)
    if figures.loader_workers < 2 * figures.share and _is_idle(figures):
        text = f"{said}, and its {count(figures.loader_workers, 'loader worker')} leave cores idle: {_idle(figures)}"
        more = {"run.loader_workers": str(2 * figures.share)}
        return Cause("loading", waited * _idle_share(figures), text, more)
    if _is_crowded(figures):
        return None  # the cores that the workers lack are with others
    text = f"{said} although the loader workers have every core: decoding is more work than training."
    return Cause("loading", waited, text, advice=_SMALLER_PHOTOS)


def decodes_between_steps(figures: Figures, _settings: Settings) -> Cause | None:
    """No loader workers, on more than one core: worth to be set right beside other things, however short the wait."""
    waited, cores = figures.part("load"), figures.share
    if figures.loader_workers != 0 or cores == 1 or not waited:
        return None
    text = (
        f"The loop waits for photos {percent(waited, 0)} of the time of a step: they are decoded between the steps "
        f"(0 loader workers), on one of {count(cores, 'core')}."
    )
    return Cause("loading", waited * (1 - 1 / cores), text, {"run.loader_workers": str(cores)})


def _too_few_workers(figures: Figures, waited: float, said: str) -> Cause | None:
    cores, workers = figures.share, figures.loader_workers or 0
    if workers == 0 or not _is_idle(figures):
        return decodes_between_steps(figures, None)
    text = f"{said} with {count(workers, 'loader worker')}, and {_idle(figures)}"
    return Cause("loading", waited * (1 - workers / cores), text, {"run.loader_workers": str(cores)})


def waits_for_disk(figures: Figures, _settings: Settings) -> Cause | None:
    """The loop waits in `load`, and cores for a disk: what could be gained is the waiting."""
    waited = figures.part("load")
    if waited < WAITS or not _waits_for_disk(figures):
        return None
    text = (
        f"The loop waits for photos {percent(waited, 0)} of the time of a step, and {percent(_on_disk(figures), 0)} of "
        "the cores' time goes into waiting for the disk."
    )
    few = figures.loader_workers is not None and figures.loader_workers < 2 * figures.share
    more = {"run.loader_workers": str(2 * figures.share)} if few else {}
    return Cause("disk", waited, text, more, advice=_NEARER_PHOTOS)


def too_many_threads(figures: Figures, _settings: Settings) -> Cause | None:
    """More threads compute than there are cores.

    The share they cost grows by `LOST_A_THREAD` with each thread too many a core, up to a half. Of a script, whose
    threads nobody has told, so many must also have been waiting for a core, and the job must have been alone.
    """
    cores, threads = figures.share, figures.threads
    if threads is not None:
        if threads <= cores:
            return None
        text = f"{count(threads, 'thread')} compute on {count(cores, 'core')}, and wait for each other."
        computing = figures.part("forward", "backward", "update") if figures.step_seconds else 1.0
        return Cause("oversubscription", computing * _lost(threads / cores), text, {"run.threads": str(cores)})
    wanted = figures.running
    if wanted is None or wanted < 2 * figures.cores or _is_crowded(figures):
        return None
    text = f"{wanted:.0f} threads at a time wanted one of {count(figures.cores, 'core')}."
    return Cause("oversubscription", _lost(wanted / figures.cores), text, advice=_SCRIPT_THREADS.format(cores=cores))


def too_few_threads(figures: Figures, _settings: Settings) -> Cause | None:
    """Fewer threads compute than there are cores, and cores are idle: what could be gained is in proportion to both.

    Short steps are left alone: threads that share little work wait for each other longer than it takes.
    """
    cores, threads = figures.share, figures.threads
    computing = figures.part("forward", "backward", "update")
    if threads is None or threads >= cores or not _is_idle(figures):
        return None
    if computing * figures.step_seconds < SHARED_S * figures.steps:
        return None
    text = f"{count(threads, 'thread')} computed, and {_idle(figures)}"
    share = computing * min(1 - threads / cores, _idle_share(figures))
    return Cause("compute", share, text, {"run.threads": str(cores)})


def too_many_workers(figures: Figures, _settings: Settings) -> Cause | None:
    """More loader workers than twice the cores decode: the same cost as threads too many, of the time of a step."""
    workers, cores = figures.loader_workers, figures.share
    if workers is None or workers <= 2 * cores or _waits_for_disk(figures):
        return None
    text = f"{count(workers, 'loader worker')} decode on {count(cores, 'core')}."
    return Cause("oversubscription", _lost(workers / cores) / 2, text, {"run.loader_workers": str(cores)})


def has_neighbours(figures: Figures, _settings: Settings) -> Cause | None:
    """Other programs keep the cores busy: with all of its share the same work takes as much less time.

    A job can use as many cores as it has threads and loader workers; of a script, whose threads may be idle, at most.
    """
    others, own = figures.others, figures.job_cpu
    if others is None or own is None or not _is_crowded(figures):
        return None
    could = min(figures.share, own + others, _could_use(figures))
    if figures.cpu < (1 - IDLE) * figures.cores or own > 0.85 * could:
        return None
    text = (
        f"Other programs use {others:.1f} of {count(figures.cores, 'core')}, and the training gets {own:.1f} of the "
        f"{could:.1f} it could use."
    )
    return Cause("neighbours", 1 - own / could, text, advice=_NEIGHBOURS)


def lacks_memory(figures: Figures, settings: Settings) -> Cause | None:
    """Memory is full, or comes back from a disk: what could be gained is the cores' waiting for it."""
    faults, memory = figures.faults or 0.0, figures.memory or 0.0
    if faults < FAULTS_S and memory < FULL_PERCENT:
        return None
    swaps = f", and {faults:.0f} times a second the training waited for a piece of it" if faults >= FAULTS_S else ""
    text = f"Memory was {memory:.0f} % full{swaps}."
    batch = figures.batch_size
    smaller = {"batch_size": str(max(1, batch // 2))} if batch and batch > 1 and settings is not None else {}
    share = min(0.9, _on_disk(figures)) if faults >= FAULTS_S else 0.0
    return Cause("memory", share, text, smaller, advice="" if smaller else _LESS_MEMORY, urgent=True)


def has_small_batches(figures: Figures, settings: Settings) -> Cause | None:
    """What a step costs whatever its batch (update, observers): a batch n times as large leaves an n-th of it."""
    batch = figures.batch_size
    fixed = figures.part("update", "observe")
    if not batch or settings is None or batch >= USUAL_BATCH or fixed < FIXED:
        return None
    larger = _larger_batch(batch, figures.steps_per_epoch)
    if larger <= batch:
        return None
    text = f"{percent(fixed, 0)} of a step is the optimizer and observers, as much for {batch} photos as for {larger}."
    return Cause("compute", fixed * (1 - batch / larger), text, {"batch_size": str(larger)})


CAUSES: Final[tuple[Callable[[Figures, Settings], Cause | None], ...]] = (
    *(lacks_memory, waits_for_disk, waits_for_photos, too_many_threads, too_few_threads, too_many_workers),
    *(has_neighbours, has_small_batches),
)


def _could_use(figures: Figures) -> float:
    """Cores, whoever else is there."""
    if figures.threads is not None:
        return figures.threads + (figures.loader_workers or 0)
    return figures.share if figures.job_threads is None else max(1.0, figures.job_threads)


def of_script(cause: Cause) -> Cause:
    """The same for a script, whose settings are its own: what to write in it."""
    if not cause.settings:
        return cause
    words = " and ".join(_IN_WORDS[key].format(value) for key, value in cause.settings.items())
    return replace(cause, settings={}, advice=" ".join([f"In the script: {words}.", cause.advice]).strip())


_IN_WORDS: Final = MappingProxyType(
    {
        "run.threads": "torch.set_num_threads({})",
        "run.loader_workers": "num_workers={} for its DataLoader",
        "batch_size": "a batch of {}",
    }
)


def _larger_batch(batch: int, steps_per_epoch: int | None) -> int:
    """The usual batch, or less where an epoch would have hardly any steps left."""
    larger = USUAL_BATCH
    while steps_per_epoch and larger > batch and steps_per_epoch * batch / larger < STEPS_IN_EPOCH:
        larger //= 2
    return larger


def _lost(threads_a_core: float) -> float:
    return min(0.5, LOST_A_THREAD * max(0.0, threads_a_core - 1))


def _is_crowded(figures: Figures) -> bool:
    return (figures.others or 0.0) > CROWDED * figures.cores


def _idle_share(figures: Figures) -> float:
    """Of the cores that the job may use, those that nobody does."""
    own = figures.cpu if figures.job_cpu is None else figures.job_cpu
    return max(0.0, min(1 - figures.cpu / figures.cores, 1 - own / figures.share))


def _is_idle(figures: Figures) -> bool:
    return figures.sampled_seconds > 0 and _idle_share(figures) > IDLE


def _idle(figures: Figures) -> str:
    return f"{_idle_share(figures) * figures.share:.1f} of {count(figures.share, 'core')} have nothing to do."


def _on_disk(figures: Figures) -> float:
    return (figures.iowait or 0.0) / figures.cores


def _waits_for_disk(figures: Figures) -> bool:
    return _on_disk(figures) > ON_DISK


_SCRIPT_WORKERS: Final = "Load photos beside the steps: more num_workers for the script's DataLoader."
_SMALLER_PHOTOS: Final = "Store the photos smaller, at twice the image.size the network sees: they decode faster."
_NEARER_PHOTOS: Final = "Copy the photos to a disk of this machine, or store them smaller."
_SCRIPT_THREADS: Final = "Let the script compute with one thread a core: torch.set_num_threads({cores})."
_NEIGHBOURS: Final = "End the other programs, or train when they have ended."
_LESS_MEMORY: Final = "Train with a smaller batch, or end other programs."
