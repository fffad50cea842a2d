"""Who the users are: age, sex, level and day of registration, dealt out so that every count is exact."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from airflow_provider_mlfeat.samples.jd import figures
from airflow_provider_mlfeat.samples.jd.skeleton import dealt

_FIRST = (2004, 6, 15)
_LAST = (2016, 1, 29)
# One person asks before registering.
_LATE = (2016, 10, 4)


@dataclass(frozen=True, slots=True)
class People:
    """One entry per user.

    :param ages: group of age.
    :param sexes: 0, 1 or 2.
    :param levels: 1 to 5.
    :param registrations: moment of registration, in milliseconds UTC; always 16:00, midnight of the shop.
    """

    ages: list[str]
    sexes: list[str]
    levels: list[str]
    registrations: np.ndarray


def make_people(random: np.random.Generator) -> People:
    """Deal out the users' attributes."""
    kinds = {(sex, str(level + 1)): count for sex, row in figures.LEVELS.items() for level, count in enumerate(row)}
    both = dealt(random, kinds)
    return People(
        ages=dealt(random, figures.AGES),
        sexes=[sex for sex, _ in both],
        levels=[level for _, level in both],
        registrations=random.permutation(_registrations(random)),
    )


def _registrations(random: np.random.Generator) -> np.ndarray:
    """As many registrations per year as counted, on as many different days as counted."""
    counts = np.array(list(figures.REGISTRATIONS.values()))
    calendars = [_days_of(year) for year in figures.REGISTRATIONS]
    # Each year first gets the days that its registrations would hit by chance; then the sum is made right.
    sizes = np.array([calendar.size for calendar in calendars])
    different = np.minimum(np.round(sizes * (1 - np.exp(-counts / sizes))).astype(int), np.minimum(counts, sizes))
    different = np.maximum(different, 1)
    year = 0
    while different.sum() != figures.REGISTRATION_DAYS:
        step = 1 if different.sum() < figures.REGISTRATION_DAYS else -1
        if 1 < different[year] + step <= min(counts[year], sizes[year]):
            different[year] += step
        year = (year + 1) % counts.size
    days = []
    for number, (calendar, count, kinds) in enumerate(zip(calendars, counts, different, strict=True)):
        edge = calendar[[0]] if number == 0 else calendar[[-1]]
        chosen = np.concatenate([edge, random.choice(np.setdiff1d(calendar, edge), kinds - 1, replace=False)])
        days.append(np.concatenate([chosen, random.choice(chosen[chosen != _late_day()], count - kinds)]))
    return np.concatenate(days) * figures.DAY + 16 * figures.HOUR


def _day(year: int, month: int, day: int) -> int:
    return int(datetime(year, month, day, tzinfo=UTC).timestamp()) // 86_400


def _late_day() -> int:
    return _day(*_LATE)


def _days_of(year: int) -> np.ndarray:
    first = max(_day(year, 1, 1), _day(*_FIRST))
    last = min(_day(year, 12, 31), _day(*_LAST))
    days = np.arange(first, last + 1)
    return np.append(days, _late_day()) if year == _LATE[0] else days
