"""The audit of a split on the terminal."""

from auxformer_lobes.dataio.split_audit import audit_split
from auxformer_lobes.reporting.audit import print_audit
from tests.unit.small_splits import make_split


def test_it_prints_tables_findings_and_a_summary(capsys):
    print_audit(audit_split(make_split(train="abcdg")))
    printed = capsys.readouterr().out
    for text in (
        "development",
        "10 ",
        "6 ( 60%)",
        "total variation",
        "error   2 of 4 clips of test are in train too (such as g_angry, ",
    ):
        assert text in printed
    assert printed.splitlines()[-1] == "audit: 2 errors"


def test_what_is_unknown_has_no_row(capsys):
    split = {"train": {"1": {"spk_id": "a"}}, "valid": {}, "test": {}}
    print_audit(audit_split(split))
    printed = capsys.readouterr().out
    assert "speakers" in printed
    for absent in ("minutes", "total variation", "%"):
        assert absent not in printed
    assert printed.splitlines()[-1] == "audit: 1 error, 1 warning"
