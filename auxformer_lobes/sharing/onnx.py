"""The network of a model in ONNX: from features to logits and probabilities.

Norms, heads, their combination and what was fitted for the task are in it.
Feature encoders and face tracking are not.
"""

import json
import logging
import warnings
from contextlib import contextmanager
from importlib.util import find_spec

import numpy as np
import torch

from auxformer_lobes.models.base import combine_heads
from auxformer_lobes.sharing import layout
from auxformer_lobes.tasks import DimensionalEmotion
from auxformer_lobes.utils.errors import UserError
from auxformer_lobes.utils.modalities import MODALITIES

# 17 has layer normalisation, 18 is the one that the exporter writes without
# conversion; runtimes read it since 2023, those of browsers and phones too.
OPSET = 18
TOLERANCE = 1e-4  # between onnxruntime and torch
# A file of ONNX may have 2 GiB; this leaves room for the graph.
MAX_BYTES = 2**31 - 2**26
NOT_INCLUDED = (
    "feature encoders, voice and face detection, and tracking: compute the "
    "features as config.json describes, for example with auxformer-lobes"
)


class FeaturesToOutputs(torch.nn.Module):
    """What a recognizer computes from features, in one module.

    The length of a clip is that up to its last frame that is there, so that
    one lost at the end is padding; a modality without any is missing.

    Arguments
    ---------
    network : AudioVisualNetwork
        The network.
    norms : dict of torch.nn.Module
        Modality → its norm.
    task : Task
        What is predicted, with what was fitted.

    Example
    -------
    >>> from auxformer_lobes.models.baselines import AudioOnly
    >>> from auxformer_lobes.tasks import CategoricalEmotion
    >>> module = FeaturesToOutputs(
    ...     AudioOnly(audio_dim=4, visual_dim=3, num_classes=2),
    ...     {"audio": torch.nn.Identity()},
    ...     CategoricalEmotion(["angry", "happy"]),
    ... )
    >>> module.input_names, module.output_names
    (['audio', 'audio_mask'], ['probabilities', 'logits_audio'])
    >>> audio, mask = torch.rand(3, 9, 4), torch.ones(3, 9).bool()
    >>> [x.shape for x in module.eval()(audio, mask)]
    [torch.Size([3, 2]), torch.Size([3, 2])]
    """

    def __init__(self, network, norms, task):
        super().__init__()
        self.network = network
        self.norms = torch.nn.ModuleDict(
            {m: norms[m] for m in network.modalities}
        )
        self.task = task

    @classmethod
    def of(cls, hparams):
        """Takes its parts from those of a model.

        Arguments
        ---------
        hparams : dict
            Objects of a `hyperparams.yaml`.

        Returns
        -------
        FeaturesToOutputs
        """
        norms = {m: hparams[f"{m}_norm"] for m in hparams["network"].modalities}
        return cls(hparams["network"], norms, hparams["task"])

    @property
    def input_names(self):
        """Names of the inputs, in order."""
        return [f"{m}{x}" for m in self.norms for x in ("", "_mask")]

    @property
    def output_names(self):
        """Names of the outputs, in order."""
        is_value = isinstance(self.task, DimensionalEmotion)
        heads = [f"logits_{head}" for head in self.network.heads]
        return ["values" if is_value else "probabilities", *heads]

    def forward(self, *inputs):
        """Scores each class.

        Arguments
        ---------
        *inputs : torch.Tensor
            For each modality of the network, features `[batch, time,
            channels]` as its extractor computes them, and frames that are
            there, boolean `[batch, time]`. Others may hold anything.

        Returns
        -------
        tuple of torch.Tensor
            Combined and calibrated outputs, and logits by head, each `[batch,
            classes]`.
        """
        given = dict(zip(self.norms, zip(inputs[::2], inputs[1::2])))
        absent = inputs[1].new_zeros(inputs[1].shape[0])
        arguments, present = dict.fromkeys(MODALITIES), []
        for modality in MODALITIES:
            if modality not in given:
                present.append(absent)
                continue
            x, mask = given[modality]
            x = self.norms[modality](x.masked_fill(~mask.unsqueeze(-1), 0.0))
            places = torch.arange(1, x.shape[1] + 1, device=x.device)
            frames = (places * mask).amax(1)
            arguments[modality] = x
            arguments[f"{modality}_lens"] = frames / x.shape[1]
            arguments[f"{modality}_mask"] = mask
            present.append(mask.any(1))
        present = torch.stack(present, 1)
        logits = self.network(present=present, **arguments)
        combined = combine_heads(logits, self.network.head_mask(present))
        outputs = self.task.calibrate(self.task.outputs(combined))
        return outputs, *logits.values()

    def draw_inputs(self, batch, frames, seed=0):
        """Draws random inputs, with lost frames and padding.

        Arguments
        ---------
        batch : int
            Clips.
        frames : dict of int
            Modality → frames.
        seed : int
            The same inputs for the same seed.

        Returns
        -------
        list of torch.Tensor
            Arguments of `forward`.
        """
        numbers = torch.Generator().manual_seed(seed)
        inputs = []
        for modality in self.norms:
            shape = batch, frames[modality]
            dim = self.network.dims[modality]
            inputs.append(torch.randn(*shape, dim, generator=numbers))
            inputs.append(torch.rand(shape, generator=numbers) > 0.3)
        return inputs


