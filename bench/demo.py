"""What `vizsla demo` does, on five splits of ELPV: its search, then its final training, which asks test once.

`measure` starts this file as a program, once a seed, in a home of its own; `main` is that program.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from statistics import mean

ROOT = Path(__file__).resolve().parent.parent
if __name__ == "__main__":
    sys.path[0] = str(ROOT)  # where `bench` is, in the place of bench/ itself

from bench import photos, timed  # noqa: E402
from bench.home import cold, shown  # noqa: E402
from bench.report import Section, percent, seconds  # noqa: E402
from bench.timed import Ran  # noqa: E402
from vizsla.api import demo, training, tuning  # noqa: E402
from vizsla.cli.tune import follow  # noqa: E402
from vizsla.workspace import Workspace  # noqa: E402

SEEDS = (5, 6, 7, 8, 9)  # what the demo does was chosen on the splits of 0 to 4


def measure() -> Section:
    """Each split from an empty cache."""
    found = [_figures(_one(seed)) for seed in SEEDS]
    rows = [(str(seed), *_shown(*each)) for seed, each in zip(SEEDS, found, strict=True)]
    rows.append(("mean", *_shown(*map(mean, zip(*found, strict=True)))))
    published = ", ".join(f"{name} {percent(accuracy)}" for name, accuracy in demo.PUBLISHED.items())
    text = (
        f"The search of `vizsla demo` ({' '.join(demo.RANGES)}; `{shown(demo.TRIALS)}`) and its final training "
        f"(`{shown(demo.FINAL)}`), once a seed, each from an empty cache; the seed draws the split, and test is asked "
        f"once. Published for another draw of the same shares: {published}. Aim: 87 % in under 5 minutes."
    )
    return Section("Demo", text, ("seed", "test accuracy", "wall time", "of it the final training"), rows)


def main() -> None:
    """Both jobs, for the folder and the seed that were given, where the environment says."""
    folder, seed, place = Path(sys.argv[1]), int(sys.argv[2]), Workspace.at(None)
    sweep = demo.search(folder, place, seed)
    follow(sweep, to_stderr=True)
    job = demo.final(folder, sweep, place, seed)
    training.follow(job, training.watching(job, lambda line: None, lambda progress: None))
    print(json.dumps({"search": tuning.document(sweep), "final": training.document(job)}))


def _one(seed: int) -> Ran:
    with cold() as home:
        return timed.run([sys.executable, __file__, photos.elpv(home), str(seed)], home.environment)


def _figures(ran: Ran) -> tuple[float, float, float]:
    """Test accuracy, and the seconds of all of it and of the final training. RuntimeError where that has failed."""
    final = ran.document["final"]
    if final["status"] != "Completed":
        raise RuntimeError(f"the final training is {final['status']}: {final['reason']}")
    return float(final["metrics"]["test_accuracy"]), ran.seconds, float(final["seconds"])


def _shown(accuracy: float, whole: float, final: float) -> tuple[str, str, str]:
    return percent(accuracy), seconds(whole), seconds(final)


if __name__ == "__main__":
    main()
