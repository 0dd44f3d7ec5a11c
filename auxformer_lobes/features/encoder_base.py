"""Base class of extractors with a pretrained encoder: precision and batches."""

import logging
from copy import copy
from functools import cached_property

import torch
from torch.nn.utils import parametrize

from auxformer_lobes.features.base import Extractor
from auxformer_lobes.utils.devices import check_device
from auxformer_lobes.utils.errors import UserError
from auxformer_lobes.utils.precision import without_tf32
from auxformer_lobes.utils.schema import one_of, optional

logger = logging.getLogger(__name__)

PRECISIONS = ("float32", "float16", "bfloat16")
PRECISION = optional(one_of(*PRECISIONS))
VOLTA, AMPERE = 7, 8  # the first to multiply float16, and bfloat16, fast


class EncoderFeatures(Extractor):
    """Features that an encoder computes on the device.

    A subclass implements `load`, `forward`, `limit_batches`, and
    `encode_with_grad`, which calls `run`.

    With a half precision, the weights and everything in the encoder but sums,
    means and softmax have it. The features of a clip then differ from those in
    float32, relative to their norm, by 0.2 % in float16 and by 1.2 to 1.6 % in
    bfloat16 (random weights of real size; VideoMAE: 0.04 and 0.4 %). GPUs are
    equally fast at both.

    In two cases float32 takes the place of a half precision, from which it
    differs no more than that: for clips with values beyond the range of float16
    (65504), and on devices that are not faster at it. Ordinary CPUs take ten
    times as long for the same in float16. A model trained on features from a
    GPU can so be used on a CPU.

    Arguments
    ---------
    dim : int
        Feature channels.
    device : str
        Device of the encoder; by default a GPU if there is one.
    precision : str
        "float32" (on a GPU without TF32), "float16" or "bfloat16"; by default
        float16 on a GPU that is fast at it, otherwise float32. Part of the
        `settings`, so another precision is another store. Name it where
        machines with and without a GPU share stores or runs.
    **settings
        Further options that change the features.

    Raises
    ------
    UserError
        If the precision is unknown, or there is no such device.

    Example
    -------
    >>> class Mean(EncoderFeatures):
    ...     def load(self):
    ...         return torch.nn.Linear(100, 1)
    >>> Mean(dim=1, device="cpu").settings
    {'class': 'Mean'}
    >>> Mean(dim=1, device="cpu", precision="float16").settings
    {'class': 'Mean', 'precision': 'float16'}
    """

    def __init__(self, dim, device=None, precision=None, **settings):
        if device is None:
            device = "cuda" if torch.cuda.is_available() else "cpu"
        else:
            check_device(device)
        self.device = device
        if precision is None:
            fast = _is_cuda(self.device) and is_fast(torch.float16, self.device)
            precision = "float16" if fast else "float32"
        if precision not in PRECISIONS:
            raise UserError(
                f"precision must be {', '.join(PRECISIONS)} or null, not "
                f"{precision}"
            )
        # Left out where it is float32, as in stores from before the option.
        if precision != "float32":
            settings["precision"] = precision
        super().__init__(dim, **settings)

    def __getstate__(self):
        """Excludes the encoder: workers only read."""
        loaded = ("encoder", "_in_float32")
        return {k: v for k, v in vars(self).items() if k not in loaded}

    @property
    def precision(self):
        """The precision by which a store is found."""
        return self.settings.get("precision", "float32")

    @property
    def encoder_dtype(self):
        """The dtype of the encoder on its device."""
        dtype = getattr(torch, self.precision)
        return dtype if is_fast(dtype, self.device) else torch.float32

    @cached_property
    def encoder(self):
        """The encoder on the device, loaded at first use.

        Most runs find their features in the store and never load it.
        """
        encoder = self.load().eval()
        if self.encoder_dtype != torch.float32:
            # Weight norms are applied once, in float32.
            for module in encoder.modules():
                if parametrize.is_parametrized(module):
                    for name in [*module.parametrizations]:
                        parametrize.remove_parametrizations(module, name)
        # What prepares the inputs around a model stays in float32.
        getattr(encoder, "model", encoder).to(self.encoder_dtype)
        return encoder.to(self.device)

    def load(self):
        """Loads the encoder.

        Returns
        -------
        torch.nn.Module
            On the CPU, in float32.
        """
        raise NotImplementedError

    def forward(self, batch):
        """Encodes one batch.

        Arguments
        ---------
        batch : list of torch.Tensor
            Inputs of the encoder.

        Returns
        -------
        torch.Tensor
            `[batch, ...]`, on the device.
        """
        raise NotImplementedError

    def limit_batches(self, batch):
        """Makes later batches no larger than one.

        Arguments
        ---------
        batch : list of torch.Tensor
            Inputs of the encoder.
        """
        raise NotImplementedError

    def run(self, batches, to_cpu):
        """Encodes batches; a GPU computes one while the next is sent.

        A batch for which a GPU lacks memory is halved, and so are those after
        it.

        Arguments
        ---------
        batches : iterable of list of torch.Tensor
            Inputs of the encoder.
        to_cpu : bool
            Whether the outputs are sent to the CPU.

        Returns
        -------
        list of torch.Tensor
            Outputs of `forward`.

        Raises
        ------
        torch.OutOfMemoryError
            If one input alone is too large, or gradients are computed: halves
            would save no memory then.
        """
        outputs = [
            output for batch in batches for output in self._run(batch, to_cpu)
        ]
        if to_cpu and _is_cuda(self.device):
            # Once: waiting for each batch would leave the GPU idle.
            torch.cuda.current_stream(self.device).synchronize()
        return outputs

    def _run(self, batch, to_cpu):
        try:
            output = self.forward(batch)
            if to_cpu:
                output = output.to("cpu", non_blocking=_is_cuda(self.device))
            return [output]
        except torch.OutOfMemoryError:
            if len(batch) == 1 or torch.is_grad_enabled():
                raise
        # Not in the `except` clause: the error keeps what was computed so far.
        half = len(batch) // 2
        self.limit_batches(batch[half:])
        halves = batch[:half], batch[half:]
        return [x for each in halves for x in self._run(each, to_cpu)]

    def encode(self, data):
        """Encodes some clips, see `Extractor.encode`."""
        with torch.no_grad(), without_tf32():
            features = self.encode_with_grad(data, to_cpu=True)
        if self.encoder_dtype == torch.float16:
            finite = [bool(x.isfinite().all()) for x in features]
            others = [x for x, is_finite in zip(data, finite) if not is_finite]
            again = iter(self._in_float32.encode(others) if others else ())
            features = [
                x if ok else next(again) for x, ok in zip(features, finite)
            ]
        return [x.float() for x in features]

    @cached_property
    def _in_float32(self):
        logger.warning(
            f"{self.settings['class']}: values beyond the range of float16: "
            "such clips are encoded in float32; if they are many, precision: "
            "bfloat16 is faster"
        )
        other = copy(self)  # without the encoder
        other.settings = {**self.settings, "precision": "float32"}
        return other

    def encode_with_grad(self, data, to_cpu=False):
        """Encodes some clips, with gradients where parameters require them.

        Arguments
        ---------
        data : list of torch.Tensor
            `ClipInput.data` of each clip.
        to_cpu : bool
            Whether the features are sent to the CPU, or stay on the device.

        Returns
        -------
        list of torch.Tensor
            Features of each clip, `[time, dim]`.
        """
        raise NotImplementedError

    def to_device(self, x):
        """Sends a tensor to the device, without waiting for a GPU."""
        if not _is_cuda(self.device):
            return x.to(self.device)
        x = x if x.is_cuda else x.pin_memory()
        return x.to(self.device, non_blocking=True)


def is_fast(dtype, device):
    """Whether a device computes in a dtype at least as fast as in float32.

    Arguments
    ---------
    dtype : torch.dtype
        float32, float16 or bfloat16.
    device : str or torch.device
        A CUDA GPU must be there.

    Returns
    -------
    bool

    Example
    -------
    >>> is_fast(torch.float32, "cpu"), is_fast(torch.float16, "cpu")
    (True, False)
    """
    kind = torch.device(device).type
    if kind == "cuda" and dtype != torch.float32:
        major, _ = torch.cuda.get_device_capability(device)
        return major >= (VOLTA if dtype == torch.float16 else AMPERE)
    if kind == "cpu" and dtype == torch.bfloat16:
        # Recent Xeons. AVX-512 alone is three times slower than in float32.
        capabilities = getattr(torch.cpu, "get_capabilities", dict)()
        return capabilities.get("amx_bf16", False)
    return dtype == torch.float32


def _is_cuda(device):
    return torch.device(device).type == "cuda"
