"""The families of models that we know by name, with their markers.

The markers are those of the models' chat templates and of the reasoning and tool parsers that vLLM 0.32 ships. What a
model's template shows in addition (the form without thinking, its switch, the tool openers) is found by `detection`.
"""

from collections.abc import Mapping
from typing import Any

from .markers import ThinkingMarkers

_THINK_STOPS = ("<|im_end|>", "<|endoftext|>", "<｜end▁of▁sentence｜>")

#: Texts by which models open a tool call: of every tool parser in vLLM 0.32 that has one. A model has those that its
#: vocabulary or its chat template names.
TOOL_OPENERS = (
    "<tool_call>",
    "<tool_calls>",
    "<|tool_call|>",
    "<|tool_call_start|>",
    "<|tool_calls|>",
    "<|tool_calls_section_begin|>",
    "<|tools_prefix|>",
    "<|python_tag|>",
    "<｜tool▁calls▁begin｜>",
    "<｜tool_calls_begin｜>",
    "<｜DSML｜function_calls>",
    "<｜DSML｜tool_calls>",
    "<｜DSML｜ calls>",
    "<minimax:tool_call>",
    "<longcat_tool_call>",
    "<dots_function_call>",
    "<ifm|tool_calls>",
    "<function_call>",
    "<function_calls>",
    "<|function_call|>",
    "<start_function_call>",
    '<function name="',
    "<TOOLCALL>",
    "[TOOL_CALLS]",
)


def _tags(family: str, **more: Any) -> ThinkingMarkers:
    """A family of `<think>`: many models share the pair, and differ in what their templates write around it."""
    return ThinkingMarkers(
        family=family,
        start="<think>",
        end="</think>",
        also_ends=("<tool_call>", "<|tool_call|>", "<|tool_calls_section_begin|>", "<｜tool▁calls▁begin｜>"),
        stops=_THINK_STOPS,
        **more,
    )


