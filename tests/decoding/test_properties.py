"""Properties that hold for every plan and every model, with a random model that obeys the actions."""

from dataclasses import dataclass, replace

from hypothesis import given, settings
from hypothesis import strategies as st

from tenuto_decoding import Force, Marker, Pattern, Phase, Redirect, ThinkingAutomaton, ThinkingPlan

EOS, NEWLINE, TOOL = 0, 1, 2
MARKER_IDS = (3, 4, 5)
WAIT_IDS = (6, 7)
TEXT_IDS = (8, 9, 10)
ALL = (EOS, NEWLINE, TOOL, *MARKER_IDS, *WAIT_IDS, *TEXT_IDS)
START = (11,)

Story = tuple[ThinkingPlan, Phase, list[int]]


@st.composite
def plans(draw: st.DrawFn) -> ThinkingPlan:
    """Plans over a vocabulary of a dozen ids: markers led by an id of their own, or spelt in any."""
    led = draw(st.booleans())
    if led:
        end = Marker.of_ids((5, *draw(st.lists(st.sampled_from((3, 4)), max_size=2))))
    else:
        ids = tuple(draw(st.lists(st.sampled_from((3, 4)), min_size=1, max_size=3)))
        end = Marker.of_ids(ids, len(ids) - 1)
    cap = draw(st.none() | st.integers(0, 12))
    cap_text = tuple(draw(st.lists(st.sampled_from(TEXT_IDS), max_size=3)))
    return ThinkingPlan(
        start=Marker.of_ids(START),
        end=end,
        stops=(EOS,),
        also_ends=draw(st.sampled_from([(), (Pattern.of_ids((TOOL,)),)])),
        waits=tuple(draw(st.lists(st.sampled_from([(), (6,), (7, 6), (6, 8, 9)]), min_size=1, max_size=3))),
        cap_text=cap_text if cap is not None and len(cap_text) <= cap else (),
        newline=draw(st.sampled_from([(), (NEWLINE,)])),
        answer_prefix=draw(st.sampled_from([(), (8, 9)])),
        force_start=draw(st.booleans()),
        max_thinking_tokens=cap,
        min_thinking_tokens=draw(st.integers(0, 10 if cap is None else cap)),
        num_waits=draw(st.integers(0, 3)),
        landing_tokens=draw(st.integers(0, 4)) if cap is not None else 0,
        loop_tokens=draw(st.sampled_from([0, 0, 8, 12])),
        scope=draw(st.sampled_from(["response", "block"])),
        line_ends=frozenset({NEWLINE}),
        landings=frozenset({NEWLINE}),
    )


@dataclass
class Run:
    """What a random model did under a plan: the tokens, the phase before each, and what was known of each."""

    automaton: ThinkingAutomaton
    tokens: list[int]
    phases: list[Phase]
    known: list[bool]


def run(plan: ThinkingPlan, phase: Phase, wanted_tokens: list[int]) -> Run:
    """A model that wants these tokens, one in each free step, and stops at an end-of-sequence in the answer."""
    automaton = ThinkingAutomaton(plan, phase)
    result = Run(automaton, [], [], [])
    wanted = iter(wanted_tokens)
    while len(result.tokens) < 200:
        action = automaton.action()
        token = action.token if isinstance(action, Force) else next(wanted, None)
        if token is None:
            break
        fired = isinstance(action, Redirect) and token in action.sources
        if isinstance(action, Redirect) and fired:
            token = action.target if action.target is not None else TEXT_IDS[0]
        result.tokens.append(token)
        result.phases.append(automaton.phase)
        result.known.append(fired)
        automaton.advance(token, fired)
        if token == EOS and automaton.phase is not Phase.THINKING:
            break
    return result


@st.composite
def stories(draw: st.DrawFn) -> tuple[ThinkingPlan, Phase, list[int]]:
    """A plan, where the reply begins, and what the model wants: text, markers whole and broken off, stops, openers."""
    plan = draw(plans())
    end = plan.end.ids
    pieces = [
        [8],
        [9, NEWLINE],
        [*end],
        [*end[:-1], 8],
        [*end[:-1], EOS],
        [*end[:1], *end],
        [EOS],
        [TOOL],
        [*START],
        [6],
        [7, 6],
    ]
    wanted = draw(st.lists(st.sampled_from(pieces), max_size=25))
    return plan, draw(st.sampled_from([Phase.BEFORE, Phase.THINKING])), [token for piece in wanted for token in piece]


def gate_of(plan: ThinkingPlan) -> int:
    """Index of the first id by which the end marker is recognized."""
    return plan.end.patterns[0].attempt - 1


def blocks(plan: ThinkingPlan, tokens: list[int], phase: Phase) -> list[tuple[list[int], bool]]:
    """Naive recount: the thinking blocks of the finished text, and whether each of them was closed."""
    found: list[tuple[list[int], bool]] = []
    thinking = phase is Phase.THINKING
    current: list[int] = []
    for token in tokens:
        if not thinking:
            thinking = token == START[0]
            current = []
            continue
        current.append(token)
        size = len(plan.end.ids)
        if tuple(current[-size:]) == plan.end.ids:
            found.append((current[:-size], True))
            thinking = False
        elif token == TOOL and plan.also_ends:
            found.append((current[:-1], True))
            thinking = False
    return [*found, (current, False)] if thinking else found


