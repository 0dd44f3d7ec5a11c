import pytest
import torch
from speechbrain.dataio.batch import PaddedBatch

from auxformer_lobes.augment.missing import CONDITIONS
from auxformer_lobes.evaluation.development import Development
from auxformer_lobes.models.auxformer import AuxFormer
from auxformer_lobes.tasks import CategoricalEmotion

TASK = CategoricalEmotion(["angry", "happy"])
TRUTH = torch.tensor([[0], [1]] * 20)
BATCH = PaddedBatch(
    [
        {"id": f"clip{i}", "spk_id": f"{i % 4}", "truth": x, "target": x}
        for i, x in enumerate(TRUTH)
    ]
)
GOOD = 3 * torch.nn.functional.one_hot(TRUTH[:, 0], 2).float()


def collect(logits, present=(True, True), condition="audio_visual", made=None):
    """Logits of each head on 40 clips."""
    network = AuxFormer(8, 5, num_classes=2, combination="fitted")
    made = made or Development()
    present = torch.tensor([present]).expand(40, 2)
    made.add(condition, BATCH, logits, network.head_mask(present))
    return made, network


def test_the_head_that_generalises_weighs_most():
    wrong = GOOD.flip(1)
    made, network = collect({"main": GOOD, "audio": wrong, "visual": wrong})
    assert made.metrics(network, TASK)["accuracy"] == 0
    made.fit(network, TASK.criterion)
    main, audio, visual = network.head_weights[0b111].tolist()
    assert main > 0.7
    assert audio == pytest.approx(visual, abs=1e-3)
    assert made.metrics(network, TASK)["accuracy"] == 1


def test_each_pattern_of_heads_has_weights_of_its_own():
    heads = {"main": GOOD, "audio": GOOD.flip(1), "visual": GOOD}
    made, network = collect(heads)
    collect(heads, (True, False), "audio_only", made)
    made.fit(network, TASK.criterion)
    assert network.head_weights.sum(1)[
        [0b111, 0b011]
    ].tolist() == pytest.approx([1, 1])
    assert network.head_weights[0b011, 2] == 0
    # Nothing is known of clips with the visual modality alone.
    assert network.head_weights[0b101].tolist() == [1, 1, 1]


def test_equal_heads_weigh_the_same():
    made, network = collect(dict.fromkeys(("main", "audio", "visual"), GOOD))
    made.fit(network, TASK.criterion)
    weights = network.head_weights[0b111].tolist()
    assert weights == pytest.approx([1 / 3] * 3, abs=1e-3)


def test_the_mean_over_conditions_counts_each_the_same():
    wrong = GOOD.flip(1)
    made, network = collect(dict.fromkeys(("main", "audio", "visual"), GOOD))
    for condition in CONDITIONS[1:]:
        collect(
            dict.fromkeys(("main", "audio", "visual"), wrong),
            condition=condition.name,
            made=made,
        )
    metrics = made.metrics(network, TASK)
    assert metrics["accuracy"] == 1
    assert metrics["mean_accuracy"] == pytest.approx(1 / 3)
    assert metrics["f1_macro_audio_only"] == 0


def test_a_network_without_weights_stays_as_it_is():
    made, _ = collect(dict.fromkeys(("main", "audio", "visual"), GOOD))
    network = AuxFormer(8, 5, num_classes=2)
    made.fit(network, TASK.criterion)
    assert network.head_weights is None
    assert "head_weights" not in network.state_dict()
