"""How often each rule is right: trains with faults and without, ten seeds each, and writes the tables of docs/rules.md.

`make rules-table` runs it. The trainings are those of `bench.faults`. The seeds are 10 to 19, or others with --first;
docs/rules.md says which had a part in the choice of thresholds.
"""

from __future__ import annotations

import argparse
import logging
import re
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import torch

from bench.faults import job, named, usual
from bench.faults.job import Setting
from bench.faults.loop import Training
from bench.faults.named import Case
from bench.report import conditions
from vizsla.analysis import rules
from vizsla.analysis.rules import Evaluation
from vizsla.machine import cpus

PAGE = Path(__file__).parent.parent / "docs" / "rules.md"
BEGIN, END = "<!-- measured by make rules-table -->\n", "<!-- measured until here -->"


@dataclass
class Count:
    """Of how many runs a rule found something in."""

    runs: int = 0
    found: int = 0
    first: str = ""
    """What it said first."""
    seeds: set[int] = field(default_factory=set)
    """Those it found something in."""

    def add(self, one: Evaluation, seed: int) -> None:
        """Raises RuntimeError for a rule that judged nothing."""
        if one.status not in ("IssuesFound", "NoIssuesFound"):
            raise RuntimeError(f"{one.rule} is {one.status}: {one.reason}")
        self.runs += 1
        if one.findings:
            self.found += 1
            self.seeds.add(seed)
            self.first = self.first or f"seed {seed}: {one.findings[0].message}"

    def __str__(self) -> str:
        return f"{self.found} of {self.runs}"


Named = dict[tuple[int, bool], Count]
"""By the place of the case, and whether it is the faulty training."""
Usual = dict[tuple[str, str], Count]
"""By what the setting is about, and the rule."""


def count_named(seeds: range, jobs: int) -> Named:
    """Every case of `named`. A training that several cases share is run once, under all their rules."""
    trainings = _trainings()
    counts: Named = defaultdict(Count)
    for (at, seed), found in _each(_named_run, len(trainings), seeds, jobs):
        for key, one in zip(list(trainings.values())[at], found, strict=True):
            counts[key].add(one, seed)
    return counts


def count_usual(settings: Sequence[Setting], seeds: range, jobs: int) -> Usual:
    """All six default rules on each of `settings`."""
    counts: Usual = defaultdict(Count)
    for (at, seed), found in _each(partial(_usual_run, settings), len(settings), seeds, jobs):
        for one in found:
            if one.status != "NotApplicable":  # such as too few labels for ClassImbalance: nobody is accused
                counts[settings[at].about, one.rule].add(one, seed)
    return counts


def _trainings() -> dict[Training, list[tuple[int, bool]]]:
    """Each training of `named` that differs from the others, and which cases want it, as what."""
    wanted: dict[Training, list[tuple[int, bool]]] = defaultdict(list)
    for at, case in enumerate(named.CASES):
        wanted[case.healthy].append((at, False))
        wanted[case.faulty].append((at, True))
    return wanted


def _named_run(at: int, seed: int) -> list[Evaluation]:
    training, wanted = list(_trainings().items())[at]
    with tempfile.TemporaryDirectory() as place:
        return named.judge(training, [named.CASES[case] for case, _ in wanted], seed, Path(place))


def _usual_run(settings: Sequence[Setting], at: int, seed: int) -> list[Evaluation]:
    with tempfile.TemporaryDirectory() as place:
        found = job.train(settings[at], seed, Path(place))
        return list(job.judged(Path(place), found).values())


Run = Callable[[int, int], list[Evaluation]]


def _each(run: Run, things: int, seeds: range, jobs: int) -> Iterator[tuple[tuple[int, int], list[Evaluation]]]:
    """What `run` says of each thing and seed, `jobs` of them at a time, with a line on stderr now and then."""
    runs = [(at, seed) for at in range(things) for seed in seeds]
    began = time.perf_counter()
    with ProcessPoolExecutor(jobs, get_context("spawn"), _alone) as pool:
        for done, (which, found) in enumerate(zip(runs, pool.map(run, *zip(*runs, strict=True)), strict=True)):
            if done % 10 == 0:
                print(f"{done} of {len(runs)} trainings, {time.perf_counter() - began:.0f} s", file=sys.stderr)
            yield which, found


