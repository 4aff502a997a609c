"""Generates the Grafana dashboards of deploy/observability/dashboards.

    python -m tenuto_dashboards [--check]

One module per board (`overview`, `thinking`, `budget_planner`, `service_status`); `promql` writes expressions, `panels`
panels, `board` the rest. `exported` lists every series that a server exports, and `expressions` reads boards back.
"""
