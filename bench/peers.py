"""One training, beside its peers: the plain recipe and fastai, on the same photos, split, network and weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from bench import photos, plain, timed
from bench.home import cold
from bench.report import Section, percent, seconds, times
from bench.timed import Ran

HERE = Path(__file__).parent
FASTAI = HERE / ".venv" / "bin" / "python"  # what `bench/peers` makes
WAYS = {
    f"fastai, frozen: `fit_one_cycle({plain.EPOCHS})`": "frozen",
    f"fastai, `fine_tune({plain.EPOCHS})`: an epoch frozen, then all of it": "fine_tune",
}
TRAININGS: Mapping[str, Mapping[str, str]] = {
    "`vizsla train`, method=probe": {"method": "probe"},
    f"`vizsla train`, method=finetune, {plain.EPOCHS} epochs": {"method": "finetune", "epochs": str(plain.EPOCHS)},
    "`vizsla train`": {},
}
HEADER = ("", "wall time", "plain / this", "valid loss", "test loss", "test accuracy")
Row = tuple[str, str, str, str, str, str]


def measure() -> Section:
    """One after the other; vizsla from an empty cache each time."""
    with cold() as home:
        split = photos.split(photos.elpv(home), home)
        usual = plain.run(split, {"model": "efficientnet_lite0", "epochs": str(plain.EPOCHS)})
        figures = {"valid_loss": plain.valid_loss(usual), **usual.document}
        rows = [_row("plain recipe", Ran(figures, usual.seconds), usual.seconds)]
        rows += [_fastai(what, split, way, usual.seconds) for what, way in WAYS.items()]
        rows += [_vizsla(what, split, settings, usual.seconds) for what, settings in TRAININGS.items()]
    text = (
        "ELPV, 2,624 photos, 60/15/25, EfficientNet-Lite0 from the same weights, batch 64; whole processes, from start "
        f"to the test figures. The plain recipe is `bench/seed_recipe.py` (last stage and head, Adam at lr {plain.LR}, "
        "two loader workers: as many as cores, as torch advises). fastai is `bench/fastai_recipe.py`: `vision_learner` "
        "and what its documentation does with one, all its defaults. Its own way to weights is a download, so they are "
        "put into its body from the pip package. Recipes differ, and so do losses."
    )
    return Section("One training, beside its peers", text, HEADER, rows)


def _fastai(what: str, split: Path, way: str, plain_s: float) -> Row:
    if not FASTAI.exists():
        return (what, "not measured", "not installed: `bench/peers` does that", "", "", "")
    recipe = (FASTAI, HERE / "fastai_recipe.py", split, "--way", way, "--epochs", str(plain.EPOCHS))
    return _row(what, timed.run(recipe), plain_s)


def _vizsla(what: str, split: Path, settings: Mapping[str, str], plain_s: float) -> Row:
    with cold() as home:
        made = home.run("train", split, settings=settings)
    return _row(what, Ran(made.document["metrics"], made.seconds), plain_s)


def _row(what: str, ran: Ran, plain_s: float) -> Row:
    found = ran.document
    losses = (f"{found['valid_loss']:.3f}", f"{found['test_loss']:.3f}")
    return (what, seconds(ran.seconds), times(plain_s / ran.seconds), *losses, percent(found["test_accuracy"]))
