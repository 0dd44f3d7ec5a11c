"""Draws speakers into folds, so that a test speaker is never in training."""

import warnings

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold
from speechbrain.utils.logger import get_logger

from auxformer_lobes.dataio.split_files import choose_held_out
from auxformer_lobes.dataio.split_names import SPLIT_NAMES
from auxformer_lobes.utils.errors import UserError
from auxformer_lobes.utils.schema import shown

logger = get_logger(__name__)


def split_by_column(table, clips, entries):
    """Splits the clips by the column `split`.

    Where it has no development set, training speakers are held out for it, see
    `choose_held_out`.

    Arguments
    ---------
    table : ClipTable
        With a column `split`.
    clips : dict
        Clip -> `Clip`.
    entries : dict
        Clip -> manifest fields, of those to split.

    Returns
    -------
    splits : dict
        Clip -> "train", "valid" or "test"; not of those whose cell is empty.
    held_out : list
        Speakers that were held out.

    Raises
    ------
    UserError
        If a split is unknown, or no speaker can be held out.
    """
    splits = {}
    for clip in entries:
        row = clips[clip].row
        name = row.cells["split"].lower()
        if name and name not in SPLIT_NAMES:
            raise table.error(
                row,
                "split",
                f"{shown(name)} is unknown: use train, valid or test",
            )
        if name:
            splits[clip] = SPLIT_NAMES[name]
    held_out = []
    if "valid" not in splits.values():
        training = {c: entries[c] for c in splits if splits[c] == "train"}
        held_out = choose_held_out(f"{table.path}", training, "spk_id")
        for clip, entry in training.items():
            if entry["spk_id"] in held_out:
                splits[clip] = "valid"
    return splits, held_out


def split_by_folds(path, entries, num_folds, fold, seed):
    """Draws the speakers into folds with similar shares of the labels.

    One fold is the test set, the next one the development set; all others
    train. Greedy stratification by scikit-learn's `StratifiedGroupKFold`.

    Arguments
    ---------
    path : Path
        The table, for errors.
    entries : dict
        Clip -> manifest fields.
    num_folds : int
        Number of folds; at most one a speaker.
    fold : int
        Which of them is the test set, from 1.
    seed : int
        Of the draw.

    Returns
    -------
    dict
        Clip -> "train", "valid" or "test".

    Raises
    ------
    UserError
        If there are fewer than three speakers, or no such fold.

    Example
    -------
    >>> entries = {
    ...     f"{speaker}_{emotion}": {"spk_id": speaker, "emotion": emotion}
    ...     for speaker in ("anna", "ben", "eva")
    ...     for emotion in ("happy", "sad")
    ... }
    >>> sorted({*split_by_folds("clips.csv", entries, 3, 1, 0).values()})
    ['test', 'train', 'valid']
    """
    speakers = [entry["spk_id"] for entry in entries.values()]
    count = len({*speakers})
    if count < 3:
        raise UserError(
            f"{path}: has {count} speaker{'s' * (count != 1)} with labels: "
            "training, development and test need three; or add a column split, "
            "and --allow_leaks True: figures are then too good"
        )
    if not isinstance(num_folds, int) or num_folds < 3:
        raise UserError(f"num_folds: {num_folds}: choose 3 or more")
    if count < num_folds:
        logger.warning(
            f"{path}: {count} speakers: {count} folds in place of {num_folds}"
        )
        num_folds = count
    if fold not in range(1, num_folds + 1):
        raise UserError(f"fold: {fold}: choose 1 to {num_folds}")
    folds = StratifiedGroupKFold(num_folds, shuffle=True, random_state=seed)
    strata = _strata(entries.values(), num_folds)
    with warnings.catch_warnings():
        # Of classes with fewer clips than folds: as far as possible.
        warnings.simplefilter("ignore", UserWarning)
        parts = folds.split(np.zeros(len(strata)), strata, speakers)
        fold_of = np.empty(len(strata), dtype=int)
        for number, (_, members) in enumerate(parts, 1):
            fold_of[members] = number
    names = {fold: "test", fold % num_folds + 1: "valid"}
    return {
        clip: names.get(int(number), "train")
        for clip, number in zip(entries, fold_of)
    }


def _strata(entries, num_folds):
    """The class of each clip, or the third of its first attribute."""
    entries = [*entries]
    if all(entry["emotion"] is None for entry in entries):
        # Each has one at least.
        values = [
            next(x for x in entry["attributes"].values() if x is not None)
            for entry in entries
        ]
        strata = np.digitize(values, np.quantile(values, [1 / 3, 2 / 3]))
    else:
        strata = np.array([entry["emotion"] or "" for entry in entries])
    # It refuses labels all of which are rarer than folds.
    if np.unique(strata, return_counts=True)[1].max() < num_folds:
        return np.zeros(len(strata), dtype=int)
    return strata
