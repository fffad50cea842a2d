"""The data of an example pipeline: made up on the spot, or the user's own, checked to be whole."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from airflow_provider_mlfeat.errors import UserError
from airflow_provider_mlfeat.jobs.spec import Job, JobContext, JobResult, JobSpec

# The tables of each pipeline: folder → kind of its files.
TABLES = {
    "jd": dict.fromkeys(
        ("action", "flattenRequest_clean", "bo_user", "bo_action", "bo_product", "bo_comment"), "parquet"
    ),
    "talkingdata": {"clicks": "csv"},
}


class SampleDataSpec(JobSpec):
    """Spec of `SampleDataJob`.

    :param kind: ``sample_data``.
    :param dataset: ``jd`` or ``talkingdata``.
    :param directory: where generated data goes; equal data that is there already is kept.
    :param data: a folder of the user's own data, which is checked instead of generating any.
    :param scale: how much to generate; 1 is 13,916 requests of ``jd``, 200,000 clicks of ``talkingdata``.
    :param seed: of the random numbers.
    """

    kind: Literal["sample_data"] = "sample_data"
    dataset: Literal["jd", "talkingdata"]
    directory: str = ""
    data: str = ""
    scale: float = Field(default=1.0, gt=0, le=10_000)
    seed: int = Field(default=0, ge=0)


class SampleDataResult(JobResult):
    """Result of `SampleDataJob`.

    :param kind: ``sample_data``.
    :param data: the folder with one folder per table.
    :param generated: whether the data was made up.
    :param rows: rows of each table that was generated.
    """

    kind: Literal["sample_data"] = "sample_data"
    data: str
    generated: bool
    rows: dict[str, int] = Field(default_factory=dict)


class SampleDataJob(Job[SampleDataSpec, SampleDataResult]):
    """Provide the files that an example pipeline loads."""

    kind: ClassVar[str] = "sample_data"
    spec_type: ClassVar[type[JobSpec]] = SampleDataSpec
    result_type: ClassVar[type[JobResult]] = SampleDataResult

    def is_cacheable(self, spec: SampleDataSpec) -> bool:
        """No: generated data remembers by itself what it is, and the user's may have changed."""
        return False

    def run(self, spec: SampleDataSpec, context: JobContext) -> SampleDataResult:
        """Check the user's folder, or generate into ours."""
        if spec.data:
            check_tables(Path(spec.data), spec.dataset)
            return SampleDataResult(data=spec.data, generated=False)
        if not spec.directory:
            raise UserError("name a directory for the generated data, or the folder of your own data")
        from airflow_provider_mlfeat.samples.generate import expected_rows, generate

        context.progress.stage("generate", total=expected_rows(spec.dataset, spec.scale), unit="rows")
        sample = generate(spec.dataset, Path(spec.directory), spec.scale, spec.seed, context.progress.advance)
        return SampleDataResult(data=str(sample.directory), generated=True, rows=sample.rows)


def check_tables(folder: Path, dataset: str) -> None:
    """Raise UserError with the list of all that is missing."""
    missing = [
        f"{name}/*.{suffix}" for name, suffix in TABLES[dataset].items() if not any(folder.glob(f"{name}/*.{suffix}"))
    ]
    if missing:
        wanted = ", ".join(f"{name}/*.{suffix}" for name, suffix in TABLES[dataset].items())
        raise UserError(f"{folder} lacks {', '.join(missing)}; the {dataset} pipeline reads {wanted}")
