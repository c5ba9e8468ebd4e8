"""The same tests, in the same order, with the same examples, wherever the seeds are the same."""

import gc
from zlib import crc32

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.internal.conjecture import providers

gc.disable()  # until all is imported and collected: nothing of that is ever garbage

settings.register_profile(
    "panager",
    # All that hypothesis sets otherwise where CI is in the environment.
    database=None,  # what failed here before is in no other checkout
    deadline=None,
    derandomize=False,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("panager")

# Else texts and numbers in the source of whatever is imported by then are among the examples:
# those would depend on the tests before, and to look for them takes seconds.
assert callable(providers._get_local_constants), "it is private: another version may differ"
providers._get_local_constants = lambda: providers._local_constants


def pytest_collection_finish(session):
    """Have garbage collected from here on, without looking at modules and tests each time."""
    gc.freeze()
    gc.enable()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """With `-n`, let a test's name alone say which process runs it, not who is done sooner."""
    from xdist.scheduler import LoadScopeScheduling

    class ByName(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            return str(crc32(nodeid.encode()) % self.numnodes)

    return ByName(config, log)
