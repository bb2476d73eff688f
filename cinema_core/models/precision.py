"""Which number formats a processor is quick at."""

from __future__ import annotations

import torch


def multiplies_bfloat16(device: torch.device) -> bool:
    """Whether the processor multiplies bfloat16 itself; where it is emulated, float32 is faster."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    # torch has no public question for this in all the releases that we take.
    quick = (torch.cpu._is_avx512_bf16_supported(), torch.cpu._is_amx_tile_supported())
    return device.type == "cpu" and any(quick)
