"""Anyone's published split is read, or one line says why not."""

import csv

import pytest
from hypothesis import given, strategies

from auxformer_lobes.dataio.split_files import (
    SPLIT_NAMES,
    add_speakers,
    read_split_file,
    split_by_file,
)
from auxformer_lobes.utils.errors import UserError


@pytest.fixture
def write(tmp_path):
    """Writes a file, and returns its path."""

    def _write(content):
        path = tmp_path / "split.csv"
        path.write_bytes(
            content if isinstance(content, bytes) else content.encode()
        )
        return path

    return _write


def clips_of(splits):
    return {split: [*clips] for split, clips in splits.items()}


texts = strategies.text(
    strategies.characters(
        exclude_categories=["C"], exclude_characters="\ufeff"
    ),
    min_size=1,
).filter(lambda text: text == text.strip())


@given(
    strategies.dictionaries(
        texts,
        strategies.sets(
            strategies.sampled_from([*SPLIT_NAMES]), min_size=1, max_size=1
        ),
        min_size=1,
    ),
    strategies.permutations(["clip", "split", "speaker", "an, other"]),
    strategies.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    strategies.sampled_from(["\n", "\r\n"]),
    strategies.sampled_from(["utf-8", "utf-8-sig"]),
)
def test_what_is_written_is_read(
    tmp_path_factory, rows, columns, quoting, end, encoding
):
    path = tmp_path_factory.getbasetemp() / "round_trip.csv"
    with open(path, "w", newline="", encoding=encoding) as file:
        writer = csv.DictWriter(
            file, columns, quoting=quoting, lineterminator=end
        )
        writer.writeheader()
        for clip, (name,) in rows.items():
            writer.writerow({"clip": clip, "split": name, "speaker": clip})
    splits = read_split_file(path)
    assert {c: s for s, clips in splits.items() for c in clips} == {
        clip: SPLIT_NAMES[name] for clip, (name,) in rows.items()
    }
    speakers = add_speakers(splits, path)
    for clips in speakers.values():
        assert all(entry == {"spk_id": clip} for clip, entry in clips.items())


def test_splits_have_any_common_name(write):
    path = write("clip,split\n1,Train\n2,dev\n3, Development \n4,TEST\n")
    assert clips_of(read_split_file(path)) == {
        "train": ["1"],
        "valid": ["2", "3"],
        "test": ["4"],
    }


def test_a_clip_may_be_in_two_splits_which_the_audit_reports(write):
    splits = read_split_file(write("clip,split\n1,dev\n1,test\n"))
    assert clips_of(splits) == {"train": [], "valid": ["1"], "test": ["1"]}


@pytest.mark.parametrize(
    "content, words",
    [
        ("", "is empty"),
        ("clip,split\n", "has no clips"),
        ("clip;split\n1;train\n", "has no column 'clip'"),
        ("clip,set\n1,train\n", "has no column 'split'"),
        ("clip,split\n1,train\n2,eval\n", "line 3: split 'eval' is unknown"),
        ("clip,split\n1,train\n2\n", "line 3: split '' is unknown"),
        ("clip,split\n ,train\n", "line 2: has no clip"),
        ("clip,split\n1,dev\n1,valid\n", "line 3: clip 1 is in valid already"),
        (b"\x00\xff\xfe", "split.csv: "),
        (b"clip,split\n\x00" + b"x" * 200_000, "split.csv: "),
    ],
    ids=str,
)
def test_a_damaged_file_ends_in_one_line(write, content, words):
    with pytest.raises(UserError) as error:
        read_split_file(write(content))
    assert words in str(error.value) and "\n" not in str(error.value)


def test_a_missing_file_and_a_folder_end_in_one_line(tmp_path):
    for path in (tmp_path, tmp_path / "nowhere.csv"):
        with pytest.raises(UserError, match=str(path)):
            read_split_file(path)


