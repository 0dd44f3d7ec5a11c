"""Predictions of a sweep over what is missing, by kind, modality and severity.

A forward pass is made of each loss of frames, of each modality wholly lost, and
of nothing lost. All else is put together from these: a curve starts with
nothing lost and ends with the modality wholly lost, and where clips lose a
modality whole, each clip has the prediction of what it has left.
"""

from dataclasses import dataclass
from typing import NamedTuple
from zipfile import BadZipFile

import numpy as np

from auxformer_lobes.augment.frame_loss import BOTH, FRAME_LOSSES, LostFrames
from auxformer_lobes.augment.missing import Condition
from auxformer_lobes.evaluation.pooled_metrics import CellScores
from auxformer_lobes.utils.modalities import MODALITIES

ALL = "all"
WHOLE = "whole"
FRAME_SEVERITIES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
# Of each kind of loss.
SEVERITIES = {
    WHOLE: tuple(i / 10 for i in range(11)),
    **{kind.kind: FRAME_SEVERITIES for kind in FRAME_LOSSES},
}


class Loss(NamedTuple):
    """What is lost.

    Arguments
    ---------
    kind : str
        A key of `SEVERITIES`; of a forward pass also `ALL`, where all frames of
        all clips are lost, or none.
    modality : str
        "audio", "visual" or "both".
    severity : float
        0 to 1.
    draw : int
        Seed of what is drawn; 0 where nothing is.
    """

    kind: str
    modality: str
    severity: float
    draw: int


NOTHING = Loss(ALL, BOTH, 0.0, 0)


def lost_modalities(modalities):
    """What may be lost of a network's modalities.

    Arguments
    ---------
    modalities : sequence of str
        Those that it reads.

    Returns
    -------
    tuple of str

    Example
    -------
    >>> lost_modalities(["audio", "visual"]), lost_modalities(["audio"])
    (('audio', 'visual', 'both'), ('audio',))
    """
    return (*modalities, BOTH)[: 3 if len(modalities) > 1 else 1]


def plan_passes(modalities, draws, kinds=FRAME_LOSSES):
    """The forward passes of a sweep.

    Arguments
    ---------
    modalities : sequence of str
        Those that the network reads.
    draws : int
        How often each loss of frames is drawn.
    kinds : sequence of type
        The kinds of loss of frames.

    Returns
    -------
    dict of Condition
        Loss → its condition.

    Example
    -------
    >>> len(plan_passes(["audio"], 3)), len(plan_passes(["audio", "visual"], 3))
    (38, 112)
    """
    passes = {NOTHING: LostFrames(0.0)}
    for modality in lost_modalities(modalities):
        passes[Loss(ALL, modality, 1.0, 0)] = LostFrames(1.0, modality)
        for kind in kinds:
            for severity in FRAME_SEVERITIES[1:-1]:
                for draw in range(draws):
                    loss = Loss(kind.kind, modality, severity, draw)
                    passes[loss] = kind(severity, modality, draw)
    return {loss: condition.eval() for loss, condition in passes.items()}


def lose_modalities(draws, present, modality, share):
    """Which clips lose a modality wholly.

    Arguments
    ---------
    draws : np.ndarray
        Two random numbers of each clip, `[clips, 2]`: which clips, and in
        "both" which of the two modalities.
    present : np.ndarray
        Whether each has (audio, visual), boolean `[clips, 2]`.
    modality : str
        "audio", "visual", or "both", where a clip loses one of the two, and a
        clip with a single modality keeps it.
    share : float
        Share of the clips, met exactly but for rounding. What a share loses, a
        higher one loses too.

    Returns
    -------
    np.ndarray
        What each loses, boolean `[clips, 2]`.

    Example
    -------
    >>> present = np.array([[True, True], [True, True], [False, True]])
    >>> draws = np.array([[0.1, 0.7], [0.8, 0.2], [0.5, 0.9]])
    >>> lose_modalities(draws, present, "both", 2 / 3).tolist()
    [[False, True], [False, False], [True, False]]
    """
    rank = draws[:, 0].argsort().argsort()
    chosen = rank < round(share * len(draws))
    if modality != BOTH:
        column = np.array([m == modality for m in MODALITIES])
    else:
        loses_audio = np.where(
            present.all(1), draws[:, 1] < 0.5, ~present[:, 0]
        )
        column = np.stack([loses_audio, ~loses_audio], 1)
    return chosen[:, None] & column


