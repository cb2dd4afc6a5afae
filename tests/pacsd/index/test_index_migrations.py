"""Migrations: the schema they make, what check says, two at once, and the scripts inside a wheel."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from pacsd.errors import ConfigurationError, IndexUnavailable, MigrationNeeded
from pacsd.index.database.engines import database_url, writing_engine
from pacsd.index.schema import migrations
from pacsd.index.schema.tables import metadata

CHECKOUT = Path(__file__).parents[3]


def test_migrated_schema_is_that_of_the_tables(empty_database_url: str) -> None:
    migrations.upgrade(empty_database_url)
    engine = writing_engine(database_url(empty_database_url))
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "compare_server_default": True}
        )
        assert compare_metadata(context, metadata) == []
    engine.dispose()


def test_a_difference_between_schema_and_tables_would_be_seen(empty_database_url: str) -> None:
    migrations.upgrade(empty_database_url)
    engine = writing_engine(database_url(empty_database_url))
    with engine.connect() as connection:
        connection.exec_driver_sql("DROP INDEX ix_studies_accession_number")
        connection.exec_driver_sql("ALTER TABLE patients DROP COLUMN patient_sex")
        differences = compare_metadata(MigrationContext.configure(connection), metadata)
        assert [difference[0] for difference in differences] == ["add_column", "add_index"]
    engine.dispose()


def test_check_names_the_command_until_the_database_is_migrated(empty_database_url: str) -> None:
    assert migrations.current(empty_database_url) is None
    with pytest.raises(MigrationNeeded, match="pacsd db upgrade"):
        migrations.check(empty_database_url)
    migrations.upgrade(empty_database_url)
    migrations.check(empty_database_url)
    assert migrations.current(empty_database_url) == migrations.latest()
    migrations.upgrade(empty_database_url)
    migrations.check(empty_database_url)


def test_a_database_of_a_newer_version_is_left_alone(empty_database_url: str) -> None:
    migrations.upgrade(empty_database_url)
    engine = writing_engine(database_url(empty_database_url))
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    engine.dispose()
    with pytest.raises(MigrationNeeded, match="newer"):
        migrations.check(empty_database_url)
    with pytest.raises(MigrationNeeded):
        migrations.upgrade(empty_database_url)
    assert migrations.current(empty_database_url) == "9999"


def test_servers_that_start_at_once_migrate_once(empty_database_url: str) -> None:
    ready = threading.Barrier(4)
    failures: list[BaseException] = []

    def upgrade() -> None:
        ready.wait(20)
        try:
            subprocess.run(
                [sys.executable, "-c",
                 "import sys; from pacsd.index.schema import migrations as m; m.upgrade(sys.argv[1])",
                 empty_database_url],
                check=True, capture_output=True, text=True, timeout=60,
            )  # fmt: skip
        except subprocess.CalledProcessError as error:
            failures.append(AssertionError(error.stderr))

    threads = [threading.Thread(target=upgrade) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(60)
    assert failures == []
    migrations.check(empty_database_url)


def test_revisions_are_frozen() -> None:
    """What a revision did stays what it does, so none imports code that goes on changing."""
    revisions = sorted((Path(__file__).parents[3] / "migrations" / "versions").glob("*.py"))
    assert revisions
    for each in revisions:
        assert not re.search(r"^\s*(from|import) (pacsd|dicomnet)\b", each.read_text(), re.MULTILINE), (
            each.name
        )


def test_a_step_that_fails_leaves_nothing_half_done(empty_database_url: str) -> None:
    engine = writing_engine(database_url(empty_database_url))
    if database_url(empty_database_url).get_backend_name() == "sqlite":
        Path(database_url(empty_database_url).database or "").parent.mkdir()
    with engine.begin() as connection:
        # In the way of the last table: the others are made before it.
        connection.exec_driver_sql("CREATE TABLE instances (id integer)")
    with pytest.raises(IndexUnavailable):
        migrations.upgrade(empty_database_url)
    assert migrations.current(empty_database_url) is None
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE instances")
    engine.dispose()
    migrations.upgrade(empty_database_url)
    migrations.check(empty_database_url)


def test_a_folder_that_cannot_be_made_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(IndexUnavailable):
        migrations.upgrade(f"sqlite:///{tmp_path}/file/index.db")


def test_a_server_that_does_not_answer_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(IndexUnavailable) as failure:
        migrations.check(f"postgresql+psycopg://pacsd:SECRET@/index?host={tmp_path}")
    assert "SECRET" not in str(failure.value)


@pytest.mark.parametrize("url", ["", "index.db", "sqlite://", "sqlite:///:memory:", "mysql://host/index"])
def test_a_url_that_cannot_be_used_is_a_configuration_error(url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"index\.url"):
        migrations.check(url)


def test_the_wheel_contains_and_runs_the_migrations(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        if (CHECKOUT / name).exists():
            shutil.copy(CHECKOUT / name, source)
        else:
            (source / name).write_text(f"{name}\n")
    for name in ("server", "migrations"):
        shutil.copytree(CHECKOUT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]
    run(
        [*pip, "wheel", str(source), "--no-deps", "--no-build-isolation", "-w", str(tmp_path / "wheels")],
        tmp_path,
    )
    (wheel,) = (tmp_path / "wheels").glob("pacsd-*.whl")
    run([*pip, "install", "--no-deps", "--target", str(tmp_path / "installed"), str(wheel)], tmp_path)
    shutil.rmtree(source)
    script = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from pacsd.index.schema import migrations\n"
        "assert str(migrations.scripts()).startswith(sys.argv[1]), migrations.scripts()\n"
        "migrations.upgrade(sys.argv[2]); migrations.check(sys.argv[2]); print(migrations.current(sys.argv[2]))\n"
    )
    url = f"sqlite:///{tmp_path}/index.db"
    printed = run([sys.executable, "-c", script, str(tmp_path / "installed"), url], tmp_path)
    assert printed.strip() == migrations.latest()


def run(command: list[str], cwd: Path) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, timeout=110)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
