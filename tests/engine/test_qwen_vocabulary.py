"""A realistic vocabulary: Qwen2.5's, on a random model with its 152,064 rows."""

import random
import string
from collections.abc import Sequence
from typing import Any

import pytest
from vllm import SamplingParams

from tenuto_decoding import FAMILIES, ThinkingBudget, Vocabulary, compile_plan, detect
from tenuto_decoding.vllm_requests import REQUEST_KEY
from tenuto_testing.comparison import is_tie
from tenuto_testing.engines import Engine, Engines
from tenuto_testing.qwen_vocabulary import tokenizer
from tenuto_testing.random_model import END_OF_TEXT, END_OF_TURN, LEAD, Ids, roles, save, widened
from tenuto_testing.reference import Format, Procedure, ReferenceBudget, carry_out

ROWS = 152_064
UNDECODABLE = range(151_665, ROWS)
IM_START, IM_END, END = 151_644, 151_645, 151_643
THINK, ANSWER, NEWLINE, WAIT, HMM, STOP = 26_865, 9_217, 198, 14_190, 80_022, 13
CAP_SUFFIX = (IM_START, ANSWER, NEWLINE, 19_357, 21_806, 25)
RASPBERRY = (
    "151644 8948 198 2610 525 1207 16948 11 3465 553 54364 14817 13 1446 525 264 10950 17847 13 151645 198 151644 872 "
    "198 4340 1657 435 304 93702 151645 198 151644 77091 198 151644 26865"
)


def encode(text: str) -> Ids:
    return tuple(tokenizer().encode(text))


def places() -> list[int]:
    """The rows of the small model's tokens: markers for markers, letters for letters."""
    given = roles()
    known = {
        given.special[LEAD]: IM_START,
        given.special[END_OF_TURN]: IM_END,
        given.special[END_OF_TEXT]: END,
        given.led[0]: THINK,
        given.led[1]: ANSWER,
        given.newline: NEWLINE,
        given.full_stop: STOP,
        given.unknown[0]: UNDECODABLE[40],
        given.unknown[1]: UNDECODABLE[-1],
    }
    letters = (encode(letter)[0] for letter in string.ascii_letters)
    return [known[token] if token in known else next(letters) for token in range(32)]


@pytest.fixture(scope="module")
def wide(engines: Engines, tmp_path_factory: pytest.TempPathFactory) -> Engine:
    model = widened(ROWS, places())
    model.config.tenuto_thinking_family = "s1"
    folder = save(tmp_path_factory.mktemp("qwen"), model, tokenizer(), IM_END)
    return engines.start(folder)


def test_ids_are_those_of_the_published_tokenizer() -> None:
    assert encode("<|im_start|>think") == (IM_START, THINK)
    assert encode("<|im_start|>answer") == (IM_START, ANSWER)
    assert encode("<|im_start|>answer\nFinal Answer:") == CAP_SUFFIX
    assert encode("Wait") == (WAIT,)
    assert [encode(text) for text in (" Wait", "wait", " wait", "Hmm", "Alternatively")] == [
        (13_824,),
        (11_489,),
        (3_783,),
        (HMM,),
        (92_014,),
    ]
    assert [encode(text) for text in ("\n", "\n\n", ".\n", ".\n\n")] == [(198,), (271,), (624,), (382,)]
    assert encode("\nWait") == (198, WAIT)
    assert encode("\n\nWait") == (271, WAIT)
    assert encode("<|im_start|>64 steps left\n") == (IM_START, 21, 19, 7_354, 2_115, 198)
    assert encode("<|endoftext|><|im_end|>") == (END, IM_END)
    question = [{"role": "user", "content": "How many r in raspberry"}]
    prompt = tokenizer().apply_chat_template(question, add_generation_prompt=True, tokenize=False)
    assert encode(prompt + "<|im_start|>think") == tuple(map(int, RASPBERRY.split()))


