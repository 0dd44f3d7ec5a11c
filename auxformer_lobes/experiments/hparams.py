"""From the command line to the hyperparameters of a recipe."""

import difflib
import json
import os

import speechbrain as sb
from hyperpyyaml import load_hyperpyyaml, resolve_references
from ruamel.yaml import YAML, YAMLError
from ruamel.yaml.comments import CommentedSeq
from speechbrain.utils.distributed import ddp_init_group
from speechbrain.utils.run_opts import RunOptions

from auxformer_lobes.augment.missing import Condition
from auxformer_lobes.utils.devices import check_device
from auxformer_lobes.utils.errors import UserError, one_line_errors
from auxformer_lobes.utils.modalities import MODALITIES
from auxformer_lobes.utils.overrides import (
    check_options,
    rewrite_overrides,
    tag_of,
    tagged,
)
from auxformer_lobes.utils.random import stream_seed

# What a YAML file, and the classes it names, may raise.
LOADING = (
    *(AttributeError, ImportError, LookupError, OSError),
    *(TypeError, ValueError, YAMLError),
)
TEXT_SUFFIXES = ("_folder", "_annotation", "_file", "_hub")
TEXT_OPTIONS = ("released_labels", "run_name", "table", "wav2vec2_weights")


def parse_arguments(argv, data_defaults=None):
    """Reads the command line of a recipe, as `speechbrain.parse_arguments`.

    Paths are text, with `~` for the home folder; relative ones start from the
    working directory, those of `!include:` from the folder of the YAML file.
    Other values are YAML; see `utils.overrides` for those that choose objects.

    Arguments
    ---------
    argv : list of str
        The YAML file, and options.
    data_defaults : callable, optional
        Given the plain values of the file, with those of the command line in
        their place, returns values that the data decide; the command line
        goes before them. A bare word chooses a file where the YAML file
        includes one, of which options on the command line are then those.

    Returns
    -------
    hparams_file : str
        The YAML file.
    run_opts : RunOptions
        SpeechBrain's own options.
    overrides : str
        YAML: values in place of those in the file.

    Raises
    ------
    SystemExit
        With one line, if there is no such option, if it would have no effect,
        or if one that the file needs is missing.

    Example
    -------
    >>> path = str(getfixture("tmp_path") / "hparams.yaml")
    >>> with open(path, "w") as file:
    ...     _ = file.write("output_folder: results\\nlr: 0.1\\n")
    >>> argv = [path, "--lr", "0.01", "--output_folder", "run #1"]
    >>> print(parse_arguments(argv)[2])
    lr: 0.01
    output_folder: 'run #1'
    <BLANKLINE>
    """
    own, words = _separate(argv)
    hparams_file, run_opts, _ = sb.parse_arguments(own)
    with one_line_errors(*LOADING):
        texts = split_options(words)
        _check_names(hparams_file, texts, run_opts)
        values = {name: _value(name, text) for name, text in texts.items()}
        if data_defaults is not None:
            values = _with_defaults(hparams_file, values, data_defaults)
        overrides = rewrite_overrides(hparams_file, values)
    return hparams_file, run_opts, overrides


def _with_defaults(path, values, data_defaults):
    """Values of the command line, and those that the data decide."""
    with open(path, encoding="utf-8") as file:
        tree = YAML().load(file)
        file.seek(0)
        plain = resolve_references(file, rewrite_overrides(path, values))
    values = {**values}
    for name, default in data_defaults(YAML().load(plain.getvalue())).items():
        given, tag = values.get(name), tag_of(tree.get(name))
        if isinstance(default, str) and not tag.startswith("!include:"):
            continue  # an object of the user's own
        if name not in values:
            is_plain = type(default) is list
            values[name] = CommentedSeq(default) if is_plain else default
        elif isinstance(given, dict) and not tag_of(given):
            folder = os.path.dirname(tag)
            values[name] = tagged(f"{folder}/{default}.yaml", given)
    return values


def is_text(name):
    """Whether an option is text as it stands: a path, or a name in one.

    YAML would read the folder 2024 as a number, and the end of "run #1" as a
    comment.

    Arguments
    ---------
    name : str
        The option.

    Returns
    -------
    bool
    """
    return name.endswith(TEXT_SUFFIXES) or name in TEXT_OPTIONS


def _separate(argv):
    """SpeechBrain's options, and those of the YAML file.

    SpeechBrain alone would split values at each "=", and take the start of the
    name of one of its options for that option.
    """
    parser = RunOptions._create_parser()
    parser.allow_abbrev = False
    _, words = parser.parse_known_args(argv)
    own, others = [], iter([*words, None])
    other = next(others)
    for word in argv:
        if word == other:
            other = next(others)
        else:
            own.append(word)
    return own, words


