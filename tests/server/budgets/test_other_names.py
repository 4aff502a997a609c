"""What other servers' requests say about thinking is honoured, or refused with what to send: nothing is dropped."""

from typing import Any

import pytest
from vllm.sampling_params import SamplingParams

from tenuto_decoding.budget import ThinkingBudget
from tenuto_decoding.errors import InvalidBudget
from tenuto_decoding.families import FAMILIES
from tenuto_server.api import anthropic, openai_responses, protocol
from tenuto_server.budgets.request_fields import CAP, BudgetRequest, PromptSource
from tenuto_server.budgets.resolution import Generation, ResolvedBudget, ThinkingPolicy

CHAT = "<|im_start|>user\nx<|im_end|>\n<|im_start|>assistant\n"
SWITCH = "chat_template_kwargs.enable_thinking"

GEMINI: tuple[tuple[str, ...], ...] = (
    ("thinking_config",),
    ("thinkingConfig",),
    ("google", "thinking_config"),
    ("generationConfig", "thinkingConfig"),
    ("generation_config", "thinking_config"),
)


def nested(path: tuple[str, ...], value: Any) -> dict[str, Any]:
    for name in reversed(path):
        value = {name: value}
    body: dict[str, Any] = value
    return body


def read(body: dict[str, Any]) -> BudgetRequest:
    return BudgetRequest.from_body(body)


@pytest.mark.parametrize(
    ("body", "fields", "effort"),
    [
        ({"think": False}, {CAP: 0}, None),
        ({"think": True}, {}, None),
        ({"think": "low"}, {}, "low"),
        ({"thinking_level": "high"}, {}, "high"),
        ({"logits_processors_args": {"thinking_budget": 9}}, {CAP: 9}, None),
        ({"custom_params": {"thinking_budget": 9}}, {CAP: 9}, None),
        ({"sampling_params": {"custom_params": {"thinking_budget": 9}}}, {CAP: 9}, None),
        ({"thinking": {"type": "enabled", "token_budget": 9}}, {CAP: 9}, None),
        ({"output_config": {"effort": "high"}}, {}, "high"),
        ({"enable_thinking": None, "think": None, "thinking_config": None, "reasoning": None}, {}, None),
        ({"thinking_mode": None, "google": {"thinking_config": {"thinking_budget": None}}}, {}, None),
        # What only concerns how thinking is shown, said as it is here.
        ({"separate_reasoning": True, "stream_reasoning": True, "include_reasoning": True}, {}, None),
        ({"reasoning_format": "parsed"}, {}, None),
        ({"prompt_mode": "reasoning"}, {}, None),
        ({"reasoning": {"exclude": False, "summary": "auto", "generate_summary": "auto", "context": "auto"}}, {}, None),
        ({"thinking": {"type": "adaptive", "display": "omitted"}}, {}, None),
        # What is not about thinking.
        ({"options": {"temperature": 1}, "metadata": {"reason": "test"}, "google": {"safety": []}, "x": 1}, {}, None),
        ({"tools": [{"function": {"parameters": {"reasoning": {"type": "string"}}}}]}, {}, None),
        ({"structured_outputs": {"json": {"properties": {"reasoning": {}}}}}, {}, None),
    ],
    ids=str,
)
def test_what_is_honoured(body: dict[str, Any], fields: dict[str, Any], effort: str | None) -> None:
    request = read(body)
    assert (request.fields, request.effort) == (fields, effort)


@pytest.mark.parametrize("path", GEMINI, ids=".".join)
def test_geminis_configuration_in_all_its_places(path: tuple[str, ...]) -> None:
    for snake, camel in (("thinking_budget", "thinkingBudget"), ("thinking_level", "thinkingLevel")):
        for name in (snake, camel):
            value: Any = 9 if snake == "thinking_budget" else "low"
            request = read(nested(path, {name: value, "include_thoughts": True}))
            assert (request.fields.get(CAP), request.effort) == ((9, None) if value == 9 else (None, "low"))
    assert read(nested(path, {"thinking_budget": -1})).fields == {CAP: "unlimited"}
    for wrong, field in (
        ({"include_thoughts": False}, "include_thoughts"),
        ({"thinking_budgets": 1}, "thinking_budgets"),
    ):
        with pytest.raises(InvalidBudget) as refusal:
            read(nested(path, wrong))
        assert refusal.value.field == ".".join((*path, field))
    with pytest.raises(InvalidBudget, match="is not an object"):
        read(nested(path, 5))


