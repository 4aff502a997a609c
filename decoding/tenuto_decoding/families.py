"""The families of models that we know by name, with their markers."""

from collections.abc import Mapping

from .markers import ThinkingMarkers

_TOOL_OPENERS = ("<tool_call>", "<|tool_call|>", "<|tool_calls_section_begin|>", "<｜tool▁calls▁begin｜>")

#: Families by name. `s1` is the format of simplescaling/s1 (paper appendix D; its code, data/tokenization.py); the
#: others are the markers of the reasoning parsers that vLLM 0.32 ships.
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
        ThinkingMarkers(
            family="think",
            start="<think>",
            end="</think>",
            also_ends=_TOOL_OPENERS,
            stops=("<|im_end|>", "<|endoftext|>", "<｜end▁of▁sentence｜>"),
        ),
        ThinkingMarkers(family="magistral", start="[THINK]", end="[/THINK]", also_ends=("[TOOL_CALLS]",)),
        ThinkingMarkers(family="seed", start="<seed:think>", end="</seed:think>", also_ends=("<seed:tool_call>",)),
        ThinkingMarkers(family="minimax", start="<mm:think>", end="</mm:think>"),
        ThinkingMarkers(
            family="cohere",
            start="<|START_THINKING|>",
            end="<|END_THINKING|>",
            also_ends=("<|START_ACTION|>",),
            stops=("<|END_OF_TURN_TOKEN|>",),
        ),
        ThinkingMarkers(
            family="gpt-oss",
            start="<|channel|>analysis<|message|>",
            end="<|end|>",
            stops=("<|return|>", "<|endoftext|>"),
            # Closing the message alone lets the model open another analysis: the final channel's header must follow.
            answer_prefix="<|start|>assistant<|channel|>final<|message|>",
            shared_start=True,
        ),
        ThinkingMarkers(
            family="granite",
            start="Here is my thought process:",
            end="Here is my response:",
            stops=("<|end_of_text|>",),
        ),
    )
}
