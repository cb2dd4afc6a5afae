"""How deep inheritance goes: what an object is made of, it has, rather than is."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from types import ModuleType

import pytest

import dicomnet
import pacsd.scp
import pacsd.scu
from dicomnet import DicomNet
from dicomnet.net.callbacks import Callbacks
from pacsd.scp.pacs_net import PacsNet

DEEPEST = 4
"""Classes of ours in a line, the last one included."""


def classes_in(package: ModuleType) -> list[type]:
    """Return the classes that a package's modules define."""
    modules = [
        importlib.import_module(found.name)
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
    ]
    return [
        defined
        for module in modules
        for _, defined in inspect.getmembers(module, inspect.isclass)
        if defined.__module__ == module.__name__
    ]


def depth(kind: type) -> int:
    """Return how many classes the longest line to a class has; Python's own, as exceptions have, don't count."""
    if kind.__module__.partition(".")[0] not in ("dicomnet", "pacsd"):
        return 0
    return 1 + max(map(depth, kind.__bases__))


@pytest.mark.parametrize("package", [dicomnet, pacsd.scp, pacsd.scu], ids=lambda each: each.__name__)
def test_no_line_is_long(package: ModuleType) -> None:
    depths = {kind.__qualname__: depth(kind) for kind in classes_in(package)}
    assert depths
    assert {name: found for name, found in depths.items() if found > DEEPEST} == {}


def test_lines_of_dicom_net() -> None:
    assert DicomNet.__mro__ == (DicomNet, Callbacks, object)
    assert len(PacsNet.__mro__) - 1 == DEEPEST
