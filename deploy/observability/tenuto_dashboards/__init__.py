"""Generates the Grafana dashboards of deploy/observability/dashboards."""
