"""The model card of an exported model: the Hub's metadata, and honest words."""

import re
import textwrap

from huggingface_hub import EvalResult, ModelCardData

from auxformer_lobes.reporting.tables import METRIC_TITLES, title_of
from auxformer_lobes.sharing.card_text import (
    FLOOR,
    LICENCES,
    LICENCES_OF_CLASSES,
    SYNTHETIC,
    TEXT,
)


def model_card(name, config, license):
    """Writes the model card of an exported model.

    Arguments
    ---------
    name : str
        What the model is called, and loaded by in the example.
    config : dict
        What `config.json` says.
    license : str
        Of the weights, as the Hub names it; "other" if it is not said.

    Returns
    -------
    str
        `README.md`: metadata, and the text.
    """
    corpus, metrics = _corpus(config), config["metrics"]
    text = TEXT.format(
        name=name,
        outputs=_outputs(config),
        warning=SYNTHETIC if config["corpus"].get("synthetic") else "",
        about=textwrap.fill(
            corpus["about"],
            80,
            initial_indent="- ",
            subsequent_indent="  ",
            break_long_words=False,
        ),
        test=config["clips"]["test"],
        unseen=", none of them in training" * config["test_speakers_are_new"],
        outputs_table=_per_output(metrics),
        unit="; figures in %" if metrics["scale"] == 100 else "",
        results=_results(metrics),
        floor=FLOOR if metrics["linear_baseline"] else "",
        training=_training(config),
        features=_features(config),
        licence="not said" if license == "other" else license,
        corpus_licence=corpus["licence"],
        encoder_licences=_encoder_licences(config),
    )
    data = _metadata(name, config, license)
    return f"---\n{data.to_yaml()}\n---\n\n{text}"


def summary(config):
    """Tells on the terminal what a model is.

    Arguments
    ---------
    config : dict
        What its `config.json` says.

    Returns
    -------
    str
        Some lines. What is not printable in them has become "?".
    """
    metrics = config["metrics"]
    rows = [
        ("says", _outputs(config)),
        ("trained on", _corpus(config)["name"]),
        *(
            (modality, _feature(modality, features))
            for modality, features in config["features"].items()
        ),
        *(
            (
                title_of(given),
                ", ".join(
                    f"{METRIC_TITLES.get(name, name)} "
                    + _figure(heads["combined"][name], metrics["scale"])
                    for name in metrics["names"]
                ),
            )
            for given, heads in metrics["test"].items()
        ),
        (
            "size",
            f"{config['parameters']:,} parameters, "
            f"{config['bytes'] / 1e6:,.1f} MB",
        ),
        ("made with", _versions(config)),
    ]
    text = "\n".join(f"{name:<15} {told}" for name, told in rows)
    return "".join(c if c.isprintable() or c == "\n" else "?" for c in text)


def _versions(config):
    return ", ".join(map(" ".join, config["versions"].items()))


def _corpus(config):
    """What is told of the corpus, or of one that stands in for it."""
    corpus = {
        "name": "a corpus that is not named",
        "about": "Its corpus is not described.",
        "licence": "not said.",
        **config["corpus"],
    }
    if corpus.get("synthetic"):
        corpus.update(
            name=f"an invented corpus in the layout of {corpus['name']}",
            about="Its corpus is invented, see above.",
            licence="it is invented.",
        )
    return corpus


def _metadata(name, config, license):
    corpus, metrics = _corpus(config), config["metrics"]
    is_real = "name" in config["corpus"] and not corpus.get("synthetic")
    slug = re.sub(r"\W+", "-", corpus["name"].lower())
    results = [
        EvalResult(
            task_type="video-classification",
            task_name=f"emotion recognition ({title_of(given)})",
            dataset_type=slug,
            dataset_name=corpus["name"],
            dataset_split="test",
            dataset_config=given,
            metric_type=metric,
            metric_name=METRIC_TITLES.get(metric, metric),
            metric_value=round(heads["combined"][metric]["value"], 4),
        )
        for given, heads in metrics["test"].items()
        for metric in metrics["names"]
        if heads["combined"][metric]["value"] is not None
    ]
    other = {}
    if license == "other":
        other = {"license_name": "see-model-card", "license_link": "README.md"}
    bases = [
        features["hub"].partition("@")[0]
        for features in config["features"].values()
        if features["hub"]
    ]
    return ModelCardData(
        license=license,
        **other,
        library_name="speechbrain",
        pipeline_tag="video-classification",
        tags=[
            "speechbrain",
            "auxformer-lobes",
            "emotion-recognition",
            "audio-visual",
            "speech-emotion-recognition",
            "facial-expression-recognition",
        ],
        datasets=[slug] if is_real else None,
        language=corpus.get("language"),
        base_model=bases or None,
        model_name=name,
        eval_results=results,
    )