@pytest.mark.parametrize(
    "pattern, words",
    [
        (None, "has no column 'speaker'"),
        ("(", "not a regular expression"),
        ("^1", "has no group"),
        ("^(1)", "gives no speaker for 1 of the clips, such as 2_b"),
        ("^1(_)|2", "gives no speaker for 1 of the clips, such as 2_b"),
    ],
)
def test_a_clip_without_a_speaker_is_named(write, pattern, words):
    path = write("clip,split\n1_a,train\n2_b,test\n")
    with pytest.raises(UserError) as error:
        add_speakers(read_split_file(path), path, pattern)
    assert words in str(error.value)


def test_an_empty_cell_is_no_speaker(write):
    path = write("speaker,clip,split\nanna,1,train\n,2,test\n")
    with pytest.raises(UserError, match="column speaker gives no speaker"):
        add_speakers(read_split_file(path), path)


# The split of a corpus

ENTRIES = {
    f"{speaker}_{n}": {
        "spk_id": speaker,
        "gender": "female" if speaker < "m" else "male",
        "session": int(speaker, 36) % 2,
    }
    for speaker in "abcdefghzyxwvuts"
    for n in "01"
}


def split_of(path, excluded=None, **options):
    excluded = {} if excluded is None else excluded
    return split_by_file(path, ENTRIES, excluded, str.lower, **options)


def test_clips_that_only_one_of_them_has_are_excluded(write, caplog):
    path = write("clip,split\nA_0,train\nb_0,dev\nc_0,test\nq_0,train\n")
    splits, excluded, held_out = split_of(path, {"tie": ["a_9"]})
    assert splits == {"a_0": ["train"], "b_0": ["valid"], "c_0": ["test"]}
    assert excluded["tie"] == ["a_9"]
    assert excluded["in split_file, not in the corpus"] == ["q_0"]
    assert len(excluded["not in split_file"]) == len(ENTRIES) - 3
    assert held_out == []


def test_a_clip_without_a_label_is_excluded_for_that_reason_only(write):
    path = write("clip,split\na_0,train\nb_0,dev\na_9,test\n")
    splits, excluded, _ = split_of(path, {"tie": ["a_9"]})
    assert "a_9" not in splits
    assert {*excluded} == {"tie", "not in split_file"}


def test_a_clip_of_two_splits_is_in_both(write):
    path = write("clip,split\na_0,train\nb_0,dev\nb_0,test\n")
    assert split_of(path)[0]["b_0"] == ["valid", "test"]


def test_whole_speakers_of_train_become_the_development_set(write):
    """18 % of them, in the proportion of their genders."""
    lines = [f"{c},{'test' if c[0] in 'hs' else 'train'}" for c in ENTRIES]
    path = write("\n".join(["clip,split", *lines]))
    splits, excluded, held_out = split_of(path)
    assert excluded == {}
    assert len(held_out) == round(14 / 77 * 14)
    assert sum(name < "m" for name in held_out) in (1, 2)  # of 3
    for clip, found in splits.items():
        expected = "valid" if clip[0] in held_out else "train"
        assert found == (["test"] if clip[0] in "hs" else [expected])
    # The order of the rows does not matter.
    path = write("\n".join(["clip,split", *reversed(lines)]))
    assert split_of(path)[2] == held_out


def test_sessions_are_held_out_as_a_whole(write):
    lines = [f"{c},{'test' if c[0] in 'hs' else 'train'}" for c in ENTRIES]
    path = write("\n".join(["clip,split", *lines]))
    splits, _, (session,) = split_of(path, group="session")
    for clip, found in splits.items():
        if found != ["test"]:
            in_session = ENTRIES[clip]["session"] == session
            assert found == ["valid" if in_session else "train"]


def test_a_single_training_speaker_is_not_held_out(write):
    path = write("clip,split\na_0,train\na_1,train\nb_0,test\n")
    with pytest.raises(UserError, match="a single training speaker"):
        split_of(path)


def test_a_split_file_of_another_corpus_is_refused(write):
    path = write("clip,split\nfilm,train\n")
    with pytest.raises(UserError, match="none of its clips.*such as film"):
        split_of(path)