def _alone() -> None:
    """A process for one training at a time: the networks are tiny, and what rules find is counted, not shown."""
    logging.getLogger("vizsla").setLevel(logging.CRITICAL)
    torch.set_num_threads(1)


# ---- the page


def named_table(counts: Named) -> str:
    """A line a case, and what healthy trainings were accused of."""
    lines = ["| rule | fault | faulty runs caught | healthy runs wrongly accused |", "|---|---|---|---|"]
    lines += [
        f"| `{case.rule.replace(named.OTHER, '…')}` | {case.fault} | {counts[at, True]} | {counts[at, False]} |"
        for at, case in enumerate(named.CASES)
    ]
    said = {_rule(case): counts[at, False].first for at, case in enumerate(named.CASES) if counts[at, False].first}
    return "\n".join([*lines, "", *_accusations(said)])


def _rule(case: Case) -> str:
    return f"`{case.rule.partition(':')[0]}`, beside “{case.fault}”"


def usual_tables(healthy: Usual, faulty: Usual) -> str:
    """A line a fault, a line a healthy setting, and what healthy trainings were accused of."""
    lines = ["| rule | fault | faulty runs caught | healthy runs wrongly accused |", "|---|---|---|---|"]
    for rule, settings in usual.FAULTS.items():
        of_rule = [count for (_, name), count in healthy.items() if name == rule]
        accused = f"{sum(count.found for count in of_rule)} of {sum(count.runs for count in of_rule)}"
        name = rules.snake(rules.find(rule))
        lines += [f"| `{name}` | {each.about} | {faulty[each.about, rule]} | {accused} |" for each in settings]
    lines += ["", "| healthy setting | seeds that any of the six accuses | by |", "|---|---|---|"]
    for setting in usual.HEALTHY:
        of_setting = {name: count for (about, name), count in healthy.items() if about == setting.about}
        seeds = set[int]().union(*(count.seeds for count in of_setting.values()))
        total = max(count.runs for count in of_setting.values())
        by = ", ".join(f"`{rules.snake(rules.find(name))}`" for name, count in of_setting.items() if count.found)
        lines.append(f"| {setting.about} | {len(seeds)} of {total} | {by} |")
    said = {
        f"`{rules.snake(rules.find(rule))}`, {about}": count.first
        for (about, rule), count in healthy.items()
        if count.first
    }
    return "\n".join([*lines, "", *_accusations(said)])


def _accusations(said: dict[str, str]) -> list[str]:
    if not said:
        return []
    return [
        "What healthy runs were accused of, the first of each:",
        "",
        *(f"- {who}: {what}" for who, what in said.items()),
        "",
    ]


def fill(page: str, measured: str) -> str:
    """`page` with what lies between the two marks written anew. Raises ValueError for a page without them."""
    filled, times = re.subn(f"{BEGIN}.*?{END}", lambda _: f"{BEGIN}\n{measured}\n{END}", page, flags=re.DOTALL)
    if times != 1:
        raise ValueError(f"the page needs one {BEGIN.strip()} and one {END}")
    return filled


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=10, help="how many, from --first on")
    parser.add_argument(
        "--first", type=int, default=10, help="the first seed; by default one that had no part in any choice"
    )
    parser.add_argument("--jobs", type=int, default=cpus(), help="trainings at a time; by default the cores")
    parser.add_argument("--out", type=Path, default=PAGE, help="the page that the tables go into")
    asked = parser.parse_args()
    seeds = range(asked.first, asked.first + asked.seeds)
    by_name = count_named(seeds, asked.jobs)
    healthy = count_usual(usual.HEALTHY, seeds, asked.jobs)
    faulty = count_usual([each for settings in usual.FAULTS.values() for each in settings], seeds, asked.jobs)
    measured = (
        f"{conditions()}; seeds {seeds[0]} to {seeds[-1]}.\n\n"
        f"Rules that are named, under the documented defaults:\n\n{named_table(by_name)}\n"
        f"The six of `vizsla train`, under vizsla's profile:\n\n{usual_tables(healthy, faulty)}"
    )
    asked.out.write_text(fill(asked.out.read_text(encoding="utf-8"), measured), encoding="utf-8")
    print(measured)


if __name__ == "__main__":
    main()
