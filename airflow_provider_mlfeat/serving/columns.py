"""Whether a model and features fit each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_mlfeat.errors import UserError

if TYPE_CHECKING:
    from airflow_provider_mlfeat.online.features import Served
    from airflow_provider_mlfeat.serving.releases import Release
    from airflow_provider_mlfeat.serving.scoring import ServedModel


def check_columns(release: Release, served: Served, model: ServedModel) -> None:
    """The model must have been trained on features of this plan, and find all its columns in them."""
    if model.plan_id != served.deployment.plan_id:
        raise UserError(
            f"the model of {release.name} was trained on plan {str(model.plan_id)[:12]}, and {release.deployment} has "
            f"plan {served.deployment.plan_id[:12]}"
        )
    names = {column.name for column in served.output_schema}
    missing = [name for name in model.encoder.columns if name not in names]
    if missing:
        raise UserError(f"the model of {release.name} reads column '{missing[0]}', which {release.deployment} lacks")
