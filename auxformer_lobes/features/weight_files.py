"""Files of weights, looked at before anything of them is in memory."""

import zipfile
from pathlib import Path

from auxformer_lobes.utils.errors import UserError
from auxformer_lobes.utils.hub import check_pointer

# Bytes of the list of tensors at the start of a safetensors file: 8,000 of
# them; the largest encoders have 600. Each costs a kilobyte once it is loaded.
MAX_HEADER = 1 << 20
# Tensors may share memory, but not much: as often as twice.
MAX_EXPANSION = 2


def check_weight_file(path):
    """Refuses a file of weights that would be larger in memory than on disk.

    Arguments
    ---------
    path : str or Path
        A safetensors file, or one that `torch.save` has written.

    Raises
    ------
    UserError
        If it is a pointer of Git LFS in place of the file, its list of tensors
        is endless, or it is compressed, as `torch.save` never does.

    Example
    -------
    >>> path = getfixture("tmp_path") / "bomb.pt"
    >>> with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
    ...     file.writestr("bomb/data.pkl", bytes(10**6))
    >>> check_weight_file(path)
    Traceback (most recent call last):
    auxformer_lobes.utils.errors.UserError: ...: its content is larger than ...
    """
    check_pointer(path)
    if Path(path).suffix == ".safetensors":
        _check_header(path)
    elif zipfile.is_zipfile(path):
        try:
            with zipfile.ZipFile(path) as file:
                size = sum(part.file_size for part in file.infolist())
        except (NotImplementedError, OSError, ValueError, zipfile.BadZipFile):
            raise UserError(f"{path}: damaged: copy or download it again")
        if size > Path(path).stat().st_size:
            raise UserError(
                f"{path}: its content is larger than the file, {size} bytes: "
                "not written by torch.save: refused"
            )


def check_tensors(path, tensors):
    """Refuses tensors that are much larger than the file they are from.

    A few numbers can be a tensor of any shape, if its strides are 0.

    Arguments
    ---------
    path : str or Path
        The file.
    tensors : iterable of torch.Tensor
        All of its tensors.

    Raises
    ------
    UserError
        If they are.
    """
    size = sum(tensor.numel() * tensor.element_size() for tensor in tensors)
    if size > MAX_EXPANSION * Path(path).stat().st_size:
        raise UserError(
            f"{path}: its tensors have {size} bytes, more than the file: "
            "refused"
        )


def _check_header(path):
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
    if length > MAX_HEADER:
        raise UserError(
            f"{path}: not safetensors, or damaged: a header of {length} "
            "bytes: copy or download it again"
        )
