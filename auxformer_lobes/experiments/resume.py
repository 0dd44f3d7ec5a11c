"""A run is resumed only with the data and the network it was started with."""

import hashlib
import json
from contextlib import contextmanager
from pathlib import Path

from speechbrain.utils.distributed import if_main_process, run_on_main

from auxformer_lobes.dataio.run import Run
from auxformer_lobes.experiments.audit import audit_run
from auxformer_lobes.experiments.recipe import manifests_of, stores_of
from auxformer_lobes.features.finetuned import FineTunedEncoder
from auxformer_lobes.utils.errors import UserError
from auxformer_lobes.utils.files import atomic_write, one_line_os_errors


@contextmanager
def prepared_run(hparams):
    """Fills the run folder inside of a `with`, unless it holds another run.

    Hyperparameters and manifests are written inside of it; where they turn
    out to differ from those of the checkpoints, the folder is restored. The
    split is audited then.

    Arguments
    ---------
    hparams : dict
        The hyperparameters of the recipe.

    Raises
    ------
    UserError
        If the folder holds another run, manifests are missing, or the split
        leaks.
    """
    run = Run(hparams["output_folder"])
    manifests = manifests_of(hparams)
    files = [run.hyperparams, run.prepare_report]
    files += map(Path, manifests.values())
    before = {}
    with one_line_os_errors(run.folder):
        if if_main_process():
            before = {p: p.read_bytes() for p in files if p.exists()}
        with _restored(before):
            yield
            run_on_main(
                check_same_run,
                args=[
                    run,
                    manifests,
                    stores_of(hparams),
                    hparams["model"],
                    hparams["shared_loss"],
                ],
            )
        if if_main_process():
            # The folder is complete, wherever the user's own manifests are.
            own = {run.manifest(s): Path(p) for s, p in manifests.items()}
            _write(
                {
                    path: source.read_bytes()
                    for path, source in own.items()
                    if path.resolve() != source.resolve()
                }
            )
        run_on_main(audit_run, args=[run, manifests, hparams])


@contextmanager
def _restored(before):
    """Restores files if something is raised."""
    try:
        yield
    except BaseException:
        _write(before)
        raise


def check_same_run(run, manifests, stores, model, shared_loss):
    """Checks that a run is not resumed, or tested, on other data.

    A run that was finished on one partition would otherwise be tested on
    speakers it was trained on.

    Arguments
    ---------
    run : Run
        The run; digests of its data are written beside its checkpoints.
    manifests : dict
        Split -> path of its JSON manifest.
    stores : dict
        Modality -> `FeatureStore`.
    model : torch.nn.Module
        The modules that are trained.
    shared_loss : SharedLoss
        Their loss.

    Raises
    ------
    UserError
        If a manifest is missing, or the run has checkpoints of other clips,
        labels, features or encoders, of a network of other dimensions, or of
        a loss of another class.
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
        "shared_loss": type(shared_loss).__name__,
    }
    path = run.trained_on
    if path.exists() and any(run.checkpoints.glob("CKPT+*")):
        before = run.read_json(
            path,
            "put a copy in its place, name another output_folder or, if data "
            "and network are still those of the run, delete it",
        )
        changed = [name for name in now if now[name] != before.get(name)]
        if changed:
            raise UserError(
                f"{run.folder}: holds a run with other data or another network "
                f"(changed: {', '.join(changed)}): name another "
                "output_folder, or delete this one"
            )
        run.history()  # an error, now and not after the next epoch
    else:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as file:
            json.dump(now, file, indent=1)


def _write(files):
    """Writes each file atomically."""
    for path, content in files.items():
        with atomic_write(path, "wb") as file:
            file.write(content)


def _digest(path):
    try:
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}: run without skip_prep")
