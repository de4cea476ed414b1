"""What a recipe says of a ready table: where it is, what its columns mean, what is predicted."""

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

from penchant.training.recipe_checks import (
    DATABASE_FILE_SCHEMES,
    check_database_url,
    check_least,
)


@dataclass(frozen=True, kw_only=True)
class TableSource:
    """Where the rows are: a file, or a table of a database that Ibis reads."""

    path: str | None = None
    """CSV or Parquet file; a relative path is looked for beside the recipe first."""
    url: str | None = None
    """Ibis connection URL, as in duckdb://shop.db, sqlite://shop.db, postgres://me:${PASSWORD}@host/shop."""
    name: str | None = None
    """Name of the database table or view; only with `url`."""

    def __post_init__(self) -> None:
        """Refuse anything but a path alone or a URL with a table name."""
        if (self.path is None) == (self.url is None):
            raise ValueError(
                "table: expected either a path (a CSV or Parquet file) or a url with a name, "
                f"got path {self.path!r} and url {self.url!r}; --table.path null drops a recipe's "
                "path"
            )
        if (self.url is None) != (self.name is None):
            raise ValueError(
                "table: url and name belong together (a database and a table in it), "
                f"got url {self.url!r} and name {self.name!r}"
            )
        if self.url is not None:
            check_database_url(self.url)

    def relative_to(self, folder: Path) -> "TableSource":
        """The same source, with a file's relative path looked for in `folder` first."""
        if self.path is not None:
            return replace(self, path=_beside(folder, self.path))
        scheme, separator, rest = str(self.url).partition("://")
        if scheme not in DATABASE_FILE_SCHEMES or not rest:
            return self
        return replace(self, url=scheme + separator + _beside(folder, rest))


@dataclass(frozen=True, kw_only=True)
class MultiValuedColumn:
    """A column that holds several categories a row: a list, or text with a separator."""

    name: str
    """Column name."""
    separator: str = "|"
    """What stands between the categories when the column is text."""
    max_values: int = 16
    """Categories read from one row; those after them are left out."""

    def __post_init__(self) -> None:
        """Refuse a separator that separates nothing and a column without slots."""
        if not self.separator:
            raise ValueError(f"columns.multi_valued: {self.name} needs a separator, got ''")
        check_least("columns.multi_valued.max_values", self.max_values, 1)


@dataclass(frozen=True, kw_only=True)
class Columns:
    """Which columns of the table are features, and of which kind."""

    numeric: tuple[str, ...] = ()
    """Columns whose order and distances mean something: counts, amounts, durations."""
    categorical: tuple[str, ...] = ()
    """Columns that name one thing out of several: text, codes, truth values."""
    multi_valued: tuple[MultiValuedColumn, ...] = ()
    """Columns that hold several categories a row."""
    ignored: tuple[str, ...] = ()
    """Columns left out; one that is named here is left out even if it is named above too."""

    def __post_init__(self) -> None:
        """Refuse a column that is named twice."""
        names = [*self.numeric, *self.categorical, *(c.name for c in self.multi_valued)]
        for group in (names, list(self.ignored)):
            twice = [name for name, count in Counter(group).items() if count > 1]
            if twice:
                raise ValueError(
                    f"columns: {', '.join(twice)} named more than once among numeric, categorical "
                    "and multi_valued; leave each column in one group"
                )

    def without_ignored(self) -> "Columns":
        """The same columns, with the ignored ones gone from every group."""
        ignored = set(self.ignored)
        return replace(
            self,
            numeric=tuple(name for name in self.numeric if name not in ignored),
            categorical=tuple(name for name in self.categorical if name not in ignored),
            multi_valued=tuple(c for c in self.multi_valued if c.name not in ignored),
        )

    @property
    def features(self) -> tuple[str, ...]:
        """Names in the order of the contract: numeric, categorical, multi-valued."""
        return (*self.numeric, *self.categorical, *(c.name for c in self.multi_valued))


@dataclass(frozen=True, kw_only=True)
class Goal:
    """Something a visitor may do, and the column that says whether it was done."""

    name: str
    """Name of the goal in reports and answers, as in purchase."""
    column: str
    """Column that holds it; a missing value means that it was not observed."""
    positive: str | bool | int | None = None
    """Value that means 1, every other being 0; when None the column holds 0/1 or true/false."""


def _beside(folder: Path, path: str) -> str:
    near = folder / Path(path).expanduser()
    return str(near.resolve()) if near.exists() else str(Path(path).expanduser())
