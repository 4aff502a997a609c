"""What docs/scaling.md shows is accepted by the router and used by the chart."""

import yaml
from vllm_router.launch_router import parse_router_args

from tenuto_testing.router import PAGE, documented_options
from tests.deployment.chart import VALUE_SETS, container, only, render


def test_the_router_accepts_the_options_of_the_page() -> None:
    args = parse_router_args(documented_options())
    attempts, first = args.retry_max_retries, args.retry_initial_backoff_ms / 1000
    waiting = sum(first * args.retry_backoff_multiplier**attempt for attempt in range(attempts - 1))
    probes = args.health_check_interval_secs * args.health_failure_threshold
    assert waiting > 2 * probes, "the attempts are over before a replica that has died is left out"
    assert waiting < 10, "longer than a server asks clients to wait"
    assert args.disable_circuit_breaker


def test_the_chart_starts_the_router_with_the_options_of_the_page() -> None:
    router = only(render(VALUE_SETS["router"]), "Deployment", "demo-tenuto-router")["spec"]["template"]
    shown, default, used = (
        vars(parse_router_args(args)) for args in (documented_options(), [], container(router)["args"])
    )
    changed = {name: value for name, value in shown.items() if value != default[name]}
    assert len(changed) > 8
    assert {name: used[name] for name in changed} == changed


def test_the_scrape_configuration_of_the_page_is_for_replicas() -> None:
    block = PAGE.read_text().partition("```yaml\n")[2].partition("```")[0]
    [job] = yaml.safe_load(block)["scrape_configs"]
    assert job["job_name"] == "tenuto"
    assert [target.rpartition(":")[2] for target in job["static_configs"][0]["targets"]] == ["8001", "8002"]