def check_packages():
    """Checks that the packages of the extra `onnx` are there.

    Raises
    ------
    UserError
        If they are not.
    """
    for name in ("onnx", "onnxscript", "onnxruntime"):
        if find_spec(name) is None:
            raise UserError(
                f"--onnx needs {name}: pip install onnx onnxscript onnxruntime"
            )


def write_onnx(path, module, config):
    """Writes a network to an ONNX file, and compares it with torch.

    Arguments
    ---------
    path : Path
        The file; weights of more than 2 GB lie beside it.
    module : FeaturesToOutputs
        The network.
    config : dict
        Content of `config.json`; what a user of the file needs of it is in the
        metadata.

    Returns
    -------
    dict
        `opset`, `bytes`, and `max_difference`, the largest between
        onnxruntime and torch on random features.

    Raises
    ------
    UserError
        If a package is missing, or the network cannot be exported.
    """
    check_packages()
    import onnx
    import onnxruntime

    module.eval()
    frames = {"audio": 9, "visual": 14}
    dynamic = [
        {0: "batch", 1: f"{name.removesuffix('_mask')}_time"}
        for name in module.input_names
    ]
    try:
        with torch.no_grad(), _quiet():
            program = torch.onnx.export(
                module,
                tuple(module.draw_inputs(3, frames)),
                dynamo=True,
                opset_version=OPSET,
                input_names=module.input_names,
                output_names=module.output_names,
                dynamic_shapes=(tuple(dynamic),),
                verbose=False,
            )
    except torch.onnx.errors.OnnxExporterError as error:
        reason = " ".join(str(error.__cause__ or error).split())
        raise UserError(
            f"{type(module.network).__name__}: cannot be exported to ONNX: "
            f"{reason:.300}"
        )
    model = program.model
    _strip(model)
    model.metadata_props.update(describe_onnx(module, config))
    size = sum(x.nbytes for x in module.state_dict().values())
    program.save(str(path), external_data=size > MAX_BYTES)
    onnx.checker.check_model(str(path))
    session = onnxruntime.InferenceSession(
        str(path), providers=["CPUExecutionProvider"]
    )
    difference = max(
        compare(session, module, module.draw_inputs(*shape, seed))
        for seed, shape in enumerate(
            (
                (1, {"audio": 30, "visual": 20}),
                (4, {"audio": 1, "visual": 17}),
            )
        )
    )
    if not difference < TOLERANCE:
        raise UserError(
            f"{type(module.network).__name__}: outputs in ONNX differ from "
            f"those of torch by {difference:.1g}: it cannot be exported"
        )
    return {
        "opset": OPSET,
        "bytes": sum(
            x.stat().st_size
            for x in (path, path.with_name(f"{path.name}.data"))
            if x.exists()
        ),
        "max_difference": difference,
    }


def compare(session, module, inputs):
    """The largest difference between onnxruntime and torch.

    Arguments
    ---------
    session : onnxruntime.InferenceSession
        The exported file.
    module : FeaturesToOutputs
        What was exported.
    inputs : list of torch.Tensor
        Arguments of its `forward`.

    Returns
    -------
    float
    """
    with torch.no_grad():
        expected = module(*inputs)
    found = session.run(
        module.output_names,
        {name: x.numpy() for name, x in zip(module.input_names, inputs)},
    )
    return max(
        float(np.abs(x.numpy() - y).max()) for x, y in zip(expected, found)
    )


def describe_onnx(module, config):
    """Metadata of the file: what goes in and comes out, and what is not in it.

    Arguments
    ---------
    module : FeaturesToOutputs
        The network.
    config : dict
        Content of `config.json`.

    Returns
    -------
    dict of str
        `labels` (the order of outputs), `heads`, `features` and `fitted` are
        JSON.
    """
    features = {m: config["features"][m] for m in module.norms}
    return {
        "task": config["task"],
        "labels": json.dumps(config["labels"]),
        "heads": json.dumps(config["network"]["heads"]),
        "features": json.dumps(features),
        "fitted": json.dumps(config["fitted"]),
        "corpus": config["corpus"].get("name", ""),
        "not_included": NOT_INCLUDED,
        "licences": (
            "those of the encoders (features: licence, or the model card of "
            f"hub) and of the corpus apply too; see {layout.CARD}"
        ),
    }


def _strip(model):
    """Removes traces of the exporter, with paths of this machine."""
    for node in model.graph.all_nodes():
        node.metadata_props.clear()
        for value in node.outputs:
            value.metadata_props.clear()
    for value in (*model.graph.inputs, *model.graph.initializers.values()):
        value.metadata_props.clear()
    model.graph.metadata_props.clear()
    for function in model.functions.values():
        function.metadata_props.clear()


@contextmanager
def _quiet():
    """Without the exporter's remarks on packages that are not needed."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
