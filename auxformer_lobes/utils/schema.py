"""The arguments of objects: remembered, and checked before they are used again.

An exported model is a file of classes and their arguments. A class that it may
name is `Configurable`, so that its objects know their arguments, and has a
`schema`: which values each argument may have in a file of unknown origin.
"""

import json
import re
import reprlib
from inspect import Parameter, signature
from typing import Any, Callable, NamedTuple

from auxformer_lobes.utils.text import printable

# A model on the Hub, at a commit; or what an exported model holds itself.
HUB_MODEL = r"\w[\w.-]*/[\w.-]+@[0-9a-f]{40}"
COPIED_MODEL = "encoders/(audio|visual)"
COPIED_WEIGHTS = r"encoders/(audio|visual)\.pt"
COPIED_DETECTOR = r"encoders/faces\.onnx"


_SHORT = reprlib.Repr()
_SHORT.maxstring = 60  # characters


class Configurable:
    """Base of classes whose objects remember their arguments."""

    def __new__(cls, *args, **options):
        """Keeps the arguments for `arguments_of`."""
        made = super().__new__(cls)
        made._given = args, options
        return made


def arguments_of(made):
    """The arguments that an object was made with.

    Arguments
    ---------
    made : Configurable
        The object.

    Returns
    -------
    dict
        Name → value, defaults included.

    Example
    -------
    >>> class Scale(Configurable):
    ...     def __init__(self, low, high=1.0):
    ...         pass
    >>> arguments_of(Scale(0))
    {'low': 0, 'high': 1.0}
    """
    args, options = made._given
    bound = signature(made.__init__).bind(*args, **options)
    bound.apply_defaults()
    arguments = dict(bound.arguments)
    for name, parameter in bound.signature.parameters.items():
        if parameter.kind is Parameter.VAR_KEYWORD:
            arguments.update(arguments.pop(name))
        elif parameter.kind is Parameter.VAR_POSITIONAL and not arguments[name]:
            del arguments[name]
    return arguments


class ObjectSpec(dict):
    """An object in a file: `!new:<path>`, and its arguments by name.

    Arguments
    ---------
    path : str
        Module and name of the class.
    arguments : dict
        Name → value.
    """

    def __init__(self, path, arguments):
        super().__init__(arguments)
        self.path = path


class Ref(NamedTuple):
    """A reference in a file: `!ref <key>`.

    Arguments
    ---------
    key : str
        The top-level key that it refers to.
    """

    key: str


class Check(NamedTuple):
    """Which values an argument may have.

    Arguments
    ---------
    accepts : callable
        Whether a value is valid.
    description : str
        The valid values in words, for errors.

    Example
    -------
    >>> check = optional(integer(1, 9))
    >>> check.accepts(None), check.accepts(True), check.description
    (True, False, 'a whole number from 1 to 9 or null')
    """

    accepts: Callable[[Any], bool]
    description: str


def integer(low, high):
    """A whole number from `low` to `high`."""
    return Check(
        lambda x: type(x) is int and low <= x <= high,
        f"a whole number from {low} to {high}",
    )


def number(low, high):
    """A number from `low` to `high`."""
    return Check(
        lambda x: type(x) in (int, float) and low <= x <= high,
        f"a number from {low} to {high}",
    )


def one_of(*choices):
    """One of these values, of the same type."""
    return Check(
        lambda x: any(type(x) is type(c) and x == c for c in choices),
        f"one of {', '.join(map(json.dumps, choices))}",
    )


def text(pattern, description):
    """A string that matches a regular expression as a whole."""
    return Check(
        lambda x: type(x) is str and re.fullmatch(pattern, x) is not None,
        description,
    )


def list_of(check):
    """A list whose items all pass a check."""
    return Check(
        lambda x: type(x) is list and all(map(check.accepts, x)),
        f"a list, each item {check.description}",
    )


def distinct(check):
    """A list that passes a check, with no item in it twice."""
    return Check(
        lambda x: check.accepts(x) and len({*x}) == len(x),
        f"{check.description}, none of them twice",
    )


def either(*checks):
    """A value that passes one of the checks."""
    return Check(
        lambda x: any(check.accepts(x) for check in checks),
        " or ".join(check.description for check in checks),
    )


def optional(check):
    """A value that passes the check, or null."""
    return either(check, Check(lambda x: x is None, "null"))


def object_of(*paths):
    """An object of one of these classes, none of their subclasses."""
    return Check(
        lambda x: isinstance(x, ObjectSpec) and x.path in paths,
        ", ".join(path.rpartition(".")[2] for path in paths),
    )


def reference(*keys):
    """A reference to one of these top-level keys."""
    return Check(
        lambda x: isinstance(x, Ref) and x.key in keys,
        " or ".join(f"!ref <{key}>" for key in keys),
    )


def shown(value):
    """A value that a stranger wrote, for an error: short and printable.

    Example
    -------
    >>> shown("user/name"), len(shown("x" * 10**6))
    ("'user/name'", 60)
    """
    return printable(_SHORT.repr(value))[:120]


FLAG = one_of(True, False)
SHARE = number(0, 1)
CHANNELS = integer(1, 1 << 20)
NAMES = distinct(list_of(text(r"[\w .-]{1,100}", "a name")))
MODEL = text(
    f"{HUB_MODEL}|{COPIED_MODEL}",
    "a model on the Hub at a commit, user/name@commit, or one in the folder",
)
WEIGHTS = text(COPIED_WEIGHTS, "a file in the folder, encoders/*.pt")
FACES = {
    "faces": optional(
        object_of("auxformer_lobes.processing.faces.tracker.FaceTracker")
    ),
    "frames_per_second": optional(number(0.1, 240)),
}
