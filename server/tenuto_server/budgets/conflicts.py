"""Sampling parameters that a budget cannot be kept with: refused, naming both."""

from collections.abc import Iterable, Sequence

from vllm.sampling_params import SamplingParams

from tenuto_decoding.errors import InvalidBudget
from tenuto_decoding.gpu.layout import MAX_SOURCES
from tenuto_decoding.markers import Tokenizer
from tenuto_decoding.plan import Ids, ThinkingPlan
from tenuto_decoding.prompt import Phase, initial_phase


def check_combination(
    params: SamplingParams, asked_stops: Iterable[int], plan: ThinkingPlan, prompt: Sequence[int], tokenizer: Tokenizer
) -> None:
    """Refuse what would end the reply inside a forced text, or leave no way out of the thinking.

    Forced tokens win over `bad_words`, `allowed_token_ids`, `logit_bias` and `min_tokens`; what is left to check is
    what the model has to write itself.

    Args:
        params: the request's, with the model's own stop ids put in.
        asked_stops: the `stop_token_ids` that the request gives itself.
        plan: of the request's budget.
        prompt: the token ids that the reply follows.

    Raises:
        InvalidBudget: naming the sampling parameter, and in its message the field of the budget.
    """
    if not plan.enforced or (phase := initial_phase(plan, prompt)) is Phase.ANSWER:
        return
    stops = set(asked_stops)
    _check_stops(stops, plan, phase)
    if phase is Phase.THINKING or plan.opens_itself:
        _check_closing(params, stops, plan, opening=len(plan.start.ids) if phase is Phase.BEFORE else 0)
        _check_way_out(params, plan, tokenizer)


def _check_stops(stops: set[int], plan: ThinkingPlan, phase: Phase) -> None:
    """No id that ends the reply may stand in a text that is forced; an end marker may be the end of a reply."""
    forced: list[tuple[str, Ids]] = []
    if phase is Phase.BEFORE and plan.opens_itself:
        forced.append(("the marker that opens the thinking", plan.start.ids))
    if plan.min_thinking_tokens or plan.num_waits:
        forced += [("wait_text", ids) for ids in plan.waits]
    if plan.max_thinking_tokens is not None or plan.loop_tokens:
        forced += [
            ("cap_text", plan.cap_text),
            ("the line break that a forced end puts before its marker", plan.newline),
            ("the answer's prefix that a forced end puts behind its marker", plan.answer_prefix),
        ]
    forced.append(("the marker that ends the thinking", plan.end.ids[:-1]))
    for name, ids in forced:
        for token in ids:
            if token in stops:
                raise InvalidBudget(
                    "stop_token_ids", f"holds {token}, a token of {name}: the reply would end inside it"
                )
    sources = len(plan.stops) + len(plan.also_ends)
    if sources > MAX_SOURCES:
        raise InvalidBudget(
            "stop_token_ids",
            f"has {len(stops)} ids, which makes {sources} that end a reply or its thinking; "
            f"with a thinking budget at most {MAX_SOURCES} can be told apart",
        )


def _check_closing(params: SamplingParams, stops: set[int], plan: ThinkingPlan, opening: int) -> None:
    """A reply that ends with its thinking, which the cap closes, must not have to be longer than that."""
    cap = plan.max_thinking_tokens
    if cap is None or plan.end.ids[-1] not in stops:
        return
    most = opening + cap + len(plan.newline) + len(plan.end.ids)
    if params.min_tokens > most:
        raise InvalidBudget(
            "min_tokens",
            f"{params.min_tokens} cannot be reached: stop_token_ids ends the reply with its thinking, "
            f"and max_thinking_tokens, which is {cap}, ends that after {most} tokens at the latest",
        )


def _check_way_out(params: SamplingParams, plan: ThinkingPlan, tokenizer: Tokenizer) -> None:
    """Without a cap, the model must be able to end its thinking; with a floor, to go on with it."""
    end, allowed = plan.end.ids[: plan.end.gate + 1], params.allowed_token_ids
    leaves = {*plan.stops, *plan.also_ends, plan.end.ids[plan.end.gate]}
    if allowed is not None and leaves.issuperset(allowed):
        raise InvalidBudget(
            "allowed_token_ids",
            "allows only tokens that end the thinking or the reply, so there can be none; allow some text",
        )
    if plan.max_thinking_tokens is not None:
        return
    if allowed is not None and not set(end) <= set(allowed) and not set(plan.stops) & set(allowed):
        raise InvalidBudget(
            "allowed_token_ids",
            f"leaves out the end of the thinking ({', '.join(map(str, end))}), so the thinking could never end; "
            "allow it, or give max_thinking_tokens, which ends it by force",
        )
    for word in params.bad_words or ():
        ids = tuple(tokenizer.encode(word, add_special_tokens=False))
        if ids and ids == end[-len(ids) :]:
            raise InvalidBudget(
                "bad_words",
                f"{word!r} is the end of the thinking, so the thinking could never end; "
                "leave it out, or give max_thinking_tokens, which ends it by force",
            )