def split_options(words):
    """Options of a command line, each with its text.

    Arguments
    ---------
    words : list of str
        `--name text`, or `--name=text`. Several words are joined, as
        SpeechBrain does.

    Returns
    -------
    dict
        Name -> text; empty where there is none.

    Raises
    ------
    UserError
        If an option is given twice, or a word is no option.

    Example
    -------
    >>> split_options(["--lr", "0.1", "--network={num_layers: 1}"])
    {'lr': '0.1', 'network': '{num_layers: 1}'}
    """
    options = {}
    for word in words:
        if word.startswith("--"):
            name, equals, text = word[2:].partition("=")
            if name in options:
                raise UserError(f"--{name}: given twice")
            options[name] = [text] if equals else []
        elif options:
            options[name].append(word)
        else:
            raise UserError(f"{word}: not an option, which starts with --")
    return {name: " ".join(texts) for name, texts in options.items()}


def _check_names(path, texts, run_opts):
    """Every option is a key of the file, and all that it needs are given."""
    with open(path, encoding="utf-8") as file:
        is_resolved = file.readline().startswith("# Generated")
        file.seek(0)
        known = YAML().load(file)
    if texts and is_resolved:
        raise UserError(
            f"{path}: the file of a run, whose references are resolved: give "
            f"--{next(iter(texts))} with the recipe's own YAML file"
        )
    for name in texts:
        if name not in known:
            all_names = [*known, *run_opts.as_dict()]
            near = difflib.get_close_matches(name, all_names, n=1)
            cure = f"did you mean --{near[0]}?" if near else "see its keys"
            raise UserError(f"--{name}: not in {path}: {cure}")
    for name, node in known.items():
        if tag_of(node) == "!PLACEHOLDER" and name not in texts:
            raise UserError(f"--{name}: {path} needs it")


def _value(name, text):
    if not text:
        raise UserError(f"--{name}: has no value: null stands for none")
    if is_text(name) and text != "null" and not text.startswith("!ref "):
        text = json.dumps(os.path.expanduser(text))
    try:
        return YAML().load(text)
    except YAMLError as error:
        raise UserError(f"--{name} {text}: {error}")


def load_hparams(path, run_opts, overrides):
    """Reads a recipe's YAML file; processes that train together meet here.

    Arguments
    ---------
    path : str
        The YAML file.
    run_opts : RunOptions
        SpeechBrain's own options.
    overrides : str
        YAML, of `parse_arguments`: values in place of those in the file.

    Returns
    -------
    dict
        The hyperparameters, objects and all.

    Raises
    ------
    UserError
        If there is no such device.
    SystemExit
        With one line, if an object cannot be made.
    """
    check_device(run_opts.device)
    ddp_init_group(run_opts)
    with one_line_errors(*LOADING):
        with open(path, encoding="utf-8") as file:
            text = resolve_references(file, overrides).getvalue()
        check_options(text)
        hparams = load_hyperpyyaml(text)
    if "test_conditions" in hparams:
        check_values(hparams)
    return hparams


def check_values(hparams):
    """Refuses values that would otherwise fail only after the preparation.

    Arguments
    ---------
    hparams : dict
        The hyperparameters of a recipe.

    Raises
    ------
    UserError
        If `seed`, `select_by`, `min_face_quality`, the weights of the shared
        loss or the test conditions are invalid, or features are of the other
        modality.
    """
    heads = hparams["network"].heads
    stream_seed(hparams["seed"])
    hparams["task"].check_selection(hparams["select_by"], heads)
    if hparams["min_face_quality"] not in (0, 1, 2):
        raise UserError(
            f"min_face_quality: {hparams['min_face_quality']}: choose 0 (all "
            "frames), 1 (a face was tracked) or 2 (a face was detected)"
        )
    hparams["shared_loss"].check_heads(heads)
    for modality in MODALITIES:
        features = hparams[f"{modality}_store"].features
        if features.modality not in (modality, None):
            raise UserError(
                f"{modality}_features: {features.settings['class']} are "
                f"{features.modality} features: choose another encoder"
            )
    names = []
    for condition in hparams["test_conditions"]:
        if not isinstance(condition, Condition):
            raise UserError(
                f"test_conditions: {condition} is not a condition: write "
                "'!new:auxformer_lobes.augment.missing.Available "
                "{modalities: [audio]}'"
            )
        if condition.name in names:
            raise UserError(
                f"test_conditions: two have the name {condition.name}"
            )
        names.append(condition.name)
