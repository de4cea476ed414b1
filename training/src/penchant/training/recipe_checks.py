"""Checks of single recipe values; each raises a ValueError that names the field and the remedy."""

import difflib
import inspect
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

DATABASE_FILE_SCHEMES: Final = ("duckdb", "sqlite")
"""Ibis URL schemes whose database is one file."""
STRATEGIES: Final = ("auto", "ddp")
"""How several devices may train one network."""
_BEST_EPOCH: Final = "the fit keeps the best epoch, which it finds by validating after each"
_NOT_TAKEN: Final = {
    "callbacks": "a recipe cannot hold them, and the fit brings its own; leave it out",
    "check_val_every_n_epoch": f"{_BEST_EPOCH}; leave it out",
    "enable_checkpointing": f"{_BEST_EPOCH}; leave it out",
    "fast_dev_run": "it leaves no model; take fit.max_epochs 1 for a trial",
    "limit_val_batches": f"{_BEST_EPOCH}; leave it out",
    "logger": "each epoch is logged in the MLflow run; leave it out",
    "max_epochs": "its place is fit.max_epochs",
    "max_steps": "the fit ends with an epoch; take fit.max_epochs",
    "reload_dataloaders_every_n_epochs": "what batches are made of is for the fit; leave it out",
    "use_distributed_sampler": "rows are shared among devices already; leave it out",
    "val_check_interval": f"{_BEST_EPOCH}; leave it out",
}
"""Arguments of Lightning's Trainer that the fit sets itself -> why a recipe may not, what to do."""


def check_model_name(name: str) -> None:
    """Refuse a name that is no folder, metric and registry name at once."""
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]{0,63}", name):
        raise ValueError(
            "name: expected a letter followed by up to 63 letters, digits or underscores, "
            f"got {name!r}"
        )


def check_least(name: str, value: float, least: float) -> None:
    """Refuse a number below the least that makes sense, and NaN."""
    if not value >= least:
        raise ValueError(f"{name}: expected at least {least:g}, got {value}")


def check_share(name: str, value: float) -> None:
    """Refuse a number outside [0, 1)."""
    if not 0 <= value < 1:
        raise ValueError(f"{name}: expected a share from 0 to below 1, got {value}")


def check_shares(*, test: float, validation: float, calibration: float) -> None:
    """Refuse shares out of range, and shares that leave nothing to train on."""
    for name, share in (("test", test), ("validation", validation)):
        if not 0 < share < 1:
            raise ValueError(f"split.{name}: expected a share in (0, 1), got {share}")
    if not 0 <= calibration < 1:
        raise ValueError(f"split.calibration: expected a share in [0, 1), got {calibration}")
    held_out = test + validation + calibration
    if held_out > 1 - 1e-9:
        raise ValueError(
            "split: test, validation and calibration together must leave rows to train on, "
            f"got {test} + {validation} + {calibration} = {held_out:g}; make the sum less than 1"
        )


def check_database_url(url: str) -> None:
    """Refuse a URL without scheme, and a password in clear, which would end up in the run's log."""
    parts = urlsplit(url)
    if not parts.scheme or "://" not in url:
        raise ValueError(
            f"table.url: expected an Ibis connection URL as in duckdb://shop.db, got {url!r}"
        )
    if parts.password and not parts.password.startswith("$"):
        raise ValueError(
            "table.url: expected no password in clear, because recipes are logged; write "
            f"{parts.scheme}://{parts.username}:${{DATABASE_PASSWORD}}@… and set that "
            "environment variable"
        )


def check_trainer(trainer: Mapping[str, Any]) -> None:
    """Refuse a key that Lightning's Trainer or the fit does not take, and other ways to share."""
    if not trainer:
        return
    # Loading Lightning takes seconds, and most recipes leave the trainer alone.
    from pytorch_lightning import Trainer

    known = inspect.signature(Trainer).parameters
    for key in trainer:
        if key not in known:
            raise ValueError(
                f"trainer.{key}: Lightning's Trainer takes no such argument{nearest(key, known)}"
            )
        if key in _NOT_TAKEN:
            raise ValueError(f"trainer.{key}: expected to be left open: {_NOT_TAKEN[key]}")
    if trainer.get("strategy", "auto") not in STRATEGIES:
        raise ValueError(
            f"trainer.strategy: expected {' or '.join(STRATEGIES)}, got {trainer['strategy']!r}: "
            "each process holds the whole network; leave it out"
        )


def nearest(name: str, known: Iterable[str]) -> str:
    """`; did you mean …?` when a known name is close to `name`, ignoring case, else nothing."""
    folded = {other.casefold(): other for other in known}
    match = difflib.get_close_matches(name.casefold(), list(folded), n=1)
    return f"; did you mean {folded[match[0]]}?" if match else ""
