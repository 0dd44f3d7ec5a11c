"""The model card of an exported model: metadata for the Hub, and text."""

import re
from itertools import chain
from pathlib import Path

from huggingface_hub import EvalResult, ModelCardData
from jinja2 import Environment, StrictUndefined

from auxformer_lobes.reporting.audit import summarize_audit
from auxformer_lobes.reporting.missing_curves import LOST, describe_twin, titled
from auxformer_lobes.reporting.tables import (
    CALIBRATION_TITLES,
    METRIC_TITLES,
    explain_brackets,
    format_decimal,
    format_metric,
    title_of,
)
from auxformer_lobes.sharing import layout
from auxformer_lobes.utils.modalities import MODALITIES
from auxformer_lobes.utils.text import printable

TEMPLATE = Path(__file__).with_name("model_card.md")
TAGS = ["speechbrain", "auxformer-lobes", "emotion-recognition"]
TAGS_OF = {
    "audio": ["speech-emotion-recognition"],
    "visual": ["facial-expression-recognition"],
}
# Of encoders that the recipes name.
ENCODER_LICENCES = {
    "audeering/wav2vec2-large-robust-12-ft-emotion-msp-dim": (
        "CC BY-NC-SA 4.0: non-commercial use only"
    ),
    "facebook/dinov2-base": "Apache-2.0",
    "facebook/hubert-large-ll60k": "Apache-2.0",
    "facebook/wav2vec2-large-robust": "Apache-2.0",
    "MCG-NJU/videomae-base-finetuned-kinetics": (
        "CC BY-NC 4.0: non-commercial use only"
    ),
    "microsoft/wavlm-large": "CC BY-SA 3.0",
    "openai/clip-vit-large-patch14": "not named; MIT for its code",
    "trpakov/vit-face-expression": "Apache-2.0",
}


def model_card(name, config, license):
    """Writes the model card of an exported model.

    Arguments
    ---------
    name : str
        Name of the model, by which the example loads it.
    config : dict
        The content of `config.json`.
    license : str
        Of the weights, as the Hub names it; "other" if it is not stated.

    Returns
    -------
    str
        `README.md`: metadata and text.
    """
    # Exports of older versions lack some of the metrics.
    lacking = ("calibration", "subgroups", "missing")
    metrics = {**{name: {} for name in lacking}, **config["metrics"]}
    template = Environment(
        trim_blocks=True, keep_trailing_newline=True, undefined=StrictUndefined
    ).from_string(TEMPLATE.read_text("utf-8"))
    return template.render(
        metadata=_metadata(name, config, license).to_yaml(),
        name=name,
        license=license,
        modalities=_modalities(config),
        # Of other models, there is none.
        config={"onnx": None, **config},
        known_licences=ENCODER_LICENCES,
        corpus=_corpus(config),
        clips=config["clips"],
        metrics=metrics,
        title_of=title_of,
        titles_of=lambda names: [METRIC_TITLES.get(n, n) for n in names],
        figures_of=lambda scores, names: [
            format_metric(scores[name], metrics["scale"]) for name in names
        ],
        explain=lambda of: explain_brackets([*_figures(of)]),
        calibration_titles=CALIBRATION_TITLES,
        gaps_of=lambda gap, names: [
            format_metric(
                {"value": gap[name], "low": None, "high": None},
                metrics["scale"],
            )
            for name in names
        ],
        kinds_of=lambda names: [*map(titled, names)],
        retention_rows=_retention,
        describe_twin=lambda twin: describe_twin(
            twin, metrics["scale"], other=_twin_of(twin)
        ),
        outputs_of=_outputs,
        heads_of=_heads,
        versions_of=_versions,
        describe=_feature,
        summarize_audit=summarize_audit,
    )


def summary(config):
    """Describes a model on the terminal, by its `config.json`.

    It may be a stranger's: what is not printable becomes "?".
    """
    metrics = config["metrics"]
    figures = {
        title_of(condition): ", ".join(
            f"{METRIC_TITLES.get(name, name)} "
            + format_metric(heads["combined"][name], metrics["scale"])
            for name in metrics["names"]
        )
        for condition, heads in metrics["test"].items()
    }
    size = (
        f"{config['parameters']:,} parameters, {config['bytes'] / 1e6:,.1f} MB"
    )
    onnx = config.get("onnx")
    rows = {
        "output": _outputs(config),
        "network": f"{config['network']['class']}, heads: {_heads(config)}",
        "corpus": _corpus(config)["name"],
        **{m: _feature(m, of) for m, of in config["features"].items()},
        **figures,
        "figures": _explain_figures(metrics),
        "size": size,
        **({"ONNX": _onnx(onnx)} if onnx else {}),
        "exported with": _versions(config),
    }
    text = "\n".join(f"{name:<15} {value}" for name, value in rows.items())
    return printable(text, kept="\n")


