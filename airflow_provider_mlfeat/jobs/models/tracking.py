"""Which MLflow a job talks to: what may be seen stands in its spec, address and credentials come as secrets."""

from __future__ import annotations

from collections.abc import Mapping

from airflow_provider_mlfeat.jobs.spec import Document
from airflow_provider_mlfeat.registry.tracking import DEFAULT_EXPERIMENT, Tracking

# Secrets of a job whose names begin so are variables from which the MLflow library takes address and credentials.
TRACKING_SECRET = "mlflow."  # noqa: S105 - a prefix of names


class TrackingSpec(Document):
    """The part of a spec that says which MLflow.

    :param location: address without credentials, to show; it also makes jobs on different servers different jobs.
    :param experiment: the experiment that runs are filed under.
    :param artifact_location: folder or bucket for artefacts of an experiment that the job makes.
    :param pages: address of MLflow's pages for people; empty where there are none.
    """

    location: str = ""
    experiment: str = DEFAULT_EXPERIMENT
    artifact_location: str | None = None
    pages: str = ""

    def tracking(self, secrets: Mapping[str, str]) -> Tracking:
        """The MLflow of the job's secrets; without such, the one that the process's variables name, or the embedded."""
        environment = {
            name.removeprefix(TRACKING_SECRET): value
            for name, value in secrets.items()
            if name.startswith(TRACKING_SECRET)
        }
        if not environment:
            found = Tracking.of_surroundings()
            location = self.artifact_location or found.artifact_location
            return Tracking(found.environment, self.experiment, location, self.pages or found.pages)
        return Tracking(environment, self.experiment, self.artifact_location, self.pages)


def tracking_secrets(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables of a connection as secrets of a job."""
    return {TRACKING_SECRET + name: value for name, value in environment.items()}
