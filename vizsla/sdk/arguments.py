"""What SageMaker's users hand over: arguments that mean nothing here, values of any type, channels of any form."""

from __future__ import annotations

import difflib
import functools
import json
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from inspect import signature
from pathlib import Path
from typing import Any

from vizsla.errors import UserError
from vizsla.job import MAX_NAME_LENGTH, slug

log = logging.getLogger("vizsla")

Inputs = str | Path | Mapping[str, str | Path]

# What EstimatorBase, Framework, PyTorch and Estimator of the SageMaker SDK 2.257 take and nothing here does.
ESTIMATOR = """role instance_count instance_type keep_alive_period_in_seconds volume_size volume_kms_key input_mode
    output_path output_kms_key sagemaker_session tags subnets security_group_ids model_uri model_channel_name
    encrypt_inter_container_traffic use_spot_instances max_wait checkpoint_s3_uri checkpoint_local_path
    enable_network_isolation tensorboard_output_config enable_sagemaker_metrics
    environment max_retry_attempts git_config container_log_level code_location
    dependencies instance_groups training_repository_access_mode training_repository_credentials_provider_arn
    enable_infra_check container_entry_point container_arguments disable_output_compression
    enable_remote_debug enable_session_tag_chaining image_uri image_uri_region framework_version py_version
    distribution compiler_config"""
TUNER = """tags strategy_config completion_criteria_config estimator_name autotune
    hyperparameters_to_keep_static"""
FIT = "experiment_config include_cls_metadata estimator_kwargs"


def set_aside(given: Mapping[str, object], known: str, face: Callable[..., object]) -> None:
    """Says once in this process which arguments have no effect here: those in `known` that ask for something.

    Raises UserError for an argument that neither SageMaker nor `face`, which was called with it, knows.
    """
    own = [name for name in signature(face).parameters if name not in ("self", "others")]
    for name in given:
        if name not in known.split():
            raise _unknown(name, {*known.split(), *own})
    asking = (name for name, value in given.items() if value not in (None, False) and (name, value) not in _SILENT)
    say_without_effect(asking)


def say_without_effect(names: Iterable[str]) -> None:
    """Says of these arguments that they have no effect, each once in this process."""
    if new := sorted(set(names) - _told()):
        _told().update(new)
        log.warning("These arguments have no effect on this machine: %s.", ", ".join(new))


_SILENT = (("instance_type", "local"), ("instance_count", 1))  # just what is done here


@functools.cache
def _told() -> set[str]:
    """What this process has heard of already."""
    return set()


def _unknown(name: str, all_names: Iterable[str]) -> UserError:
    near = difflib.get_close_matches(name, sorted(all_names), n=1, cutoff=0.5)
    hint = f"Did you mean {near[0]}?" if near else "docs/python.md lists what there is."
    return UserError(f"There is no argument called {name}.", hint)


def texts(hyperparameters: Mapping[str, Any]) -> dict[str, str]:
    """Hyperparameters as hyperparameters.json holds them: texts as they are, anything else as JSON."""
    return {str(name): text(value) for name, value in hyperparameters.items()}


def text(value: Any) -> str:
    """One hyperparameter. Raises UserError for what JSON has no word for."""
    if isinstance(value, str | Path):
        return str(value)
    try:
        return json.dumps(value.item() if hasattr(value, "item") else value)  # item: a number of numpy's
    except (TypeError, ValueError) as error:
        raise UserError(
            f"{value!r} cannot be a hyperparameter.", "Give a number, a text, a truth or a list."
        ) from error


def metrics(definitions: Sequence[Mapping[str, str]] | None) -> dict[str, str]:
    """Name → regex of AWS's metric definitions. Raises UserError for an entry that is none."""
    found = {}
    for entry in definitions or ():
        if set(entry) != {"Name", "Regex"}:
            raise UserError(f"{dict(entry)} is no metric definition.", 'Write {"Name": …, "Regex": …}.')
        found[entry["Name"]] = entry["Regex"]
    return found


def channels(inputs: Inputs | None) -> dict[str, Path]:
    """Channel → folder; one folder alone is the channel `training`, as at AWS. Raises UserError for what is no path."""
    if inputs is None:
        return {}
    named = inputs if isinstance(inputs, Mapping) else {"training": inputs}
    return {name: _folder(name, place) for name, place in named.items()}


def _folder(name: str, place: object) -> Path:
    if not isinstance(place, str | Path):
        raise UserError(f"The channel {name} is no folder but {place!r}.", "Give its path as a text.")
    if str(place).startswith("s3://"):
        raise UserError(f"{place} is not on this machine.", "Copy it to a folder, and name that one.")
    return Path(str(place).removeprefix("file://")).expanduser()


def name_from(base: str | None, length: int = MAX_NAME_LENGTH) -> str | None:
    """A new name that begins with `base`, as SageMaker makes one; None without a base."""
    if base is None:
        return None
    moment = datetime.now().strftime("%y%m%d-%H%M%S-%f")[:-3]
    return f"{slug(base, length - len(moment) - 1)}-{moment}"