def _outputs(config):
    names = ", ".join(config["labels"])
    if config["task"] == "DimensionalEmotion":
        return f"{names}, as numbers on the raters' scale"
    if config["task"] == "MultiLabelEmotion":
        return f"which of these emotions there are, several perhaps: {names}"
    return f"the probabilities of {names}"


def _table(header, rows):
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def _figure(metric, scale):
    digits = 1 if scale == 100 else 3
    numbers = [metric[key] for key in ("value", "low", "high")]
    # A text times a number could be a text without end.
    if not all(isinstance(x, (int, float, type(None))) for x in numbers):
        raise ValueError("not a number")
    if metric["value"] is None:
        return "–"
    value, low, high = (
        None if x is None else f"{x * scale:.{digits}f}" for x in numbers
    )
    return value if low is None else f"{value} [{low}, {high}]"


def _results(metrics):
    names, scale = metrics["names"], metrics["scale"]

    def _row(given, head, scores):
        figures = (_figure(scores[name], scale) for name in names)
        return [title_of(given), head, *figures]

    rows = [
        _row(given, head, scores)
        for given, heads in metrics["test"].items()
        for head, scores in heads.items()
    ]
    rows += [
        _row(given, "linear model", scores)
        for given, scores in (metrics["linear_baseline"] or {}).items()
    ]
    titles = (METRIC_TITLES.get(name, name) for name in names)
    return _table(["input", "head", *titles], rows)


def _per_output(metrics):
    """How well each class or attribute is told, from both inputs."""
    of = metrics["test"]["audio_visual"]["combined"]["per_output"]
    names = [name for name in next(iter(of.values())) if name != "support"]
    rows = [
        [
            output,
            f"{scores['support']:g}",
            *(_figure(scores[name], metrics["scale"]) for name in names),
        ]
        for output, scores in of.items()
    ]
    titles = (METRIC_TITLES.get(name, name) for name in names)
    header = [title_of("audio_visual"), "clips", *titles]
    return _table(header, rows)


def _training(config):
    rows = [
        [
            f"{split} set",
            f"{of['clips']:,} clips, {of['minutes']:g} minutes, "
            f"speakers: {of['speakers']}",
        ]
        for split, of in config["clips"].items()
    ]
    rows += [
        [name.replace("_", " "), "all" if value is None else _said(value)]
        for name, value in config["training"].items()
    ]
    rows += [
        ["fitted on the development set", f"{name} {value:.3f}"]
        for name, value in config["fitted"].items()
    ]
    rows += [
        ["best epoch", config["epoch"]],
        ["parameters", f"{config['parameters']:,}"],
        ["exported with", _versions(config)],
    ]
    return f"On {_corpus(config)['name']}.\n\n" + _table(["", ""], rows)


def _said(value):
    return ", ".join(map(str, value)) if isinstance(value, list) else value


def _features(config):
    return "\n".join(
        f"- {modality}: {_feature(modality, features)}."
        for modality, features in config["features"].items()
    )


def _feature(modality, features):
    kind = features["class"].replace("Features", "")
    name = features["hub"] or features.get("source") or kind
    text = f"{name}, {features['dim']} numbers a frame"
    if features["released"]:
        text += (
            f", that came with the corpus: the model takes no {modality} "
            "features from other files"
        )
    return text


def _encoder_licences(config):
    lines = []
    for modality, features in config["features"].items():
        name = (features["hub"] or "").partition("@")[0]
        licence = LICENCES_OF_CLASSES.get(features["class"])
        if name:
            link = f"[{name}](https://huggingface.co/{name})"
            licence = f"{link}, {LICENCES.get(name, 'see its model card')}"
        if licence:
            lines.append(f"- {modality} features: {licence}.\n")
    return "".join(lines)
