"""TopItems: the best items of a catalogue that may be answered, with their probabilities.

Letters: B visitors, N item codes, M of them in a part, K items answered, X items to leave out, A
categories to keep to, C category codes. Made of operators that TensorRT takes, with no shape that
depends on the data.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from penchant.training.journeys.catalogue import FIRST_CODE, NO_CODE
from penchant.training.journeys.code_parts import MASKED, CodePart, code_parts


class TopItems(nn.Module):
    """Masks scores, ranks what is left, and says how probable it is among what is left."""

    category_of_code: Tensor

    def __init__(
        self,
        category_of_code: Tensor,
        *,
        num_categories: int,
        num_items: int,
        most_codes: int | None = None,
    ) -> None:
        """Prepare for one catalogue.

        Args:
            category_of_code: Category code by item code, (N,).
            num_categories: Category codes C.
            num_items: Items of an answer K, at most the items of the catalogue.
            most_codes: Most item codes that are masked and ranked at once; all when None.
        """
        super().__init__()
        num_codes = len(category_of_code)
        if not 1 <= num_items <= num_codes - FIRST_CODE:
            raise ValueError(
                f"num_items: expected from 1 to the {num_codes - FIRST_CODE} items of the "
                f"catalogue, got {num_items}; answer fewer"
            )
        self.num_categories, self.num_items = num_categories, num_items
        self.parts = code_parts(num_codes, most_codes)
        self.register_buffer("category_of_code", category_of_code.long(), persistent=False)

    def forward(
        self, scores: Sequence[Tensor], exclude_code: Tensor, allow_code: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Rank items.

        Args:
            scores: Scores of the codes of each part, (B, M), of a size far below that of
                :data:`MASKED`.
            exclude_code: Codes of items to leave out, (B, X); 0 for none.
            allow_code: Codes of categories to keep to, (B, A); 0 for none. All items may be
                answered where all of a row are 0.

        Returns:
            Item codes int32 (B, K), best first, 0 where nothing is left; their probabilities
            (B, K), by softmax over all items that may be answered, 0 where nothing is left; and
            how many there are, int32 (B, 1).
        """
        masked = self._masked(scores, exclude_code.long(), allow_code)
        value, code = best_of(masked, self.parts, self.num_items)
        is_answer = value > MASKED / 2
        best = value[:, :1]
        total = (masked[0] - best).exp().sum(1, keepdim=True)
        for part in masked[1:]:
            total = total + (part - best).exp().sum(1, keepdim=True)
        probability = (value - best).exp() / total
        count = is_answer.to(torch.int32).sum(1, keepdim=True, dtype=torch.int32)
        nothing = torch.zeros_like(code)
        return (
            torch.where(is_answer, code, nothing).to(torch.int32),
            torch.where(is_answer, probability, torch.zeros_like(probability)),
            count,
        )

    def _masked(
        self, scores: Sequence[Tensor], exclude_code: Tensor, allow_code: Tensor | None
    ) -> list[Tensor]:
        """Scores (B, M), about :data:`MASKED` for what may not be answered."""
        batch, device = exclude_code.shape[0], exclude_code.device
        # Not len(), which is a plain number: an export would take it for every batch's size.
        special = torch.arange(FIRST_CODE, device=device).expand(batch, FIRST_CODE)
        left_out = torch.cat([exclude_code, special], dim=1)
        penalty = None
        if allow_code is not None:
            # Gathered by rows of categories, which a CPU does in a third of the time of columns.
            penalty = ((1.0 - self._allowed(allow_code.long())) * MASKED).t()  # (C, B)
        masked = []
        for part, score in zip(self.parts, scores, strict=True):
            if penalty is not None:
                category = self.category_of_code[part.start : part.stop]
                score = score + penalty.index_select(0, category).t()
            place = left_out
            if len(self.parts) > 1:
                repeated = torch.arange(part.repeats, device=device).expand(batch, part.repeats)
                place = torch.cat([part.place(left_out), repeated], dim=1)
            spare = max(int(len(self.parts) > 1), place.shape[1] - part.size)
            masked.append(_scatter(score, place, spare=spare))
        return masked

    def _allowed(self, allow_code: Tensor) -> Tensor:
        """1 for each category whose items may be answered, else 0: (B, C)."""
        shape = (allow_code.shape[0], max(self.num_categories, allow_code.shape[1]))
        table = torch.zeros(shape, dtype=torch.float32, device=allow_code.device)
        asked = table.scatter(1, allow_code, 1.0)[:, : self.num_categories]
        # Code 0 stands for no category asked for, not for the items that have none.
        is_category = (torch.arange(self.num_categories, device=table.device) != NO_CODE).float()
        asks_none = (allow_code.amax(1, keepdim=True) == NO_CODE).float()
        return asked * is_category + asks_none


def _scatter(score: Tensor, place: Tensor, *, spare: int) -> Tensor:
    """Scores (B, M) with :data:`MASKED` at places (B, X), of which some may be in spare columns.

    TensorRT's scatter wants at least as many columns as places.
    """
    if spare <= 0:
        return score.scatter(1, place, MASKED)
    return functional.pad(score, (0, spare)).scatter(1, place, MASKED)[:, :-spare]


def best_of(
    scores: Sequence[Tensor], parts: Sequence[CodePart], count: int
) -> tuple[Tensor, Tensor]:
    """The highest scores (B, count) of all parts and their codes int64 (B, count), highest first.

    Args:
        scores: (B, M) of each part.
        parts: Which codes these are.
        count: At most N.
    """
    if len(scores) == 1:
        return scores[0].topk(count, dim=1)
    values, codes = [], []
    for part, score in zip(parts, scores, strict=True):
        value, place = score.topk(min(count, part.size), dim=1)
        values.append(value)
        codes.append(place + part.start)
    value, rank = torch.cat(values, 1).topk(count, dim=1)
    return value, torch.cat(codes, 1).gather(1, rank)