def test_the_plan_of_s1_has_these_ids() -> None:
    markers = detect(tokenizer(), tokenizer().chat_template, name="simplescaling/s1.1-32B").markers
    assert markers == FAMILIES["s1"]
    plan = compile_plan(ThinkingBudget(max_thinking_tokens=9, num_waits=1), markers, tokenizer())
    assert (plan.start.ids, plan.end.ids) == ((IM_START, THINK), (IM_START, ANSWER))
    assert plan.end.ids + plan.answer_prefix == CAP_SUFFIX
    assert (plan.newline, plan.waits, plan.stops) == ((NEWLINE,), ((WAIT,),), (IM_END, END))
    assert {198, 271, 624, 382} <= plan.line_ends
    assert not {WAIT, STOP, IM_START} & plan.line_ends


def test_rows_without_a_token_are_known() -> None:
    assert Vocabulary.of(tokenizer()).undecodable(ROWS) == tuple(UNDECODABLE)


def draw(chance: random.Random) -> tuple[dict[str, Any], ReferenceBudget]:
    cap = chance.choice((None, 0, 1, 2, 7, 25))
    floor = min(chance.choice((0, 0, 5, 20)), 20 if cap is None else cap)
    waits = chance.choice((0, 1, 2, 4, 6))
    texts, ids = chance.choice(
        (("Wait", ((WAIT,),)), (["Hmm", "Wait"], ((HMM,), (WAIT,))), ("\nWait", ((198, WAIT),)), ("", ((),)))
    )
    fields = {
        "max_thinking_tokens": cap,
        "min_thinking_tokens": floor,
        "num_waits": waits,
        "wait_text": texts,
    }
    return fields, ReferenceBudget(cap=cap, floor=floor, waits=waits, texts=ids)


def test_one_pass_is_stop_append_resume(wide: Engine, tally: list[str]) -> None:
    chance = random.Random(2)
    form = Format(
        start=(IM_START, THINK),
        end=(IM_START, ANSWER),
        stops=(IM_END, END),
        finish=(IM_END,),
        newline=(NEWLINE,),
        line_ends=frozenset((NEWLINE,)),
        prefix=CAP_SUFFIX[2:],
        opens=True,
        unknown=tuple(UNDECODABLE),
    )
    plain = [place for place in places() if place not in (IM_START, IM_END, END, *UNDECODABLE)]
    turn = encode("<|im_end|>\n<|im_start|>assistant\n")
    cases = [((*chance.choices(plain, k=4), *turn), chance.randint(20, 70), *draw(chance)) for _ in range(100)]
    procedures = [Procedure(form, budget, prompt, "before", limit) for prompt, limit, _, budget in cases]
    carry_out(wide.llm, procedures)
    replies = wide.ids(
        [prompt for prompt, *_ in cases],
        [
            SamplingParams(
                temperature=0, max_tokens=limit, detokenize=False, extra_args={**fields, REQUEST_KEY: "wide"}
            )
            for _, limit, fields, _ in cases
        ],
    )
    ties = 0
    for (prompt, _, fields, _), procedure, ids in zip(cases, procedures, replies, strict=True):
        if ids != tuple(procedure.text):
            assert is_tie(wide, prompt, ids, tuple(procedure.text)), fields
            ties += 1
    events = {event for procedure in procedures for event in procedure.events}
    assert {"opened by force", "wait", "wait for the floor", "capped", "ended by model", "suppressed"} <= events
    assert ties <= 1
    tally.append(f"fidelity, Qwen2.5's vocabulary: {100 - ties} of 100 cases equal, {ties} left out for a tie")


@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_undecodable_rows_are_never_drawn_under_a_budget(wide: Engine, temperature: float) -> None:
    prompt = encode("a<|im_end|>\n<|im_start|>assistant\n")

    def drawn(extra_args: dict[str, Any] | None) -> Sequence[int]:
        given = SamplingParams(
            n=100, temperature=temperature, seed=1, max_tokens=60, detokenize=False, extra_args=extra_args
        )
        (reply,) = wide.generate([prompt], given)
        return [token for each in reply.outputs for token in each.token_ids]

    assert any(token in UNDECODABLE for token in drawn(None))
    for fields in ({"max_thinking_tokens": 20}, {"num_waits": 3}, {"max_thinking_tokens": 0}):
        tokens = drawn(fields)
        assert len(tokens) > 500
        assert not any(token in UNDECODABLE for token in tokens)
