"""Service status: a few large tiles, readable across a room, and what stage each server was in."""

from grafana_foundation_sdk.models.dashboard import Dashboard, Panel

from .board import Line, Row, build
from .objectives import FIRST_ANSWER, FIRST_THINKING, succeeded
from .panels import NO_SERVER, NO_TRAFFIC, Steps, good_above, legend, stat, states
from .promql import increase, quantile, rate, select, total

PLACE = ("model_name", "instance")
DOWN = (0, "Down", "dark-red")
STAGES = (
    (1, "loading", "blue"),
    (2, "ready", "green"),
    (3, "draining", "orange"),
    (4, "failed", "red"),
)
LOOKS = (DOWN, *((number, name.capitalize(), color) for number, name, color in STAGES))


def board() -> Dashboard:
    return build(
        "tenuto-service-status",
        "Tenuto: Service status",
        "The stage of every server, how soon it answers, and how much it does.",
        [
            Row("Now", [Line(7, [_stage(), *_speed()]), Line(7, _load())]),
            Row("In the time selected", [Line(8, [_timeline()])]),
        ],
        since="now-30m",
    )


def stage() -> str:
    """The number of each server's stage; 0 for one that was scraped in the time selected and cannot be reached now."""
    now = " or ".join(f"{_in_stage(name)} * {number}" for number, name, _ in STAGES)
    known = f"last_over_time({_in_stage('ready')}[$__range])"
    return f"{total(now, 'instance')} or sum by (instance) ({select('up')} == 0 and on (job, instance) {known})"


def _in_stage(name: str) -> str:
    return select("tenuto_server_stage", f'stage="{name}"')


def _stage() -> Panel:
    about = "Loading, ready, draining or failed; down if it cannot be reached."
    return stat("Stage", "short", about, (stage(), "{{instance}}"), empty=NO_SERVER, values=LOOKS, large=True)


def _timeline() -> Panel:
    return states("Stage over time", "Of each server.", (stage(), "{{instance}}"), LOOKS, NO_SERVER)


def _speed() -> list[Panel]:
    first, answer = (quantile(0.95, name, *PLACE, function=increase) for name in (FIRST_THINKING, FIRST_ANSWER))
    return [
        _tile("Response, p95", "s", "Time to the first thinking token, in the time selected.", first),
        _tile("First answer, p95", "s", "Time to the first answer token, in the time selected.", answer),
    ]


def _load() -> list[Panel]:
    answers = f"{total(rate('tenuto_choice_answer_tokens_count'), *PLACE)} * 60"
    running, remaining = (select(f"tenuto_{name}") for name in ("running_choices", "remaining_thinking_tokens"))
    ended_well = "Requests that ended well, of those accepted, in the time selected."
    return [
        _tile("Answers per minute", "short", "Choices that finish, per minute now.", answers, decimals=1),
        _tile("Success rate", "percentunit", ended_well, succeeded(*PLACE), steps=good_above(0.99, 0.999), decimals=1),
        _tile("Running", "short", "Choices in the engine and its queue now.", total(running, *PLACE), empty=NO_SERVER),
        _tile("Remaining thinking tokens", "short", "The work left now.", total(remaining, *PLACE), empty=NO_SERVER),
    ]


def _tile(
    title: str,
    unit: str,
    about: str,
    query: str,
    *,
    steps: Steps = ((None, "semi-dark-blue"),),
    empty: str = NO_TRAFFIC,
    decimals: int | None = None,
) -> Panel:
    return stat(title, unit, about, (query, legend(*PLACE)), steps=steps, empty=empty, decimals=decimals, large=True)
