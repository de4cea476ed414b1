"""What a journey recipe says: which log, which network, how to fit it and how to judge it.

Loads no torch, so that a command answers at once when a recipe is wrong.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Literal

from penchant.clients.command import bind
from penchant.training.recipe_checks import (
    check_least,
    check_model_name,
    check_share,
    check_trainer,
    nearest,
)

STATISTICS: Final = ("bought_together", "viewed_together", "bought_after_viewing", "popular")
"""Association statistics, by name."""
SPLITS: Final = ("time", "leave_one_out")
"""Ways to divide journeys."""


@dataclass(frozen=True, kw_only=True)
class JourneyNetworkConfig:
    """Shape and regularisation of a JourneyNet."""

    window: int = 50
    """Newest events that attention sees."""
    profile: int = 50
    """Events before the window that make the long-term profile; 0 for none."""
    width: int = 64
    """Numbers that stand for an item, an event and a visitor."""
    num_blocks: int = 2
    """Gated transformer blocks."""
    num_heads: int = 1
    """Attention heads of a block."""
    feedforward: int = 4
    """Width of a block's feed-forward part, as a multiple of `width`."""
    dropout: float = 0.2
    """Share of units switched off at random in training."""
    similarity: Literal["dot", "cosine"] = "dot"
    """How a visitor and an item are compared."""
    temperature: float = 0.07
    """Divides cosine similarities; without meaning for dot."""
    time_bias: bool = True
    """Whether attention is biased by the time between an event and the request."""
    item_dropout: float = 0.05
    """Share of items a step that go by their content alone, so that cold items have a vector."""

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        for name in ("window", "width", "num_blocks", "num_heads", "feedforward"):
            check_least(f"network.{name}", getattr(self, name), 1)
        check_least("network.profile", self.profile, 0)
        check_least("network.temperature", self.temperature, 1e-6)
        for name in ("dropout", "item_dropout"):
            check_share(f"network.{name}", getattr(self, name))
        if self.width % self.num_heads:
            raise ValueError(
                f"network.num_heads: expected a divisor of network.width {self.width}, "
                f"got {self.num_heads}"
            )

    @property
    def length(self) -> int:
        """L: events of a history on the wire."""
        return self.profile + self.window


@dataclass(frozen=True, kw_only=True)
class JourneyFitConfig:
    """How a JourneyNet is fitted."""

    batch_size: int = 128
    """Journeys a step; of short ones more, so that a step holds as many events."""
    learning_rate: float = 1e-3
    """Highest step size of AdamW."""
    weight_decay: float = 0.0
    """Weight decay of AdamW."""
    max_epochs: int = 30
    """Most passes over the training journeys."""
    patience: int = 5
    """Passes without a better validation NDCG@10 after which the fit stops."""
    refresh_epochs: int = 1
    """Passes over all events before the test part, after the fit has stopped, so that what is
    served knows the newest ones; 0 for none."""
    loss: Literal["auto", "full", "sampled"] = "auto"
    """Softmax over all items or over sampled negatives; auto: full up to 50,000 items."""
    num_negatives: int = 1024
    """Uniform negatives of a step, with the sampled softmax."""
    in_batch_share: float = 0.0
    """Share of negatives that are targets of the same batch, corrected by logQ."""
    action_weights: dict[str, float] = field(default_factory=dict)
    """Weight in the loss by action of the target; 1 where none is named."""
    head_weight: float = 0.1
    """Weight of each further head (intent, channel, hour, purchase) in the loss."""
    seed: int = 0
    """Seed of initial weights, dropout, order and negatives."""
    compiled: bool = False
    """Whether the network is compiled for the GPU that it is fitted on, which takes about a minute;
    without effect on a CPU. `perf/gpu_check.sh` measures what a step gains."""

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        for name in ("batch_size", "max_epochs", "patience", "num_negatives"):
            check_least(f"fit.{name}", getattr(self, name), 1)
        check_least("fit.learning_rate", self.learning_rate, 1e-12)
        for name in ("weight_decay", "head_weight", "seed"):
            check_least(f"fit.{name}", getattr(self, name), 0)
        check_share("fit.in_batch_share", self.in_batch_share)
        check_least("fit.refresh_epochs", self.refresh_epochs, 0)


@dataclass(frozen=True, kw_only=True)
class JourneySplit:
    """How journeys are divided in time."""

    by: Literal["time", "leave_one_out"] = "time"
    """time: one moment for all visitors; leave_one_out: each visitor's last event is held out."""
    test: float = 0.1
    """Share of the newest events held out for the evaluation, in (0, 1)."""
    validation: float = 0.1
    """Share of the events before those that decide when to stop and weigh the blend."""
    repeats: bool = True
    """Whether items that the visitor has met may be answered; where not, the served model leaves
    those of the history that it is sent out too."""

    def __post_init__(self) -> None:
        """Refuse a way to divide that does not exist, and shares that leave a part empty."""
        if self.by not in SPLITS:
            raise ValueError(f"split.by: expected {' or '.join(SPLITS)}, got {self.by!r}")
        for name in ("test", "validation"):
            if not 0 < getattr(self, name) < 1:
                raise ValueError(
                    f"split.{name}: expected a share between 0 and 1, got {getattr(self, name)!r}; "
                    "0.1 holds out the newest tenth"
                )


