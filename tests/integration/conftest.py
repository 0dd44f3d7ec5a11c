"""What the integration tests share."""

import os

import pytest
from crema_d_synthetic import make_synthetic_crema_d

from tests.integration.recipes import one_at_a_time


@pytest.fixture(scope="session")
def crema_d(tmp_path_factory):
    """A synthetic corpus of 48 clips, for all that test: nobody changes it."""
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    with one_at_a_time(shared):
        # The second to come finds it.
        make_synthetic_crema_d(
            shared / "CREMA-D", num_actors=4, num_sentences=2
        )
    return shared / "CREMA-D"
