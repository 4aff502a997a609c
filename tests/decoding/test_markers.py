"""Families of markers and their detection."""

from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from tenuto_decoding import FAMILIES, UnknownMarkers, detect, detect_markers, resolve_markers
from tenuto_testing.byte_tokenizer import make_tokenizer


def test_the_s1_family_is_the_papers_format() -> None:
    s1 = FAMILIES["s1"]
    assert (s1.start, s1.end) == ("<|im_start|>think", "<|im_start|>answer")
    assert (s1.wait_text, s1.cap_text, s1.answer_prefix) == (("Wait",), "", "\nFinal Answer:")
    assert s1.newline_before_end
    assert s1.force_start


@pytest.mark.parametrize("family", sorted(set(FAMILIES) - {"s1"}))
def test_every_other_family_lands_with_a_sentence(family: str) -> None:
    assert FAMILIES[family].cap_text.endswith(".\n")


def test_gpt_oss_is_closed_with_the_header_of_the_final_channel() -> None:
    assert FAMILIES["gpt-oss"].answer_prefix == "<|start|>assistant<|channel|>final<|message|>"


CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@pytest.mark.parametrize(
    "name",
    [
        "simplescaling/s1-32B",
        "simplescaling/s1.1-7B",
        "/models/s1.1-1.5B/",
        "s1.1-32B",
        "~/.cache/huggingface/hub/models--simplescaling--s1.1-32B/snapshots/12ab",
    ],
)
def test_models_of_simplescaling_are_known_by_their_name(name: str) -> None:
    assert detect(make_tokenizer(CHATML), CHATML, name=name).markers == FAMILIES["s1"]


@pytest.mark.parametrize("name", ["", "Qwen/Qwen2.5-7B-Instruct", "someone/s1-tuned", "ops1-32B", "s1-32B/checkpoint"])
def test_chatml_alone_is_no_evidence_of_s1(name: str) -> None:
    with pytest.raises(UnknownMarkers, match=r"--thinking-family .*--thinking-start-marker .*config\.json"):
        detect(make_tokenizer(CHATML), CHATML, name=name)


def test_a_model_can_name_its_family_in_its_configuration(tmp_path: Path) -> None:
    tokenizer = make_tokenizer(CHATML)
    assert detect(tokenizer, CHATML, config_family="s1").markers == FAMILIES["s1"]
    (tmp_path / "config.json").write_text('{"tenuto_thinking_family": "s1"}')
    assert detect(tokenizer, CHATML, name=str(tmp_path)).markers == FAMILIES["s1"]
    tokenizer.save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    assert detect_markers(loaded, CHATML) == FAMILIES["s1"], "the tokenizer knows where it came from"
    with pytest.raises(UnknownMarkers, match="'s2' is not a family"):
        detect(tokenizer, CHATML, config_family="s2")


def test_the_name_of_s1_does_not_outweigh_a_template_that_opens_thinking() -> None:
    template = CHATML.replace("assistant\n{%", "assistant\n<think>\n{%")
    assert detect(make_tokenizer(template), template, name="s1-32B").markers.family == "think"


def test_markers_in_the_vocabulary_are_evidence(thinker: Any) -> None:
    assert detect_markers(thinker, "<|im_start|>{{ messages }}").family == "think"


def test_markers_in_the_template_are_evidence(chatml: Any) -> None:
    assert detect_markers(chatml, "<|im_start|>{{ m }}<think></think>").family == "think"


@pytest.mark.parametrize("family", ["magistral", "seed", "minimax", "cohere", "granite", "kimi-vl", "apertus", "reka"])
def test_a_family_is_known_by_both_of_its_markers(family: str) -> None:
    markers = FAMILIES[family]
    found = detect(make_tokenizer("", (markers.start, markers.end)), None)
    assert found.markers == markers
    assert found.prompt is None, "there is no template to render"


def test_gpt_oss_is_known_by_its_channels() -> None:
    tokenizer = make_tokenizer("", ("<|channel|>", "<|message|>"))
    assert detect_markers(tokenizer, "<|start|>assistant<|channel|>analysis").family == "gpt-oss"


def test_an_unknown_model_is_an_error_that_lists_the_families() -> None:
    with pytest.raises(UnknownMarkers, match="s1, think, "):
        detect_markers(make_tokenizer(""), "{{ messages }}")


def test_a_template_that_cannot_be_rendered_is_no_evidence() -> None:
    broken = "{% if %}<think></think>"
    assert detect_markers(make_tokenizer(broken), broken).family == "think", "its text is"
    refusing = "{{ raise_exception('no') }}"
    with pytest.raises(UnknownMarkers):
        detect_markers(make_tokenizer(refusing), refusing)


def test_a_template_of_parts_is_rendered_too() -> None:
    template = "{% for m in messages %}{% for p in m.content %}{{ p.text }}{% endfor %}{% endfor %}[A]<think>"
    found = detect(make_tokenizer(template, ("[A]",)), template)
    assert found.prompt is not None
    assert found.prompt.endswith("?[A]<think>")


