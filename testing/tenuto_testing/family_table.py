"""The models whose markers are known: for each kind a template with its deciding lines, and what it has to show.

`docs/models.md` is checked against this table.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from typing import Any

from tenuto_decoding import FAMILIES, ThinkingMarkers
from tenuto_decoding.prompt import Phase

from . import real_tokenizers
from .byte_tokenizer import SPECIAL, make_tokenizer
from .chat_layouts import (
    APERTUS,
    APRIEL,
    APRIEL_16,
    CHATML,
    COHERE,
    DEEPSEEK,
    ERNIE,
    EXAONE,
    GEMMA,
    GIGACHAT,
    GLM,
    GRANITE,
    HARMONY,
    HUNYUAN,
    HY,
    INKLING,
    KIMI,
    KIMI_K3,
    LLAMA,
    MINIMAX,
    MINIMAX_M1,
    MISTRAL,
    MUSE,
    NEMOTRON_V2,
    PHI_4,
    PHI_4_MINI,
    PLAIN,
    PLAMO,
    POOLSIDE,
    REKA,
    SEED,
    SOLAR,
    STEP_3,
    History,
    Layout,
    choice,
    only_if,
    tokens_in,
    unless,
    written,
)  # fmt: skip

THINKING, BEFORE, ANSWER = Phase.THINKING, Phase.BEFORE, Phase.ANSWER
Switch = tuple[str, str | int | bool]


class Source(Enum):
    """Where the deciding lines of a kind come from."""

    TEMPLATE = "a public copy of the template"
    PARSER = "vLLM's parser for it"
    KNOWN = "descriptions of the model"


@dataclass(frozen=True)
class Kind:
    """Models whose templates decide the same.

    Attributes:
        models: repository names, or the models' own where the repository is not known.
        family: the expected one.
        layout, begin, history, head: of the template; see `Layout.template`.
        phase: in which a reply begins by default.
        no_thinking, off, opens, newline: the expected fields of the markers.
        on: a variable that switches thinking on where it is off by default, with the phase that follows.
        openers: tool-call openers that the template describes, expected among `also_ends`.
        spelled: the markers are no tokens of the vocabulary.
        start, end: where they are not the family's.
        pretrained: name of a published tokenizer in `real_tokenizers`, in place of the byte tokenizer.
        named: the family is given, not detected.
    """

    models: tuple[str, ...]
    family: str
    layout: Layout = CHATML
    begin: str = ""
    phase: Phase = BEFORE
    no_thinking: str = ""
    off: Switch | None = None
    opens: bool | None = None
    newline: bool = False
    on: tuple[Switch, Phase] | None = None
    openers: tuple[str, ...] = ()
    history: History = ""
    head: str = ""
    spelled: bool = False
    start: str = ""
    end: str = ""
    pretrained: str = ""
    named: bool = False
    source: Source = Source.KNOWN

    @property
    def markers(self) -> ThinkingMarkers:
        """The family's."""
        return FAMILIES[self.family if self.family != "custom" else "think"]

    @property
    def pair(self) -> tuple[str, str]:
        return self.start or self.markers.start, self.end or self.markers.end

    @cached_property
    def template(self) -> str:
        start, end = self.pair
        return self.layout.template(
            self.begin, start=start, end=end, history=self.history, head=self.head, tools=" ".join(self.openers)
        )

    @cached_property
    def tokenizer(self) -> Any:
        if self.pretrained:
            return getattr(real_tokenizers, self.pretrained)()
        markers = self.markers
        texts = (*self.pair, *markers.also_ends, *markers.inside, *self.openers)
        if self.spelled:  # the openers may be tokens nevertheless
            texts = tuple(text for text in self.openers if "|" in text)
        tokens = (*self.layout.tokens, *tokens_in(*texts, markers.answer_prefix, *markers.start_spellings))
        added = tuple(token for token in dict.fromkeys(tokens) if token not in (*SPECIAL, "<response>", "<answer>"))
        return make_tokenizer(self.template, added)