@pytest.mark.parametrize(
    ("body", "field", "hint"),
    [
        ({"thinking_mode": "off"}, "thinking_mode", "max_thinking_tokens"),
        ({"deep_think": True}, "deep_think", "max_thinking_tokens"),
        ({"use_reasoning": False}, "use_reasoning", "max_thinking_tokens"),
        ({"include_thoughts": True}, "include_thoughts", "max_thinking_tokens"),
        ({"think": "much"}, "think", "one of none"),
        ({"think": 5}, "think", "neither true nor false nor an effort"),
        ({"think": "low", "reasoning_effort": "high"}, "think", "differs from reasoning_effort"),
        ({"think": False, CAP: 5}, "think", "give one cap"),
        ({"enable_thinking": "false"}, "enable_thinking", "neither true nor false"),
        ({"chat_template_kwargs": {"enable_thinking": "false"}}, SWITCH, "neither true nor false"),
        ({"chat_template_kwargs": {"thinking": "false"}}, "chat_template_kwargs.thinking", "neither true nor false"),
        ({"logits_processors_args": {"think_stop_sentence": "x"}}, "logits_processors_args.think_stop_sentence", "max"),
        ({"sampling_params": {"reasoning": "x"}}, "sampling_params.reasoning", "max_thinking_tokens"),
        ({"chat_template_args": {"enable_thinking": False}}, "chat_template_args.enable_thinking", "max_thinking"),
        ({"reasoning_split": False}, "reasoning_split", "apart"),
        ({"options": {"think": False}}, "options.think", "max_thinking_tokens"),
        (
            {"provider_options": {"google": {"thinkingConfig": {"thinkingBudget": 5}}}},
            "provider_options.google.thinkingConfig",
            "max_thinking_tokens",
        ),
        ({"parameters": {"enable_thinking": False}}, "parameters.enable_thinking", "max_thinking_tokens"),
        ({"reasoning": {"tokens": 5}}, "reasoning.tokens", "max_thinking_tokens"),
        ({"reasoning": {"exclude": True}}, "reasoning.exclude", "include_reasoning: false"),
        ({"reasoning": {"mode": "pro"}}, "reasoning.mode", "reasoning_effort"),
        ({"thinking": {"type": "enabled", "clear_thinking": True}}, "thinking.clear_thinking", "chat_template_kwargs"),
        ({"thinking": {"type": "enabled", "keep": 1}}, "thinking.keep", "max_thinking_tokens"),
        ({"reasoning_format": "raw"}, "reasoning_format", "include_reasoning: false"),
        ({"separate_reasoning": False}, "separate_reasoning", "apart"),
        ({"stream_reasoning": False}, "stream_reasoning", "as it is generated"),
        ({"include_reasoning": False}, "include_reasoning", "always returns"),
        ({"prompt_mode": "plain"}, "prompt_mode", "max_thinking_tokens: 0"),
        (
            {"output_config": {"effort": "high", "task_budget": {"type": "tokens", "total": 20}}},
            "output_config.task_budget",
            "max_tokens",
        ),
        ({"output_format": {"type": "json_schema", "schema": {}}}, "output_format", "output_config.format"),
    ],
    ids=lambda value: str(value)[:70],
)
def test_what_is_refused_says_what_to_send(body: dict[str, Any], field: str, hint: str) -> None:
    with pytest.raises(InvalidBudget) as refusal:
        read(body)
    assert refusal.value.field == field
    assert hint in str(refusal.value)


