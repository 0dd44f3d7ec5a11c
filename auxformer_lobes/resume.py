"""A run goes on only with what it was started with."""

import hashlib
import json
import os
from pathlib import Path

from auxformer_lobes.errors import UserError
from auxformer_lobes.files import whole_file
from auxformer_lobes.models.trained_encoder import TrainedEncoder

FILE = "trained_on.json"


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
        If the folder has checkpoints of other clips, labels or features, or
        of a network of other dimensions or pretrained encoders.
    """
    shapes = {
        name: list(weight.shape) for name, weight in model.state_dict().items()
    }
    encoders = [
        module.features.settings
        for module in model.modules()
        if isinstance(module, TrainedEncoder)
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
        with whole_file(path) as file:
            json.dump(now, file, indent=1)


def _digest(path):
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()
