"""Draws the boards of deploy/observability/dashboards from what a Prometheus answers, as pictures for the docs.

    python -m tenuto_pictures

The pictures are not screenshots of Grafana: they show each panel's title, unit, legend and data at its place in the
layout, drawn by the page in `page/` in Chromium. `answers` asks Prometheus what Grafana would ask, `browser` draws,
and `__main__` runs the servers, their load and Prometheus meanwhile.
"""