@pytest.mark.parametrize(
    "kind",
    [
        protocol.ChatCompletionRequest,
        protocol.CompletionRequest,
        protocol.BatchChatCompletionRequest,
        openai_responses.ResponsesRequest,
        anthropic.MessagesRequest,
    ],
)
def test_every_field_of_every_request_type_is_known(kind: Any) -> None:
    """A new release of vLLM may have new fields that speak of thinking: each needs a meaning here."""
    BudgetRequest.from_body({"include_reasoning": True, **dict.fromkeys(kind.model_fields)}, known=kind.model_fields)
    known = {"include_reasoning", "reasoning", "reasoning_effort", "thinking", "thinking_token_budget"}
    about = {name for name in kind.model_fields if "think" in name or "reason" in name}
    assert about <= known | {"max_thinking_tokens", "min_thinking_tokens"}
    if "include_reasoning" in kind.model_fields:
        assert read_as(kind, {"include_reasoning": False}).fields == {}
    else:
        with pytest.raises(InvalidBudget, match="include_reasoning"):
            read_as(kind, {"include_reasoning": False})


def read_as(kind: Any, body: dict[str, Any]) -> BudgetRequest:
    return BudgetRequest.from_body(body, known=kind.model_fields)


def resolve(tokenizer: Any, body: dict[str, Any], prompt: str = CHAT, **more: Any) -> ResolvedBudget | None:
    source = more.pop("source", PromptSource.TEMPLATE)
    policy = ThinkingPolicy(more.pop("markers", FAMILIES["think"]), template=more.pop("template", None))
    generation = Generation(tokenizer.encode(prompt), SamplingParams(max_tokens=400), context=9000)
    return policy.resolve(BudgetRequest.from_body(body, source), generation, tokenizer)


@pytest.mark.parametrize("name", ["enable_thinking", "thinking"])
@pytest.mark.parametrize("cap", [None, 9, "auto", "unlimited"])
@pytest.mark.parametrize("prompt", [CHAT, f"{CHAT}<think>\n"], ids=["before", "opened"])
def test_a_switch_that_the_template_does_not_know_is_a_cap_of_0(thinker: Any, name: str, cap: Any, prompt: str) -> None:
    found = resolve(thinker, {"chat_template_kwargs": {name: False}, CAP: cap}, prompt)
    assert found is not None
    assert found.budget == ThinkingBudget(max_thinking_tokens=0)
    assert found.set_by == {CAP: f"chat_template_kwargs.{name}"}


@pytest.mark.parametrize("cap", [None, 9])
def test_a_switch_that_the_template_knows_is_a_cap_of_0_too(thinker: Any, cap: int | None) -> None:
    """The prompt has closed the thinking, and the reply does not open it again."""
    closed = f"{CHAT}<think>\n\n</think>\n\n"
    found = resolve(thinker, {"chat_template_kwargs": {"enable_thinking": False}, CAP: cap}, closed)
    assert found is not None
    assert found.budget == ThinkingBudget(max_thinking_tokens=0)
    assert found.set_by == {CAP: "chat_template_kwargs.enable_thinking"}


def test_a_switch_that_turns_thinking_on_sets_nothing(thinker: Any) -> None:
    on = resolve(thinker, {"chat_template_kwargs": {"enable_thinking": True}})
    assert on is not None
    assert on.budget is None


@pytest.mark.parametrize("field", ["min_thinking_tokens", "num_waits"])
def test_a_switch_contradicts_a_floor_and_waits(thinker: Any, field: str) -> None:
    for prompt in (CHAT, f"{CHAT}<think>\n\n</think>\n\n"):
        with pytest.raises(InvalidBudget) as refusal:
            resolve(thinker, {"chat_template_kwargs": {"enable_thinking": False}, field: 3}, prompt)
        assert refusal.value.field == field


def test_a_variable_that_the_template_does_not_know_is_refused(thinker: Any) -> None:
    body = {"chat_template_kwargs": {"keep_thinking": True, "custom": 1}}
    with pytest.raises(InvalidBudget, match="is no variable of the chat template") as refusal:
        resolve(thinker, body)
    assert refusal.value.field == "chat_template_kwargs.keep_thinking"
    assert resolve(thinker, body, template="{{ keep_thinking }}") is not None
    with pytest.raises(InvalidBudget):
        resolve(thinker, body, template="{{ keep_thinking_of }}")
    with pytest.raises(InvalidBudget):
        resolve(thinker, body, template="{{ keep_thinking }}", source=PromptSource.CLIENT)
    with pytest.raises(InvalidBudget):
        resolve(thinker, body, markers=None)
    assert resolve(thinker, {"chat_template_kwargs": {"enable_thinking": False}}, markers=None) is None
