"""The parts of Grafana's provisioning files and dashboards that we use, as far as Grafana documents them.

Grafana passes over a key that it does not know, so a misspelt one would go unnoticed: here it is an error.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

Text = Annotated[str, Field(min_length=1)]
DASHBOARD = Path(__file__).parents[2] / "deploy" / "grafana" / "dashboards" / "pacsd.json"


def deployed_panels() -> list[dict[str, Any]]:
    """The panels of the dashboard as they stand there, without the headings of its rows."""
    return [panel for panel in json.loads(DASHBOARD.read_text())["panels"] if panel["type"] != "row"]


class Strict(BaseModel):
    """Neither other keys nor other types; Grafana's names are in camel case."""

    model_config = ConfigDict(alias_generator=to_camel, extra="forbid", strict=True)


class DataSource(Strict):
    name: Text
    uid: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,40}$")]
    type: Literal["prometheus"]
    access: Literal["proxy"]
    url: Annotated[str, Field(pattern=r"^http://[a-z]+:[0-9]+$")]
    is_default: bool


class DataSources(Strict):
    api_version: Literal[1]
    datasources: Annotated[list[DataSource], Field(min_length=1)]


class Folder(Strict):
    path: Annotated[str, Field(pattern=r"^/")]


class Provider(Strict):
    name: Text
    type: Literal["file"]
    allow_ui_updates: bool
    options: Folder


class Providers(Strict):
    api_version: Literal[1]
    providers: Annotated[list[Provider], Field(min_length=1)]


class Reference(Strict):
    """Of a data source, by its uid."""

    type: Literal["prometheus"]
    uid: Text


class Place(Strict):
    """On the dashboard, which is 24 units wide."""

    x: Annotated[int, Field(ge=0, lt=24)]
    y: Annotated[int, Field(ge=0)]
    w: Annotated[int, Field(ge=1, le=24)]
    h: Annotated[int, Field(ge=1)]


class Step(Strict):
    color: Text
    value: float | None


class Thresholds(Strict):
    mode: Literal["absolute", "percentage"]
    steps: Annotated[list[Step], Field(min_length=1)]


class Defaults(Strict):
    unit: Literal["none", "short", "s", "decbytes", "Bps", "ops"]
    min: float
    thresholds: Thresholds | None = None


class FieldConfig(Strict):
    defaults: Defaults
    overrides: Annotated[list[object], Field(max_length=0)]


class Target(Strict):
    ref_id: Annotated[str, Field(pattern=r"^[A-Z]$")]
    datasource: Reference
    expr: Text
    legend_format: str


class Options(Strict):
    text_mode: Literal["name"]


class Panel(Strict):
    id: Annotated[int, Field(ge=1)]
    type: Literal["stat", "timeseries"]
    title: Text
    description: str
    datasource: Reference
    grid_pos: Place
    field_config: FieldConfig
    targets: Annotated[list[Target], Field(min_length=1)]
    options: Options | None = None


class Row(Strict):
    """A heading over the panels that come after it; one that is not collapsed holds none itself."""

    id: Annotated[int, Field(ge=1)]
    type: Literal["row"]
    title: Text
    collapsed: Literal[False]
    grid_pos: Place
    panels: Annotated[list[object], Field(max_length=0)]


class Range(Strict):
    start: Annotated[Text, Field(alias="from")]
    to: Text


class Nothing(Strict):
    """Neither variables nor annotations."""

    list: Annotated[list[object], Field(max_length=0)]


class Dashboard(Strict):
    uid: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,40}$")]
    title: Text
    tags: list[Text]
    schema_version: Annotated[int, Field(ge=36)]
    version: int
    editable: bool
    refresh: Annotated[str, Field(pattern=r"^[0-9]+[sm]$")]
    timezone: Literal["browser", "utc"]
    time: Range
    templating: Nothing
    annotations: Nothing
    panels: Annotated[list[Annotated[Row | Panel, Field(discriminator="type")]], Field(min_length=1)]
