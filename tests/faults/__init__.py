"""The fault matrix: every accident that a deployment has to survive, on a real engine."""

import pytest

pytest.register_assert_rewrite(
    "tests.faults.accidents", "tests.faults.aftermath", "tests.faults.stage"
)
