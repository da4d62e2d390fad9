"""Whatever of a sweep is killed, and whenever, it goes on and ends as if nothing had happened."""

from __future__ import annotations

import random
from pathlib import Path

from bench.kills import storm

KILLS = 20


def test_20_kills_at_random_moments_lose_no_trial_and_count_none_twice(tmp_path: Path) -> None:
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")  # shown where the test fails
    done = storm(tmp_path, KILLS, seed)
    assert done.kills == KILLS
    assert done.wrong == []