def holds(tokens: list[int], part: list[int]) -> bool:
    """Whether the part appears in the tokens, in one piece."""
    return any(tokens[place : place + len(part)] == part for place in range(len(tokens) - len(part) + 1))


@given(stories())
def test_the_cap_is_never_passed(story: Story) -> None:
    plan, phase, wanted = story
    result = run(plan, phase, wanted)
    if plan.max_thinking_tokens is not None and plan.scope == "response":
        assert result.automaton.tokens <= plan.max_thinking_tokens
    if plan.max_thinking_tokens is not None:
        for text, _ in blocks(plan, result.tokens, phase):
            assert len(text) <= plan.max_thinking_tokens + len(plan.newline) + gate_of(plan)


@settings(max_examples=500)
@given(stories())
def test_thinking_does_not_end_by_the_models_will_below_floor_or_waits(story: Story) -> None:
    plan, phase, wanted = story
    plan = replace(plan, max_thinking_tokens=None, cap_text=(), landing_tokens=0, scope="response")
    result = run(plan, phase, wanted)
    if result.automaton.ended_by in ("model", "stop_token"):
        assert result.automaton.tokens >= plan.min_thinking_tokens
        assert result.automaton.waits >= plan.num_waits


@given(stories())
def test_thinking_contains_no_stop_token(story: Story) -> None:
    plan, phase, wanted = story
    result = run(plan, phase, wanted)
    for token, before in zip(result.tokens, result.phases, strict=True):
        assert not (before is Phase.THINKING and token == EOS)


@settings(max_examples=500)
@given(stories())
def test_the_count_is_that_of_a_naive_recount(story: Story) -> None:
    plan, phase, wanted = story
    plan = replace(plan, newline=())
    result = run(plan, phase, wanted)
    found = blocks(plan, result.tokens, phase)
    # A marker that is being written when the text breaks off is counted only where it is spelt in ordinary ids.
    if all(closed for _, closed in found):
        recount = sum(len(text) for text, _ in found)
        # Where the cap or a loop closes the thinking after the first ids of a spelt marker that overlaps itself
        # (3 | 3 3), the recount finds the marker earlier than it was forced.
        closes = plan.max_thinking_tokens is not None or plan.loop_tokens > 0
        overlap = gate_of(plan) * len(found) if closes else 0
        assert recount <= result.automaton.tokens <= recount + overlap


@given(stories())
def test_a_marker_that_the_model_began_is_completed(story: Story) -> None:
    plan, phase, wanted = story
    result = run(plan, phase, wanted)
    if gate_of(plan) == 0:
        for place, (token, before) in enumerate(zip(result.tokens, result.phases, strict=True)):
            if before is Phase.THINKING and token == plan.end.ids[0]:
                assert tuple(result.tokens[place : place + len(plan.end.ids)]) == plan.end.ids


@given(stories())
def test_a_forced_newline_is_not_counted(story: Story) -> None:
    plan, phase, wanted = story
    plan = replace(plan, newline=(NEWLINE,), scope="response", landing_tokens=0)
    result = run(plan, phase, wanted)
    if result.automaton.ended_by == "cap" and plan.max_thinking_tokens is not None:
        assert result.automaton.tokens == plan.max_thinking_tokens or plan.max_thinking_tokens == 0


@given(stories())
def test_a_forced_text_is_whole_unless_the_cap_cuts_a_wait(story: Story) -> None:
    plan, phase, wanted = story
    result = run(plan, phase, wanted)
    automaton = ThinkingAutomaton(plan, phase)
    for index, (token, fired) in enumerate(zip(result.tokens, result.known, strict=True)):
        wait = plan.waits[automaton.waits % len(plan.waits)]
        before = automaton.waits
        automaton.advance(token, fired)
        if automaton.waits > before and wait:
            written = result.tokens[index : index + len(wait)]
            room = len(wait)
            if plan.max_thinking_tokens is not None:
                closing_at = plan.max_thinking_tokens - len(plan.cap_text)
                room = min(room, 1 + max(0, closing_at - automaton.count))
            assert written[:room] == list(wait[: min(room, len(written))])
    if result.automaton.ended_by == "cap":
        assert holds(result.tokens, [*plan.end.ids, *plan.answer_prefix])


#: What an automaton keeps to be faster, and that is no part of its state.
KEPT = {"_action", "_changing_ids", "_plain_left"}


def state_of(automaton: ThinkingAutomaton) -> dict[str, object]:
    """All of its state, and what it would do next."""
    slots = ThinkingAutomaton.__slots__
    return {name: getattr(automaton, name) for name in slots if name not in KEPT} | {"action": automaton.action()}


