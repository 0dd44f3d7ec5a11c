"""Loads what somebody else has made, and runs nothing that comes with it.

A `hyperparams.yaml` can name any class or function of any package and give it
anything: to load it is to run it. So a file is parsed, and all of it is
checked against `allowed`, before anything is made. Objects are then made of
what was checked: the text is not read again, by another parser.

Weights come as safetensors. Networks are made without memory first, so that
sizes in a file cost nothing before weights are there that fit exactly.
"""

import re
import reprlib
from importlib import import_module

import torch
from ruamel.yaml import YAML, YAMLError
from ruamel.yaml.events import AliasEvent, DocumentStartEvent
from ruamel.yaml.nodes import MappingNode, ScalarNode, SequenceNode
from safetensors import SafetensorError, safe_open

from auxformer_lobes.sharing.schema import CLASSES, KEYS, OPTIONAL, Made, Ref
from auxformer_lobes.utils.errors import UserError

LONGEST = 64 * 1024  # bytes of a hyperparams.yaml
DEEPEST = 8  # mappings and sequences in one another
LONGEST_NAME = 100  # characters, in an error
LONGEST_HEADER = 10 * 1024 * 1024  # bytes, of a safetensors file

TAGS = {"!ref", *(f"!new:{path}" for path in CLASSES)}
TEXT = "tag:yaml.org,2002:str"
# What plain values are in YAML, and in Python.
SCALARS = {
    "tag:yaml.org,2002:null": lambda text: None,
    "tag:yaml.org,2002:bool": lambda text: text.lower() == "true",
    "tag:yaml.org,2002:int": int,
    "tag:yaml.org,2002:float": float,
    TEXT: str,
}
# Made without memory: all that they hold is in the weights.
EMPTY_AT_FIRST = (
    "auxformer_lobes.nnet.normalization.FeatureNorm",
    "auxformer_lobes.models.auxformer.AuxFormer",
    "torch.nn.LayerNorm",
)


_SHORT = reprlib.Repr()
_SHORT.maxstring = LONGEST_NAME


class _Refused(Exception):
    """What cannot be there, and the node or event where it is."""


def read_plan(path):
    """Reads a `hyperparams.yaml`, and makes nothing.

    Arguments
    ---------
    path : str or Path
        The file.

    Returns
    -------
    dict
        For each of `allowed.KEYS`, a value, a `Made` or a `Ref`.

    Raises
    ------
    UserError
        If it says anything that an export does not say.

    Example
    -------
    >>> path = getfixture("tmp_path") / "hyperparams.yaml"
    >>> _ = path.write_text("task: !apply:os.system [reboot]")
    >>> read_plan(path)
    Traceback (most recent call last):
    auxformer_lobes.utils.errors.UserError: ...: line 1: the tag '!apply:os.system'...
    """
    with open(path, "rb") as file:
        raw = file.read(LONGEST + 1)
    if len(raw) > LONGEST:
        raise UserError(f"{path}: longer than any export: {LONGEST} bytes")
    try:
        text = raw.decode("utf-8")
        _check_events(text)
        plan = _mapping(_parser().compose(text), KEYS, "this file")
    except (UnicodeDecodeError, YAMLError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{path}: not YAML: {reason}: export the model again")
    except _Refused as refused:
        what, place = refused.args
        raise UserError(
            f"{path}: line {place.start_mark.line + 1}: {what}: refused; if "
            "you trust who made it, trust_source=True loads it"
        )
    missing = [key for key in KEYS if key not in (*plan, *OPTIONAL)]
    if missing:
        raise UserError(f"{path}: has no {missing[0]}: export the model again")
    return plan


def _parser():
    # In Python; it makes nothing but nodes.
    return YAML(typ="safe", pure=True)


def _check_events(text):
    """Refuses tags, and what makes a small file large when it is composed."""
    depth = documents = 0
    for event in _parser().parse(text):
        kind = type(event).__name__
        depth += kind.endswith("StartEvent") - kind.endswith("EndEvent")
        tag = getattr(event, "tag", None)
        if tag is not None and tag not in TAGS:
            raise _Refused(f"the tag {_SHORT.repr(tag)}", event)
        if isinstance(event, AliasEvent) or getattr(event, "anchor", None):
            raise _Refused("an anchor or alias", event)
        if isinstance(event, DocumentStartEvent):
            documents += 1
            if event.tags or event.version or documents > 1:
                raise _Refused("a directive or a second document", event)
        if depth > DEEPEST + 2:  # two are the stream and the document
            raise _Refused(f"more than {DEEPEST} levels", event)
    if not documents:
        raise YAMLError("it is empty")


def _mapping(node, kinds, owner):
    """What a node has under each name, if the kinds allow it."""
    if not isinstance(node, MappingNode):
        raise _Refused(f"{owner} is not of names and values", node)
    found = {}
    for key, value in node.value:
        if key.tag != TEXT or key.value not in kinds:
            name = reprlib.repr(key.value)
            raise _Refused(f"{owner} has no {name} in an export", key)
        name, kind = key.value, kinds[key.value]
        if name in found:
            raise _Refused(f"{name} is there twice", key)
        if isinstance(kind, dict):
            found[name] = _mapping(value, kind, name)
            continue
        found[name] = _value(value)
        if not kind.fits(found[name]):
            wrong = reprlib.repr(found[name])
            raise _Refused(
                f"{name} of {owner} is {wrong}, not {kind.words}", value
            )
    return found


def _value(node):
    if isinstance(node, SequenceNode) and node.tag.endswith(":seq"):
        return [_value(item) for item in node.value]
    if node.tag.startswith("!new:"):
        path = node.tag[len("!new:") :]
        if isinstance(node, ScalarNode) and not node.value:
            return Made(path, {})
        return Made(path, _mapping(node, CLASSES[path], path.split(".")[-1]))
    if isinstance(node, ScalarNode):
        key = re.fullmatch(r"<(\w+)>", node.value)
        if node.tag == "!ref" and key and key[1] in KEYS:
            return Ref(key[1])
        try:
            return SCALARS[node.tag](node.value)
        except (KeyError, ValueError):
            pass
    value = reprlib.repr(node.value)
    raise _Refused(f"{value} is neither a value nor a key", node)


def build(plan):
    """Makes what a file asks for.

    Arguments
    ---------
    plan : dict
        What `read_plan` has returned.

    Returns
    -------
    dict
        Objects and values; the network has no memory yet.

    Raises
    ------
    UserError
        If something cannot be made from its arguments.
    """
    made = {}

    def _get(key):
        if key not in plan:
            raise UserError(f"hyperparams.yaml: refers to {key}, has none")
        if key not in made:
            made[key] = _make(plan[key])
        return made[key]

    def _make(value):
        if isinstance(value, Ref):
            return _get(value.key)
        if isinstance(value, Made):
            return _construct(value.path, _make(value.arguments))
        if isinstance(value, dict):
            return {name: _make(part) for name, part in value.items()}
        return value

    return {key: _get(key) for key in plan}


def _construct(path, arguments):
    module, _, name = path.rpartition(".")
    device = "meta" if path in EMPTY_AT_FIRST else "cpu"
    try:
        with torch.device(device):
            return getattr(import_module(module), name)(**arguments)
    except UserError:
        raise
    # Transformers, OpenCV and others have errors of any kind for values that
    # they cannot have, and the values are a stranger's.
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"hyperparams.yaml: {name}: {reason}")


