"""Sampling parameters that a budget cannot be enforced with are refused, naming both."""

from collections.abc import Iterable

from vllm.sampling_params import SamplingParams

from tenuto_decoding.errors import InvalidBudget
from tenuto_decoding.markers import Tokenizer
from tenuto_decoding.matching import Ids, ids_of, is_added
from tenuto_decoding.plan import ThinkingPlan
from tenuto_decoding.prompt import Phase


def check_sampling(
    params: SamplingParams,
    stop_token_ids: Iterable[int],
    plan: ThinkingPlan,
    phase: Phase,
    tokenizer: Tokenizer,
    max_end_ids: int | None = None,
) -> None:
    """Refuse parameters that would end the reply inside a forced text, or leave no way out of the thinking.

    Forced tokens take precedence over `bad_words`, `allowed_token_ids`, `logit_bias` and `min_tokens`; what is left to
    check is what the model has to write itself.

    Args:
        params: the request's, with the model's own stop ids put in.
        stop_token_ids: those that the request itself gives.
        plan: of the request's budget.
        phase: in which the reply begins.
        max_end_ids: how many ids that end a reply the logits processor can handle; None for any number.

    Raises:
        InvalidBudget: naming the sampling parameter, and in its message the field of the budget.
    """
    if not plan.enforced or phase is Phase.ANSWER:
        return
    stops = set(stop_token_ids)
    _check_stops(stops, plan, phase)
    _check_number(stops, plan, max_end_ids)
    if phase is Phase.THINKING or plan.opens_thinking:
        _check_closing(params, stops, plan, opening=len(plan.start.ids) if phase is Phase.BEFORE else 0)
        _check_way_out(params, plan, tokenizer)


def _check_stops(stops: set[int], plan: ThinkingPlan, phase: Phase) -> None:
    """No id that ends the reply may be in a forced text; the last of an end marker may."""
    forced: list[tuple[str, Ids]] = []
    if phase is Phase.BEFORE and plan.opens_thinking:
        forced.append(("the marker that opens the thinking", plan.start.ids))
    if plan.min_thinking_tokens or plan.num_waits:
        forced += [("wait_text", ids) for ids in plan.waits]
    if plan.max_thinking_tokens is not None or plan.loop_tokens:
        forced += [
            ("cap_text", plan.cap_text),
            ("the line break that is forced before the end marker", plan.newline),
            ("the answer's prefix that is forced after the end marker", plan.answer_prefix),
        ]
    forced.append(("the marker that ends the thinking", plan.end.ids[:-1]))
    for name, ids in forced:
        for token in ids:
            if token in stops:
                raise InvalidBudget(
                    "stop_token_ids", f"holds {token}, a token of {name}: the reply would end inside it"
                )


def _check_number(stops: set[int], plan: ThinkingPlan, most: int | None) -> None:
    """The GPU's logits processor has room for a fixed number of ids."""
    number = len(plan.stops)
    if most is not None and number > most:
        raise InvalidBudget(
            "stop_token_ids",
            f"has {len(stops)} ids, which makes {number} that end a reply; "
            f"with a thinking budget at most {most} are supported",
        )


def _check_closing(params: SamplingParams, stops: set[int], plan: ThinkingPlan, opening: int) -> None:
    """A reply that ends with its thinking, which the cap closes, must not be required to be longer than that."""
    cap = plan.max_thinking_tokens
    if cap is None or plan.end.ids[-1] not in stops:
        return
    most = opening + cap + len(plan.newline) + len(plan.end.ids)
    if params.min_tokens > most:
        raise InvalidBudget(
            "min_tokens",
            f"{params.min_tokens} cannot be reached: stop_token_ids ends the reply with its thinking, "
            f"and max_thinking_tokens, which is {cap}, ends the thinking after at most {most} tokens",
        )


def _check_way_out(params: SamplingParams, plan: ThinkingPlan, tokenizer: Tokenizer) -> None:
    """Without a cap, the model must be able to end its thinking; in any case, to write some text."""
    allowed, patterns = params.allowed_token_ids, (*plan.end.patterns, *plan.also_ends)
    end = plan.end.ids[:1] if is_added(patterns[0].symbols[0]) else plan.end.ids  # the rest of it is forced
    leaves = {*plan.stops, *ids_of(each.symbols[0] for each in patterns if is_added(each.symbols[0]))}
    if allowed is not None and leaves.issuperset(allowed):
        raise InvalidBudget(
            "allowed_token_ids",
            "allows only tokens that end the thinking or the reply, so no text can be written; allow some text",
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
