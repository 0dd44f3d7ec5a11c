"""From videos to features that a recipe finds, by one process or many."""

import json
import os
import signal
import sys
import time

import pytest
import torch
from speechbrain.utils.distributed import run_on_main
from torch import distributed

from auxformer_lobes.cli.main import main
from auxformer_lobes.dataio.dataset import extract_features, load_manifests
from auxformer_lobes.dataio.feature_store import FeatureStore
from auxformer_lobes.features.fbank import FbankFeatures
from auxformer_lobes.features.hog import HogFeatures
from tests.integration.kills import kill_again_and_again
from tests.integration.logged import LoggedHog
from tests.integration.recipes import torchrun
from tests.unit.letters import in_a_process
from tests.unit.media_files import astronaut, tone, write_media

CLIPS = [f"clip{index}" for index in range(8)]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Videos of half a second, one of them damaged, and two manifests."""
    folder = tmp_path_factory.mktemp("corpus")
    images, _ = astronaut(0.5, height=180, width=240)
    for index, clip in enumerate(CLIPS):
        audio = tone(0.5, rate=22050, hertz=200 + 50 * index)
        write_media(folder / f"{clip}.flv", images[index:], audio)
    (folder / "damaged.flv").write_bytes(b"FLV\x01 and no more")
    for split, clips in [
        ("train", [*CLIPS[:5], "damaged"]),
        ("test", CLIPS[5:]),
    ]:
        file = "{{data_root}}/{}.flv"
        manifest = {
            clip: {
                "wav": file.format(clip),
                "video": file.format(clip),
                "duration": 0.5,
            }
            for clip in clips
        }
        (folder / f"{split}.json").write_text(json.dumps(manifest))
    return folder


def command(corpus, work, encoder, *options):
    """Arguments of `auxformer`, with an encoder file that is written."""
    (work / "encoder.yaml").write_text(encoder)
    return [
        *("extract", f"{corpus}/train.json", f"{corpus}/test.json"),
        *("--encoder", f"{work}/encoder.yaml", "--store", str(work)),
        *("--data_root", str(corpus), *options),
    ]


def join(*processes):
    """Waits for processes, which succeed."""
    try:
        for process in processes:
            process.join(timeout=300)  # where they wait for each other
            assert process.exitcode == 0
    finally:
        for process in processes:
            process.kill()


def auxformer(arguments, errors=os.devnull):
    """Runs a command in a process of its own, which is returned."""

    def _run():
        os.setsid()
        # Shells have what runs in the background ignore it.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        # Closed by the end of the process, which writes into it too.
        sys.stderr = open(errors, "w")
        sys.exit(main(arguments))

    return in_a_process(_run)


def logged(work, pause=0.0):
    """An encoder file with a log, and a store of its features."""
    log = work / "log"
    yaml = (
        f"!new:tests.integration.logged.LoggedHog\nlog: {log}\npause: {pause}\n"
    )
    return yaml, FeatureStore(work, LoggedHog(log))


def readers(work):
    """Process and clip of each reading."""
    return [tuple(row.split()) for row in open(work / "log")]


def assert_each_read_once(work, num_processes):
    """Whether that many processes shared the work."""
    read = readers(work)
    assert sorted(clip for _, clip in read) == sorted([*CLIPS, "damaged"])
    assert len({process for process, _ in read}) == num_processes


@pytest.mark.parametrize(
    "yaml, modality, features",
    [
        (
            "!new:auxformer_lobes.features.hog.HogFeatures\n"
            "frames_per_second: 10\n",
            "visual",
            HogFeatures(frames_per_second=10),
        ),
        (
            "!new:auxformer_lobes.features.fbank.FbankFeatures\nn_mels: 20\n",
            "audio",
            FbankFeatures(n_mels=20),
        ),
    ],
    ids=["HOG", "Fbank"],
)
@pytest.mark.parametrize(
    "dtype, tolerance",
    [
        ("float32", 1e-5),  # the same numbers
        ("float16", 1e-2),  # its precision is 5e-4
    ],
)
def test_training_finds_what_the_command_extracted(
    corpus, tmp_path, yaml, modality, features, dtype, tolerance
):
    assert main(command(corpus, tmp_path, yaml, "--dtype", dtype)) == 0
    store = FeatureStore(tmp_path, features, dtype)
    assert sorted(store) == CLIPS
    assert list(store.failures()) == ["damaged"]
    before = store.path.stat()
    datasets = load_manifests(
        {split: corpus / f"{split}.json" for split in ("train", "test")},
        str(corpus),
    )
    extract_features(datasets, {modality: store})
    assert store.path.stat().st_ino == before.st_ino, "not written again"
    for clip in CLIPS:
        computed = features(clip, str(corpus / f"{clip}.flv"))
        largest = computed.abs().max()
        assert store[clip].shape == computed.shape
        assert (store[clip] - computed).abs().max() <= tolerance * largest


def test_an_extraction_that_is_killed_at_any_moment_goes_on(
    corpus, tmp_path, request, counts
):
    yaml = "!new:auxformer_lobes.features.fbank.FbankFeatures\nn_mels: 20\n"
    extractor = FbankFeatures(n_mels=20)
    options = "--dtype", "float32", "--num_workers", "0"

    def _extract(number):
        folder = tmp_path / str(number)
        folder.mkdir(exist_ok=True)
        sys.exit(main(command(corpus, folder, yaml, *options)))

    def _check(number):
        store = FeatureStore(tmp_path / str(number), extractor, "float32")
        assert sorted(store) == CLIPS
        for clip in CLIPS:
            wanted = extractor(clip, str(corpus / f"{clip}.flv"))
            assert torch.allclose(store[clip], wanted, atol=1e-5)
        return tmp_path / str(number)

    kill_again_and_again("extraction", _extract, _check, request, counts)


def test_processes_of_torchrun_share_the_work_and_report_once(
    corpus, tmp_path, capfd
):
    yaml, store = logged(tmp_path)
    arguments = command(corpus, tmp_path, yaml, "--num_workers", "0")
    assert torchrun(main, arguments) == {0: 0, 1: 0}
    output = capfd.readouterr().out
    assert_each_read_once(tmp_path, num_processes=2)
    assert sorted(store) == CLIPS
    assert list(store.failures()) == ["damaged"]
    assert output.count("LoggedHog ") == output.count("failures: ") == 1
    counts = "".join(x if x.isascii() else " " for x in output).split()
    assert " ".join(counts[1:9]) == "clips 9 new 8 present before 0 failed"


def test_processes_that_train_together_extract_together(corpus, tmp_path):
    together, alone = tmp_path / "together", tmp_path / "alone"
    files = {split: f"{corpus}/{split}.json" for split in ("train", "test")}

    def _process(rank):
        os.environ["RANK"] = str(rank)
        distributed.init_process_group(
            "gloo", f"file://{tmp_path}/meeting", rank=rank, world_size=2
        )
        datasets = load_manifests(files, corpus)
        for folder in (together, alone):
            stores = {"visual": FeatureStore(folder, LoggedHog(folder / "log"))}
            if folder == together:
                extract_features(datasets, stores)
            else:
                run_on_main(extract_features, args=[datasets, stores])
            assert sorted(stores["visual"]) == CLIPS, "each sees all of it"
        distributed.destroy_process_group()

    for folder in (together, alone):
        folder.mkdir()
    join(in_a_process(_process, 0), in_a_process(_process, 1))
    assert_each_read_once(together, num_processes=2)
    assert_each_read_once(alone, num_processes=1)


def test_two_shards_at_the_same_time_make_one_store(corpus, tmp_path):
    yaml, store = logged(tmp_path)
    arguments = command(corpus, tmp_path, yaml, "--num_workers", "0")
    join(*(auxformer([*arguments, "--shard", x]) for x in ("1/2", "2/2")))
    assert_each_read_once(tmp_path, num_processes=2)
    assert sorted(store) == CLIPS
    assert list(store.failures()) == ["damaged"]


def ctrl_c(run):
    """The terminal interrupts the process and its workers."""
    os.killpg(run.pid, signal.SIGINT)


def end_of_job(run):
    """A scheduler ends the process."""
    os.kill(run.pid, signal.SIGTERM)


@pytest.mark.parametrize("interrupt", [ctrl_c, end_of_job])
def test_an_interrupted_run_ends_in_one_line_and_goes_on(
    corpus, tmp_path, interrupt
):
    yaml, store = logged(tmp_path, pause=0.3)
    arguments = command(corpus, tmp_path, yaml, "--batch_clips", "1")
    errors = tmp_path / "errors"
    run = auxformer([*arguments, "--num_workers", "1"], errors)
    while len(store.staging.files(".npz")) < 2:
        assert run.is_alive()
        time.sleep(0.02)
    interrupt(run)
    run.join()
    assert run.exitcode == 1
    (line,) = errors.read_text().splitlines()
    assert line.startswith("error: interrupted: what is finished is kept")
    done = len(store.staging.files(".npz"))
    assert 2 <= done < 8
    (tmp_path / "log").unlink()
    assert main([*arguments, "--num_workers", "0"]) == 0
    assert sorted(store) == CLIPS
    assert len(readers(tmp_path)) == 9 - done
