"""The tests here import smdebug as a script under `vizsla run` does: from its folder, which is put on the path."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from vizsla import container

if str(container.SMDEBUG) not in sys.path:
    sys.path.append(str(container.SMDEBUG))


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No job around, no configuration, no hook left of the test before."""
    import torch
    from smdebug.pytorch import del_hook

    for name in ("VIZSLA_JOB", "VIZSLA_ATTEMPT", "SMDEBUG_CONFIG_FILE_PATH", "SMPROFILER_CONFIG_PATH", "USE_SMDEBUG"):
        monkeypatch.delenv(name, raising=False)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    del_hook()
    torch.set_num_threads(threads)