def _onnx(made):
    return (
        f"{layout.ONNX}, {made['bytes'] / 1e6:,.1f} MB, opset {made['opset']}: "
        "the network, without encoders and face tracking"
    )


def _explain_figures(metrics):
    shown = [
        heads["combined"][name]
        for heads in metrics["test"].values()
        for name in metrics["names"]
    ]
    unit = "in %" if metrics["scale"] == 100 else ""
    return "; ".join(filter(None, (unit, explain_brackets(shown))))


def _figures(scores):
    """All figures, `{value, low, high, kind}`, at any depth."""
    if "value" in scores:
        yield scores
        return
    for inner in scores.values():
        if isinstance(inner, dict):
            yield from _figures(inner)


def _retention(retention):
    """A row for each modality that may be lost, with a cell for each kind."""
    rows = [
        [
            lost,
            *(format_decimal(of.get(lost), 100) for of in retention.values()),
        ]
        for lost in LOST
    ]
    return [row for row in rows if {*row[1:]} != {"–"}]


def _twin_of(twin):
    (left,) = {*MODALITIES} - {twin["lost"]}
    return f"a network trained on the {left} modality alone"


def _metadata(name, config, license):
    corpus, metrics = _corpus(config), config["metrics"]
    slug = re.sub(r"\W+", "-", corpus["name"].lower())
    results = [
        EvalResult(
            task_type="video-classification",
            task_name=f"emotion recognition ({title_of(condition)})",
            dataset_type=slug,
            dataset_name=corpus["name"],
            dataset_split="test",
            dataset_config=condition,
            metric_type=metric,
            metric_name=METRIC_TITLES.get(metric, metric),
            metric_value=round(heads["combined"][metric]["value"], 4),
        )
        for condition, heads in metrics["test"].items()
        for metric in metrics["names"]
        if heads["combined"][metric]["value"] is not None
    ]
    stated = {"license": license}
    if license == "other":
        stated.update(license_name="see-model-card", license_link="README.md")
    is_public = "licence" in config["corpus"] and not corpus["synthetic"]
    hub_names = [of["hub"] for of in config["features"].values() if of["hub"]]
    return ModelCardData(
        **stated,
        library_name="speechbrain",
        pipeline_tag="video-classification",
        tags=_tags(config),
        datasets=[slug] if is_public else None,
        language=corpus.get("language"),
        base_model=[name.partition("@")[0] for name in hub_names] or None,
        model_name=name,
        eval_results=results,
    )


def _tags(config):
    modalities = _modalities(config)
    both = ["audio-visual"] if len(modalities) > 1 else []
    return [*TAGS, *both, *(tag for m in modalities for tag in TAGS_OF[m])]


def _corpus(config):
    """Description of the corpus, or of the synthetic one in its place."""
    corpus = {
        "name": "a corpus without a name",
        "synthetic": False,
        "about": "The corpus is not described.",
        "licence": "not stated.",
        **config["corpus"],
    }
    if corpus["synthetic"]:
        corpus.update(
            name=f"a synthetic corpus in the layout of {corpus['name']}",
            about="The corpus is synthetic, see above.",
            licence="synthetic, none.",
        )
    return corpus


def _outputs(config):
    kind = {
        "CategoricalEmotion": "probabilities of",
        "MultiLabelEmotion": "presence of each of",
        "DimensionalEmotion": "values on the raters' scale of",
    }.get(config["task"], "outputs")
    return f"{kind} {', '.join(config['labels'])}"


def _modalities(config):
    """Those that some head of the network reads, in order."""
    reads = {*chain.from_iterable(config["network"]["heads"].values())}
    return [modality for modality in MODALITIES if modality in reads]


def _heads(config):
    heads = config["network"]["heads"].items()
    return ", ".join(f"{head} ({', '.join(reads)})" for head, reads in heads)


def _versions(config):
    return ", ".join(map(" ".join, config["versions"].items()))


def _feature(modality, features):
    kind = features["class"].removesuffix("Features")
    name = features["hub"] or features.get("source") or kind
    text = f"{name}, {features['dim']} channels"
    if "precision" in features:
        text += f", in {features['precision']}"
    if features["precomputed"]:
        text += (
            f", precomputed for the corpus: the model takes no {modality} "
            "features from other files"
        )
    return text
