"""A Hugging Face Space that runs the page of `auxformer web`."""

import platform
from importlib import metadata
from pathlib import Path

import huggingface_hub
from jinja2 import Environment, StrictUndefined

from auxformer_lobes.sharing import hub, layout
from auxformer_lobes.sharing.model_card import TAGS
from auxformer_lobes.utils.errors import UserError

PACKAGE = Path(__file__).parents[1]
CODE = (".css", ".j2", ".js", ".md", ".py")
TEMPLATE = Path(__file__).with_name("space.md")
MODEL = "model"  # folder
APP = f'''\
"""Emotion over time in a video or audio file."""

from pathlib import Path

from auxformer_lobes.web.analysis import Limits
from auxformer_lobes.web.page import run

run(Path(__file__).with_name("{MODEL}"), Limits(megabytes=100, seconds=120))
'''


def push_space(folder, repo_id, private=True, update=False, dry_run=False):
    """Puts a Space on the Hub, with an exported model and all that runs it.

    The Space has the package as it is here, whether or not this version has
    been released.

    Arguments
    ---------
    folder : str or Path
        What `export` has written; other files in it stay here.
    repo_id : str
        Name of the Space, "user/name".
    private : bool
        Whether others cannot see it; one that is there stays as it is.
    update : bool
        Whether it may be there already, as an older version.
    dry_run : bool
        Whether nothing is sent.

    Returns
    -------
    url : str
        Where the Space is now; None in a dry run.
    files : list of tuple
        Name and size in bytes of each file.

    Raises
    ------
    UserError
        If the folder is not whole, Gradio is not installed, or the Hub
        refuses.
    """
    folder = Path(folder)
    names = hub.check_folder(folder)
    contents = {
        "README.md": _card(folder, repo_id).encode(),
        "app.py": APP.encode(),
        "requirements.txt": "\n".join([*_requirements(), ""]).encode(),
        **{f"{MODEL}/{name}": folder / name for name in names},
        **_package(),
    }
    return hub.upload(contents, repo_id, private, update, dry_run, "gradio")


def _card(folder, repo_id):
    """`README.md`: settings of the Space, and text."""
    config = layout.ModelFolder(folder).config()
    card = huggingface_hub.ModelCard((folder / layout.CARD).read_text("utf-8"))
    encoders = (of.get("hub") for of in config["features"].values())
    data = huggingface_hub.SpaceCardData(
        title=repo_id.rpartition("/")[2],
        emoji="🎭",
        colorFrom="blue",
        colorTo="green",
        sdk="gradio",
        sdk_version=_gradio_version(),
        python_version=".".join(platform.python_version_tuple()[:2]),
        app_file="app.py",
        license=card.data.license,
        short_description="Emotion over time in a video or audio file",
        models=[name.partition("@")[0] for name in encoders if name] or None,
        tags=TAGS,
    )
    template = Environment(
        keep_trailing_newline=True, undefined=StrictUndefined
    ).from_string(TEMPLATE.read_text("utf-8"))
    return template.render(
        metadata=data.to_yaml(),
        title=data.title,
        outputs=", ".join(config["labels"]),
    )


def _gradio_version():
    try:
        return metadata.version("gradio")
    except metadata.PackageNotFoundError:
        raise UserError("--space needs Gradio: pip install 'gradio>=6'")


def _requirements():
    """What the package needs; Gradio comes with the Space."""
    needed = metadata.requires("auxformer-lobes")
    return [name for name in needed if "extra ==" not in name]


def _package():
    """The files of the package."""
    return {
        f"{PACKAGE.name}/{path.relative_to(PACKAGE).as_posix()}": path
        for path in sorted(PACKAGE.rglob("*"))
        if path.suffix in CODE
    }
