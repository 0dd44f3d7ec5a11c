"""A run goes on only with what it was started with."""

import hashlib
import json
import os
from contextlib import contextmanager
from pathlib import Path

from speechbrain.utils.distributed import if_main_process, run_on_main

from auxformer_lobes.dataio.manifests import REPORT
from auxformer_lobes.experiments.recipe import manifests_of, stores_of
from auxformer_lobes.features.finetuned import FineTunedEncoder
from auxformer_lobes.utils.errors import UserError
from auxformer_lobes.utils.files import atomic_write

FILE = "trained_on.json"


@contextmanager
def run_folder(hparams):
    """Has a run's folder filled, and makes sure that it is of the same run.

    Hyperparameters and manifests are written inside of this; where they turn
    out to be of another run than the checkpoints, all is as it was before.

    Arguments
    ---------
    hparams : dict
        The hyperparameters of the recipe.

    Raises
    ------
    UserError
        If the folder has another run, or there are no manifests.
    """
    folder = Path(hparams["output_folder"])
    manifests = manifests_of(hparams)
    files = [folder / "hyperparams.yaml", folder / REPORT]
    files += map(Path, manifests.values())
    before = {}
    if if_main_process():
        before = {path: path.read_bytes() for path in files if path.exists()}
    try:
        yield
        run_on_main(
            check_same_run,
            args=[
                hparams["checkpointer"].checkpoints_dir,
                manifests,
                stores_of(hparams),
                hparams["model"],
            ],
        )
    except BaseException:
        _write(before)
        raise
    if if_main_process():
        # A folder that is complete, wherever the user's own manifests lie.
        own = {folder / f"{s}.json": Path(p) for s, p in manifests.items()}
        _write(
            {
                path: source.read_bytes()
                for path, source in own.items()
                if path.resolve() != source.resolve()
            }
        )


def check_same_run(folder, manifests, stores, model):
    """Makes sure that a checkpoint is not trained, or tested, on other data.

    A run that was finished on one partition would else be tested on another
    one, of which it knows the speakers.

    Arguments
    ---------
    folder : str
        Folder of the checkpoints; what they are trained on is noted there.
    manifests : dict
        Split -> path of its JSON manifest.
    stores : dict
        Modality -> `FeatureStore`.
    model : torch.nn.Module
        What is trained.

    Raises
    ------
    UserError
        If a manifest is missing, or the folder has checkpoints of other
        clips, labels or features, or of a network of other dimensions or
        pretrained encoders.
    """
    shapes = {
        name: list(weight.shape) for name, weight in model.state_dict().items()
    }
    encoders = [
        module.features.settings
        for module in model.modules()
        if isinstance(module, FineTunedEncoder)
    ]
    network = json.dumps([shapes, encoders])
    now = {
        **{split: _digest(path) for split, path in manifests.items()},
        **{modality: store.path.stem for modality, store in stores.items()},
        "network": hashlib.sha256(network.encode()).hexdigest(),
    }
    path = os.path.join(folder, FILE)
    if os.path.exists(path) and list(Path(folder).glob("CKPT+*")):
        with open(path, encoding="utf-8") as file:
            before = json.load(file)
        changed = [name for name in now if now[name] != before.get(name)]
        if changed:
            raise UserError(
                f"{folder}: holds a run with other data or another network "
                f"(changed: {', '.join(changed)}): name another "
                "output_folder, or delete this one"
            )
    else:
        os.makedirs(folder, exist_ok=True)
        with atomic_write(path) as file:
            json.dump(now, file, indent=1)


def _write(files):
    """Gives files their contents, each at once."""
    for path, content in files.items():
        with atomic_write(path, "wb") as file:
            file.write(content)


def _digest(path):
    try:
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}: run without skip_prep")
