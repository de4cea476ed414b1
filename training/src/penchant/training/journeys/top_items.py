"""TopItems: the best items of a catalogue that may be answered, with their probabilities.

Letters: B visitors, N item codes, K items answered, X items to leave out, A categories to keep to,
C category codes. Made of operators that TensorRT takes, with no shape that depends on the data.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn

from penchant.training.journeys.catalogue import FIRST_CODE, NO_CODE

MASKED: Final = -30_000.0
"""Score of an item that may not be answered; finite in half precision too, so that a visitor
without any item left still gets numbers."""
MOST_ELEMENTS: Final = 2**31 - 1
"""Elements that TensorRT's TopK takes."""


class TopItems(nn.Module):
    """Masks scores, ranks what is left, and says how probable it is among what is left."""

    category_of_code: Tensor

    def __init__(
        self,
        category_of_code: Tensor,
        *,
        num_categories: int,
        num_items: int,
        most_columns: int | None = None,
    ) -> None:
        """Prepare for one catalogue.

        Args:
            category_of_code: Category code by item code, (N,).
            num_categories: Category codes C.
            num_items: Items of an answer K, at most the items of the catalogue.
            most_columns: Items that one TopK may see; of more, the best of each part are ranked
                again, which gives the same items.
        """
        super().__init__()
        num_codes = len(category_of_code)
        if not 1 <= num_items <= num_codes - FIRST_CODE:
            raise ValueError(
                f"num_items: expected from 1 to the {num_codes - FIRST_CODE} items of the "
                f"catalogue, got {num_items}; answer fewer"
            )
        self.num_categories, self.num_items = num_categories, num_items
        self.most_columns = max(most_columns or num_codes, num_items)
        self.register_buffer("category_of_code", category_of_code.long(), persistent=False)

    def forward(
        self, score: Tensor, exclude_code: Tensor, allow_code: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Rank items.

        Args:
            score: Score of each item code, (B, N), of a size far below that of :data:`MASKED`.
            exclude_code: Codes of items to leave out, (B, X); 0 for none.
            allow_code: Codes of categories to keep to, (B, A); 0 for none. All items may be
                answered where all of a row are 0.

        Returns:
            Item codes int32 (B, K), best first, 0 where nothing is left; their probabilities
            (B, K), by softmax over all items that may be answered, 0 where nothing is left; and
            how many there are, int32 (B, 1).
        """
        masked = self.mask(score, exclude_code, allow_code)
        value, code = best_of(masked, self.num_items, most_columns=self.most_columns)
        is_answer = value > MASKED / 2
        best = value[:, :1]
        probability = (value - best).exp() / (masked - best).exp().sum(1, keepdim=True)
        count = is_answer.to(torch.int32).sum(1, keepdim=True, dtype=torch.int32)
        nothing = torch.zeros_like(code)
        return (
            torch.where(is_answer, code, nothing).to(torch.int32),
            torch.where(is_answer, probability, torch.zeros_like(probability)),
            count,
        )

    def mask(self, score: Tensor, exclude_code: Tensor, allow_code: Tensor | None) -> Tensor:
        """Scores (B, N), about :data:`MASKED` for what may not be answered."""
        # Not len(), which is a plain number: an export would take it for every batch's size.
        special = torch.arange(FIRST_CODE, device=score.device).expand(score.shape[0], FIRST_CODE)
        left_out = torch.cat([exclude_code.long(), special], dim=1)
        if allow_code is not None:
            # Gathered by rows of categories, which a CPU does in a third of the time of columns.
            penalty = (1.0 - self._allowed(allow_code.long())) * MASKED  # (B, C)
            score = score + penalty.t().index_select(0, self.category_of_code).t()
        return score.scatter(1, left_out, MASKED)

    def _allowed(self, allow_code: Tensor) -> Tensor:
        """1 for each category whose items may be answered, else 0: (B, C)."""
        shape = (allow_code.shape[0], self.num_categories)
        table = torch.zeros(shape, dtype=torch.float32, device=allow_code.device)
        asked = table.scatter(1, allow_code, 1.0)
        # Code 0 stands for no category asked for, not for the items that have none.
        is_category = (torch.arange(self.num_categories, device=table.device) != NO_CODE).float()
        asks_none = (allow_code.amax(1, keepdim=True) == NO_CODE).float()
        return asked * is_category + asks_none


def best_of(score: Tensor, count: int, *, most_columns: int) -> tuple[Tensor, Tensor]:
    """The highest scores (B, count) and their places int64 (B, count), highest first.

    Args:
        score: (B, N).
        count: At most N.
        most_columns: Columns that one TopK sees; at least `count`.
    """
    parts = torch.split(score, most_columns, dim=1)
    if len(parts) == 1:
        return score.topk(count, dim=1)
    values, places = [], []
    for number, part in enumerate(parts):
        value, place = part.topk(min(count, part.shape[1]), dim=1)
        values.append(value)
        places.append(place + number * most_columns)
    value, rank = torch.cat(values, 1).topk(count, dim=1)
    return value, torch.cat(places, 1).gather(1, rank)
