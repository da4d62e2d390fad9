"""ELPV: how soon vizsla is as good as the plain recipe, for one training and for a search of four.

As good means: no higher a loss on the test photos. vizsla may go another way there, and says which.
"""

from __future__ import annotations

from pathlib import Path

from bench import grid, photos, plain
from bench.home import Home, cold, shown
from bench.report import Section, percent, seconds, times
from bench.timed import Ran

# Solar cells have no up: whoever knows that says so. The plain recipe flips, which is what most people write.
KNOWN = {"flips": "all"}
WAYS = ({"method": "probe"}, {"method": "probe", **KNOWN}, {"method": "auto"}, {"method": "auto", **KNOWN})
# A search over what a probe has to be told. The features are computed once, so trials are cheap.
PROBES = ("tune", "--jobs", "4", "--range", grid.PROBES)
FINETUNE = {"method": "finetune", "epochs": str(plain.EPOCHS)}
HEADER = ("", "wall time", "test loss", "test accuracy", "as good as the plain recipe", "times as fast")
Row = tuple[str, str, str, str, str, str]


def measure() -> list[Section]:
    """The plain search holds the plain training that both tables are held against."""
    with cold() as home:
        split = photos.split(photos.elpv(home), home)
        runs = grid.plain_search(split, {"model": "efficientnet_lite0", "epochs": str(plain.EPOCHS)})
        return [_one(split, runs[grid.USUAL]), _four(split, runs)]


def _one(split: Path, usual: Ran) -> Section:
    loss, taken = plain.best_test(usual)
    accuracy = next(each["test_accuracy"] for each in usual.document["epochs"] if each["test_loss"] == loss)
    rows: list[Row] = [("plain recipe, its best epoch", seconds(taken), f"{loss:.3f}", percent(accuracy), "", "")]
    for way in WAYS:
        with cold() as home:
            made = home.run("train", split, settings=way)
        rows.append(_row(f"`vizsla train` {_typed(way)}, cold", made.seconds, made, (loss, taken)))
    text = (
        "ELPV, 2,624 photos, 60/15/25, EfficientNet-Lite0 from the same weights. The plain recipe (lr "
        f"{plain.LR}, batch 64, {plain.EPOCHS} epochs) is asked about the test photos after every epoch; its time is "
        "that to the end of the best epoch, without the asking. vizsla's is that of the whole process, from an empty "
        "cache to the test figures and the model to ship. Aim: 12 times, by any way that is as good."
    )
    return Section("ELPV: as good as the plain recipe", text, HEADER, rows)


def _four(split: Path, runs: list[Ran]) -> Section:
    winner = min(runs, key=plain.valid_loss)
    loss, taken = float(winner.document["test_loss"]), sum(map(plain.without_test, runs))
    accuracy = percent(winner.document["test_accuracy"])
    rows: list[Row] = [("plain recipe, four trainings", seconds(taken), f"{loss:.3f}", accuracy, "", "")]
    with cold() as home:
        for state in ("cold", "warm"):
            ran, whole = _probes(home, split, state)
            rows.append(_row(f"vizsla, four probes and a final one, {state}", whole, ran, (loss, taken)))
    with cold() as home:
        searched = grid.vizsla_search(home, split, {**FINETUNE}, "finetune")
        made = home.run("train", split, "--from", "finetune", settings=FINETUNE)
    rows.append(
        _row("the plain search's points fine-tuned, trial for trial, cold", searched.seconds, made, (loss, taken))
    )
    text = (
        f"The plain recipe over lr {' and '.join(grid.LRS)}, batch {' and '.join(grid.BATCH_SIZES)}: four trainings in "
        "sequence, the winner by valid loss; asking its test photos is not counted. vizsla searches "
        f"`{' '.join(PROBES[1:])}` with `method=probe` and trains once more with the winner, which asks the test "
        "photos: both are counted. Last the plain search's own points with `method=finetune`, trial for trial: its "
        "time is the search's alone, its figures those of a training with the winner. Aims: 15 times cold and 40 times "
        "warm, with a test loss no worse."
    )
    return Section("ELPV: a search of four", text, HEADER, rows)


def _probes(home: Home, split: Path, name: str) -> tuple[Ran, float]:
    """The final training, and the seconds of search and training together."""
    verb, *options = PROBES
    searched = grid.checked(home.run(verb, split, *options, "--name", name, settings={"method": "probe"}))
    made = home.run("train", split, "--from", name, settings={"method": "probe"})
    return made, searched.seconds + made.seconds


def _row(what: str, taken: float, made: Ran, against: tuple[float, float]) -> Row:
    metrics = made.document["metrics"]
    loss, accuracy = float(metrics["test_loss"]), float(metrics["test_accuracy"])
    as_good = "yes" if loss <= against[0] else "no"
    return (what, seconds(taken), f"{loss:.3f}", percent(accuracy), as_good, times(against[1] / taken))


def _typed(settings: dict[str, str]) -> str:
    return f"`{shown(settings)}`"
