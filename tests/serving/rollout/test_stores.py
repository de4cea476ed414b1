"""The same rollout on other stores: Postgres, S3, and a tracking server before both."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.serving.rollout.mlflow_server import mlflow_server
from tests.serving.rollout.postgres import postgres_binaries, postgres_server
from tests.serving.rollout.store import QUICK, register
from tests.serving.rollout.variants import noisy, variant

from penchant.clients.home import Home
from penchant.serving.package import ModelPackage
from penchant.serving.registry import CHAMPION, Registry
from penchant.serving.repository import Repository
from penchant.serving.rollout import record
from penchant.serving.rollout.desired_state import DesiredState
from penchant.serving.rollout.promote import promote
from penchant.serving.rollout.rollback import rollback

BUCKET = "models"

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def packages(
    tmp_path_factory: pytest.TempPathFactory, tiny_package: ModelPackage
) -> tuple[ModelPackage, ModelPackage, ModelPackage]:
    """A version, one as good, and a worse one."""
    folder = tmp_path_factory.mktemp("packages")
    return (
        variant(tiny_package, folder / "first"),
        variant(tiny_package, folder / "as_good", noisy(0.002)),
        variant(tiny_package, folder / "worse", noisy(1.0)),
    )


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    """URI of an empty database."""
    pytest.importorskip("psycopg2", reason="needs pip install 'penchant[postgres]'")
    binaries = postgres_binaries()
    if binaries is None:
        pytest.skip("no Postgres in /usr/lib/postgresql: apt-get install postgresql")
    with postgres_server(binaries) as uri:
        yield uri


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """URI of an empty bucket of a real S3 server."""
    moto = pytest.importorskip(
        "moto.moto_server.threaded_moto_server", reason="needs pip install 'moto[s3]'"
    )
    import boto3

    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    monkeypatch.setenv("MLFLOW_S3_ENDPOINT_URL", f"http://{host}:{port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "anna")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    client = boto3.client("s3", endpoint_url=f"http://{host}:{port}")
    client.create_bucket(Bucket=BUCKET)
    try:
        yield f"s3://{BUCKET}"
    finally:
        client.close()
        server.stop()


def roll_out(
    home: Home, uri: str | None, artifacts: str | None, packages: tuple[ModelPackage, ...]
) -> None:
    """Register three versions, promote, refuse, roll back; look at everything that is written."""
    registry = Registry(home, uri).connect()
    from mlflow import MlflowClient

    client = MlflowClient(registry.tracking_uri, registry.tracking_uri)
    if artifacts:
        client.create_experiment("rollout", artifact_location=artifacts)
    first, as_good, worse = (register(registry, package) for package in packages)
    options: dict[str, Any] = {"home": home.folder, "tracking_uri": uri}

    promote("tiny", version=first, gates=QUICK, **options)
    promote("tiny", version=as_good, gates=QUICK, **options)
    with pytest.raises(ValueError, match="auc is worse"):
        promote("tiny", version=worse, gates=QUICK, **options)

    served = Repository(home.model_repository)
    model = DesiredState(registry).model("tiny")
    assert model is not None
    assert dict(model.aliases) == {CHAMPION: as_good}
    assert served.served("tiny").package_version == as_good
    assert model.tag(worse, record.OUTCOME) == "refused"
    path = client.download_artifacts(
        model.versions[worse].run_id, model.tag(worse, record.EVIDENCE), str(home.folder)
    )
    assert json.loads(Path(path).read_text())["outcome"] == "block"
    rollback("tiny", **options)
    assert served.served("tiny").package_version == first


def test_sqlite_and_s3(bucket: str, packages: tuple[ModelPackage, ...], tmp_path: Path) -> None:
    roll_out(Home(tmp_path / "home"), None, f"{bucket}/direct", packages)

    import os

    import boto3

    client = boto3.client("s3", endpoint_url=os.environ["MLFLOW_S3_ENDPOINT_URL"])
    names = [found["Key"] for found in client.list_objects_v2(Bucket=BUCKET)["Contents"]]
    client.close()
    assert sum(name.endswith("/net.onnx") for name in names) == 3


def test_postgres_and_a_disk(
    postgres: str, packages: tuple[ModelPackage, ...], tmp_path: Path
) -> None:
    roll_out(Home(tmp_path / "home"), postgres, (tmp_path / "disk").as_uri(), packages)


def test_a_tracking_server_on_postgres_and_s3(
    postgres: str, bucket: str, packages: tuple[ModelPackage, ...], tmp_path: Path
) -> None:
    import sqlalchemy

    engine = sqlalchemy.create_engine(postgres, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(sqlalchemy.text("CREATE DATABASE served"))
    engine.dispose()
    uri = f"{postgres.rpartition('/')[0]}/served"
    with mlflow_server(uri, f"{bucket}/proxied", tmp_path) as address:
        roll_out(Home(tmp_path / "home"), f"http://{address}", None, packages)
