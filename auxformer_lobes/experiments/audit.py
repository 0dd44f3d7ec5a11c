"""A run is trained only on a split that does not leak."""

import hashlib
import json
from pathlib import Path

from speechbrain.utils.logger import get_logger

from auxformer_lobes.dataio.manifests import read_manifest
from auxformer_lobes.dataio.split_audit import audit_split
from auxformer_lobes.reporting.audit import summarize_audit
from auxformer_lobes.tasks import CategoricalEmotion
from auxformer_lobes.utils.errors import UserError
from auxformer_lobes.utils.files import atomic_write

logger = get_logger(__name__)


def audit_run(run, manifests, hparams):
    """Audits the split of a run, and writes `audit.json`.

    A run that is resumed with the same manifests is not audited again.

    Arguments
    ---------
    run : Run
        The run.
    manifests : dict
        Split -> path of its JSON manifest.
    hparams : dict
        The hyperparameters of the recipe: `data_folder`, `task`, and
        `allow_leaks`, whether it is trained in spite of errors.

    Raises
    ------
    UserError
        If the audit has errors that are not allowed.
    """
    allow_leaks = hparams["allow_leaks"]
    classes = ()  # clips without a top class have labels too
    if isinstance(hparams["task"], CategoricalEmotion):
        classes = hparams["task"].names
    digest = hashlib.sha256(repr(tuple(classes)).encode())
    for path in manifests.values():
        digest.update(Path(path).read_bytes())
    audit = _read_audit(run, digest.hexdigest())
    if audit is None:
        contents = {s: read_manifest(path) for s, path in manifests.items()}
        made = audit_split(contents, hparams["data_folder"], classes)
        audit = {**made.as_dict(), "digest": digest.hexdigest()}
    if audit.get("allow_leaks") != allow_leaks:
        with atomic_write(run.audit_file) as file:
            json.dump({**audit, "allow_leaks": allow_leaks}, file, indent=1)
    findings = audit["findings"]
    for found in findings:
        level = logger.info if found["level"] == "note" else logger.warning
        level(f"audit, {found['level']}: {found['text']}")
    logger.info(f"audit: {summarize_audit(findings)}, see {run.audit_file}")
    errors = [found for found in findings if found["level"] == "error"]
    if errors and not allow_leaks:
        more = f" (and {len(errors) - 1} more)" if errors[1:] else ""
        raise UserError(
            f"audit of the split: {errors[0]['text']}{more}, see "
            f"{run.audit_file}: choose another split, or train in spite of it "
            "with allow_leaks: True"
        )


def _read_audit(run, digest):
    """An earlier audit of the same manifests, or None."""
    try:
        audit = json.loads(run.audit_file.read_text("utf-8"))
        return audit if audit["digest"] == digest else None
    except (OSError, LookupError, TypeError, ValueError):
        return None
