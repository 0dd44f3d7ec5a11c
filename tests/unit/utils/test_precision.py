"""Float32 is float32."""

import torch

from auxformer_lobes.utils.precision import without_tf32


def test_float32_is_without_tf32_for_a_while():
    precision = torch.get_float32_matmul_precision()
    try:
        for allowed in ("high", "medium"):
            torch.set_float32_matmul_precision(allowed)
            with without_tf32():
                assert torch.get_float32_matmul_precision() == "highest"
                assert not torch.backends.cuda.matmul.allow_tf32
                assert not torch.backends.cudnn.allow_tf32
            assert torch.get_float32_matmul_precision() == allowed
            assert torch.backends.cudnn.allow_tf32
    finally:
        torch.set_float32_matmul_precision(precision)
