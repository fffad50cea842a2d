"""The data of the example pipelines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_mlfeat.operators.job import JobOperator

if TYPE_CHECKING:
    from airflow.sdk import Context


class SampleDataOperator(JobOperator):
    """Provide the raw data of an example pipeline: generated on the spot, or the user's own folder, checked.

    XCom, beside what every job returns: ``data`` (the folder with one folder per table), ``generated``, ``rows``.

    :param dataset: ``jd`` (purchase intention) or ``talkingdata`` (clicks with fraud). (templated)
    :param directory: where generated data goes; equal data that is there already is kept. (templated)
    :param data: a folder of one's own data; empty generates. The task fails with the list of what it lacks. (templated)
    :param scale: how much to generate; 1 is 13,916 requests or 200,000 clicks. (templated)
    :param seed: of the random numbers. (templated)
    """

    template_fields: Sequence[str] = ("dataset", "directory", "data", "scale", "seed", *JobOperator.template_fields)

    def __init__(
        self,
        *,
        dataset: str,
        directory: str = "",
        data: str = "",
        scale: float | str = 1.0,
        seed: int | str = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.dataset = dataset
        self.directory = directory
        self.data = data
        self.scale = scale
        self.seed = seed

    def build_spec(self, context: Context) -> dict[str, Any]:
        """A ``sample_data`` job."""
        return {
            "kind": "sample_data",
            "dataset": self.dataset,
            "directory": self.directory,
            "data": self.data,
            "scale": self.scale,
            "seed": self.seed,
        }
