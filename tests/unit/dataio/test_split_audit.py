"""An audit finds each fault of a split, and no other."""

import copy
import json
from pathlib import Path

import pytest
from hypothesis import given, strategies

from auxformer_lobes.dataio.split_audit import (
    MAX_EXAMPLES,
    audit_split,
    total_variation,
)
from auxformer_lobes.dataio.split_files import add_speakers, read_split_file
from auxformer_lobes.utils.errors import UserError
from tests.unit.small_splits import found_in, make_split

ROOT = Path(__file__).parents[3]
EXCERPTS = ROOT / "tests" / "data" / "splits"
WHOLE = ROOT.parent / "shared" / "data" / "splits"
ACTOR, SPEAKER = r"^(\d{4})_", r"-([FM]\d\d)-"


def text_of(audit, kind):
    (text,) = (found.text for found in audit.findings if found.kind == kind)
    return text


def test_a_split_without_faults_has_no_findings():
    assert audit_split(make_split()).findings == []


def test_a_speaker_of_two_splits_is_an_error():
    audit = audit_split(make_split(train="abcdg"))
    # The clips' names are the same here, which is found too.
    assert found_in(audit)["speaker_overlap"] == "error"
    assert "1 of 2 speakers of test is in train too" in text_of(
        audit, "speaker_overlap"
    )


def test_a_clip_of_two_splits_is_an_error():
    split = make_split()
    split["valid"]["a_sad"] = {**split["train"]["a_sad"], "spk_id": "z"}
    audit = audit_split(split)
    text = "1 of 5 clips of development is in train too"
    assert text_of(audit, "clip_overlap") == text


def test_a_development_set_that_is_the_test_set_is_one_error():
    split = make_split()
    split["valid"] = copy.deepcopy(split["test"])
    audit = audit_split(split)
    assert found_in(audit) == {"development_is_test": "error"}
    assert "4 of 4 clips" in text_of(audit, "development_is_test")


def test_test_clips_in_the_development_set_are_named_as_such():
    split = make_split()
    split["valid"]["g_sad"] = split["test"]["g_sad"]
    audit = audit_split(split)
    text = text_of(audit, "test_clips_in_selection")
    assert text.startswith("1 of 4 clips of test is in the development set")
    assert "selected on test clips" in text
    assert "clip_overlap" not in found_in(audit)


def test_no_development_set_is_a_warning():
    audit = audit_split(make_split(valid=""))
    assert found_in(audit) == {"no_development_set": "warning"}


@pytest.mark.parametrize("empty", ["train", "test"])
def test_no_clip_for_training_or_test_is_an_error(empty):
    audit = audit_split(make_split(**{empty: ""}))
    assert found_in(audit)["empty_split"] == "error"
    assert audit.class_distance is None


@pytest.mark.parametrize(
    "split, level",
    [("train", "error"), ("valid", "warning"), ("test", "warning")],
)
def test_a_class_without_a_clip_is_an_error_in_train_only(split, level):
    manifests = make_split()
    for clip in [c for c in manifests[split] if c.endswith("sad")]:
        del manifests[split][clip]
    found = found_in(audit_split(manifests))
    assert found == {"missing_class": level, "speaker_lacks_class": "note"}


def test_classes_may_be_those_of_the_task():
    audit = audit_split(make_split(), classes=["angry", "happy", "sad"])
    levels = [x.level for x in audit.findings if x.kind == "missing_class"]
    assert levels == ["error", "warning", "warning"]
    text = text_of(audit, "speaker_lacks_class")
    assert "8 of 8 speakers lack clips of a class (8 of 24 comb" in text


def test_a_task_without_classes_has_no_findings_on_them():
    manifests = make_split()
    for clips in manifests.values():
        for entry in clips.values():
            entry["emotion"] = None
    audit = audit_split(manifests)
    assert audit.findings == [] and audit.class_distance is None
    assert audit.splits["train"]["classes"] == {}


def test_sentences_of_train_and_test_are_a_note():
    manifests = make_split()
    for number, clips in enumerate(manifests.values()):
        for sentence, entry in enumerate(clips.values()):
            entry["sentence"] = sentence + number
    audit = audit_split(manifests)
    assert found_in(audit) == {"shared_sentences": "note"}
    assert "4 of 4 sentences of test are in train too" in text_of(
        audit, "shared_sentences"
    )


def write_media(folder, manifests):
    """Files that are the same in size, and differ in one byte."""
    clips = [clip for split in manifests.values() for clip in split]
    for number, clip in enumerate(clips):
        content = bytes(5000) + bytes([number]) + bytes(5000)
        (folder / f"{clip}.wav").write_bytes(content)


def copy_wav(folder, source, target):
    content = (folder / f"{source}.wav").read_bytes()
    (folder / f"{target}.wav").write_bytes(content)


@pytest.mark.parametrize(
    "source, target, found",
    [
        ("a_sad", "g_angry", {"media_overlap": "error"}),
        ("e_sad", "f_angry", {"duplicate_media": "note"}),
    ],
)
def test_the_same_file_under_two_names_is_found(
    tmp_path, source, target, found
):
    manifests = make_split()
    write_media(tmp_path, manifests)
    assert audit_split(manifests, tmp_path).findings == []
    copy_wav(tmp_path, source, target)
    audit = audit_split(manifests, tmp_path)
    assert found_in(audit) == found
    assert audit.findings[0].examples == [" = ".join(sorted([source, target]))]


