"""Pages for marketers: one HTML file that loads nothing, filled from a template of this package."""

from importlib.resources import files
from typing import Any

import jinja2


def render_page(template: str, **content: Any) -> str:
    """Fill a template; `page.html.j2` holds what all pages share, their style above all.

    Args:
        template: Path of the template in this package, as in ``report.html.j2``.
        content: What the template names; text is escaped unless it is Markup.

    Raises:
        jinja2.UndefinedError: the template names what is not there.
    """
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_source),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(**content)


def _source(template: str) -> str:
    return files("penchant.training").joinpath(template).read_text(encoding="utf-8")