@dataclass(frozen=True, kw_only=True)
class AssociationConfig:
    """Association statistics shipped with the model."""

    use: tuple[str, ...] = STATISTICS
    """Which: bought_together, viewed_together, bought_after_viewing, popular."""
    alone: str | None = None
    """One of them that answers without the network; None for the blend."""
    neighbours: int = 50
    """Items kept for each item."""
    half_life_days: float = 30.0
    """Days after which an event counts half."""
    within_hours: float = 24.0
    """Most hours between two events of one session or journey that go together."""
    least_support: int = 3
    """Times a pair has to be seen."""
    action_weights: dict[str, float] = field(default_factory=dict)
    """Weight by action; 1 where none is named."""
    purchase_actions: tuple[str, ...] | None = None
    """Actions that are purchases; None: `purchase`, where the log has it."""

    def __post_init__(self) -> None:
        """Refuse statistics that do not exist and numbers that are none."""
        for name in ("neighbours", "least_support"):
            check_least(f"associations.{name}", getattr(self, name), 1)
        for name in ("half_life_days", "within_hours"):
            check_least(f"associations.{name}", getattr(self, name), 1e-6)
        for name in (*self.use, *([self.alone] if self.alone else [])):
            if name not in STATISTICS:
                raise ValueError(
                    f"associations: expected some of {', '.join(STATISTICS)}, got {name!r}"
                )

    @property
    def purchases(self) -> tuple[str, ...]:
        """Actions that are purchases, whether a log has them or not."""
        return ("purchase",) if self.purchase_actions is None else self.purchase_actions


@dataclass(frozen=True, kw_only=True)
class JourneyBudget:
    """What the served model has to keep to."""

    max_batch_size: int = 64
    """Most visitors of one request."""
    latency_p99_ms: float = 20.0
    """99th percentile of the time an answer takes, in milliseconds."""
    num_items: int = 200
    """Items of one answer, at most 200."""
    max_exclude: int = 64
    """Items that a request may leave out for one visitor."""
    max_allow: int = 8
    """Categories that a request may keep to for one visitor."""


@dataclass(frozen=True, kw_only=True)
class JourneyRecipe:
    """All that a journey training run is told.

    What the network reads follows from the log: of an event its item, action, channel and time; of
    an item its id, category, brand, price and title, as far as the log recipe names them. Device,
    source, campaign and query of an event are left to propensity models: a caller of a journey
    model does not send them, and what is not sent is not learnt from.
    """

    name: str
    """Name under which the model is registered and served."""
    log: str
    """Path of the log recipe, relative to this one first."""
    target_action: str | None = None
    """Action that is answered for when a caller names none; the log's most frequent when None."""
    split: JourneySplit = field(default_factory=JourneySplit)
    """How journeys are divided."""
    network: JourneyNetworkConfig = field(default_factory=JourneyNetworkConfig)
    """Shape of the network."""
    fit: JourneyFitConfig = field(default_factory=JourneyFitConfig)
    """How it is fitted."""
    associations: AssociationConfig = field(default_factory=AssociationConfig)
    """Statistics shipped with it."""
    trainer: dict[str, Any] = field(default_factory=dict)
    """Arguments of Lightning's Trainer, as in devices: 2. Left open: one GPU where there is one,
    and bfloat16 where it has that."""
    budget: JourneyBudget = field(default_factory=JourneyBudget)
    """What the served model has to keep to."""

    def __post_init__(self) -> None:
        """Refuse a name that is none and arguments that the Trainer does not know."""
        check_model_name(self.name)
        check_trainer(self.trainer)

    def relative_to(self, folder: Path) -> JourneyRecipe:
        """The same recipe, with the log recipe looked for in `folder` first."""
        near = folder / Path(self.log).expanduser()
        return replace(self, log=str(near.resolve())) if near.exists() else self

    def check_actions(self, actions: Sequence[str]) -> None:
        """Refuse an action that the log does not have.

        Args:
            actions: Those of the log.

        Raises:
            ValueError: The recipe names another one.
        """
        named = {
            "target_action": (self.target_action,) if self.target_action else (),
            "fit.action_weights": self.fit.action_weights,
            "associations.action_weights": self.associations.action_weights,
            "associations.purchase_actions": self.associations.purchase_actions or (),
        }
        for where, names in named.items():
            for name in names:
                if name not in actions:
                    raise ValueError(
                        f"{where}: expected one of the log's actions ({', '.join(actions)}), got "
                        f"{name!r}{nearest(name, actions)}; name one of them or leave it out"
                    )

    def purchase_codes(self, actions: Sequence[str]) -> tuple[int, ...]:
        """Codes of the log's actions that are purchases; none where nobody is seen buying."""
        purchases = self.associations.purchases
        return tuple(at for at, name in enumerate(actions, 1) if name in purchases)

    def to_json(self) -> str:
        """The recipe as indented JSON."""
        return json.dumps(asdict(self), indent=2, ensure_ascii=False, default=str)


def read_journey_recipe(path: str | Path, overrides: Sequence[str] = ()) -> JourneyRecipe:
    """Read a recipe file, as the `penchant` command does.

    Args:
        path: YAML (or JSON) file.
        overrides: Options that win over the file, as on the command line: ["--fit.seed", "1"].

    Returns:
        The recipe, with the path of the log recipe resolved against the recipe's folder.

    Raises:
        ValueError: The file is missing, or a key or value in it is wrong; the message says which.
    """
    words = ["--config", str(path), *overrides]
    recipe = bind(_take_recipe, words, prog="read_journey_recipe")["recipe"]
    assert isinstance(recipe, JourneyRecipe)
    return recipe


def _take_recipe(recipe: JourneyRecipe) -> None:
    """Stand in for a verb that takes nothing but a recipe."""
