"""Parts of dates and times, and values computed from them, in the session's time zone."""

from __future__ import annotations

from collections.abc import Sequence

from airflow_provider_mlfeat.sql.functions.group import Group
from airflow_provider_mlfeat.sql.functions.registry import Argument, Form, Resolver, Signature
from airflow_provider_mlfeat.sql.functions.signatures import DAY, INTEGER, TEXT, Slot, signature
from airflow_provider_mlfeat.sql.types import BIGINT, DATE, INT, STRING, TIMESTAMP, DataType, Kind

_MOMENT_OR_DAY = Slot("a timestamp, date or bigint", (Kind.TIMESTAMP, Kind.DATE, Kind.BIGINT), TIMESTAMP)
_MOMENT = Slot("a timestamp or bigint", (Kind.TIMESTAMP, Kind.BIGINT), TIMESTAMP)
_FORMATTED = Slot("a timestamp or date", (Kind.TIMESTAMP, Kind.DATE), TIMESTAMP)
_DAY_OR_TEXT = Slot("a date or string", (Kind.DATE, Kind.STRING), DATE)


def _part(slot: Slot, result: DataType = INT) -> Resolver:
    """A bigint is milliseconds, so it is taken as a timestamp."""
    check = signature(slot, result=result)

    def resolve(arguments: Sequence[Argument]) -> Signature:
        given = check(arguments).arguments[0]
        return Signature((TIMESTAMP if given == BIGINT else given,), result)

    return resolve


DATES = Group("Dates and times", "dates")
for _name, _doc, _aliases in (
    ("year", "The year.", ()),
    ("month", "The month, 1 to 12.", ()),
    ("day", "The day of the month.", ("dayofmonth",)),
    ("dayofweek", "The day of the week: 1 is Sunday, 7 is Saturday.", ()),
    ("dayofyear", "The day of the year, from 1.", ()),
    ("weekofyear", "The ISO week of the year.", ("week",)),
):
    DATES.scalar(_name, f"{_name}(x)", _part(_MOMENT_OR_DAY), _doc, form=Form.COLUMN, aliases=_aliases)
for _name, _doc in (
    ("hour", "The hour, 0 to 23."),
    ("minute", "The minute, 0 to 59."),
    ("second", "The second, 0 to 59."),
):
    DATES.scalar(_name, f"{_name}(x)", _part(_MOMENT), _doc, form=Form.COLUMN)
DATES.scalar(
    "date_format",
    "date_format(x, format)",
    signature(_FORMATTED, TEXT, result=STRING),
    "The text of a timestamp or date by a strftime format.",
    form=Form.COLUMN,
)
DATES.scalar("last_day", "last_day(x)", _part(_MOMENT_OR_DAY, DATE), "The last day of the month.", form=Form.COLUMN)
DATES.scalar(
    "add_months",
    "add_months(d, n)",
    signature(DAY, INTEGER.to(BIGINT), result=DATE),
    "The date n months later, moved to the month's last day where it has no such day.",
)
DATES.scalar(
    "datediff",
    "datediff(a, b)",
    signature(_DAY_OR_TEXT, _DAY_OR_TEXT, result=INT),
    "Days from b to a, of dates or of texts (RFC 3339 included); NULL for text that is no date.",
    form=Form.COLUMN,
)
DATES.scalar(
    "unix_timestamp",
    "unix_timestamp(x)",
    signature(_DAY_OR_TEXT, result=BIGINT),
    "Seconds since 1970 of a date's local midnight or of a local time in text; the clock is never read.",
    form=Form.COLUMN,
)