#: Families by name. Where another turn's header follows the end marker, both together are a spelling of it: a prompt
#: that ends in the header has closed thinking. `s1` is the format of simplescaling/s1 (paper appendix D; its code,
#: data/tokenization.py).
FAMILIES: Mapping[str, ThinkingMarkers] = {
    markers.family: markers
    for markers in (
        ThinkingMarkers(
            family="s1",
            start="<|im_start|>think",
            end="<|im_start|>answer",
            stops=("<|im_end|>", "<|endoftext|>"),
            cap_text="",
            newline_before_end=True,
            answer_prefix="\nFinal Answer:",
            force_start=True,
        ),
        # Qwen3, QwQ, DeepSeek, GLM, Kimi-K2, Nemotron, EXAONE-4, Olmo-3, MiMo, Step-3 and most others.
        _tags("think"),
        # ERNIE-4.5-Thinking and Granite-3.3: the answer is in tags of its own, which are left out of the content.
        _tags("think-response", answer_prefix="\n<response>\n", answer_wrappers=("<response>", "</response>")),
        # Hunyuan-A13B, GLM-4.1V, DianJin-R1.
        _tags("think-answer", answer_prefix="\n<answer>\n", answer_wrappers=("<answer>", "</answer>")),
        ThinkingMarkers(family="magistral", start="[THINK]", end="[/THINK]", also_ends=("[TOOL_CALLS]",)),
        ThinkingMarkers(
            family="seed",
            start="<seed:think>",
            end="</seed:think>",
            also_ends=("<seed:tool_call>",),
            opens=True,
            inside=("<seed:cot_budget_reflect>", "</seed:cot_budget_reflect>"),
            no_thinking="<seed:think>\n<seed:cot_budget_reflect>The current thinking budget is 0, so I will directly "
            "start answering the question.</seed:cot_budget_reflect>\n</seed:think>",
        ),
        ThinkingMarkers(
            family="minimax", start="<mm:think>", end="</mm:think>", also_ends=("]<]minimax[>[<tool_call>",)
        ),
        ThinkingMarkers(
            family="cohere",
            start="<|START_THINKING|>",
            end="<|END_THINKING|>",
            also_ends=("<|START_ACTION|>", "<|START_RESPONSE|>", "<|START_TEXT|>"),
            stops=("<|END_OF_TURN_TOKEN|>",),
            answer_wrappers=("<|START_RESPONSE|>", "<|END_RESPONSE|>", "<|START_TEXT|>", "<|END_TEXT|>"),
        ),
        ThinkingMarkers(
            family="gpt-oss",
            start="<|channel|>analysis<|message|>",
            end="<|end|>",
            end_spellings=("<|end|><|start|>assistant<|channel|>final<|message|>",),
            stops=("<|return|>", "<|endoftext|>"),
            # Closing the message alone lets the model open another analysis: the final channel's header must follow.
            answer_prefix="<|start|>assistant<|channel|>final<|message|>",
            shared_start=True,
            opens=True,
        ),
        ThinkingMarkers(
            family="granite",
            start="Here is my thought process:",
            end="Here is my response:",
            start_spellings=("Here's my thought process:",),
            end_spellings=("Here's my response:",),
            stops=("<|end_of_text|>",),
        ),
        ThinkingMarkers(
            family="gemma-4",
            start="<|channel>thought\n",
            end="<channel|>",
            also_ends=("<|tool_call>",),
            stops=("<turn|>",),
            no_thinking="<|channel>thought\n<channel|>",
        ),
        ThinkingMarkers(
            family="kimi-k3",
            start="<|open|>think<|sep|>",
            end="<|close|>think<|sep|>",
            also_ends=("<|open|>response<|sep|>", "<|open|>tools<|sep|>"),
            stops=("<|end_of_msg|>",),
            answer_prefix="<|open|>response<|sep|>",
            answer_wrappers=("<|open|>response<|sep|>", "<|close|>response<|sep|>", "<|close|>message<|sep|>"),
            shared_start=True,
        ),
        ThinkingMarkers(family="kimi-vl", start="◁think▷", end="◁/think▷", stops=("<|im_end|>",)),
        ThinkingMarkers(
            family="solar-open",
            start="<|think|>",
            end="<|end|>",
            end_spellings=("<|end|><|begin|>assistant<|content|>",),
            stops=("<|flush|>", "<|calls|>"),
            answer_prefix="<|begin|>assistant<|content|>",
            answer_wrappers=("<|begin|>assistant<|content|>",),
        ),
        ThinkingMarkers(
            family="inkling",
            start="<|content_thinking|>",
            end="<|end_message|>",
            end_spellings=("<|end_message|><|message_model|><|content_text|>",),
            also_ends=("<|content_text|>", "<|content_invoke_tool_json|>", "<|content_invoke_tool_text|>"),
            stops=("<|content_model_end_sampling|>",),
            answer_prefix="<|message_model|><|content_text|>",
            answer_wrappers=("<|message_model|><|content_text|>",),
        ),
        ThinkingMarkers(
            family="muse",
            start="to=self<|message|>",
            end="<|eom|>",
            end_spellings=("<|eom|><|start|>assistant to=user<|message|>",),
            also_ends=("<atem:function_calls>",),
            stops=("<|eot|>",),
            answer_prefix="<|start|>assistant to=user<|message|>",
            answer_wrappers=("<|start|>assistant to=user<|message|>",),
        ),
        ThinkingMarkers(
            family="apertus",
            start="<|inner_prefix|>",
            end="<|inner_suffix|>",
            also_ends=("<|tools_prefix|>",),
            stops=("<|assistant_end|>",),
        ),
        ThinkingMarkers(
            family="plamo-3",
            start="<|plamo:begin_think:plamo|>",
            end="<|plamo:end_think:plamo|>",
            also_ends=("<|plamo:begin_tool_requests:plamo|>",),
            stops=("<|plamo:tag|>",),
        ),
        ThinkingMarkers(
            family="k2-horizon",
            start="<ifm|think>",
            end="</ifm|think>",
            start_spellings=("<ifm|think_fast>", "<ifm|think_faster>"),
            end_spellings=("</ifm|think_fast>", "</ifm|think_faster>"),
            also_ends=("<ifm|tool_calls>",),
        ),
        ThinkingMarkers(
            family="apriel",
            start="Here are my reasoning steps:",
            end="[BEGIN FINAL RESPONSE]",
            also_ends=("<tool_calls>",),
            stops=("<|end|>",),
            answer_wrappers=("[END FINAL RESPONSE]",),
        ),
        # The thinking is a turn of its own: what closes it opens the turn of the answer.
        ThinkingMarkers(
            family="hyperclovax",
            start="/think\n",
            end="<|im_end|>\n<|im_start|>assistant\n",
            also_ends=("<|im_end|>\n<|im_start|>assistant -> tool",),
            stops=("<|endofturn|>", "<|stop|>"),
            # A line end at its beginning would be the last character of the end marker.
            cap_text=" My thinking budget is used up, so I answer with what I have.\n",
        ),
        ThinkingMarkers(family="exaone-deep", start="<thought>", end="</thought>", stops=("[|endofturn|]",)),
        ThinkingMarkers(family="reka", start="<reasoning>", end="</reasoning>"),
        ThinkingMarkers(
            family="open-thoughts",
            start="<|begin_of_thought|>",
            end="<|end_of_thought|>",
            stops=_THINK_STOPS,
            answer_wrappers=("<|begin_of_solution|>", "<|end_of_solution|>"),
        ),
    )
}

#: What a vocabulary or chat template must have, all of them, to show a family; by default both of its markers.
#: Some markers are made of words and tokens that other models use for other things.
SIGNS: Mapping[str, tuple[str, ...]] = {
    "gpt-oss": ("<|channel|>", "analysis"),
    "gemma-4": ("<|channel>", "<channel|>"),
    "kimi-k3": ("<|open|>", "<|close|>", "<|sep|>"),
    "solar-open": ("<|think|>", "<|begin|>"),
    "inkling": ("<|content_thinking|>",),
    "muse": ("to=self", "<|eom|>"),
    "apriel": ("[BEGIN FINAL RESPONSE]",),
    "hyperclovax": ("assistant/think",),
}

#: Families of `<think>` by a text of the template or a token of the vocabulary that tells them from `think`.
VARIANTS: Mapping[str, str] = {"<response>": "think-response", "<answer>": "think-answer"}
