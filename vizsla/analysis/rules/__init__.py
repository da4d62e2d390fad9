"""Rules think: from the records of a job to what is wrong with it, and the cure. No torch, no files.

`parse` and `find` take what a user types, `Evaluator` is fed while a job runs, `evaluate` afterwards; `base` says what
a rule is, and a file a family holds the rules.
"""

from vizsla.analysis.rules.base import Context, Evaluation, Finding, Rule, snake
from vizsla.analysis.rules.evaluating import Evaluator, evaluate
from vizsla.analysis.rules.registry import PROFILER, RULES, TENSOR_RULES, distinct, find, make, parse

__all__ = [
    "PROFILER",
    "RULES",
    "TENSOR_RULES",
    "Context",
    "Evaluation",
    "Evaluator",
    "Finding",
    "Rule",
    "distinct",
    "evaluate",
    "find",
    "make",
    "parse",
    "snake",
]
