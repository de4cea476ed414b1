"""Made-up evaluations, for tests of what is said about a model."""

from typing import Any

import numpy as np

from penchant.training.baselines import LIGHTGBM, LOGISTIC
from penchant.training.evaluation import NETWORK, Evaluation

HOSTILE = "<script>alert('x')</script> & \"quoted\" $x_1$"
PERSIAN, ARABIC, EMOJI = "رایانه همراه", "هاتف", "📱 żółty"


def made_up(rows: int = 600, **changes: Any) -> Evaluation:
    """An evaluation of two goals in which `seconds` and `device` matter; reasons are exact."""
    rng = np.random.default_rng(5)
    seconds = rng.exponential(60, rows)
    device = rng.choice(np.array([PERSIAN, EMOJI, HOSTILE], dtype=object), rows)
    first = (seconds - 60) / 60
    second = np.where(device == PERSIAN, 1.2, -0.6)
    noise = np.zeros(rows)
    logit = -1.2 + first + second
    score = 1 / (1 + np.exp(-logit))
    goals = (f"buy {HOSTILE}", "leave")
    label = np.column_stack([rng.random(rows) < score, rng.random(rows) < 0.4]).astype(np.float32)
    label[::7, 1] = np.nan
    even = np.full(rows, 0.4)
    explained = np.arange(0, rows, 2)
    reasons = np.column_stack([first, second, noise])[explained]
    numeric = seconds.astype(np.float32)[:, None]
    numeric[::50] = np.nan
    interests = rng.choice(np.array(["shoes", "coats", ""], dtype=object), (rows, 2))
    values: dict[str, Any] = {
        "goals": goals,
        "numeric": ("seconds",),
        "categorical": (f"device {HOSTILE}",),
        "multi_valued": (f"interests {ARABIC}",),
        "label": label,
        "propensity": {
            NETWORK: np.column_stack([score, even]),
            LOGISTIC: np.column_stack([np.clip(score, 0.2, 0.3), even]),
            LIGHTGBM: np.column_stack([np.sqrt(score), even]),
        },
        "raw": {
            "numeric": numeric,
            "categorical": device[:, None],
            f"multi_interests {ARABIC}": interests,
        },
        "explained": explained,
        "base": np.full((len(explained), 2), [-1.2, np.log(0.4 / 0.6)]),
        "reason": np.stack([reasons, 0 * reasons], axis=1),
        "learnt_rows": 2400,
        "provenance": {"Model": f"shop {HOSTILE}", "Data fingerprint (SHA-256)": "c0ffee"},
    }
    return Evaluation(**(values | changes))
