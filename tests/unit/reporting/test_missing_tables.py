"""Tables of sweeps on the terminal."""

from auxformer_lobes.reporting.missing_tables import print_study, print_sweep
from tests.unit.small_sweeps import make_study_sweep, make_sweep, make_twin
from tests.unit.small_tasks import make_task


def test_a_sweep_has_a_row_for_each_kind_and_modality(capsys):
    twin = make_twin(twin="network-audio_only")
    sweep = make_sweep(clips=1, passes=40, seconds=7.4, run="network-mult")
    sweep["twins"] = [twin]
    print_sweep(sweep, make_task("categories"))
    printed = capsys.readouterr().out
    assert "1 clip of 8 speakers" in printed
    for kind in ("whole", "bursts"):
        assert f" {kind} " in printed
    assert "70.0 [60, 80]" in printed and "55.0" in printed
    # Without what all names begin with.
    assert "is worse than audio_only by 2.1 points" in printed
    assert "40 forward passes of each clip, 7 s" in printed


def test_a_kind_that_a_system_lacks_is_a_dash(capsys):
    sentence = "mult is better by 4.1 points"
    sweep = make_study_sweep(
        comparisons=[
            {"modality": modality, "sentence": f"{modality}: {sentence}"}
            for modality in ("audio", "both")
        ],
        not_compared={"bursts both": "no test clip in common"},
    )
    del sweep["systems"]["audio_only"][0]
    sweep["twins"].append(
        make_twin(system="late", difference=None, reason="no cell in common")
    )
    print_study(sweep, make_task("categories"))
    printed = capsys.readouterr().out
    (row,) = (x for x in printed.splitlines() if "audio_only" in x and "│" in x)
    assert [x.strip() for x in row.strip("│").split("│")][3:] == [
        *("80.0", "–", "60.0 (75)")
    ]
    # Of both modalities only: all are in the report.
    assert f"both: {sentence}." in printed and "audio: mult" not in printed
    assert "bursts both: not compared: no test clip in common" in printed
    assert "late cannot be compared with audio_only: no cell in com" in printed
