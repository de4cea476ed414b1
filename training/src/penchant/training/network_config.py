"""What a PropensityNet is built from. Kept apart from the net so that a recipe loads no torch."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class FeatureSizes:
    """All that the net must know of the fitted features."""

    bins: tuple[int, ...] = ()
    """Number of quantile bins of each numeric column, at least 1."""
    categories: tuple[int, ...] = ()
    """Number of codes of each categorical column, with missing and unknown: at least 2."""
    multi: tuple[int, ...] = ()
    """Number of codes of each multi-valued column, with padding and unknown: at least 2."""

    def __post_init__(self) -> None:
        """Refuse sizes that no fitted feature can have."""
        if not self.num_features:
            raise ValueError(
                "features: expected at least one feature, got none; name a column in the recipe"
            )
        for name, sizes, least in (
            ("bins", self.bins, 1),
            ("categories", self.categories, 2),
            ("multi", self.multi, 2),
        ):
            if any(size < least for size in sizes):
                raise ValueError(f"{name}: expected at least {least} for each column, got {sizes}")

    @property
    def num_features(self) -> int:
        """F: numeric, then categorical, then multi-valued columns."""
        return len(self.bins) + len(self.categories) + len(self.multi)


@dataclass(frozen=True, kw_only=True)
class NetworkConfig:
    """Shape and regularisation of a PropensityNet."""

    trunks: int = 5
    """Number of independent networks T; with 2 or more, each is held out from a T-th of the rows,
    and what it says of them decides when to stop and how to calibrate."""
    members: int = 4
    """Number of ensemble members k of a trunk, which share most of its weights."""
    num_blocks: int = 2
    """Number of hidden layers."""
    width: int = 64
    """Units in a hidden layer."""
    embedding_size: int = 8
    """Numbers that stand for one feature."""
    dropout: float = 0.2
    """Share of hidden units switched off at random in training."""
    hidden_share: float = 0.01
    """Share of values hidden at random in training, so that missing and unknown are learnt."""

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        for name in ("trunks", "members", "num_blocks", "width", "embedding_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: expected at least 1, got {getattr(self, name)}")
        for name in ("dropout", "hidden_share"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name}: expected a share in [0, 1), got {getattr(self, name)}")
