"""Tasks as plain data, and back."""

import json

from auxformer_lobes.tasks.categorical import CategoricalEmotion
from auxformer_lobes.tasks.dimensional import DimensionalEmotion
from auxformer_lobes.tasks.multilabel import MultiLabelEmotion
from auxformer_lobes.utils.errors import UserError
from auxformer_lobes.utils.schema import SHARE, arguments_of, number

KNOWN = {
    kind.__name__: kind
    for kind in (CategoricalEmotion, DimensionalEmotion, MultiLabelEmotion)
}
# Other values are of no training.
FITTED = {"temperature": number(1e-3, 1e3), "threshold": SHARE}


def describe_task(task):
    """A task as plain data, for `task_of`.

    Arguments
    ---------
    task : Task
        What is predicted.

    Returns
    -------
    dict
        Its `class`, and its arguments by name. Of a class of your own, which
        `task_of` does not make, the class alone, with its module.

    Example
    -------
    >>> describe_task(MultiLabelEmotion(["angry", "sad"]))
    {'class': 'MultiLabelEmotion', 'classes': ['angry', 'sad'], 'binary': False}
    """
    kind = type(task)
    if kind is not KNOWN.get(kind.__name__):
        return {"class": f"{kind.__module__}.{kind.__qualname__}"}
    # As in a file, where tuples are lists.
    arguments = json.loads(json.dumps(arguments_of(task)))
    return {"class": kind.__name__, **arguments}


def task_of(config, fitted=None):
    """Makes a task of `metrics.json` again; nothing else can come of it.

    Arguments
    ---------
    config : dict
        What `describe_task` returns.
    fitted : dict
        What was fitted for it, see `Task.settings`.

    Returns
    -------
    Task

    Raises
    ------
    UserError
        If the class is unknown, or an argument or a fitted value is invalid.

    Example
    -------
    >>> config = describe_task(MultiLabelEmotion(["angry", "sad"]))
    >>> task_of(config, {"threshold": 0.25}).decide([0.1, 0.3])
    ['sad']
    """
    arguments = dict(config) if isinstance(config, dict) else {}
    name = arguments.pop("class", None)
    kind = KNOWN.get(name) if isinstance(name, str) else None
    if kind is None:
        raise UserError(
            f"task: unknown class {name!r:.100}: choose {', '.join(KNOWN)}"
        )
    for argument, value in arguments.items():
        check = kind.schema.get(argument)
        if check is None or not check.accepts(value):
            valid = check.description if check else "one of its arguments"
            raise UserError(f"task: {name}: {argument!r:.100} is not {valid}")
    try:
        task = kind(**arguments)
    except TypeError as error:  # an argument is missing
        raise UserError(f"task: {error}")
    set_fitted(task, task.settings if fitted is None else fitted)
    return task


def set_fitted(task, fitted):
    """Sets what was fitted on the development set, and nothing else.

    Arguments
    ---------
    task : Task
        What is predicted.
    fitted : dict
        See `Task.settings`.

    Raises
    ------
    UserError
        If these are not its settings, or not valid.
    """
    if not isinstance(fitted, dict) or {*fitted} != {*task.settings}:
        raise UserError("fitted: not of this task")
    for name, value in fitted.items():
        check = FITTED.get(name, number(0, 1e6))
        if not check.accepts(value):
            raise UserError(f"fitted: {name} is not {check.description}")
        setattr(task, name, value)
