"""What goes into a job and what comes out: frozen documents that are the same in every runtime."""

from __future__ import annotations

import difflib
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from airflow_provider_mlfeat import files
from airflow_provider_mlfeat.errors import UserError
from airflow_provider_mlfeat.jobs.cancellation import Cancellation
from airflow_provider_mlfeat.jobs.progress import Progress


class Document(BaseModel):
    """A frozen document that refuses fields it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class JobSpec(Document):
    """What a job has to do; each kind adds its fields.

    :param kind: which job; a name of the registry.
    :param version: of the kind's fields; a job refuses a version that it does not know.
    """

    kind: str
    version: int = 1


class Artifact(Document):
    """A file or folder that a job made.

    :param name: what it is, for instance ``manifest``.
    :param path: where it is.
    :param size: bytes.
    :param digest: SHA-256 of its contents.
    """

    name: str
    path: str
    size: int
    digest: str

    @classmethod
    def of(cls, name: str, path: Path) -> Artifact:
        """Describe what lies at `path`."""
        return cls(name=name, path=str(path), size=files.size_of(path), digest=files.digest_path(path))

    def is_intact(self) -> bool:
        """Whether it is still there with the same contents."""
        path = Path(self.path)
        return path.exists() and files.size_of(path) == self.size and files.digest_path(path) == self.digest


class JobResult(Document):
    """What a job did; each kind adds its fields, flat and small enough for XCom.

    :param kind: which job.
    :param version: of the kind's fields.
    :param fingerprint: identity of spec, inputs and code; filled in by `run`.
    :param cached: whether an earlier run of the same fingerprint made it.
    :param seconds: how long the work took.
    :param artifacts: what was made.
    """

    kind: str
    version: int = 1
    fingerprint: str = ""
    cached: bool = False
    seconds: float = Field(default=0.0, ge=0)
    artifacts: tuple[Artifact, ...] = ()


@dataclass(frozen=True)
class JobContext:
    """What the surroundings give to a running job.

    :param progress: where to report.
    :param cancellation: asks the job to stop.
    :param scratch: an empty folder that goes away with the job.
    :param secrets: what connections hold, by name; never part of a spec.
    """

    progress: Progress
    cancellation: Cancellation
    scratch: Path
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)


Spec = TypeVar("Spec", bound=JobSpec)
Result = TypeVar("Result", bound=JobResult)


class Job(ABC, Generic[Spec, Result]):
    """A kind of job.

    Subclasses name their `kind`, their document types and the extra that they need, and do the work in `run`. The
    first docstring line is what ``mlfeat jobs`` shows.
    """

    kind: ClassVar[str]
    spec_type: ClassVar[type[JobSpec]]
    result_type: ClassVar[type[JobResult]]

    @abstractmethod
    def run(self, spec: Spec, context: JobContext) -> Result:
        """Do the work. Report often: `context.progress` is also where a cancelled job stops."""

    def inputs(self, spec: Spec) -> Sequence[Path]:
        """Local files and folders whose contents decide the result, for the fingerprint."""
        return ()

    def is_cacheable(self, spec: Spec) -> bool:
        """Whether a result with the same fingerprint may stand for running again."""
        return True


def parse_document(model: type[Any], document: object, what: str) -> Any:
    """`document` as a `model`; raises UserError that names every wrong field in one line."""
    try:
        # Through JSON text, so that a spec from a file, from XCom and from Python are read by the same strict rules.
        return model.model_validate_json(json.dumps(document))
    except ValidationError as error:
        known = list(model.model_fields)
        problems = "; ".join(_describe(problem, known) for problem in error.errors())
        raise UserError(f"{what}: {problems}") from None
    except TypeError as error:
        raise UserError(f"{what}: {error}") from None


def _describe(problem: Mapping[str, Any], known: Sequence[str]) -> str:
    place = ".".join(str(part) for part in problem["loc"]) or "document"
    if problem["type"] == "extra_forbidden":
        near = difflib.get_close_matches(place, known, n=1)
        return f"unknown field '{place}'" + (f"; did you mean '{near[0]}'?" if near else "")
    if problem["type"] == "missing":
        return f"field '{place}' is missing"
    return f"field '{place}': {problem['msg']}, got {problem['input']!r}"
