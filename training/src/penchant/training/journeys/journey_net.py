"""JourneyNet: what a visitor wants next, in pure PyTorch.

A causal transformer over events with the gated blocks of LiGR (2025, arXiv 2502.03417) as eSASRec
(2025, arXiv 2508.06450) uses them, trained to name the next item at every event. From HSTU (Zhai et
al., 2024, arXiv 2402.17152) it takes the bias of attention by the time between an event and the
request, here with softmax. Older events enter as one token in front, the mean of their items (long-
term embeddings from before the window, so that they tell nothing of what is to be predicted).

What is said of channel, hour and purchase comes from parts of their own, which do not know when the
request is made: its time would give the answer. The habit, for channel and hour, knows what she did
when and where; the visit so far, for the purchase, what it is about and what those before were.

Letters: B visitors, P profile events, W window events, L = P + W, S = W + 1 tokens, D width, H
heads, N item codes, K category codes, C channels, F text features, Z hidden numbers, R item codes
that are asked about.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from penchant.clients.journey_contract import HOURS
from penchant.training.headroom import pad_weight, padded
from penchant.training.journeys.code_parts import MASKED, CodePart
from penchant.training.journeys.event_times import (
    NUM_BUCKETS,
    event_hour,
    gap_bucket,
    request_bucket,
)
from penchant.training.journeys.journey_recipe import JourneyNetworkConfig
from penchant.training.journeys.visit_so_far import VisitSoFar

HIDDEN: Final = -1e4
"""Added to the logits of attention that must not be; finite, so that no row becomes NaN."""


@dataclass(frozen=True, kw_only=True)
class JourneySizes:
    """Numbers of codes that a catalogue and a log have."""

    num_item_codes: int
    """N: items and the two codes before them."""
    num_actions: int
    """Actions; code 0 is padding."""
    num_channels: int = 0
    """C; code 0 is an unknown channel. 0 where the log knows no channels."""
    num_category_codes: int = 2
    """K: categories and the two codes before them."""
    num_brand_codes: int = 0
    """Brands and the two codes before them; 0 where items have none."""
    num_price_codes: int = 0
    """Price codes; 0 where items have no prices."""
    text_size: int = 0
    """F: numbers that stand for an item's text; 0 for none."""
    has_clock: bool = True
    """Whether ages are seconds; else they are not looked at."""
    has_purchases: bool = True
    """Whether an action of the log is a purchase."""

    @property
    def has_content(self) -> bool:
        """Whether anything is known of an item but its id."""
        return bool(self.content_codes) or self.text_size > 0

    @property
    def content_codes(self) -> dict[str, int]:
        """Number of codes of category, brand and price, of those that items have."""
        counts = {
            "category": self.num_category_codes if self.num_category_codes > 2 else 0,
            "brand": self.num_brand_codes,
            "price": self.num_price_codes,
        }
        return {name: count for name, count in counts.items() if count}


@dataclass(frozen=True, kw_only=True)
class ItemContent:
    """What is known of items but their ids, by item code; None where nothing is."""

    category: Tensor | None = None
    """(N,) category codes."""
    brand: Tensor | None = None
    """(N,) brand codes."""
    price: Tensor | None = None
    """(N,) price codes."""
    text: Tensor | None = None
    """FP32 (N, F) features of the items' texts."""


class _BucketLookup(torch.autograd.Function):
    """``table[:, bucket]`` whose gradient is counted instead of scattered, which is serial."""

    @staticmethod
    def forward(ctx: Any, table: Tensor, bucket: Tensor) -> Tensor:
        ctx.save_for_backward(bucket)
        ctx.num_buckets = table.shape[1]
        return table[:, bucket]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (bucket,) = ctx.saved_tensors
        size: int = ctx.num_buckets
        flat = bucket.flatten()
        rows = [torch.bincount(flat, weights=g.flatten(), minlength=size) for g in gradient]
        return torch.stack(rows).to(gradient.dtype), None


