"""What Grafana reads at its start: one data source, and the folder of boards, which nobody changes in Grafana."""

from pathlib import Path
from typing import Any

import yaml

OBSERVABILITY = Path(__file__).resolve().parents[2] / "deploy/observability"
PROVISIONING = OBSERVABILITY / "grafana/provisioning"


def _read(path: str) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((PROVISIONING / path).read_text())
    assert content["apiVersion"] == 1
    return content


def test_the_data_source_is_prometheus_and_the_default() -> None:
    (source,) = _read("datasources/prometheus.yaml")["datasources"]
    assert (source["type"], source["isDefault"], source["editable"]) == ("prometheus", True, False)
    assert source["url"] == "${PROMETHEUS_URL}"


def test_rates_cover_the_scrapes_that_the_example_of_prometheus_makes() -> None:
    scraping = yaml.safe_load((OBSERVABILITY / "prometheus/prometheus.yml").read_text())
    (source,) = _read("datasources/prometheus.yaml")["datasources"]
    assert source["jsonData"]["timeInterval"] == scraping["global"]["scrape_interval"]


def test_boards_are_shown_as_they_are_in_the_repository() -> None:
    (provider,) = _read("dashboards/tenuto.yaml")["providers"]
    assert (provider["type"], provider["allowUiUpdates"]) == ("file", False)
    assert provider["options"]["path"] == "/etc/grafana/dashboards"
