"""Looking at a registered model from a sensor or a trigger."""

from __future__ import annotations

from typing import Any


def find_model_version(mlflow_conn_id: str, model_name: str, alias: str, after: int) -> dict[str, Any] | None:
    """The version that an alias points to, or the newest one, when it can be used and is another than `after`.

    A model or alias that does not exist yet has no version.

    :param mlflow_conn_id: connection of type ``mlfeat_mlflow``.
    :param model_name: the registered model's name.
    :param alias: which alias; empty looks at the newest version.
    :param after: number of the version that is known already; 0 is none.
    """
    from airflow_provider_mlfeat.hooks.mlflow import MLflowHook
    from airflow_provider_mlfeat.registry import versions

    versions.check_name(model_name)
    hook = MLflowHook(mlflow_conn_id)
    with hook.client() as client:
        if alias:
            found = versions.find_alias(client, model_name, alias)
        else:
            ready = [one for one in versions.search(client, model_name) if one.status == "READY"]
            found = ready[0] if ready and ready[0].number > after else None
    if found is None or found.status != "READY" or found.number == after:
        return None
    return {
        "model_name": found.name,
        "model_version": found.number,
        "model_uri": found.uri,
        "model_fingerprint": found.fingerprint,
        "plan_id": found.tags.get("mlfeat.plan_id", ""),
        "alias": alias,
        "version_url": hook.settings.tracking().model_page(found.name, found.number),
    }
