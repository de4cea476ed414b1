"""Whether the fit's softmax over all items is the plain one, on the device where it runs.

Letters: T targets, D width, N items.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from penchant.training.journeys.losses import full_softmax_loss


def softmax_checks(device: str) -> Iterator[dict[str, Any]]:
    """How near the fit's softmax over all items comes to the plain one in double precision.

    Relative differences of the loss and of both gradients, in FP32 and, on a GPU, in bfloat16.
    """
    torch.manual_seed(0)
    query, table = torch.randn(500, 64), torch.randn(2_000, 64)
    target, weight = torch.randint(0, 2_000, (500,)), torch.rand(500)
    exact = [each.double().requires_grad_() for each in (query, table)]
    plain = functional.cross_entropy(exact[0] @ exact[1].t(), target, reduction="none")
    wanted = _with_gradients((plain * weight.double()).sum(), exact)
    for kind in (torch.float32, torch.bfloat16) if device == "cuda" else (torch.float32,):
        ours = [each.to(device).requires_grad_() for each in (query, table)]
        queries, items = ours
        with torch.autocast(device, dtype=torch.bfloat16, enabled=kind is torch.bfloat16):
            loss = full_softmax_loss(queries, items, target.to(device), weight.to(device))
        pairs = zip(_with_gradients(loss, ours), wanted, strict=True)
        apart = [float((one.cpu().double() - other).norm() / other.norm()) for one, other in pairs]
        names = ("loss", "gradient of queries", "gradient of items")
        yield {"device": device, "softmax in": str(kind)} | dict(zip(names, apart, strict=True))


def _with_gradients(loss: Tensor, inputs: Sequence[Tensor]) -> list[Tensor]:
    return [loss.detach(), *torch.autograd.grad(loss, inputs)]