@given(stories(), st.integers(0, 200))
def test_the_state_is_a_function_of_the_tokens(story: Story, cut: int) -> None:
    """A replay from the start gives the state that following along gave, at every place."""
    plan, phase, wanted = story
    result = run(plan, phase, wanted)
    replayed, followed = ThinkingAutomaton(plan, phase), ThinkingAutomaton(plan, phase)
    for token, fired in zip(result.tokens[:cut], result.known, strict=False):
        followed.advance(token, fired)
        followed.action()
    for token, fired in zip(result.tokens[:cut], result.known, strict=False):
        replayed.advance(token, fired)
    assert state_of(replayed) == state_of(followed)


@settings(max_examples=500)
@given(stories(), st.integers(0, 200))
def test_without_a_guess_the_state_is_that_of_a_replay_with_redirects(story: Story, cut: int) -> None:
    """Without knowledge of redirects, the tokens determine the state, or the automaton reports that it has guessed."""
    plan, phase, wanted = story
    result = run(plan, phase, wanted)
    knowing, guessing = ThinkingAutomaton(plan, phase), ThinkingAutomaton(plan, phase)
    for token, fired in zip(result.tokens[:cut], result.known, strict=False):
        knowing.advance(token, fired)
    guessing.advance_all(result.tokens[:cut])
    assert not knowing.has_guessed
    assert guessing.has_guessed or state_of(guessing) == state_of(knowing)


steering_requests = st.lists(st.tuples(st.integers(0, 40), st.none() | st.integers(0, 15)), max_size=5)


def steered(automaton: ThinkingAutomaton, place: int, requests: list[tuple[int, int | None]]) -> None:
    """Carry out the steering requests that belong before the token at `place`."""
    for at, until in requests:
        if at == place:
            automaton.steer(until)


@settings(max_examples=300)
@given(stories(), steering_requests)
def test_steering_can_be_replayed(story: Story, requests: list[tuple[int, int | None]]) -> None:
    """Given the places of the requests, a replay gives the state of the steered sequence, whose bounds are kept."""
    plan, phase, wanted = story
    automaton = ThinkingAutomaton(plan, phase)
    tokens, known = list[int](), list[bool]()
    wanted_tokens = iter(wanted)
    while len(tokens) < 100:
        steered(automaton, len(tokens), requests)
        action = automaton.action()
        token = action.token if isinstance(action, Force) else next(wanted_tokens, None)
        if token is None:
            break
        fired = isinstance(action, Redirect) and token in action.sources
        if isinstance(action, Redirect) and fired:
            token = action.target if action.target is not None else TEXT_IDS[0]
        tokens.append(token)
        known.append(fired)
        automaton.advance(token, fired)
        cap = automaton.max_thinking_tokens
        if cap is not None and plan.scope == "response":
            assert automaton.tokens <= cap
    replayed = ThinkingAutomaton(plan, phase)
    for place, (token, fired) in enumerate(zip(tokens, known, strict=True)):
        steered(replayed, place, requests)
        replayed.advance(token, fired)
    steered(replayed, len(tokens), requests)
    assert state_of(replayed) == state_of(automaton)


@settings(max_examples=300)
@given(stories(), st.integers(0, 40))
def test_answer_now_is_the_last_that_is_thought(story: Story, place: int) -> None:
    plan, phase, wanted = story
    plan = replace(plan, answer_prefix=())
    automaton, wanted_tokens = ThinkingAutomaton(plan, phase), iter(wanted)
    at_request: int | None = None
    for position in range(100):
        if position == place and automaton.steer(None):
            at_request = automaton.tokens
        action = automaton.action()
        token = action.token if isinstance(action, Force) else next(wanted_tokens, None)
        if token is None:
            break
        fired = isinstance(action, Redirect) and token in action.sources
        if isinstance(action, Redirect) and fired:
            token = action.target if action.target is not None else TEXT_IDS[0]
        automaton.advance(token, fired)
        if at_request is not None:
            assert automaton.tokens <= at_request
    if at_request is not None:
        assert automaton.phase is not Phase.THINKING


@given(plans(), st.sampled_from(list(Phase)), st.lists(st.sampled_from((*ALL, *START)), max_size=80))
def test_any_tokens_at_all_can_be_followed(plan: ThinkingPlan, phase: Phase, tokens: list[int]) -> None:
    """A plan that only counts may see tokens that a budget would not have allowed."""
    automaton = ThinkingAutomaton(plan, phase)
    for token in tokens:
        automaton.advance(token)
        automaton.action()
        assert 0 <= automaton.tokens <= len(tokens)


class EveryStep(ThinkingAutomaton):
    """Takes every token in full."""

    __slots__ = ()

    def _count_plain(self) -> int:
        return 0


@settings(max_examples=500)
@given(stories(), steering_requests)
def test_the_shortcut_over_plain_text_changes_no_state(story: Story, requests: list[tuple[int, int | None]]) -> None:
    """Also when a sequence is steered."""
    plan, phase, wanted = story
    automaton, reference = ThinkingAutomaton(plan, phase), EveryStep(plan, phase)
    result = run(plan, phase, [*wanted, *[10] * 30])
    for place, (token, fired) in enumerate(zip(result.tokens, result.known, strict=True)):
        for each in (automaton, reference):
            steered(each, place, requests)
            each.advance(token, fired)
        assert state_of(automaton) == state_of(reference), place
