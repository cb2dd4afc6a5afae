"""What is too large for the memory that is left is refused before it is read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pacsd.dataset.memory import LOOKED_AT, make_sure_of_memory, total_memory
from pacsd.errors import DatasetInvalid

if TYPE_CHECKING:
    from pathlib import Path

GIGABYTE = 1_000_000_000


def system(folder: Path, *, limit: str = "max", used: int = 0, cached: int = 0, group: str = "/") -> Path:
    """A machine with 4 GB available."""
    files = {
        "proc/meminfo": "MemTotal:        8000000 kB\nMemAvailable:    3906250 kB\nHugePages_Total:   0\n",
        "proc/self/cgroup": f"0::{group}\n",
        f"sys/fs/cgroup{group}/memory.max": f"{limit}\n",
        f"sys/fs/cgroup{group}/memory.current": f"{used}\n",
        f"sys/fs/cgroup{group}/memory.stat": f"anon {used - cached}\ninactive_file {cached}\nactive_file 0\n",
    }
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return folder


def test_the_machines_memory(tmp_path: Path) -> None:
    machine = system(tmp_path)
    make_sure_of_memory(4 * GIGABYTE, system=machine)
    with pytest.raises(DatasetInvalid, match="5000 MB of memory are needed, 4000 MB are free"):
        make_sure_of_memory(5 * GIGABYTE, system=machine)


@pytest.mark.parametrize("group", ["/", "/system.slice/pacsd.service"])
def test_a_containers_or_services_limit(tmp_path: Path, group: str) -> None:
    machine = system(tmp_path, limit=str(2 * GIGABYTE), used=GIGABYTE, cached=GIGABYTE // 2, group=group)
    make_sure_of_memory(3 * GIGABYTE // 2, system=machine)
    with pytest.raises(DatasetInvalid, match="1501 MB of memory are needed, 1500 MB are free"):
        make_sure_of_memory(3 * GIGABYTE // 2 + 1_000_000, system=machine)


@pytest.mark.parametrize("at", ["sys/fs/cgroup/memory/docker/1", "sys/fs/cgroup/memory"])
def test_the_limit_of_an_older_kind_of_group(tmp_path: Path, at: str) -> None:
    machine = system(tmp_path)
    (machine / "proc/self/cgroup").write_text("9:name=systemd:/\n4:memory:/docker/1\n0::/\n")
    folder = machine / at
    folder.mkdir(parents=True)
    (folder / "memory.limit_in_bytes").write_text(f"{2 * GIGABYTE}\n")
    (folder / "memory.usage_in_bytes").write_text(f"{GIGABYTE}\n")
    (folder / "memory.stat").write_text("inactive_file 1\ntotal_inactive_file 500000000\n")
    make_sure_of_memory(3 * GIGABYTE // 2, system=machine)
    with pytest.raises(DatasetInvalid, match="1501 MB of memory are needed, 1500 MB are free"):
        make_sure_of_memory(3 * GIGABYTE // 2 + 1_000_000, system=machine)


def test_where_nothing_is_known_all_is_tried(tmp_path: Path) -> None:
    make_sure_of_memory(1000 * GIGABYTE, system=tmp_path)


def test_small_ones_are_not_looked_at(tmp_path: Path) -> None:
    machine = system(tmp_path, limit="1")
    make_sure_of_memory(LOOKED_AT - 1, system=machine)
    with pytest.raises(DatasetInvalid):
        make_sure_of_memory(LOOKED_AT, system=machine)


def test_what_there_is_in_all_is_the_machines_or_the_limit(tmp_path: Path) -> None:
    assert total_memory(system=system(tmp_path / "machine")) == 8_000_000 * 1024
    limited = system(tmp_path / "limited", limit=str(2 * GIGABYTE), used=GIGABYTE, group="/pacsd.service")
    assert total_memory(system=limited) == 2 * GIGABYTE
    assert total_memory(system=tmp_path / "nothing") is None
