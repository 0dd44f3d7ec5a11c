"""Overrides that choose objects of a HyperPyYAML file, and set their options.

One rule, for `!include:` and `!new:` alike: an override without a tag sets
options of the object in the file; an override with a tag takes its place.
`!include:` in place of `!include:` keeps the options written beside the name
of the file, such as references to other keys of the recipe. A bare word, such
as `mult`, is the file of that name in the folder of the included one.

HyperPyYAML alone merges mappings key by key, so that an object keeps the class
of the file, silently; and `!include:FILE`, which is no mapping, takes no
options. Anything but a mapping it replaces: so an override that is to replace
something is rewritten here as a sequence.
"""

import inspect
import os
import pydoc
from io import StringIO

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.tag import Tag

from auxformer_lobes.utils.errors import UserError

INCLUDE, NEW = "!include:", "!new:"


def rewrite_overrides(path, overrides):
    """Rewrites overrides so that HyperPyYAML applies them by the rule above.

    Arguments
    ---------
    path : str or Path
        The HyperPyYAML file.
    overrides : dict
        Values as ruamel.yaml reads them, with their tags.

    Returns
    -------
    str
        YAML: overrides for `load_hyperpyyaml` and `resolve_references`.

    Raises
    ------
    UserError
        If an override cannot take effect.

    Example
    -------
    >>> folder = getfixture("tmp_path")
    >>> _ = (folder / "fbank.yaml").write_text("!new:Fbank {n_mels: 40}")
    >>> _ = (folder / "hparams.yaml").write_text("fbank: !include:fbank.yaml")
    >>> overrides = {"fbank": {"n_mels": 80}}
    >>> print(rewrite_overrides(folder / "hparams.yaml", overrides))
    fbank: !include:fbank.yaml
    - - n_mels
      - 80
    <BLANKLINE>
    """
    if not overrides:
        return ""
    tree = _read(path)
    folder = os.path.dirname(os.path.realpath(path))
    yaml, text = YAML(), StringIO()
    yaml.width = float("inf")  # long texts are not folded
    yaml.dump(_in_blocks(_override(tree, overrides, folder, ())), text)
    return text.getvalue()


def tag_of(node):
    """The tag of a YAML node.

    Arguments
    ---------
    node : Any
        As ruamel.yaml reads it.

    Returns
    -------
    str
        Empty if it has none.
    """
    return (node.tag.value or "") if hasattr(node, "tag") else ""


def tagged(tag, options):
    """Makes a YAML node; rewritten overrides call it, by `!applyref:`.

    Arguments
    ---------
    tag : str
        `!new:` and a class, for example; empty for none.
    options : dict
        The content of the node.

    Returns
    -------
    CommentedMap

    Example
    -------
    >>> tagged("!new:collections.Counter", {"a": 1}).tag.value
    '!new:collections.Counter'
    """
    node = CommentedMap(options)
    if tag:
        node.yaml_set_ctag(Tag(suffix=tag))
    return node


def check_options(text):
    """Checks the options of all objects before the first is made.

    Arguments
    ---------
    text : str
        YAML with its references resolved.

    Raises
    ------
    UserError
        If a class or function has no such option.

    Example
    -------
    >>> check_options("norm: !new:torch.nn.LayerNorm {epz: 1}")
    Traceback (most recent call last):
    auxformer_lobes.utils.errors.UserError: norm: LayerNorm has no option epz: \
choose among normalized_shape, eps, elementwise_affine, bias, device, dtype
    """
    _check(YAML().load(text), None)