_QWEN3 = "<think>\n\n</think>\n\n"
_OFF: Switch = ("enable_thinking", False)
_OPENED = written("<think>\n")
_CALL = ("<tool_call>",)
_DSML = ("<｜DSML｜function_calls>",)

KINDS: tuple[Kind, ...] = (
    # Named or shown by name.
    Kind(("simplescaling/s1-32B", "simplescaling/s1.1-32B", "simplescaling/s1.1-7B"), "s1", newline=True,
         pretrained="qwen25"),
    # ChatML with <think>.
    Kind(("Qwen/Qwen3-0.6B", "Qwen/Qwen3-8B", "Qwen/Qwen3-32B", "Qwen/Qwen3-235B-A22B"), "think",
         begin=unless("enable_thinking", _QWEN3), history="line", openers=_CALL,
         no_thinking=_QWEN3, off=_OFF, opens=True, newline=True, source=Source.TEMPLATE),
    Kind(("Qwen/Qwen3.5-9B", "Qwen/Qwen3.6-27B", "Qwen/Qwen3.6-35B-A3B"), "think",
         begin=unless("enable_thinking", _QWEN3, "<think>\n"), phase=THINKING, history="line", openers=_CALL,
         no_thinking=_QWEN3, off=_OFF, newline=True, source=Source.TEMPLATE),
    Kind(("Qwen/Qwen3.5-2B",), "think",
         begin=only_if("enable_thinking", "<think>\n", _QWEN3), phase=ANSWER, history="line", openers=_CALL,
         no_thinking=_QWEN3, off=_OFF, on=(("enable_thinking", True), THINKING), newline=True, source=Source.TEMPLATE),
    Kind(("Qwen/QwQ-32B", "Qwen/Qwen3-30B-A3B-Thinking-2507", "Qwen/Qwen3-VL-8B-Thinking",
          "Qwen/Qwen3-Next-80B-A3B-Thinking"), "think",
         begin=_OPENED, phase=THINKING, history="line", openers=_CALL, newline=True),
    Kind(("stepfun-ai/Step-3.5-Flash", "Step-3.7-Flash"), "think",
         begin=_OPENED, phase=THINKING, history="line",
         openers=_CALL, newline=True, source=Source.TEMPLATE),
    Kind(("stepfun-ai/step3",), "think", STEP_3,
         begin=_OPENED, phase=THINKING, openers=("<｜tool_calls_begin｜>",), source=Source.PARSER),
    Kind(("XiaomiMiMo/MiMo-7B-RL", "XiaomiMiMo/MiMo-V2-Flash", "Ling-3"), "think",
         begin=unless("enable_thinking", "<think></think>"), history="inline", openers=_CALL,
         no_thinking="<think></think>", off=_OFF, opens=True, source=Source.PARSER),
    Kind(("nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B", "Nemotron-3-Super"), "think",
         begin=unless("enable_thinking", "<think></think>", "<think>\n"), phase=THINKING, history="line",
         openers=_CALL, no_thinking="<think></think>", off=_OFF, newline=True, source=Source.TEMPLATE),
    Kind(("Nemotron-3-Ultra",), "think",
         begin=unless("enable_thinking", "<think></think>", "<think>\n"), phase=THINKING, history="inline",
         openers=_CALL, no_thinking="<think></think>", off=_OFF, source=Source.TEMPLATE),
    Kind(("Granite-4.2",), "think", GRANITE, begin=unless("enable_thinking", "<think></think>", "<think>\n"),
         phase=THINKING, history="line", openers=_CALL, no_thinking="<think></think>", off=_OFF, newline=True,
         source=Source.PARSER),
    Kind(("nvidia/NVIDIA-Nemotron-Nano-9B-v2", "nvidia/NVIDIA-Nemotron-Nano-12B-v2"), "think", NEMOTRON_V2,
         begin=choice("'/no_think' in messages[0].content", "<think></think>", "<think>\n\n"), phase=THINKING,
         history="removed", openers=("<TOOLCALL>",), no_thinking="<think></think>", source=Source.TEMPLATE),
    Kind(("nvidia/Llama-3_3-Nemotron-Super-49B-v1_5",), "think", LLAMA,
         begin=choice("'/no_think' in messages[0].content", _QWEN3), history="removed", openers=("<TOOLCALL>",),
         no_thinking=_QWEN3, opens=True, newline=True, spelled=True, source=Source.TEMPLATE),
    Kind(("nvidia/Llama-3_1-Nemotron-Ultra-253B-v1", "nvidia/Llama-3_3-Nemotron-Super-49B-v1"), "think", LLAMA,
         history="removed", opens=True, spelled=True),
    Kind(("nvidia/OpenReasoning-Nemotron-7B", "nvidia/AceReason-Nemotron-1.1-7B", "baichuan-inc/Baichuan-M2-32B",
          "a-m-team/AM-Thinking-v1"), "think", begin=_OPENED, phase=THINKING, pretrained="qwen25"),
    Kind(("allenai/Olmo-3-7B-Think", "allenai/Olmo-3-32B-Think"), "think", begin=written("<think>"), phase=THINKING,
         openers=("<function_calls>",), pretrained="qwen25"),
    Kind(("HuggingFaceTB/SmolLM3-3B",), "think", begin=unless("enable_thinking", "<think>\n\n</think>\n"),
         history="removed", openers=_CALL, no_thinking="<think>\n\n</think>\n", off=_OFF, opens=True, newline=True),
    Kind(("NousResearch/Hermes-4-14B", "NousResearch/Hermes-4-70B"), "think", history="removed", spelled=True,
         head=only_if("thinking", "Think first, between <think> and </think>."), openers=_CALL,
         off=("thinking", False), opens=False, on=(("thinking", True), BEFORE)),
    Kind(("LiquidAI/LFM2.5-1.2B-Thinking", "LiquidAI/LFM2.5-8B-A1B"), "think", history="inline",
         openers=("<|tool_call_start|>",), opens=True, source=Source.TEMPLATE),
    Kind(("internlm/Intern-S1", "internlm/Intern-S1-mini"), "think",
         begin=unless("enable_thinking", "", "<think>\n"), phase=THINKING, off=_OFF),
    Kind(("openbmb/MiniCPM4.1-8B", "MiniCPM5"), "think", begin=unless("enable_thinking", _QWEN3),
         history="line", openers=('<function name="',), no_thinking=_QWEN3, off=_OFF, opens=True, newline=True,
         source=Source.PARSER),
    Kind(("openbmb/MiniCPM-V-4_5", "Hcompany/Holo2-8B"), "think",
         begin=only_if("enable_thinking", "<think>\n", _QWEN3), phase=ANSWER, no_thinking=_QWEN3, off=_OFF,
         on=(("enable_thinking", True), THINKING), newline=True, source=Source.PARSER),
    Kind(("DianJin/DianJin-R1-32B",), "think-answer", opens=True, pretrained="qwen25",
         head=written("Think in <think> </think>, answer in <answer> </answer>.\n")),
    Kind(("open-thoughts/OpenThinker-7B", "NovaSky-AI/Sky-T1-32B-Preview"), "open-thoughts", opens=True, spelled=True,
         head=written("Think in <|begin_of_thought|> <|end_of_thought|>.\n")),
    # DeepSeek and what was distilled from it.
    Kind(("deepseek-ai/DeepSeek-R1",), "think", DEEPSEEK, begin=_OPENED, phase=THINKING, history="removed",
         openers=("<｜tool▁calls▁begin｜>",), pretrained="deepseek", source=Source.TEMPLATE),
    Kind(("deepseek-ai/DeepSeek-R1-Distill-Qwen-32B", "deepseek-ai/DeepSeek-R1-Distill-Llama-8B",
          "Skywork/Skywork-OR1-32B"), "think", DEEPSEEK, begin=_OPENED, phase=THINKING, history="removed",
         openers=("<｜tool▁calls▁begin｜>",), source=Source.TEMPLATE),
    Kind(("deepseek-ai/DeepSeek-R1-0528", "deepseek-ai/DeepSeek-R1-0528-Qwen3-8B"), "think", DEEPSEEK,
         history="removed", openers=("<｜tool▁calls▁begin｜>",), opens=True, pretrained="deepseek"),
    Kind(("deepseek-ai/DeepSeek-V3.1", "deepseek-ai/DeepSeek-V3.1-Terminus"), "think", DEEPSEEK,
         begin=only_if("thinking", "<think>", "</think>"), phase=ANSWER, history="removed",
         openers=("<｜tool▁calls▁begin｜>",), no_thinking="</think>", off=("thinking", False),
         on=(("thinking", True), THINKING), pretrained="deepseek", source=Source.TEMPLATE),
    Kind(("deepseek-ai/DeepSeek-V3.2",), "think", DEEPSEEK, begin=only_if("enable_thinking", "<think>", "</think>"),
         phase=ANSWER, openers=_DSML, no_thinking="</think>", off=_OFF, on=(("enable_thinking", True), THINKING),
         pretrained="deepseek", source=Source.TEMPLATE),
    Kind(("DeepSeek-V4", "DeepSeek-V4-Flash"), "think", DEEPSEEK,
         begin=unless("enable_thinking", "</think>", "<think>"), phase=THINKING, openers=("<｜DSML｜tool_calls>",),
         no_thinking="</think>", off=_OFF, pretrained="deepseek", source=Source.PARSER),
    # GLM, Kimi, MiniMax.
    Kind(("zai-org/GLM-4.5", "zai-org/GLM-4.5-Air", "zai-org/GLM-4.6"), "think", GLM,
         begin=unless("enable_thinking", "\n<think></think>"), history="inline", openers=_CALL,
         no_thinking="\n<think></think>", off=_OFF, opens=True, source=Source.TEMPLATE),
    Kind(("zai-org/GLM-4.7", "zai-org/GLM-5", "GLM-5.2"), "think", GLM,
         begin=unless("enable_thinking", "</think>", "<think>"), phase=THINKING, history="inline", openers=_CALL,
         no_thinking="</think>", off=_OFF, source=Source.PARSER),
    Kind(("GLM-5.3", "THUDM/GLM-Z1-32B-0414"), "think", GLM, begin=written("<think>"), phase=THINKING,
         history="inline", openers=_CALL, source=Source.PARSER),
    Kind(("zai-org/GLM-4.1V-9B-Thinking",), "think", GLM, opens=True),
    Kind(("moonshotai/Kimi-K2-Thinking",), "think", KIMI, history="inline",
         openers=("<|tool_calls_section_begin|>",), opens=True, source=Source.TEMPLATE),
    Kind(("moonshotai/Kimi-K2.5", "Kimi-K2.6"), "think", KIMI,
         begin=unless("thinking", "<think></think>", "<think>"), phase=THINKING, history="inline",
         openers=("<|tool_calls_section_begin|>",), no_thinking="<think></think>", off=("thinking", False),
         source=Source.PARSER),
    Kind(("Kimi-K3",), "kimi-k3", KIMI_K3, history="inline",
         begin=unless("thinking", "<|open|>response<|sep|>", "<|open|>think<|sep|>"), phase=THINKING,
         openers=("<|open|>tools<|sep|>",), no_thinking="<|open|>response<|sep|>", off=("thinking", False),
         source=Source.TEMPLATE),
    Kind(("moonshotai/Kimi-VL-A3B-Thinking", "moonshotai/Kimi-VL-A3B-Thinking-2506"), "kimi-vl", KIMI,
         history="removed", opens=True),
    Kind(("MiniMaxAI/MiniMax-M1-40k", "MiniMaxAI/MiniMax-M1-80k"), "think", MINIMAX_M1, history="removed",
         opens=True, openers=("<tool_calls>",), spelled=True),
    Kind(("MiniMaxAI/MiniMax-M2", "MiniMaxAI/MiniMax-M2.5"), "think", MINIMAX,
         begin=_OPENED, phase=THINKING, history="line",
         openers=("<minimax:tool_call>",), newline=True, source=Source.TEMPLATE),
    Kind(("MiniMax-M3",), "minimax", MINIMAX, history="inline",
         begin="{% if thinking_mode == 'enabled' %}<mm:think>{% elif thinking_mode == 'disabled' %}</mm:think>"
         "{% endif %}", openers=("]<]minimax[>[<tool_call>",), no_thinking="</mm:think>",
         off=("thinking_mode", "disabled"), on=(("thinking_mode", "enabled"), THINKING), opens=True,
         source=Source.PARSER),
    # Other tags.
    Kind(("LGAI-EXAONE/EXAONE-4.0-32B", "LGAI-EXAONE/K-EXAONE-236B-A23B"), "think", EXAONE,
         begin=only_if("enable_thinking", "<think>\n", _QWEN3), phase=ANSWER, history="line", openers=_CALL,
         no_thinking=_QWEN3, off=_OFF, on=(("enable_thinking", True), THINKING), newline=True),
    Kind(("LGAI-EXAONE/EXAONE-Deep-7.8B", "LGAI-EXAONE/EXAONE-Deep-32B"), "exaone-deep", EXAONE,
         begin=written("<thought>\n"), phase=THINKING, history="removed", spelled=True),
    Kind(("RekaAI/reka-flash-3", "RekaAI/reka-flash-3.1"), "reka", REKA, begin=written("<reasoning>\n"),
         phase=THINKING, history="removed", spelled=True),
    Kind(("ByteDance-Seed/Seed-OSS-36B-Instruct",), "seed", SEED, history="inline", openers=("<seed:tool_call>",),
         begin=unless("thinking_budget", FAMILIES["seed"].no_thinking, value="0"),
         no_thinking=FAMILIES["seed"].no_thinking, off=("thinking_budget", 0), opens=True, source=Source.TEMPLATE),
    Kind(("K2-Horizon",), "k2-horizon", history="inline", openers=("<ifm|tool_calls>",),
         begin="{% if reasoning_effort == 'low' %}<ifm|think_faster>{% else %}<ifm|think>{% endif %}",
         phase=THINKING, source=Source.PARSER),
    Kind(("tencent/Hunyuan-A13B-Instruct",), "think-answer", HUNYUAN, spelled=True, history="removed",
         begin=unless("enable_thinking", "<think>\n\n</think>\n"), head="{# <answer> #}",
         no_thinking="<think>\n\n</think>\n", off=_OFF, opens=True, newline=True, source=Source.PARSER),
    Kind(("Hy3",), "think", HY, history="inline", openers=("<tool_calls>",),
         begin=choice("reasoning_effort is defined and reasoning_effort != 'no_think'", "<think>", "<think></think>"),
         phase=ANSWER, no_thinking="<think></think>", off=("reasoning_effort", "no_think"),
         on=(("reasoning_effort", "high"), THINKING), source=Source.PARSER),
    Kind(("Hy4",), "custom", HY, history="inline", openers=("<tool_calls:6124c78e>",),
         begin=unless("reasoning_effort", "<think:6124c78e></think:6124c78e>", "<think:6124c78e>", "'no_think'"),
         phase=THINKING, no_thinking="<think:6124c78e></think:6124c78e>", off=("reasoning_effort", "no_think"),
         start="<think:6124c78e>", end="</think:6124c78e>", source=Source.PARSER),
    Kind(("Laguna",), "think", POOLSIDE, history="line", openers=_CALL,
         begin=only_if("enable_thinking", "<think>", "</think>"), phase=ANSWER, no_thinking="</think>", off=_OFF,
         on=(("enable_thinking", True), THINKING), newline=True, source=Source.PARSER),
    Kind(("baidu/ERNIE-4.5-VL-28B-A3B-Thinking",), "think-response", ERNIE, begin=_OPENED, phase=THINKING,
         history="line", head="{# <response> #}", newline=True),
    Kind(("baidu/ERNIE-4.5-21B-A3B-Thinking",), "think-response",
         begin=_OPENED, phase=THINKING,
         history="line", openers=_CALL, head="{# <response> #}", newline=True, source=Source.PARSER),
    Kind(("GigaChat3.5",), "think", GIGACHAT, begin=only_if("reasoning", "<think>"),
         openers=("<|function_call|>",), off=("reasoning", False), opens=False, on=(("reasoning", True), THINKING),
         source=Source.TEMPLATE),
    Kind(("microsoft/Phi-4-reasoning", "microsoft/Phi-4-reasoning-plus"), "think", PHI_4, spelled=True, opens=True,
         head=written("Write the thought in <think> and </think>.")),
    Kind(("microsoft/Phi-4-mini-reasoning",), "think", PHI_4_MINI, history="removed", spelled=True, opens=True),
    Kind(("Open-Reasoner-Zero/Open-Reasoner-Zero-7B",), "think-answer", PLAIN, begin=written("<think>"),
         phase=THINKING, head=written("The answer is in <answer> </answer> tags.\n"), pretrained="qwen25"),
    # Control tokens and phrases.
    Kind(("mistralai/Magistral-Small-2506",), "think", MISTRAL, spelled=True, opens=True,
         head=written("[SYSTEM_PROMPT]Think in <think> </think>.[/SYSTEM_PROMPT]")),
    Kind(("mistralai/Magistral-Small-2507", "mistralai/Magistral-Small-2509",
          "mistralai/Ministral-3-14B-Reasoning-2512"), "magistral", MISTRAL, opens=True, openers=("[TOOL_CALLS]",),
         head=written("[SYSTEM_PROMPT]Think in [THINK]...[/THINK].[/SYSTEM_PROMPT]")),
    Kind(("mistralai/Mistral-Small-4-119B-2603",), "magistral", MISTRAL, opens=False, openers=("[TOOL_CALLS]",),
         head="{% if reasoning_effort|default('none') not in ['none', 'high'] %}{{ raise_exception('?') }}{% endif %}"
         '[MODEL_SETTINGS]{"reasoning_effort": "{{ reasoning_effort|default(\'none\') }}"}[/MODEL_SETTINGS]'
         "{# [THINK] [/THINK] #}", off=("reasoning_effort", "none"), on=(("reasoning_effort", "high"), BEFORE),
         source=Source.TEMPLATE),
    Kind(("CohereLabs/command-a-reasoning-08-2025",), "cohere", COHERE,
         begin=unless("reasoning", "<|START_THINKING|><|END_THINKING|>", "<|START_THINKING|>"), phase=THINKING,
         openers=("<|START_ACTION|>",), no_thinking="<|START_THINKING|><|END_THINKING|>", off=("reasoning", False)),
    Kind(("CohereLabs/c4ai-command-r7b-12-2024",), "cohere", COHERE, head="{# <|START_THINKING|><|END_THINKING|> #}",
         openers=("<|START_ACTION|>",), source=Source.TEMPLATE),
    Kind(("openai/gpt-oss-20b", "openai/gpt-oss-120b"), "gpt-oss", HARMONY, opens=True, source=Source.TEMPLATE,
         head=written("<|start|>system<|message|># Valid channels: analysis, commentary, final.<|end|>")),
    Kind(("ibm-granite/granite-3.2-8b-instruct",), "granite", GRANITE, spelled=True,
         head=only_if("thinking", "Begin with 'Here is my thought process:', then 'Here is my response:'."),
         off=("thinking", False), opens=False, on=(("thinking", True), BEFORE), source=Source.PARSER),
    Kind(("ibm-granite/granite-3.3-8b-instruct",), "think-response", GRANITE, spelled=True, openers=("<|tool_call|>",),
         head=only_if("thinking", "Think in <think> </think>, answer in <response> </response>."),
         off=("thinking", False), opens=False, on=(("thinking", True), BEFORE)),
    Kind(("google/gemma-4-31B-it", "google/gemma-4-26B-A4B-it"), "gemma-4", GEMMA,
         begin=only_if("enable_thinking", "", "<|channel>thought\n<channel|>"), phase=ANSWER, openers=("<|tool_call>",),
         no_thinking="<|channel>thought\n<channel|>", off=_OFF, opens=True, on=(("enable_thinking", True), BEFORE),
         source=Source.TEMPLATE),
    Kind(("google/gemma-4-E4B-it", "google/gemma-4-E2B-it"), "gemma-4", GEMMA,
         head=only_if("enable_thinking", "<|think|>"), history="inline", openers=("<|tool_call>",),
         no_thinking="<|channel>thought\n<channel|>", off=_OFF, opens=False, on=(("enable_thinking", True), BEFORE),
         source=Source.PARSER),
    Kind(("upstage/Solar-Open-100B",), "solar-open", SOLAR, history="inline", opens=True,
         begin=choice("reasoning_effort|default('high') in ['low', 'minimal']", "<|think|><|end|>"),
         no_thinking="<|think|><|end|>", off=("reasoning_effort", "minimal"),
         openers=("<|tool_calls|>",)),
    Kind(("swiss-ai/Apertus-70B-Instruct-2509", "swiss-ai/Apertus-8B-Instruct-2509"), "apertus", APERTUS,
         history="inline", openers=("<|tools_prefix|>",), head=only_if("enable_thinking", "Deliberation: enabled."),
         off=_OFF, opens=False, on=(("enable_thinking", True), BEFORE), source=Source.PARSER),
    Kind(("Inkling",), "inkling", INKLING, history="inline", opens=True, source=Source.PARSER,
         openers=("<|content_invoke_tool_json|>",)),
    Kind(("Muse-Glimmer",), "muse", MUSE, openers=("<atem:function_calls>",), source=Source.PARSER,
         head=written("<|start|>system<|message|>Think to=self first.<|eom|>")),
    Kind(("PLaMo-3",), "plamo-3", PLAMO, source=Source.PARSER, phase=THINKING,
         begin=unless("enable_thinking", "<|plamo:begin_think:plamo|><|plamo:end_think:plamo|>",
                      "<|plamo:begin_think:plamo|>"),
         no_thinking="<|plamo:begin_think:plamo|><|plamo:end_think:plamo|>", off=_OFF,
         openers=("<|plamo:begin_tool_requests:plamo|>",)),
    Kind(("ServiceNow-AI/Apriel-1.5-15b-Thinker",), "apriel", APRIEL, opens=True, openers=("<tool_calls>",),
         head=written("Give the answer as [BEGIN FINAL RESPONSE] ... [END FINAL RESPONSE]."), source=Source.TEMPLATE),
    Kind(("ServiceNow-AI/Apriel-1.6-15b-Thinker",), "apriel", APRIEL_16, openers=("<tool_calls>",),
         begin=written("Here are my reasoning steps:\n"), phase=THINKING, history="removed", source=Source.TEMPLATE),
    Kind(("naver-hyperclovax/HyperCLOVAX-SEED-Think-14B",), "hyperclovax",
         Layout("<|im_start|>{}\n", "<|im_end|>\n", header="<|im_start|>assistant"),
         begin=f"{{% if force_reasoning %}}{written('/think' + chr(10))}{{% elif skip_reasoning %}}{written(chr(10))}"
         "{% endif %}", head="{# assistant/think #}", no_thinking="\n", off=("skip_reasoning", True), opens=True,
         on=(("force_reasoning", True), THINKING), spelled=True),
)  # fmt: skip

#: The kind of every model.
MODELS: Mapping[str, Kind] = {model: kind for kind in KINDS for model in kind.models}