PAIRS = [
    ("<think:6124c78e>", "</think:6124c78e>"),
    ("<ifm|think_more>", "</ifm|think_more>"),
    ("<thoughts>", "</thoughts>"),
    ("<reason>", "</reason>"),
    ("<|think_start|>", "<|think_end|>"),
    ("<|begin_reasoning|>", "<|end_reasoning|>"),
    ("<|thinking|>", "<|/thinking|>"),
    ("[THINKING]", "[/THINKING]"),
]


@pytest.mark.parametrize(("start", "end"), PAIRS)
@pytest.mark.parametrize(
    ("template", "added"),
    [
        ("{{{{ messages[0].content }}}}[A]{start}{{# {end} #}}", False),
        ("{{{{ messages[0].content }}}}[A]{start}", True),
        ("{{{{ messages[0].content }}}}[A]{{% if not thinking|default(true) %}}{start}{end}{{% endif %}}", False),
        ("{{{{ messages[0].content.split('{end}')[-1].split('{start}')[0] }}}}", False),
        ("{{{{ messages[0].content }}}}[A]", True),
    ],
)
def test_a_tag_that_no_family_has_is_taken_as_it_is(start: str, end: str, template: str, added: bool) -> None:
    text = template.format(start=start, end=end)
    markers = detect_markers(make_tokenizer(text, ("[A]", *((start, end) if added else ()))), text)
    assert (markers.family, markers.start, markers.end) == ("custom", start, end)


def test_a_tag_without_its_end_is_no_evidence() -> None:
    text = "{{ messages[0].content }}[A]<thoughts>"
    with pytest.raises(UnknownMarkers):
        detect_markers(make_tokenizer(text, ("[A]",)), text)


def test_a_variable_that_holds_a_marker_is_no_switch() -> None:
    text = "{% if think_token is not defined %}{% set think_token = '<think>' %}{% endif %}{{ messages[0].content }}"
    text += "[A]{{ think_token }}{# </think> #}"
    markers = detect_markers(make_tokenizer(text, ("[A]",)), text)
    assert (markers.family, markers.off_switch) == ("think", ())


def test_a_named_family_needs_no_evidence(chatml: Any) -> None:
    assert resolve_markers(chatml, "", family="seed").family == "seed"


def test_an_unknown_family_is_an_error_that_lists_the_known(chatml: Any) -> None:
    with pytest.raises(UnknownMarkers, match="'s2' is not a family of thinking markers; known are s1"):
        resolve_markers(chatml, "", family="s2")


def test_given_markers_win(chatml: Any) -> None:
    markers = resolve_markers(chatml, chatml.chat_template, start="<a>", end="</a>")
    assert (markers.family, markers.start, markers.end) == ("custom", "<a>", "</a>")


def test_an_unknown_model_is_described_completely(chatml: Any) -> None:
    given: dict[str, Any] = {
        "stops": ["<|eot|>"],
        "answer_prefix": "A:",
        "shared_start": True,
        "opens": None,
        "also_ends": ["<call>"],
    }
    markers = resolve_markers(chatml, "", start="<a>", end="</a>", **given, off_switch={"thinking": False})
    assert (markers.stops, markers.also_ends, markers.answer_prefix) == (("<|eot|>",), ("<call>",), "A:")
    assert (markers.shared_start, markers.opens, markers.off_switch) == (True, None, (("thinking", False),))
    assert resolve_markers(chatml, "", family="granite", answer_prefix=":").answer_prefix == ":"


@pytest.mark.parametrize(("start", "end"), [("<a>", None), (None, "</a>"), ("", "</a>"), ("<a>", "")])
def test_markers_are_given_both_or_not_at_all(chatml: Any, start: str | None, end: str | None) -> None:
    with pytest.raises(UnknownMarkers, match="give both"):
        resolve_markers(chatml, "", start=start, end=end)


@pytest.mark.parametrize(
    "condition",
    [
        "enable_thinking is defined and enable_thinking is false",
        "not enable_thinking|default(true)",
        "not (enable_thinking | default(true))",
        "enable_thinking is defined and not enable_thinking",
        "(enable_thinking if enable_thinking is defined else true) == false",
        "use_thinking is defined and not use_thinking",
        "reasoning|default(true) is false",
        "reasoning_mode is defined and reasoning_mode == 'direct'",
        "thinking_level|default('deep') in ['shallow', 'none']",
    ],
)
def test_a_switch_is_found_however_the_template_reads_it(condition: str) -> None:
    text = CHATML.replace(
        "assistant\n{%", f"assistant\n{{%- if {condition} %}}{{{{ '<think>\\n\\n</think>\\n\\n' }}}}{{% endif %}}{{%"
    )
    markers = detect_markers(make_tokenizer(text), text)
    assert markers.no_thinking == "<think>\n\n</think>\n\n"
    ((name, value),) = markers.off_switch
    assert str(name) in condition
    assert value is False or str(value) in condition
    assert markers.opens


def test_a_template_that_writes_the_thinking_of_a_reply_is_of_a_model_that_thinks() -> None:
    thought = "{% if m.reasoning_content %}<think>{{ m.reasoning_content }}</think>{% endif %}"
    text = CHATML.replace("{{ m.content }}", thought + "{{ m.content }}")
    assert detect(make_tokenizer(text), text).markers.opens
    assert detect(make_tokenizer(text), text, name="Some-7B-Instruct").markers.opens is None, "or of one of its family"
