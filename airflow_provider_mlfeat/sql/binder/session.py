"""What holds for a whole query while it is bound."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sqlglot import exp

from airflow_provider_mlfeat.sql.catalog import Catalog
from airflow_provider_mlfeat.sql.dialect.positions import position_of
from airflow_provider_mlfeat.sql.errors import SqlUnsupportedError
from airflow_provider_mlfeat.sql.functions.registry import CATALOGUE, Catalogue
from airflow_provider_mlfeat.sql.plan import LongWindow
from airflow_provider_mlfeat.sql.types import DataType


@dataclass(slots=True)
class Session:
    """The options of one call of the planner.

    :param catalog: the stored tables.
    :param database: the current database.
    :param request: whether the query must run on single request rows.
    :param parameters: types of the ``?`` parameters.
    :param functions: the function catalogue.
    :param warnings: what the binder wants the user to know.
    :param buckets: windows to pre-aggregate, names in lower case, with the milliseconds of a bucket.
    :param long_windows: those of them that features use.
    :param inside_last_join: how many right sides of a LAST JOIN the binder is in.
    """

    catalog: Catalog
    database: str = ""
    request: bool = False
    parameters: tuple[DataType, ...] = ()
    functions: Catalogue = field(default_factory=lambda: CATALOGUE)
    warnings: list[str] = field(default_factory=list)
    buckets: Mapping[str, int] = field(default_factory=dict)
    long_windows: list[LongWindow] = field(default_factory=list)
    inside_last_join: int = 0

    def refuse_in_request(self, what: str, node: exp.Expr | None) -> None:
        """Raise when the query must run on request rows, which do not have `what`."""
        if self.request:
            raise SqlUnsupportedError(f"{what} is not supported in request mode", position_of(node))

    def warn(self, message: str, node: exp.Expr) -> None:
        """Add a warning, with its place in the text."""
        position = position_of(node)
        self.warnings.append(f"{position.line}:{position.column}: {message}" if position else message)