def test_missing_empty_and_odd_files_are_no_findings(tmp_path):
    manifests = make_split()
    write_media(tmp_path, manifests)
    for clip in ("a_sad", "g_sad"):
        (tmp_path / f"{clip}.wav").write_bytes(b"")
    (tmp_path / "b_sad.wav").unlink()
    (tmp_path / "c_sad.wav").unlink()
    manifests["train"]["d_sad"]["wav"] = "a\0b"
    manifests["test"]["h_sad"]["wav"] = None
    assert audit_split(manifests, tmp_path).findings == []


def test_the_tables_are_those_of_the_clips():
    audit = audit_split(make_split())
    assert audit.splits["train"] == {
        "clips": 8,
        "minutes": 4.0,
        "speakers": ["a", "b", "c", "d"],
        "gender": {"female": 4, "male": 4},
        "classes": {"angry": 4, "sad": 4},
    }
    assert audit.class_distance == pytest.approx(0)
    assert json.loads(json.dumps(audit.as_dict())) == audit.as_dict()


def test_errors_come_first_and_examples_are_few():
    manifests = make_split(train="abcdefgh", valid="", test="abcdefgh")
    audit = audit_split(manifests)
    levels = [found.level for found in audit.findings]
    assert levels == ["error", "error", "warning"]
    assert len(audit.findings[0].examples) == MAX_EXAMPLES


@pytest.mark.parametrize(
    "entry, words",
    [
        ({}, "clip x has no spk_id"),
        (["wav"], "clip x has no spk_id"),
        ({"spk_id": "a", "emotion": ["sad"]}, "has the emotion ['sad']"),
    ],
    ids=str,
)
def test_an_entry_that_cannot_be_audited_is_named(entry, words):
    manifests = {**make_split(), "test": {"x": entry}}
    with pytest.raises(UserError, match="test manifest") as error:
        audit_split(manifests)
    assert words in str(error.value)


counts = strategies.dictionaries(
    strategies.sampled_from("abc"), strategies.integers(1, 9)
)


@given(counts, counts)
def test_total_variation_is_a_distance(one, other):
    if one and other:
        distance = total_variation(one, other)
        assert 0 <= distance <= 1 + 1e-9
        assert distance == pytest.approx(total_variation(other, one))
        assert total_variation(one, one) == pytest.approx(0)
        disjoint = not {*one} & {*other}
        assert (distance == pytest.approx(1)) == disjoint
    else:
        assert total_variation(one, other) is None


speaker_lists = strategies.permutations("abcdefgh").map(
    lambda names: make_split(names[:4], names[4:6], names[6:])
)


@given(speaker_lists, strategies.data())
def test_one_clip_in_another_split_is_a_shared_speaker(split, data):
    assert audit_split(split).findings == []
    choose = strategies.permutations([*split])
    source, target, _ = data.draw(choose)
    clip = data.draw(strategies.sampled_from([*split[source]]))
    split[target][clip] = split[source].pop(clip)
    audit = audit_split(split)
    assert found_in(audit)["speaker_overlap"] == "error"
    assert "clip_overlap" not in found_in(audit)


# Published splits


def audit_table(path, pattern):
    return audit_split(add_speakers(read_split_file(path), path, pattern))


NO_DEVELOPMENT = {"no_development_set": "warning"}
SHARED_SPEAKERS = {"speaker_overlap": "error", **NO_DEVELOPMENT}


@pytest.mark.parametrize(
    "name, found",
    [("hicmae_crema_d_1", NO_DEVELOPMENT), ("ogm_ge_crema_d", SHARED_SPEAKERS)],
)
def test_faults_of_published_splits_are_found(name, found):
    audit = audit_table(EXCERPTS / f"{name}.csv", ACTOR)
    assert found_in(audit) == found


@pytest.mark.skipif(not WHOLE.is_dir(), reason="no ../shared/data")
@pytest.mark.parametrize(
    "name, pattern, found, words",
    [
        ("emobox_crema_d_1", ACTOR, SHARED_SPEAKERS, "91 of 91 speakers"),
        ("ogm_ge_crema_d", ACTOR, SHARED_SPEAKERS, "91 of 91 speakers"),
        ("hicmae_crema_d_1", ACTOR, NO_DEVELOPMENT, "no development set"),
        (
            "hicmae_msp_improv_1",
            SPEAKER,
            {"development_is_test": "error"},
            "916 of 916 clips",
        ),
    ],
)
def test_faults_of_whole_published_splits_are_found(
    name, pattern, found, words
):
    audit = audit_table(WHOLE / f"{name}.csv", pattern)
    assert found_in(audit) == found
    assert words in audit.findings[0].text


@pytest.mark.parametrize("corpus", ["CREMA-D", "MSP-IMPROV"])
@pytest.mark.parametrize("number", "12345")
def test_the_published_partitions_of_the_recipes_pass(corpus, number):
    path = ROOT / "recipes" / corpus / "partitions.json"
    held_out = json.loads(path.read_text("utf-8"))["partitions"][number]
    if corpus == "CREMA-D":
        speakers = {actor: [str(actor)] for actor in range(1001, 1092)}
    else:
        speakers = {n: [f"F0{n}", f"M0{n}"] for n in range(1, 7)}
    splits = {"train": {}, "valid": {}, "test": {}}
    # A group listed twice would be in two splits.
    for split, groups in [*held_out.items(), ("train", speakers)]:
        others = {g for found in held_out.values() for g in found}
        for group in groups:
            if split == "train" and group in others:
                continue
            for speaker in speakers[group]:
                splits[split][f"{split}_{speaker}"] = {"spk_id": speaker}
    assert audit_split(splits).findings == []