def load_weights(modules, path):
    """Gives modules the weights in a file: all of them, and no others.

    Arguments
    ---------
    modules : dict
        Name -> `torch.nn.Module`, with or without memory.
    path : str or Path
        A safetensors file; names are those of the module and of its tensor.

    Raises
    ------
    UserError
        If it is damaged or something else, or its tensors are not those of
        the modules, or not numbers.

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
    wanted = {
        f"{name}.{key}": tensor
        for name, module in modules.items()
        for key, tensor in module.state_dict().items()
    }
    shapes = {name: list(tensor.shape) for name, tensor in wanted.items()}
    try:
        with open(path, "rb") as file:
            length = int.from_bytes(file.read(8), "little")
        if length > LONGEST_HEADER:
            raise SafetensorError(f"a header of {length} bytes")
        with safe_open(path, framework="pt") as file:
            found = {k: file.get_slice(k).get_shape() for k in file.keys()}
            _compare(path, found, shapes)
            tensors = {name: file.get_tensor(name) for name in found}
    except SafetensorError as error:
        raise UserError(f"{path}: not safetensors, or damaged: {error}")
    _compare(
        path,
        {name: tensor.dtype for name, tensor in tensors.items()},
        {name: tensor.dtype for name, tensor in wanted.items()},
    )
    for name, tensor in tensors.items():
        if not tensor.isfinite().all():
            raise UserError(f"{path}: {name} has values that are not finite")
    for name, module in modules.items():
        if any(tensor.is_meta for tensor in module.state_dict().values()):
            module.to_empty(device="cpu")
        # Copied: what is mapped from a file lies at odd addresses, and sums
        # there may be rounded differently.
        start = len(name) + 1
        module.load_state_dict(
            {
                key[start:]: tensor
                for key, tensor in tensors.items()
                if key.startswith(f"{name}.")
            }
        )


def _compare(path, found, wanted):
    """What a file has of each tensor must be what the modules have."""
    for name in sorted({*found, *wanted}):
        if found.get(name) != wanted.get(name):
            told = name if name in wanted else _SHORT.repr(name)
            raise UserError(
                f"{path}: {told} is {found.get(name, 'missing')}, not "
                f"{wanted.get(name, 'in this model')}: not its weights"
            )
