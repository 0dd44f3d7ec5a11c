"""Loads a model of unknown origin without running anything that it brings.

A `hyperparams.yaml` can name any class or function of any package: to load it
is to run it. So a file is parsed to nodes, and every node is checked against
`schema`, before any object is made. Objects are then made from what was
checked; the text is not read again by another parser.

Weights come as safetensors. Norms and network are made without memory first,
so that sizes in a file cost nothing before the weights fit exactly.
"""

import re
import reprlib
from contextlib import suppress

import torch
from ruamel.yaml import YAML, YAMLError
from ruamel.yaml.nodes import MappingNode, ScalarNode, SequenceNode
from safetensors import SafetensorError
from safetensors.torch import load_file

from auxformer_lobes.features.weight_files import check_weight_file
from auxformer_lobes.sharing import schema
from auxformer_lobes.utils.errors import UserError
from auxformer_lobes.utils.schema import ObjectSpec, Ref

MAX_BYTES = 64 * 1024  # of a hyperparams.yaml
MAX_DEPTH = 8  # lists and mappings in one another, stream and document
TAG = "tag:yaml.org,2002:"
SCALARS = {
    f"{TAG}null": lambda text: None,
    f"{TAG}bool": lambda text: text.lower() == "true",
    f"{TAG}int": int,
    f"{TAG}float": float,
    f"{TAG}str": str,
}
_SHORT = reprlib.Repr()
_SHORT.maxstring = 100  # characters of a name, in an error


class _Refused(Exception):
    """What is refused, and the node where it is."""


def parse_config(path):
    """Parses and checks a `hyperparams.yaml`; makes nothing.

    Arguments
    ---------
    path : str or Path
        The file.

    Returns
    -------
    dict
        Key of `schema.KEYS` → a value or an `ObjectSpec`.

    Raises
    ------
    UserError
        If it holds anything that an export does not write.

    Example
    -------
    >>> path = getfixture("tmp_path") / "hyperparams.yaml"
    >>> _ = path.write_text("task: !apply:os.system [reboot]")
    >>> parse_config(path)
    Traceback (most recent call last):
    auxformer_lobes.utils.errors.UserError: ...: line 1: the tag '!apply:os.system'...
    """
    with open(path, "rb") as file:
        raw = file.read(MAX_BYTES + 1)
    if len(raw) > MAX_BYTES:
        raise UserError(f"{path}: longer than any export: {MAX_BYTES} bytes")
    try:
        node = _compose(raw.decode("utf-8"))
        if getattr(node, "tag", None) != f"{TAG}map":
            raise _Refused("this file is not a plain mapping", node)
        config = _parse_mapping(node, schema.KEYS, "this file")
    except (UnicodeDecodeError, YAMLError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{path}: not YAML: {reason}: export the model again")
    except _Refused as refused:
        reason, node = refused.args
        line = node.start_mark.line + 1 if node else 1
        raise UserError(
            f"{path}: line {line}: {reason}: refused; if you trust who made "
            "it, trust_source=True (--trust_source) loads it"
        )
    if missing := {*schema.KEYS} - {*schema.OPTIONAL, *config}:
        raise UserError(f"{path}: has no {min(missing)}: export it again")
    return config


def _compose(text):
    """Inert nodes, and one for all aliases of an anchor: small stays small."""
    yaml = YAML(typ="safe", pure=True)
    depth = 0
    for event in yaml.parse(text):  # step by step, so that it can stop
        kind = type(event).__name__
        depth += kind.endswith("StartEvent") - kind.endswith("EndEvent")
        if depth > MAX_DEPTH:
            raise _Refused("nested too deeply", event)
        if getattr(event, "tags", None) or getattr(event, "version", None):
            raise _Refused("a directive", event)
    return yaml.compose(text)


def _parse_mapping(node, checks, owner):
    if not isinstance(node, MappingNode) or node.anchor:
        raise _Refused(f"{owner} is not a plain mapping", node)
    found = {}
    for key, value in node.value:
        name = key.value if isinstance(key, ScalarNode) else None
        if key.tag != f"{TAG}str" or key.anchor or name not in checks:
            raise _Refused(f"{owner} has no {_SHORT.repr(name)}", key)
        if name in found:
            raise _Refused(f"{name} is there twice", key)
        found[name] = _parse_value(value)
        if not checks[name].accepts(found[name]):
            wrong = reprlib.repr(found[name])
            valid = checks[name].description
            raise _Refused(f"{name} of {owner} is {wrong}, not {valid}", value)
    return found


def _parse_value(node):
    """The value of a node of a kind that exports have."""
    if node.anchor:
        raise _Refused("an anchor or alias", node)
    path = node.tag.removeprefix("!new:")
    with suppress(LookupError):  # refused below
        if path != node.tag:
            checks = schema.schema_of(path)
            name = path.rpartition(".")[2]
            return ObjectSpec(path, _parse_mapping(node, checks, name))
    if isinstance(node, SequenceNode) and node.tag == f"{TAG}seq":
        return [_parse_value(item) for item in node.value]
    if isinstance(node, ScalarNode):
        key = re.fullmatch(r"<(\w+)>", node.value)
        if node.tag == "!ref" and key and key[1] in schema.KEYS:
            return Ref(key[1])
        if node.tag in SCALARS:
            try:
                return SCALARS[node.tag](node.value)
            except ValueError:
                shown = reprlib.repr(node.value)
                raise _Refused(f"{shown} is not a value", node)
    raise _Refused(f"the tag {_SHORT.repr(node.tag)} is not allowed here", node)


def instantiate(config):
    """Makes the objects of a parsed file; norms and network have no memory yet.

    Arguments
    ---------
    config : dict
        What `parse_config` returns; objects in it stay as they are.

    Returns
    -------
    dict
        Key → object or value.

    Raises
    ------
    UserError
        If an object cannot be made from its arguments.
    """
    made = {}
    for key in schema.KEYS:  # in this order, references lead back
        if key in config:
            with torch.device("meta" if key in schema.META_INIT else "cpu"):
                made[key] = _make(config[key], made)
    return made


def _make(value, made):
    if isinstance(value, Ref):
        return made[value.key]
    if not isinstance(value, ObjectSpec):
        return value
    arguments = {k: _make(v, made) for k, v in value.items()}
    kind = schema.class_of(value.path)
    try:
        return kind(**arguments)
    except UserError:
        raise
    # Transformers, OpenCV and others raise errors of any kind for invalid
    # values, and these are a stranger's.
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"hyperparams.yaml: {kind.__name__}: {reason}")


