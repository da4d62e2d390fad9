"""What a script sees otherwise under vizsla than under AWS's toolkit, and why. docs/sagemaker-contract.md shows it.

BASE is the job's folder (/opt/ml at AWS), SOURCE the folder that was handed in; a pattern is one of fnmatch, and `-` is
what is not there.
"""

from __future__ import annotations

from typing import NamedTuple

ABSENT = "-"


class Difference(NamedTuple):
    """One thing that is not the same, as patterns of what each of the two shows."""

    name: str
    toolkit: str
    vizsla: str
    reason: str

    @property
    def row(self) -> str:
        """Its line in the page."""
        return f"| `{self.name}` | `{self.toolkit}` | `{self.vizsla}` | {self.reason} |"


_MODULE_DIR = "AWS names where the source was uploaded to; here it is the copy that the script runs in"
_CPUS = "the job's share of the cores (`VIZSLA_CPUS`), so that jobs side by side do not fight for them"
_HOOK_FILE = "the same file, found where /opt/ml cannot be had"
_HOOK = "where smdebug's hook writes its records, and which attempt they belong to"
_OURS = "set only to run the toolkit outside of its container"

ENVIRONMENT = (
    Difference("SM_MODULE_DIR", "SOURCE", "BASE/code", _MODULE_DIR),
    Difference("SM_TRAINING_ENV: module_dir", "SOURCE", "BASE/code", _MODULE_DIR),
    Difference("SM_NUM_CPUS", "[1-9]*", "1", _CPUS),
    Difference("SM_TRAINING_ENV: num_cpus", "[1-9]*", "1", _CPUS),
    Difference("VIZSLA_CPUS", ABSENT, "1", "what a script may use, for those that start processes of their own"),
    Difference("SMDEBUG_CONFIG_FILE_PATH", ABSENT, "BASE/input/config/debughookconfig.json", _HOOK_FILE),
    Difference("SMPROFILER_CONFIG_PATH", ABSENT, "BASE/input/config/profilerconfig.json", _HOOK_FILE),
    Difference("VIZSLA_JOB", ABSENT, "BASE", _HOOK),
    Difference("VIZSLA_ATTEMPT", ABSENT, "1", _HOOK),
    Difference(
        "PYTHONPATH",
        "BASE/code:*",
        "BASE/code:*",
        "both begin with the script's folder; what follows is the launcher's",
    ),
    Difference("PYTHONUNBUFFERED", ABSENT, "1", "lines reach the log when they are printed, not when a buffer is full"),
    Difference("SAGEMAKER_BASE_DIR", "BASE", ABSENT, _OURS),
    Difference("SM_STUDIO_LOCAL_MODE", "true", ABSENT, _OURS),
)
ENDINGS = (
    Difference("output/success", "", ABSENT, "the toolkit's own mark, which nothing reads; a job's state says it here"),
    Difference(
        "output/failure after an exception",
        'ExecuteUserScriptError:?ExitCode 1?ErrorMessage ""?*',
        "Traceback (most recent call last)*RuntimeError: the third photo ate the gradient",
        "the toolkit's message is empty; the error itself says what to mend",
    ),
    Difference(
        "output/failure after sys.exit(3)",
        'ExecuteUserScriptError:?ExitCode 3?ErrorMessage ""?*',
        "Exit code 3.",
        "the same code; the rest of the toolkit's text is the command",
    ),
)
