"""Thousands of damaged inputs: see `fuzzing`. Other seeds and more time by the environment:

VS_REMASTER_FUZZ_SEEDS=5000:9000 VS_REMASTER_FUZZ_MINUTES=60 pytest --release tests/release/test_fuzz.py
"""

from __future__ import annotations

import os
import warnings

import pytest

from tests.support import fuzzing

FIRST, LAST = map(int, os.environ.get("VS_REMASTER_FUZZ_SEEDS", "1000:3000").split(":"))
MINUTES = float(os.environ.get("VS_REMASTER_FUZZ_MINUTES", "10"))


@pytest.mark.skipif(not fuzzing.POSSIBLE, reason="needs fork and Linux's limits")
@pytest.mark.parametrize("kind", fuzzing.KINDS)
def test_damaged_input_is_said_in_one_line_and_harms_nothing(tmp_path, kind):
    last = LAST if kind == "film" else FIRST + (LAST - FIRST) // 4
    told = fuzzing.try_cases({kind: range(FIRST, last)}, tmp_path, MINUTES, jobs=os.cpu_count() or 1)
    if len(told) < last - FIRST:
        warnings.warn(f"{kind}: time for {len(told)} of {last - FIRST} cases", stacklevel=1)
    assert told and not (wrong := fuzzing.failures(told)), wrong