@dataclass
class Sweep:
    """Predictions for the test clips, by forward pass.

    Arguments
    ---------
    clips : list of str
        Clip names.
    speakers : list of str
        Speaker of each clip.
    truth : np.ndarray
        Label of each clip, `[clips, values]`, see `Task.labels`.
    present : np.ndarray
        Whether each has (audio, visual), boolean `[clips, 2]`.
    draws : int
        How often each loss was drawn.
    passes : list of Loss
        What was lost.
    measured : np.ndarray
        The share of frames that was lost, mean over clips, `[passes]`.
    outputs : dict of np.ndarray
        "combined", "late_fusion", heads → `[passes, clips, outputs]`.
    """

    clips: list
    speakers: list
    truth: np.ndarray
    present: np.ndarray
    draws: int
    passes: list
    measured: np.ndarray
    outputs: dict

    def __post_init__(self):
        self._place = {loss: i for i, loss in enumerate(self.passes)}
        self._drawn = {}

    @property
    def modalities(self):
        """What is lost: of "audio", "visual" and "both"."""
        return [loss.modality for loss in self.passes if loss.severity == 1]

    @property
    def kinds(self):
        """The kinds of loss, keys of `SEVERITIES`."""
        found = {loss.kind for loss in self.passes}
        return [kind for kind in SEVERITIES if kind in (WHOLE, *found)]

    def points(self, kind, modality):
        """The predictions along a curve.

        Arguments
        ---------
        kind : str
            One of `kinds`.
        modality : str
            One of `modalities`.

        Yields
        ------
        severity : float
            The severity.
        draw : int or None
            The draw; None where all draws are the same.
        measured : float
            The share of frames, or of clips, that was lost.
        outputs : dict of np.ndarray
            Head → `[clips, outputs]`.
        """
        for severity in SEVERITIES[kind]:
            # Which of the two a clip loses is drawn even if all lose one.
            drawn = 0 < severity < 1 or (
                (kind, modality, severity) == (WHOLE, BOTH, 1)
            )
            for draw in range(self.draws) if drawn else [None]:
                loss = Loss(kind, modality, severity, draw or 0)
                yield severity, draw, *self._predictions(loss)

    def _predictions(self, loss):
        places, measured = self._places(loss)
        clips = np.arange(len(self.clips))
        outputs = {
            # As precise as what a threshold was fitted to.
            head: rows[places, clips].astype(float)
            for head, rows in self.outputs.items()
        }
        return float(measured), outputs

    def _places(self, loss):
        """The pass, or that of each clip, and the share that is lost."""
        if loss.kind == WHOLE:
            draws = self._draw(loss.modality, loss.draw)
            lost = lose_modalities(draws, self.present, *loss[1:3])
            places = np.full(len(lost), self._place[NOTHING])
            for modality, column in zip(MODALITIES, lost.T):
                if column.any():
                    whole = Loss(ALL, modality, 1.0, 0)
                    places[column] = self._place[whole]
            return places, lost.any(1).mean()
        if loss.severity == 0:
            loss = NOTHING
        elif loss.severity == 1:
            loss = loss._replace(kind=ALL)
        place = self._place[loss]
        return place, self.measured[place]

    def _draw(self, modality, draw):
        if (modality, draw) not in self._drawn:
            source = Condition(WHOLE, draw).eval()
            self._drawn[modality, draw] = np.array(
                [source.rng(clip, modality).random(2) for clip in self.clips]
            )
        return self._drawn[modality, draw]

    def cells(self, task, kind, modality, partition="", seed=""):
        """The statistics of a curve of each head, for `measure_curve`.

        Arguments
        ---------
        task : Task
            What was predicted, with what was fitted.
        kind : str
            One of `kinds`.
        modality : str
            One of `modalities`.
        partition : str
            Partition of the cell.
        seed : str
            Seed of the cell.

        Returns
        -------
        dict of CellScores
            Head → its cell, with statistics `[clips, draws, severities, ...]`.
        """
        made = {head: {} for head in self.outputs}
        for severity, _, _, outputs in self.points(kind, modality):
            for head, rows in outputs.items():
                made[head].setdefault(severity, []).append(
                    task.sufficient_statistics(self.truth, rows)
                )
        cells = {}
        for head, columns in made.items():
            # What is not drawn is the same in each draw.
            columns = [(x * self.draws)[: self.draws] for x in columns.values()]
            statistics = np.stack([np.stack(x, 1) for x in columns], 2)
            cells[head] = self._scores(task, statistics, partition, seed)
        return cells

    def end(self, task, modality, partition="", seed=""):
        """The statistics where a modality is wholly lost, or nothing is.

        Arguments
        ---------
        task : Task
            What was predicted, with what was fitted.
        modality : str or None
            The modality that is lost in all clips; None: none is.
        partition : str
            Partition of the cell.
        seed : str
            Seed of the cell.

        Returns
        -------
        CellScores
            Of all heads combined, with statistics `[clips, ...]`.
        """
        loss = NOTHING if modality is None else Loss(ALL, modality, 1.0, 0)
        rows = self.outputs["combined"][self._place[loss]].astype(float)
        statistics = task.sufficient_statistics(self.truth, rows)
        return self._scores(task, statistics, partition, seed)

    def _scores(self, task, statistics, partition, seed):
        return CellScores(
            partition,
            seed,
            tuple(task.names),
            self.clips,
            self.speakers,
            self.truth,
            statistics,
        )

    def save(self, file):
        """Writes what comparisons need: heads combined, and late fusion.

        Arguments
        ---------
        file : file
            Open for bytes.
        """
        kept = [h for h in ("combined", "late_fusion") if h in self.outputs]
        np.savez_compressed(
            file,
            clips=np.array(self.clips),
            speakers=np.array(self.speakers),
            truth=self.truth,
            present=self.present,
            draws=self.draws,
            kinds=np.array([loss.kind for loss in self.passes]),
            modalities=np.array([loss.modality for loss in self.passes]),
            severities=np.array([loss.severity for loss in self.passes]),
            seeds=np.array([loss.draw for loss in self.passes]),
            measured=self.measured,
            **{f"outputs_{head}": self.outputs[head] for head in kept},
        )

    @classmethod
    def load(cls, path):
        """Reads what `save` wrote.

        Arguments
        ---------
        path : str or Path
            The file.

        Returns
        -------
        Sweep

        Raises
        ------
        OSError, ValueError
            If it cannot be read, or is none.
        """
        try:
            with np.load(path, allow_pickle=False) as file:
                data = {name: file[name] for name in file.files}
            columns = ("kinds", "modalities", "severities", "seeds")
            rows = zip(*(data[name].tolist() for name in columns))
            return cls(
                *(data[name].tolist() for name in ("clips", "speakers")),
                *(data[name] for name in ("truth", "present")),
                int(data["draws"]),
                [Loss(*row) for row in rows],
                data["measured"],
                {
                    name.removeprefix("outputs_"): rows
                    for name, rows in data.items()
                    if name.startswith("outputs_")
                },
            )
        except (BadZipFile, EOFError, LookupError, TypeError) as error:
            raise ValueError(f"damaged: {error}")
