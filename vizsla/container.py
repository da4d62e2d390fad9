"""What a script finds around it: SageMaker's SM_* variables, its arguments, and /opt/ml where that can be had.

Pure functions over a job and its folder, but for `hooked`; the worker starts the script with what they return. The
names are those of AWS's sagemaker-training toolkit (docs/sagemaker-contract.md compares them one by one).
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from vizsla import profilerconfig
from vizsla.files import write_json
from vizsla.job import Job, ProfileSettings
from vizsla.jobdir import FILE_MODE, ONE_HOST, JobDir

# Binds the job folder ($1) to /opt/ml in a mount namespace of the script's own. Where /opt/ml is not there yet, /opt
# becomes a small file system in memory that shows everything /opt had ($2 is an empty folder to hold it by), and ml.
# Where that fails the script runs all the same, with /opt as it was and a line that says so.
MOUNT = """job=$1 hold=$2; shift 2
show() {
  name=${1##*/}
  if [ -L "$1" ]; then cp -P "$1" "/opt/$name"; return; fi
  if [ -d "$1" ]; then mkdir "/opt/$name"; else : > "/opt/$name"; fi && mount --rbind "$1" "/opt/$name"
}
bind() {
  if [ ! -d /opt/ml ]; then
    mount --rbind /opt "$hold" && mount -t tmpfs vizsla /opt || return
    for each in "$hold"/* "$hold"/.[!.]*; do
      [ -e "$each" ] || [ -L "$each" ] || continue
      show "$each" || return
    done
    mkdir /opt/ml || return
  fi
  mount --rbind "$job" /opt/ml
}
if ! why=$(bind 2>&1); then
  umount --lazy /opt 2>/dev/null
  echo "/opt/ml cannot be had here ($why): use the SM_* variables"
fi
exec "$@"
"""
NAMESPACE = ("unshare", "--user", "--map-root-user", "--mount")
REQUIREMENTS = "requirements.txt"
# Installs them into $2 with the Python $1, then becomes the rest of the command. A failing pip ends the job.
INSTALL = """python=$1 target=$2; shift 2
"$python" -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --upgrade \\
  --target "$target" -r requirements.txt || exit
exec "$@"
"""


# What the toolkit takes out of the launcher's hyperparameters for itself; the other ones are SM_FRAMEWORK_PARAMS.
TOOLKIT_OWN = {
    "sagemaker_program",
    "sagemaker_submit_directory",
    "sagemaker_enable_cloudwatch_metrics",
    "sagemaker_region",
    "sagemaker_container_log_level",
    "sagemaker_job_name",
    "sagemaker_s3_output",
}
INFO = 20
# The folder that holds the package smdebug for scripts that import it, and nothing else. Only a script's path names it.
SMDEBUG = Path(__file__).parent / "compat" / "smdebug"
# What SageMaker hands a script's hook where nobody said anything: losses, every 500 steps.
HOOK: Mapping[str, Any] = {
    "LocalPath": "/opt/ml/output/tensors",
    "CollectionConfigurations": [{"CollectionName": "losses"}],
}


def hyperparameters(job: Job) -> dict[str, Any]:
    """The script's own hyperparameters, decoded as AWS's toolkit does: JSON where it is JSON, else the string."""
    return {name: _decoded(value) for name, value in job.own_hyperparameters.items()}


def arguments(decoded: Mapping[str, Any]) -> list[str]:
    """`--name value` for each, sorted by name; one letter gets one dash. `true` arrives as `True`, as at AWS."""
    return [part for name in sorted(decoded) for part in (_option(name), _argument(decoded[name]))]


def environment(job: Job, folder: JobDir, cpus: int) -> dict[str, str]:
    """The SM_* variables, as strings: text as it is, everything else as JSON; and where modules are looked for."""
    own, facts = hyperparameters(job), _facts(job, folder, cpus)
    framework = _for_frameworks(job)
    values: dict[str, Any] = {
        **facts,
        "hps": own,
        "user_args": arguments(own),
        "channels": sorted(job.channels),
        "framework_params": framework,
        "training_env": {
            **facts,
            "hyperparameters": own,
            "channel_input_dirs": {name: str(folder.channel(name)) for name in job.channels},
            "additional_framework_parameters": framework,
            "job_name": job.name,
            **ALONE,
        },
        **{f"channel_{name}": str(folder.channel(name)) for name in job.channels},
        **{f"hp_{name}": value for name, value in own.items()},
    }
    named = {f"SM_{name.upper()}": _encoded(value) for name, value in values.items()}
    return {
        **named,
        "TRAINING_JOB_NAME": job.name,
        "SAGEMAKER_JOB_NAME": job.name,
        "SAGEMAKER_REGION": job.hyperparameters.get("sagemaker_region", ""),
        "CURRENT_HOST": ONE_HOST["current_host"],
        "PYTHONPATH": _search(job, folder),
    }


def hooked(
    folder: JobDir, attempt: int, hook: Mapping[str, Any] | None = None, profile: ProfileSettings | None = None
) -> dict[str, str]:
    """Writes down what a script's smdebug hook is to save and to profile, and gives the variables by which it finds it.

    hook: a DebuggerHookConfig as SageMaker's JSON has it, by default `HOOK`. A hook writes into the job's folder
    whatever LocalPath says. Raises VizslaError where a file cannot be written.
    """
    saving, profiling = folder.config / "debughookconfig.json", folder.config / "profilerconfig.json"
    write_json(saving, dict(HOOK if hook is None else hook))
    write_json(profiling, profilerconfig.document(profile or ProfileSettings(num_steps=0)))
    return {
        "SMDEBUG_CONFIG_FILE_PATH": str(saving),
        profilerconfig.VARIABLE: str(profiling),
        "VIZSLA_JOB": str(folder.path),
        "VIZSLA_ATTEMPT": str(attempt),
    }


def _facts(job: Job, folder: JobDir, cpus: int) -> dict[str, Any]:
    """What both the SM_* variables and SM_TRAINING_ENV say, under one name."""
    group = ONE_HOST["instance_groups"][0]
    return {
        "hosts": ONE_HOST["hosts"],
        "current_host": ONE_HOST["current_host"],
        "current_instance_type": ONE_HOST["current_instance_type"],
        "current_instance_group": ONE_HOST["current_group_name"],
        "current_instance_group_hosts": group["hosts"],
        "instance_groups": [group["instance_group_name"]],
        "instance_groups_dict": {group["instance_group_name"]: group},
        "distribution_instance_groups": [],
        "is_hetero": False,
        "network_interface_name": ONE_HOST["network_interface_name"],
        "user_entry_point": job.entry_point,
        "module_name": job.entry_point.removesuffix(".py"),
        "module_dir": str(folder.code),
        "framework_module": None,
        "input_dir": str(folder.path / "input"),
        "input_config_dir": str(folder.config),
        "output_dir": str(folder.output),
        "output_data_dir": str(folder.reports),
        "output_intermediate_dir": str(folder.output / "intermediate"),
        "model_dir": str(folder.model),
        "num_cpus": cpus,
        "num_gpus": 0,
        "num_neurons": 0,
        "log_level": _decoded(job.hyperparameters.get("sagemaker_container_log_level", str(INFO))),
        "resource_config": ONE_HOST,
        "input_data_config": dict.fromkeys(sorted(job.channels), FILE_MODE),
    }


def _for_frameworks(job: Job) -> dict[str, Any]:
    given = job.hyperparameters.items()
    return {name: _decoded(value) for name, value in given if name.startswith("sagemaker_") and name not in TOOLKIT_OWN}


# The rest of SM_TRAINING_ENV: one host, nothing distributed.
ALONE = {
    "is_master": True,
    "master_hostname": ONE_HOST["current_host"],
    "distribution_hosts": [],
    "is_modelparallel_enabled": None,
    "is_smddprun_installed": False,
    "is_smddpmprun_installed": False,
    "topology": [],
}


def packages(folder: JobDir) -> Path:
    """Where a script's requirements are installed for its job alone."""
    return folder.path / "packages"


def installing(job: Job, folder: JobDir) -> tuple[list[str], str]:
    """A prefix for the script's command that installs its requirements.txt first, and what to say if it does not."""
    if not (folder.code / REQUIREMENTS).is_file():
        return [], ""
    if not job.launch.script.install:
        return [], f"{REQUIREMENTS} is not installed; --set script.install=true installs it for this job alone"
    return ["sh", "-c", INSTALL, "sh", sys.executable, str(packages(folder))], ""


def spelled_out(variables: Mapping[str, str]) -> list[str]:
    """A prefix that sets the variables whose names a shell takes for none, such as SM_HP_BATCH-SIZE, and drops."""
    dropped = [f"{name}={value}" for name, value in variables.items() if not re.fullmatch(r"\w+", name, re.ASCII)]
    return ["env", *dropped] if dropped else []


@contextmanager
def at_opt_ml(folder: JobDir) -> Iterator[tuple[list[str], str]]:
    """A prefix for a command that lets it see the job folder as /opt/ml, and "" or why no namespace can be had here.

    Nobody else sees the mount: it goes with the process that was started with the prefix.
    """
    if problem := _problem():
        yield [], problem
        return
    hold = tempfile.mkdtemp(prefix="vizsla-opt-")
    try:
        yield [*NAMESPACE, "sh", "-c", MOUNT, "sh", str(folder.path), hold], ""
    finally:
        os.rmdir(hold)  # noqa: PTH106 - empty: what was bound there was bound in the other namespace


def _problem() -> str:
    if shutil.which("unshare") is None:
        return "this system has no unshare"
    tried = subprocess.run([*NAMESPACE, "true"], capture_output=True, text=True, check=False)
    return "" if tried.returncode == 0 else (tried.stderr.strip().splitlines() or ["unshare failed"])[-1]


def _search(job: Job, folder: JobDir) -> str:
    """PYTHONPATH: a script in a folder of the source finds the modules at the source's top, as at AWS.

    smdebug comes before what its requirements bring: AWS's own does not work with today's numpy.
    """
    installed = [str(packages(folder))] if job.launch.script.install else []
    there = filter(None, [os.environ.get("PYTHONPATH")])
    return os.pathsep.join([str(folder.code), str(SMDEBUG), *installed, *there])


def _decoded(value: str) -> Any:
    try:
        return json.loads(value)
    except ValueError:
        return value


def _encoded(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True, separators=(",", ":"))


def _option(name: str) -> str:
    return f"-{name}" if len(name) == 1 else f"--{name}"


def _argument(value: Any) -> str:
    if isinstance(value, dict):
        return ",".join(f"{key}={each}" for key, each in sorted(value.items()))
    return "" if value is None else str(value)
