"""Checks of what is in a table, before others build on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_mlfeat.hooks.arguments import optional_number
from airflow_provider_mlfeat.operators.job import JobOperator
from airflow_provider_mlfeat.operators.tables import TableJobOperator

if TYPE_CHECKING:
    from airflow.sdk import Context


class CheckDataOperator(TableJobOperator):
    """Check a version of a table: row counts, nulls, ranges, uniqueness, freshness, drift against a baseline version.

    The task's log shows the table of results. A check that does not hold fails the task without retries, or, when it
    is only a warning, writes a warning to the log.

    XCom, beside what every job returns: ``table``, ``table_version``, ``rows``, ``table_fingerprint``, ``passed``,
    ``failed``, ``warned`` and ``skipped`` (counts), and ``results`` (one document per check).

    :param table: ``table`` or ``database.table``. (templated)
    :param checks: the checks, one document each, such as ``{"check": "nulls", "column": "id", "maximum": 0}``.
        (templated)
    :param table_version: which version; None is the current one. (templated)
    :param baseline_version: version that drift is measured against; None is the one before, and while that has no rows,
        drift is not checked. (templated)
    :param blocking: whether a check that does not say so itself fails the task; False only warns.
    """

    template_fields: Sequence[str] = (
        *("table", "checks", "table_version", "baseline_version"),
        *TableJobOperator.template_fields,
    )
    template_fields_renderers: Mapping[str, str] = {"checks": "json", **JobOperator.template_fields_renderers}

    def __init__(
        self,
        *,
        table: str,
        checks: Sequence[dict[str, Any]],
        table_version: int | str | None = None,
        baseline_version: int | str | None = None,
        blocking: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.table = table
        self.checks = checks
        self.table_version = table_version
        self.baseline_version = baseline_version
        self.blocking = blocking

    def build_spec(self, context: Context) -> dict[str, Any]:
        """A ``check_data`` job."""
        return {
            "kind": "check_data",
            "root": self.tables_root(),
            "table": self.table,
            "checks": list(self.checks),
            "table_version": optional_number(int, self.table_version, "table_version"),
            "baseline_version": optional_number(int, self.baseline_version, "baseline_version"),
            "blocking": self.blocking,
        }
