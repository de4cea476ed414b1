"""ServedJourney: the network as it is served, with association statistics, masks and ranking.

Letters: B visitors, L events of a history, N item codes, K items answered, X items to leave out,
A categories to keep to, I intents, C channels, D width.
"""

from __future__ import annotations

from typing import Final, Protocol

import torch
from torch import Tensor, nn

from penchant.training.journeys.catalogue import FIRST_CODE
from penchant.training.journeys.code_parts import MASKED, CodePart
from penchant.training.journeys.journey_net import JourneyNet
from penchant.training.journeys.top_items import TopItems

TOP_CODE: Final = "top_code"
TOP_SCORE: Final = "top_score"
COUNT: Final = "count"
INTENT_CODE: Final = "intent_code"
INTENT_SCORE: Final = "intent_score"
CHANNEL_SCORE: Final = "channel_score"
HOUR_SCORE: Final = "hour_score"
PURCHASE: Final = "purchase"
VISITOR_EMBEDDING: Final = "visitor_embedding"


class Blend(Protocol):
    """Adds what association statistics know to the network's scores of all items."""

    def __call__(
        self, item_logits: Tensor, item_code: Tensor, part: CodePart | None = None
    ) -> Tensor:
        """Scores (B, M) of a part of the codes from the network's (B, M) and histories (B, L)."""
        ...


class ServedJourney(nn.Module):
    """Answers codes, as ``net.onnx`` does: what encode.onnx gives comes in."""

    def __init__(
        self,
        net: JourneyNet,
        *,
        category_of_code: Tensor,
        num_items: int,
        num_intents: int,
        num_categories: int | None = None,
        blend: nn.Module | None = None,
        most_codes: int | None = None,
        repeats: bool = True,
    ) -> None:
        """Fold the net's item vectors into a table and put the rest behind it.

        Args:
            net: The fitted net; a copy is taken.
            category_of_code: Category code by item code, (N,); where it is longer than the net's
                items, there is room for later ones, which `blend` has to keep from being answered.
            num_items: Items of an answer K.
            num_intents: Categories of an answer I; 0 where items have no categories.
            num_categories: Category codes, with room for later ones; the net's when None.
            blend: A :class:`Blend`; the network alone answers when None.
            most_codes: Item codes that are scored and ranked at once; of more, in parts, which
                gives the same items.
            repeats: Whether items of the history may be answered.

        Raises:
            ValueError: more items or intents are asked for than there are.
        """
        super().__init__()
        known = net.sizes.num_category_codes - FIRST_CODE
        if not 0 <= num_intents <= known:
            raise ValueError(
                f"num_intents: expected from 0 to the {known} categories of the catalogue, got "
                f"{num_intents}; answer fewer"
            )
        num_codes, num_categories = len(category_of_code), num_categories or known + FIRST_CODE
        assert blend is not None or num_codes == net.sizes.num_item_codes
        self.net = net.folded(num_codes, num_categories)
        self.blend = blend
        self.num_intents, self.repeats = num_intents, repeats
        self.top = TopItems(
            category_of_code,
            num_categories=num_categories,
            num_items=num_items,
            most_codes=most_codes,
        )

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of what :meth:`forward` gives, in its order."""
        names: tuple[str, ...] = (TOP_CODE, TOP_SCORE, COUNT)
        names += (INTENT_CODE, INTENT_SCORE) if self.num_intents else ()
        names += (CHANNEL_SCORE,) if self.net.channel is not None else ()
        names += (HOUR_SCORE,) if self.net.hour is not None else ()
        names += (PURCHASE,) if self.net.purchase is not None else ()
        return (*names, VISITOR_EMBEDDING)

    def scores(self, query: Tensor, item_code: Tensor) -> list[Tensor]:
        """Scores (B, M) of the item codes of each part before masks.

        Args:
            query: What items are compared with, (B, D).
            item_code: The history, (B, L).
        """
        several = len(self.top.parts) > 1
        found = []
        for each in self.top.parts:
            part = each if several else None
            logits = self.net.item_logits(query, part)
            found.append(logits if self.blend is None else self.blend(logits, item_code, part))
        return found

    def forward(
        self,
        item_code: Tensor,
        action_code: Tensor,
        channel_code: Tensor | None,
        age: Tensor,
        now_hour: Tensor,
        target_code: Tensor,
        exclude_code: Tensor,
        allow_code: Tensor | None,
    ) -> tuple[Tensor, ...]:
        """Answer.

        Args:
            item_code: INT32 (B, L), newest last; 0 no item, 1 an unknown one.
            action_code: INT32 (B, L); 0 is padding.
            channel_code: INT32 (B, L), or None where the log has no channels.
            age: FP32 (B, L) seconds before now.
            now_hour: FP32 (B, 1) hour of the week now; -1 unknown.
            target_code: INT32 (B, 1) the action that is answered for.
            exclude_code: INT32 (B, X) items to leave out; 0 for none.
            allow_code: INT32 (B, A) categories to keep to; 0 for none. None without categories.

        Returns:
            What :attr:`outputs` names: item codes INT32 and probabilities (B, K), their number
            INT32 (B, 1), category codes INT32 and probabilities (B, I), probabilities of channels
            (B, C), of hours of the week (B, 168) and of a purchase (B, 1), each where the log knows
            of it, and numbers that stand for the visitor (B, D).
        """
        hidden = self.net.last(item_code, action_code, channel_code, age, now_hour)
        query = self.net.query(hidden, target_code[:, 0])
        if not self.repeats:
            met = torch.where(action_code > 0, item_code, torch.zeros_like(item_code))
            exclude_code = torch.cat([exclude_code, met], 1)
        answers = list(self.top(self.scores(query, item_code), exclude_code, allow_code))
        if self.num_intents:
            answers += self._intents(hidden)
        if self.net.channel is not None:
            answers.append(torch.softmax(self.net.channel_logits(hidden), -1))
        if self.net.hour is not None:
            answers.append(torch.softmax(self.net.hour_logits(hidden), -1))
        if self.net.purchase is not None:
            answers.append(torch.sigmoid(self.net.purchase_logit(hidden)))
        return (*answers, hidden[:, : self.net.config.width])

    def _intents(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        logits = self.net.intent_logits(hidden)
        is_category = torch.arange(logits.shape[1], device=logits.device) >= FIRST_CODE
        masked = torch.where(is_category, logits, torch.full_like(logits, MASKED))
        score, code = torch.softmax(masked, -1).topk(self.num_intents, dim=1)
        return code.to(torch.int32), score