def load_weights(modules, path):
    """Loads the weights of modules: all of them, and no others.

    Arguments
    ---------
    modules : dict
        Name → `torch.nn.Module`, with or without memory.
    path : str or Path
        A safetensors file; each tensor is named `<module>.<its name there>`.

    Raises
    ------
    UserError
        If it is damaged or something else, or its tensors are not those of
        the modules, or not finite.

    Example
    -------
    >>> from safetensors.torch import save_file
    >>> path = getfixture("tmp_path") / "model.safetensors"
    >>> save_file({"head.bias": torch.ones(2)}, path)
    >>> with torch.device("meta"):
    ...     head = torch.nn.Linear(3, 2)
    >>> load_weights({"head": head}, path)
    Traceback (most recent call last):
    auxformer_lobes.utils.errors.UserError: ...: head.weight is missing, ...
    """
    whole = torch.nn.ModuleDict(modules)
    check_weight_file(path)
    try:
        tensors = load_file(path)
    except SafetensorError as error:
        raise UserError(f"{path}: not safetensors, or damaged: {error}")
    wanted, found = (
        {name: f"{list(x.shape)} {x.dtype}" for name, x in of.items()}
        for of in (whole.state_dict(), tensors)
    )
    for name in sorted({*found, *wanted}):
        if found.get(name) != wanted.get(name):
            shown = name if name in wanted else _SHORT.repr(name)
            raise UserError(
                f"{path}: {shown} is {found.get(name, 'missing')}, not "
                f"{wanted.get(name, 'in this model')}: not its weights"
            )
        if not tensors[name].isfinite().all():
            raise UserError(f"{path}: {name} has values that are not finite")
    # Copied: what is mapped from a file lies at odd addresses, and sums there
    # may be rounded differently. Assigned, for `to_empty` would import SymPy.
    copies = {name: tensor.clone() for name, tensor in tensors.items()}
    whole.load_state_dict(copies, assign=True)
