"""What goes wrong between here and the Hub, in one line."""

import pytest
from huggingface_hub import errors

from auxformer_lobes.utils.errors import UserError
from auxformer_lobes.utils.hub import hub_errors

FAILURES = {
    "no network": (
        errors.HTTPError("[Errno 111] Connection refused"),
        "the Hub cannot be reached: [Errno 111] Connection refused",
    ),
    "no words": (errors.HTTPError(""), "cannot be reached: HTTPError"),
    "offline": (
        errors.OfflineModeIsEnabled("Cannot reach it:\noffline mode"),
        "the Hub cannot be reached: Cannot reach it:",
    ),
    "not there": (
        errors.LocalEntryNotFoundError("not in\nthe cache"),
        "not in the cache, and the Hub cannot be reached",
    ),
    "no room": (OSError(28, "No space left on device"), "No space left"),
    "bad metadata": (ValueError("Invalid metadata\n- license"), "metadata"),
}


@pytest.mark.parametrize("case", FAILURES)
def test_a_failure_is_reported_in_one_line(case):
    error, words = FAILURES[case]
    with pytest.raises(UserError) as error_info:
        with hub_errors("user/name"):
            raise error
    assert str(error_info.value).startswith("user/name: ")
    assert words in str(error_info.value)
    assert "\n" not in str(error_info.value)


def test_a_mistake_of_ours_is_not_hidden():
    with pytest.raises(KeyError):
        with hub_errors("user/name"):
            raise KeyError("mistake")


def test_a_line_that_is_told_already_stays_as_it_is():
    with pytest.raises(UserError, match="^already$"):
        with hub_errors("user/name"):
            raise UserError("already")
