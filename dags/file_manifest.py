"""Which data did a run see? Writes a manifest of a folder, and an asset event with its version."""

from __future__ import annotations

from pathlib import Path

import pendulum
from airflow.sdk import DAG, Asset, Param

from airflow_provider_mlfeat.operators.files import FileManifestOperator

data = Asset("file_manifest_data", group="mlfeat")

with DAG(
    dag_id="file_manifest",
    description="Hash a set of files and publish their version as an asset event",
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    tags=["mlfeat", "example"],
    doc_md=__doc__,
    default_args={"owner": "mlfeat", "retries": 1},
    params={
        "paths": Param(
            ["/etc/os-release"], type="array", items={"type": "string"}, title="Files, folders and patterns"
        ),
        "manifest": Param(
            str(Path.home() / "mlfeat-manifest.json"), type="string", minLength=1, title="Where to write the manifest"
        ),
    },
    render_template_as_native_obj=True,
):
    # --8<-- [start:file_manifest]
    FileManifestOperator(
        task_id="write_manifest",
        paths="{{ params.paths }}",
        manifest="{{ params.manifest }}",
        outlets=[data],
    )
    # --8<-- [end:file_manifest]
