"""What the integration tests share."""

import os

import pytest
from crema_d_synthetic import make_synthetic_crema_d

from tests.integration.recipes import NO_WORKERS, flags, one_at_a_time, train


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


@pytest.fixture(scope="session")
def crema_d_features(crema_d):
    """The feature stores of this corpus, for all that train without encoders."""
    folder = crema_d.parent / "features"
    options = flags(
        data_folder=crema_d,
        feature_folder=folder,
        output_folder=crema_d.parent / "prepared",
        valid_actors=[1002],
        test_actors=[1003],
        prepare_only=True,
    )
    with one_at_a_time(crema_d.parent):
        if not folder.exists():
            result = train("hparams/demo.yaml", *options, *NO_WORKERS)
            assert result.returncode == 0, result.stderr
    return folder
