"""Panels for what boards show again and again: percentiles and means of a histogram, rates of a counter."""

from grafana_foundation_sdk.models.dashboard import Panel

from .panels import BY_MODEL, NONE, heat, legend, lines
from .promql import increase, mean, quantile, rate, total


def percentiles(title: str, unit: str, about: str, histogram: str, *quantiles: float) -> Panel:
    """Percentiles over time, per model; the median and two high ones unless `quantiles` names others."""
    shown = quantiles or (0.5, 0.95, 0.99)
    return lines(
        title, unit, about, *((quantile(q, histogram, "model_name"), f"{BY_MODEL} p{q * 100:g}") for q in shown)
    )


def per_second(title: str, unit: str, about: str, counter: str, *by: str) -> Panel:
    """A counter's rate over time, as areas that add up to the whole, by those values of labels that occur at all."""
    occurs = f"{total(increase(counter), *by)} > 0"
    return lines(title, unit, about, (f"{total(rate(counter), *by)} and {occurs}", legend(*by)), style="areas")


def events(title: str, unit: str, about: str, counter: str, *by: str) -> Panel:
    """The rate of what is rare, as bars: only those values of the labels given that occur."""
    return lines(title, unit, about, (f"{total(rate(counter), *by)} > 0", legend(*by)), style="bars", empty=NONE)


def means(title: str, unit: str, about: str, histogram: str, *by: str) -> Panel:
    """A histogram's mean over time, by the labels given."""
    return lines(title, unit, about, (mean(histogram, *by), legend(*by)))


def distribution(title: str, unit: str, about: str, histogram: str) -> Panel:
    """A heatmap of a histogram: values per second in each bucket, of all that is selected, while there are any."""
    any_values = f"({total(rate(f'{histogram}_count'))} > 0)"
    return heat(title, unit, about, f"{total(rate(f'{histogram}_bucket'), 'le')} and on () {any_values}")
