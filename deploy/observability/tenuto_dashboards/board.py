"""Boards: rows of panels, the variables that all boards share, and the links between them."""

from collections.abc import Sequence
from dataclasses import dataclass

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.models import dashboard as model

from .panels import DATA_SOURCE

COLUMNS = 24
TAG = "tenuto"


@dataclass(frozen=True, slots=True)
class Line:
    """Panels next to each other, of equal width: their number divides 24."""

    height: int
    panels: Sequence[model.Panel]


@dataclass(frozen=True, slots=True)
class Row:
    """A titled section of a board."""

    title: str
    lines: Sequence[Line]


def query_variable(name: str, label: str, query: str, default: str = "") -> dashboard.QueryVariable:
    """A variable whose values are those of a label in the time selected, and no others; smallest number first."""
    variable = dashboard.QueryVariable(name).label(label).query(query).datasource(DATA_SOURCE).allow_custom_value(False)
    variable.refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED).sort(model.VariableSort.NUMERICAL_ASC)
    return variable.current(model.VariableOption(True, default, default)) if default else variable


def _several(name: str, label: str, query: str, every: str = ".+") -> dashboard.QueryVariable:
    """A variable of which several values may be selected; `every` matches all, also those that come later."""
    variable = query_variable(name, label, query).multi(True).include_all(True).all_value(every)
    variable.allow_custom_value(True)
    return variable.current(model.VariableOption(True, ["All"], ["$__all"])).sort(model.VariableSort.ALPHABETICAL_ASC)


def _shared_variables() -> Sequence[dashboard.DatasourceVariable | dashboard.QueryVariable]:
    return (
        dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus"),
        _several("job", "Job", "label_values(tenuto_server_stage, job)"),
        _several("instance", "Instance", 'label_values(tenuto_server_stage{job=~"$job"}, instance)'),
        # Requests that name no served model have an empty one: All includes them.
        _several(
            "model_name",
            "Model",
            'label_values(tenuto_running_choices{job=~"$job", instance=~"$instance"}, model_name)',
            every=".*",
        ),
    )


def build(
    uid: str,
    title: str,
    about: str,
    rows: Sequence[Row],
    *,
    variables: Sequence[dashboard.QueryVariable | dashboard.CustomVariable] = (),
    since: str = "now-1h",
) -> model.Dashboard:
    """A board that is changed here only, not in Grafana."""
    builder = dashboard.Dashboard(title).uid(uid).description(about).tags([TAG]).readonly().refresh("30s")
    builder.time(since, "now").tooltip(model.DashboardCursorSync.CROSSHAIR)
    for variable in (*_shared_variables(), *variables):
        # Only variables of intervals have these fields.
        made = variable.build()
        made.auto = made.auto_min = made.auto_count = None
        builder.with_variable(variable)
    links = dashboard.DashboardLink("Tenuto").type(model.DashboardLinkType.DASHBOARDS).tags([TAG])
    board = builder.link(links.as_dropdown(False).include_vars(True).keep_time(True)).build()
    board.panels = _laid_out(rows)
    return board


def _laid_out(rows: Sequence[Row]) -> list[model.Panel | model.RowPanel]:
    """All panels with their places: each line fills the width of the board."""
    placed: list[model.Panel | model.RowPanel] = []
    top = 0
    for row in rows:
        placed.append(model.RowPanel(title=row.title, grid_pos=model.GridPos(1, COLUMNS, 0, top), panels=[]))
        top += 1
        for line in row.lines:
            width, rest = divmod(COLUMNS, len(line.panels))
            if rest:
                raise ValueError(
                    f"{len(line.panels)} panels in a line of {row.title!r} leave a hole: use 1, 2, 3, 4, 6 or 8"
                )
            for number, panel in enumerate(line.panels):
                panel.grid_pos = model.GridPos(line.height, width, number * width, top)
                placed.append(panel)
            top += line.height
    for number, each in enumerate(placed, start=1):
        each.id_val = number
    return placed