def _is_for_gpu(tensor: Tensor) -> bool:
    """Whether what is computed runs on a GPU, or is being compiled, which is for one."""
    return tensor.is_cuda or torch.compiler.is_compiling()


def _look_up(table: Tensor, bucket: Tensor) -> Tensor:
    if _is_for_gpu(table):  # counting would wait for the largest bucket to come back from there
        return functional.embedding(bucket, table.t()).movedim(-1, 0)
    found: Tensor = _BucketLookup.apply(table, bucket)  # type: ignore[no-untyped-call]
    return found


def drop(values: Tensor, share: float) -> Tensor:
    """Switch off a share of the values, to the nearest 256th, and scale the others up.

    One random byte decides on a value, which on a CPU is some ten times as fast as torch's dropout.
    """
    if _is_for_gpu(values):
        return functional.dropout(values, share)
    limit = max(1, min(255, round(share * 256)))
    words = torch.empty(-(-values.numel() // 8), dtype=torch.int64, device=values.device)
    chance = words.random_(-(2**63), None).view(torch.uint8)[: values.numel()]
    kept = (chance >= limit).view(values.shape)
    return values * kept.to(values.dtype).mul_(256 / (256 - limit))


class AttentionBias(nn.Module):
    """What is added to a block's attention logits by distance in events and in time."""

    def __init__(self, config: JourneyNetworkConfig, *, has_time: bool) -> None:
        super().__init__()
        heads = config.num_heads
        self.position = nn.Parameter(torch.zeros(heads, config.window))
        self.prefix = nn.Parameter(torch.zeros(heads, 1))
        self.time = nn.Parameter(torch.zeros(heads, NUM_BUCKETS + 1)) if has_time else None

    def forward(self, tokens: int, bucket: Tensor | None) -> Tensor:
        """Bias (H, S, S), or (B, H, S, S) with time, hiding what lies behind a token.

        Args:
            tokens: S, the prefix token included.
            bucket: INT64 (B, S, S) time bucket between query and key.
        """
        place = torch.arange(tokens, device=self.position.device)
        distance = place.unsqueeze(1) - place  # (S, S)
        hidden = torch.where(distance < 0, HIDDEN, 0.0)
        near = distance.clamp(min=0, max=self.position.shape[1] - 1)
        by_place = self.position[:, near.flatten()].view(-1, tokens, tokens)
        first = (place == 0).to(by_place.dtype)  # (S,)
        bias = by_place * (1.0 - first) + self.prefix.unsqueeze(2) * first + hidden
        if self.time is None or bucket is None:
            return bias
        by_time = _look_up(self.time, bucket) if self.training else self.time[:, bucket]
        return bias + by_time.transpose(0, 1)  # (B, H, S, S)


class Block(nn.Module):
    """Pre-norm attention and SwiGLU, each let through by a sigmoid gate of its input (LiGR)."""

    def __init__(self, config: JourneyNetworkConfig, *, has_time: bool) -> None:
        super().__init__()
        width, inner = config.width, config.width * config.feedforward
        self.num_heads = config.num_heads
        self.dropout = config.dropout
        self.bias = AttentionBias(config, has_time=has_time)
        self.norm = nn.LayerNorm(width)
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.mix = nn.Linear(width, width)
        self.gate = nn.Linear(width, width)
        self.inner_norm = nn.LayerNorm(width)
        self.up = nn.Linear(width, inner)
        self.switch = nn.Linear(width, inner)
        self.down = nn.Linear(inner, width)
        self.inner_gate = nn.Linear(width, width)

    def forward(
        self, events: Tensor, hidden: Tensor, bucket: Tensor | None, *, newest: bool = False
    ) -> Tensor:
        """Map tokens (B, S, D) to (B, S, D), or with `newest` to (B, 1, D), the last token alone.

        Args:
            events: Tokens, the profile first.
            hidden: (B, 1, S) added to attention logits; `HIDDEN` where a token is padding.
            bucket: INT64 (B, S, S) time bucket between query and key; None without a clock.
            newest: Compute only the last token.
        """
        normed = self.norm(events)
        rows = slice(-1, None) if newest else slice(None)
        own = events[:, rows]
        attended = self._attend(normed[:, rows], normed, hidden, bucket)
        own = own + torch.sigmoid(self.gate(own)) * self._drop(attended)
        inner = self.inner_norm(own)
        inner = self.down(functional.silu(self.switch(inner)) * self.up(inner))
        return own + torch.sigmoid(self.inner_gate(own)) * self._drop(inner)

    def _attend(
        self, asking: Tensor, normed: Tensor, hidden: Tensor, bucket: Tensor | None
    ) -> Tensor:
        tokens, width = normed.shape[1], normed.shape[2]
        size = width // self.num_heads
        query = self.query(asking) * (1.0 / math.sqrt(size))
        query, key, value = (
            each.unflatten(2, (self.num_heads, size)).transpose(1, 2)
            for each in (query, self.key(normed), self.value(normed))
        )  # (B, H, S, D / H)
        bias = self.bias(tokens, bucket)[..., -asking.shape[1] :, :]
        logits = torch.matmul(query, key.transpose(2, 3))
        logits = logits + bias + hidden.unsqueeze(1)
        mixed = torch.matmul(torch.softmax(logits, -1), value)  # (B, H, rows, D / H)
        attended: Tensor = self.mix(mixed.transpose(1, 2).flatten(2))
        return attended

    def _drop(self, values: Tensor) -> Tensor:
        return drop(values, self.dropout) if self.training and self.dropout else values


class ItemVectors(nn.Module):
    """One vector an item, for histories and for answers: of its id and of its content."""

    def __init__(
        self, sizes: JourneySizes, config: JourneyNetworkConfig, content: ItemContent
    ) -> None:
        super().__init__()
        self.item_dropout = config.item_dropout if sizes.has_content else 0.0
        self.id = nn.Parameter(torch.randn(sizes.num_item_codes, config.width) * 0.02)
        self.known: Tensor
        self.register_buffer("known", torch.ones(sizes.num_item_codes, 1))
        self.tables = nn.ModuleDict()
        for name, count in sizes.content_codes.items():
            code: Tensor | None = getattr(content, name)
            assert code is not None, f"items have a {name}"
            assert len(code) == sizes.num_item_codes
            self.register_buffer(f"{name}_of_code", code.to(torch.int64))
            self.tables[name] = table = nn.Embedding(count, config.width)
            nn.init.normal_(table.weight, std=0.02)
        self.text: nn.Linear | None = None
        self.text_of_code: Tensor
        if sizes.text_size:
            assert content.text is not None, "items have a text"
            assert content.text.shape == (sizes.num_item_codes, sizes.text_size)
            self.register_buffer("text_of_code", content.text)
            self.text = nn.Linear(sizes.text_size, config.width, bias=False)
            nn.init.normal_(self.text.weight, std=0.02)

    def code_of(self, name: str) -> Tensor:
        """(N,) category, brand or price codes."""
        return self.get_buffer(f"{name}_of_code")

    def forward(self, code: Tensor | None = None) -> Tensor:
        """Vectors of item codes (R,), or (N, D) of all in their order."""

        def of(rows: Tensor) -> Tensor:
            return rows if code is None else rows[code]

        if not self.tables and self.text is None:
            return of(self.id)
        known = of(self.known)
        if self.training and self.item_dropout:
            known = known * (torch.rand_like(known) >= self.item_dropout)
        vectors = of(self.id) * known
        for name, table in self.tables.items():
            vectors = vectors + table(of(self.code_of(name)))
        if self.text is not None:
            vectors = vectors + self.text(of(self.text_of_code))
        return vectors

    def fold(self, num_codes: int) -> None:
        """Put the vectors of all items in the place of their parts, with room for later items."""
        with torch.no_grad():
            table = padded(self.forward(), num_codes)
        self.tables, self.text = nn.ModuleDict(), None
        self.id = nn.Parameter(table, requires_grad=False)


class EventEmbedding(nn.Module):
    """What is added to an item's vector to make an event's: action, channel, gap and hour."""

    def __init__(self, sizes: JourneySizes, width: int) -> None:
        super().__init__()
        counts = {
            "action": sizes.num_actions + 1,
            "channel": sizes.num_channels + 1 if sizes.num_channels else 0,
            "gap": NUM_BUCKETS + 1 if sizes.has_clock else 0,
            "hour": HOURS + 1 if sizes.has_clock else 0,
        }
        tables = {name: nn.Embedding(count, width) for name, count in counts.items() if count}
        for table in tables.values():
            nn.init.normal_(table.weight, std=0.02)
        self.tables = nn.ModuleDict(tables)

    def forward(
        self, action: Tensor, channel: Tensor | None, age: Tensor, now_hour: Tensor
    ) -> Tensor:
        """Embed the events of a window, all (B, W), as (B, W, D)."""
        embedded: Tensor = self.tables["action"](action)
        if "channel" in self.tables:
            assert channel is not None, "the log has channels"
            embedded = embedded + self.tables["channel"](channel)
        if "gap" in self.tables:
            embedded = embedded + self.tables["gap"](gap_bucket(action, age))
            embedded = embedded + self.tables["hour"](event_hour(age, now_hour))
        return embedded


class Habit(nn.Module):
    """When and where the visitor is active: the mean over her events, and the newest of them."""

    def __init__(self, sizes: JourneySizes, width: int) -> None:
        super().__init__()
        self.num_channels = sizes.num_channels
        self.hour = nn.Embedding(HOURS + 1, width)
        self.channel = nn.Embedding((sizes.num_actions + 1) * (sizes.num_channels + 1), width)
        for table in (self.hour, self.channel):
            nn.init.normal_(table.weight, std=0.5)
        self.join = nn.Linear(2 * width, width)

    def forward(
        self,
        action: Tensor,
        channel: Tensor | None,
        hour: Tensor,
        *,
        newest: bool,
    ) -> Tensor:
        """Habit (B, W, D) after each of the events (B, W), or (B, D) after the newest."""
        kind = action.to(torch.int64) * (self.num_channels + 1)
        kind = kind if channel is None else kind + channel
        there = (action > 0).unsqueeze(2)
        event = (self.hour(hour) + self.channel(kind)) * there  # (B, W, D)
        if newest:
            total, count, last = event.sum(1), there.sum(1), event[:, -1]
        else:
            total, count, last = event.cumsum(1), there.cumsum(1), event
        mean = total / count.clamp(min=1)
        return functional.silu(self.join(torch.cat([mean, last], -1)))


class JourneyNet(nn.Module):
    """Events in, a hidden state out; from it a query for items and the other heads' logits."""

    def __init__(
        self,
        sizes: JourneySizes,
        config: JourneyNetworkConfig,
        content: ItemContent | None = None,
    ) -> None:
        """Build the net.

        Args:
            sizes: Numbers of codes.
            config: Shape and regularisation.
            content: What is known of items; needed as far as `sizes` says that something is.
        """
        super().__init__()
        self.sizes, self.config = sizes, config
        width = config.width
        has_time = sizes.has_clock and config.time_bias
        self.items = ItemVectors(sizes, config, content or ItemContent())
        self.event = EventEmbedding(sizes, width)
        self.no_profile = nn.Parameter(torch.randn(width) * 0.02)
        self.profile = nn.Linear(width, width) if config.profile else None
        self.blocks = nn.ModuleList(
            Block(config, has_time=has_time) for _ in range(config.num_blocks)
        )
        self.has_time = has_time
        self.norm = nn.LayerNorm(width)
        self.target = nn.Embedding(sizes.num_actions + 1, width)
        nn.init.zeros_(self.target.weight)
        self.intent = nn.Linear(width, sizes.num_category_codes)
        has_habit = sizes.has_clock or sizes.num_channels > 0
        self.habit = Habit(sizes, width) if has_habit else None
        has_visit = sizes.has_clock and sizes.has_purchases
        counts = sizes.num_actions, sizes.num_channels
        self.visit = VisitSoFar(*counts, width) if has_visit else None
        self.purchase = nn.Linear(width, 1) if sizes.has_purchases else None
        self.channel = nn.Linear(width, sizes.num_channels) if sizes.num_channels else None
        self.hour = nn.Linear(width, HOURS) if sizes.has_clock else None

    @property
    def hidden_size(self) -> int:
        """Z: D for the state, and D more each for habit and visit so far, where they are."""
        return self.config.width * (1 + (self.habit is not None) + (self.visit is not None))

    def forward(
        self,
        profile: Tensor,
        older: Tensor,
        item: Tensor,
        action: Tensor,
        channel: Tensor | None,
        age: Tensor,
        now_hour: Tensor,
        *,
        newest: bool = False,
    ) -> Tensor:
        """Hidden state (B, W, Z) after each event of a window, or (B, Z) after the newest.

        Args:
            profile: (B, D) sum of the item vectors of the events before the window.
            older: (B, 1) number of those events that have an item.
            item: (B, W, D) item vectors of the window; 0 for an event without an item.
            action: (B, W) codes; 0 is padding.
            channel: (B, W) codes, or None where the log has none.
            age: (B, W) seconds before now.
            now_hour: (B, 1) hour of the week now; -1 unknown.
            newest: Compute only the state after the newest event.
        """
        there = action > 0
        event = (item + self.event(action, channel, age, now_hour)) * there.unsqueeze(2)
        tokens = torch.cat([self._prefix(profile, older).unsqueeze(1), event], 1)  # (B, S, D)
        if self.training and self.config.dropout:
            tokens = drop(tokens, self.config.dropout)
        padding = functional.pad((~there).to(tokens.dtype), (1, 0)) * HIDDEN
        hidden = padding.unsqueeze(1)  # (B, 1, S)
        bucket = request_bucket(age) if self.has_time else None
        for number, block in enumerate(self.blocks, 1):
            last = newest and number == len(self.blocks)
            tokens = block(tokens, hidden, bucket, newest=last)
        state: Tensor = self.norm(tokens[:, -1] if newest else tokens[:, 1:])
        if self.habit is None:
            return state
        hour = event_hour(age, now_hour)
        parts = [state, self.habit(action, channel, hour, newest=newest)]
        if self.visit is not None:  # which reads what items are, but has no say in it
            known = profile.detach(), older, item.detach()
            parts.append(self.visit(*known, action, channel, age, newest=newest))
        return torch.cat(parts, -1)

    def last(
        self,
        item_code: Tensor,
        action_code: Tensor,
        channel_code: Tensor | None,
        age: Tensor,
        now_hour: Tensor,
    ) -> Tensor:
        """Hidden state (B, Z) of the newest event of histories as `net.onnx` gets them.

        Args:
            item_code: INT32 (B, L), newest last, padded in front.
            action_code: INT32 (B, L); 0 is padding.
            channel_code: INT32 (B, L), or None where the log has no channels.
            age: FP32 (B, L) seconds before now.
            now_hour: FP32 (B, 1) hour of the week now; -1 unknown.
        """
        start = self.config.profile
        met = ((item_code > 0) & (action_code > 0)).to(age.dtype)  # (B, L)
        vectors = functional.embedding(item_code, self.item_table()) * met.unsqueeze(2)
        channel = None if channel_code is None else channel_code[:, start:]
        return self.forward(
            vectors[:, :start].sum(1),
            met[:, :start].sum(1, keepdim=True),
            vectors[:, start:],
            action_code[:, start:],
            channel,
            age[:, start:],
            now_hour,
            newest=True,
        )

    def _prefix(self, profile: Tensor, older: Tensor) -> Tensor:
        """Token (B, D) of the events before the window."""
        if self.profile is None:
            return self.no_profile.expand(profile.shape[0], -1)
        mean = profile / older.clamp(min=1.0)
        return torch.where(older > 0, self.profile(mean), self.no_profile)

    def item_table(self) -> Tensor:
        """Vectors (N, D) of all item codes."""
        table: Tensor = self.items()
        return table

    def query(self, hidden: Tensor, target_code: Tensor) -> Tensor:
        """What to compare items with, for the wanted action.

        Args:
            hidden: (..., Z) hidden states.
            target_code: (...) action codes, 1 and up.

        Returns:
            (..., D); with cosine similarity of length 1 / temperature.
        """
        wanted: Tensor = hidden[..., : self.config.width] + self.target(target_code)
        if self.config.similarity == "dot":
            return wanted
        return functional.normalize(wanted, dim=-1, eps=1e-6) / self.config.temperature

    def answers(self, table: Tensor) -> Tensor:
        """Item vectors as queries are compared with them: of length 1 with cosine similarity."""
        if self.config.similarity == "dot":
            return table
        return functional.normalize(table, dim=-1, eps=1e-6)

    def item_logits(self, query: Tensor, part: CodePart | None = None) -> Tensor:
        """Logits (B, N) of queries (B, D), or of a part of the codes; 0 and 1 are no answers."""
        table = self.item_table()
        if part is not None:
            table = table[part.start : part.stop]
        return torch.matmul(query, self.answers(table).t())

    def intent_logits(self, hidden: Tensor) -> Tensor:
        """Logits (B, K) of the next item's category; codes 0 and 1 are no answers."""
        logits: Tensor = self.intent(hidden[..., : self.config.width])
        return logits

    def purchase_logit(self, hidden: Tensor) -> Tensor:
        """Logit (B, 1) of a purchase later in this session.

        From the visit so far, where there is a clock: that another event comes soon says that the
        session goes on.
        """
        assert self.purchase is not None, "the log has no purchases"
        logit: Tensor = self.purchase(hidden[..., -self.config.width :])
        return logit

    def channel_logits(self, hidden: Tensor) -> Tensor:
        """Logits (B, C) of the channel of the next visit."""
        assert self.channel is not None, "the log has no channels"
        logits: Tensor = self.channel(self._habit_of(hidden))
        return logits

    def hour_logits(self, hidden: Tensor) -> Tensor:
        """Logits (B, 168) of the hour of the week in which the next visit begins."""
        assert self.hour is not None, "the log has no clock"
        logits: Tensor = self.hour(self._habit_of(hidden))
        return logits

    def _habit_of(self, hidden: Tensor) -> Tensor:
        """(..., D) the habit."""
        return hidden[..., self.config.width : 2 * self.config.width]

    def folded(
        self, num_item_codes: int | None = None, num_category_codes: int | None = None
    ) -> JourneyNet:
        """A copy to serve, in evaluation mode, whose item vectors are one table.

        Args:
            num_item_codes: Rows of that table, with room for items that are not known yet.
            num_category_codes: The same of categories; those not known yet are never answered.
        """
        net, sizes = copy.deepcopy(self).eval(), self.sizes
        net.items.fold(num_item_codes or sizes.num_item_codes)
        categories = num_category_codes or sizes.num_category_codes
        net.intent.weight = pad_weight(net.intent.weight, categories)
        net.intent.bias = pad_weight(net.intent.bias, categories, value=MASKED)
        return net.requires_grad_(False)
