"""One Spark for all tests that ask whether it answers as DuckDB does."""

from __future__ import annotations

import os
import shutil
import warnings
from collections.abc import Iterator
from typing import Any

import pytest


@pytest.fixture(scope="session")
def local_spark() -> Iterator[Any]:
    """Ibis over a Spark of this process, in UTC; two threads, no UI, made for small tables."""
    pytest.importorskip("pyspark", reason="needs pyspark: pip install 'penchant[spark]'")
    if not (os.environ.get("JAVA_HOME") or shutil.which("java")):
        pytest.skip("Spark needs Java 17: apt-get install openjdk-17-jre-headless")
    import ibis
    from pyspark.sql import SparkSession

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Spark about its own dependencies
        session = (
            SparkSession.builder.master("local[2]")
            .config("spark.ui.enabled", "false")
            .config("spark.driver.host", "127.0.0.1")
            .config("spark.driver.bindAddress", "127.0.0.1")
            .config("spark.sql.session.timeZone", "UTC")
            .config("spark.sql.shuffle.partitions", "1")
            .config("spark.sql.adaptive.enabled", "false")
            .config("spark.driver.memory", "1g")
            .config("spark.driver.extraJavaOptions", "-XX:TieredStopAtLevel=1")
            .config("spark.ui.showConsoleProgress", "false")
            # Compiling hundreds of columns takes longer than a few hundred rows.
            .config("spark.sql.codegen.wholeStage", "false")
            .config("spark.sql.codegen.factoryMode", "NO_CODEGEN")
            .getOrCreate()
        )
        connection = ibis.pyspark.connect(session)
    yield connection
    session.stop()
