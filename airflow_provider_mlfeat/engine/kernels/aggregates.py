"""The aggregates of the language: which operation of the walk each one is, and what its arguments are for.

The function catalogue addresses the entries as attributes of this module.
"""

from __future__ import annotations

from dataclasses import dataclass

from airflow_provider_mlfeat.engine.kernels.categories import Measure, Ranking
from airflow_provider_mlfeat.engine.kernels.walk import Operation


@dataclass(frozen=True, slots=True)
class AggregateKernel:
    """An aggregate that the walk evaluates; argument roles are positions in the call, None where it has no such one.

    :param operation: what the walk computes.
    :param value: the argument that is aggregated.
    :param condition: the argument that says which rows count.
    :param key: the category key.
    :param parameter: an integer setting: n of a top-n, or an index.
    :param number: a floating setting.
    :param measure: what is computed per category.
    :param ranking: how categories are ordered.
    :param skips_null: whether rows with a NULL value are left out; a distinct count counts them afterwards.
    :param condition_is_measured: whether the condition is what a ratio counts, instead of choosing the rows.
    """

    operation: Operation
    value: int | None = 0
    condition: int | None = None
    key: int | None = None
    parameter: int | None = None
    number: int | None = None
    measure: Measure = Measure.COUNT
    ranking: Ranking = Ranking.KEY_ASCENDING
    skips_null: bool = True
    condition_is_measured: bool = False

    def __call__(self, *arguments: object) -> object:
        """Entries are callable because the catalogue's implementations are; the walk evaluates them, nobody calls."""
        raise TypeError(f"{self.operation.name} is evaluated over frames, not called")


@dataclass(frozen=True, slots=True)
class SplitKernel:
    """An aggregate that gives the list of the parts of every row's text.

    :param function: the scalar function that splits one row's text, with the same arguments.
    """

    function: str

    def __call__(self, *arguments: object) -> object:
        """See ``AggregateKernel``."""
        raise TypeError(f"window_{self.function} is evaluated over frames, not called")


_MEASURES = {
    "count": Measure.COUNT,
    "sum": Measure.SUM,
    "avg": Measure.AVERAGE,
    "min": Measure.MINIMUM,
    "max": Measure.MAXIMUM,
}
_PLAIN = {
    "count": Operation.COUNT,
    "sum": Operation.SUM,
    "avg": Operation.AVERAGE,
    "min": Operation.MINIMUM,
    "max": Operation.MAXIMUM,
}


def _entries() -> dict[str, AggregateKernel | SplitKernel]:
    entries: dict[str, AggregateKernel | SplitKernel] = {
        "distinct_count": AggregateKernel(Operation.DISTINCT_COUNT),
        "median": AggregateKernel(Operation.MEDIAN),
        "stddev_samp": AggregateKernel(Operation.DEVIATION_SAMPLE),
        "stddev_pop": AggregateKernel(Operation.DEVIATION),
        "var_samp": AggregateKernel(Operation.VARIANCE_SAMPLE),
        "var_pop": AggregateKernel(Operation.VARIANCE),
        "entropy": AggregateKernel(Operation.ENTROPY),
        "ew_avg": AggregateKernel(Operation.WEIGHTED_MEAN, number=1),
        "drawdown": AggregateKernel(Operation.DRAWDOWN),
        "top1_ratio": AggregateKernel(Operation.TOP1_RATIO),
        "topn_frequency": AggregateKernel(Operation.TOP_FREQUENCY, parameter=1),
        "top": AggregateKernel(Operation.LARGEST, parameter=1),
        "at": AggregateKernel(Operation.AT, parameter=1, skips_null=False),
        "first_value": AggregateKernel(Operation.FIRST, skips_null=False),
        "last_value": AggregateKernel(Operation.LAST, skips_null=False),
        "nth_value_where": AggregateKernel(Operation.NTH, parameter=1, condition=2, skips_null=False),
        "window_split": SplitKernel("split"),
        "window_split_by_key": SplitKernel("split_by_key"),
        "window_split_by_value": SplitKernel("split_by_value"),
    }
    # The other names that the language gives to these.
    for alias, name in {"std": "stddev_samp", "stddev": "stddev_samp", "variance": "var_samp", "lag": "at"}.items():
        entries[alias] = entries[name]
    for name, operation in _PLAIN.items():
        entries[name] = AggregateKernel(operation)
        entries[f"{name}_where"] = AggregateKernel(operation, condition=1)
    for name, measure in _MEASURES.items():
        categories = Operation.CATEGORIES
        entries[f"{name}_cate"] = AggregateKernel(categories, key=1, measure=measure)
        entries[f"{name}_cate_where"] = AggregateKernel(categories, condition=1, key=2, measure=measure)
        for by, ranking in (("key", Ranking.KEY_DESCENDING), ("value", Ranking.VALUE_DESCENDING)):
            entries[f"top_n_{by}_{name}_cate_where"] = AggregateKernel(
                categories, condition=1, key=2, parameter=3, measure=measure, ranking=ranking
            )
    for by, ranking in (("key", Ranking.KEY_DESCENDING), ("value", Ranking.VALUE_DESCENDING)):
        entries[f"top_n_{by}_ratio_cate"] = AggregateKernel(
            Operation.CATEGORIES,
            condition=1,
            key=2,
            parameter=3,
            measure=Measure.RATIO,
            ranking=ranking,
            condition_is_measured=True,
        )
    return entries


AGGREGATES = _entries()


def __getattr__(name: str) -> AggregateKernel | SplitKernel:
    """The entry of an aggregate, for addresses in the function catalogue."""
    try:
        return AGGREGATES[name]
    except KeyError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