def _override(node, value, folder, path):
    """The override that makes the user's `value` of `node` in the file."""
    before = tag_of(node)
    if before.startswith(INCLUDE) and isinstance(value, (str, int, float)):
        value = _sibling(before, str(value), folder, path)
    tag, options = tag_of(value), value
    if isinstance(value, dict) and not tag:
        if isinstance(node, dict):  # HyperPyYAML merges these
            if before.startswith(INCLUDE):
                _check_merge(_included(before, folder), value, path)
            return CommentedMap(
                (key, _override(node.get(key), part, folder, (*path, key)))
                for key, part in value.items()
            )
        if before.startswith((INCLUDE, NEW)):
            tag = before  # an object without options so far
        elif node is not None:
            raise UserError(
                f"{'.'.join(path)}: not an object with options, but "
                f"{before} {node}".rstrip()
            )
    elif tag.startswith(INCLUDE) and before.startswith(INCLUDE):
        both = [each for each in (node, value) if isinstance(each, dict)]
        if both:
            options = {key: each[key] for each in both for key in each}
    elif before.startswith(NEW) and isinstance(value, (str, int, float)):
        raise UserError(
            f"{'.'.join(path)}: {value} is not an object: give "
            "'!include:FILE.yaml', or options such as '{layer: all}'"
        )
    if not isinstance(options, dict):
        return value
    if tag.startswith(INCLUDE):
        _check_merge(_included(tag, folder), options, path)
        # HyperPyYAML makes a mapping of these pairs.
        node = CommentedSeq(map(CommentedSeq, options.items()))
    else:
        node = CommentedSeq([tag, CommentedMap(options)])
        tag = f"!applyref:{__name__}.tagged"
    node.yaml_set_ctag(Tag(suffix=tag))
    return node


def _sibling(tag, word, folder, path):
    """The node that includes another file of the folder of an included one."""
    name = tag[len(INCLUDE) :]
    near = os.path.dirname(name)
    suffix = os.path.splitext(name)[1]
    names = sorted(
        os.path.splitext(file)[0]
        for file in os.listdir(os.path.join(folder, near))
        if file.endswith(suffix)
    )
    if word not in names:
        raise UserError(
            f"{'.'.join(path)}: there is no {os.path.join(near, word)}{suffix}: "
            f"choose among {', '.join(names)}, or give '!include:FILE.yaml', "
            "or options: '{NAME: VALUE}'"
        )
    return YAML().load(f"{INCLUDE}{os.path.join(near, word)}{suffix}")


def _in_blocks(node):
    """The node without [] and {}: ruamel.yaml writes [!new:X {a: 1}] wrongly."""
    if isinstance(node, (dict, list)):
        node.fa.set_block_style()
        for part in node.values() if isinstance(node, dict) else node:
            _in_blocks(part)
    return node


def _included(tag, folder):
    return _read(os.path.join(folder, tag[len(INCLUDE) :]))


def _read(path):
    with open(path, encoding="utf-8") as file:
        node = YAML().load(file)
    if not isinstance(node, dict):
        raise UserError(f"{path}: takes no options: write {{}} after its class")
    return node


def _check_merge(node, options, path):
    """Refuses objects that an included file would merge with its own."""
    for key, part in options.items():
        if isinstance(node.get(key), dict):
            if tag_of(part):
                raise UserError(
                    f"{'.'.join((*path, key))}: the included file has an "
                    "object there: write yours into a file of its own, and "
                    "include that"
                )
            if isinstance(part, dict):
                _check_merge(node[key], part, (*path, key))


def _check(node, name):
    if isinstance(node, list):
        for part in node:
            _check(part, name)
    elif isinstance(node, dict):
        kind, _, callable_name = tag_of(node).partition(":")
        if kind in ("!new", "!name", "!apply"):
            names = _parameters(callable_name) or node
            unknown = [key for key in node if key not in names]
            if unknown:
                raise UserError(
                    f"{name}: {callable_name.rpartition('.')[2]} has no option "
                    f"{unknown[0]}: choose among {', '.join(names)}"
                )
        for key, part in node.items():
            _check(part, name or key)


def _parameters(callable_name):
    """Names of a callable's parameters; none if it takes any."""
    try:
        found = inspect.signature(pydoc.locate(callable_name)).parameters
    except (TypeError, ValueError):  # no such callable, or written in C
        return ()
    if any(each.kind is each.VAR_KEYWORD for each in found.values()):
        return ()
    return tuple(found)
