"""A conversation: what is typed, streamed, forced, steered, stopped, edited and kept."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Locator, expect

from tenuto_testing.servers import RunningServer
from tests.browser.conftest import KEY, NewPage
from tests.browser.watched_page import PATIENCE, WatchedPage

BILL = "Add up this bill: soup 9, fish 4, juice 4, beans 9, plums 9"
#: So many tokens that no test waits for their end.
ENDLESS = 40_000

expect.set_options(timeout=PATIENCE)


def thinking(reply: Locator) -> str:
    return reply.locator(".thinking-text").inner_text()


def marks(reply: Locator) -> list[str]:
    return reply.locator(".thinking-text mark.wait").all_inner_texts()


def fact(reply: Locator, name: str) -> str:
    return reply.locator(f'.facts div:has(dt:text-is("{name}")) dd').inner_text()


def test_a_question_streams_with_marked_waits_a_counter_and_facts(page: WatchedPage, server: RunningServer) -> None:
    page.set("Waits", 2)
    page.set("Temperature", 0)
    reply = page.ask(BILL)
    expect(reply.locator(".title")).to_have_text(re.compile("Waiting|Thinking|Thought"))
    page.wait_until_ended(reply)
    expect(reply.locator(".markdown")).to_have_text("Answer: 35")
    assert [text.removeprefix("↻ ") for text in marks(reply)] == ["Wait", "Wait"]
    assert "Wait, there is more on the bill." in thinking(reply)
    assert fact(reply, "Waits") == "2"
    assert fact(reply, "Thinking") == "103"
    assert reply.locator(".thinking-foot").inner_text().startswith("The model ended its thinking")
    assert not reply.locator(".warning, .error").count()


def test_the_cap_is_shown_and_the_forced_end_and_beginning_are_marked(page: WatchedPage) -> None:
    page.set("Cap", 25)
    page.set("Temperature", 0)
    reply = page.ask(BILL)
    page.wait_until_ended(reply)
    assert fact(reply, "Thinking") == "25 / 25"
    expect(reply.locator(".thinking-foot .forced")).to_have_text("Closed at the cap")
    expect(reply.locator("mark.answer")).to_have_text("Final Answer:")
    expect(reply.locator(".markdown")).to_have_text("9")


def test_a_cap_text_is_marked(page: WatchedPage) -> None:
    page.set("Cap", 40)
    page.set("Cap text", "Time is up.")
    reply = page.ask(BILL)
    page.wait_until_ended(reply)
    assert "Time is up." in "".join(reply.locator(".thinking-text mark.end").all_inner_texts())


def test_stop_stops_while_thinking_and_the_input_stays_usable(page: WatchedPage, server: RunningServer) -> None:
    page.set("Floor", ENDLESS)
    reply = page.ask(BILL)
    page.wait_until_thinking(reply)
    page.page.get_by_label("Stop").click()
    page.wait_until_ended(reply)
    expect(reply.locator(".warning")).to_have_text("Stopped.")
    server.wait_until(lambda: is_idle(server), seconds=20)
    page.set("Floor", "")
    again = page.ask(BILL)
    page.wait_until_ended(again)
    assert "Answer:" in again.inner_text()


def is_idle(server: RunningServer) -> bool:
    return bool(httpx.get(f"{server.url}/load", headers={"X-Api-Key": KEY}).json()["server_load"] == 0)


def test_escape_stops_too(page: WatchedPage) -> None:
    page.set("Floor", ENDLESS)
    reply = page.ask(BILL)
    page.wait_until_thinking(reply)
    page.page.keyboard.press("Escape")
    page.wait_until_ended(reply)
    expect(reply.locator(".warning")).to_have_text("Stopped.")


def test_answer_now_ends_the_thinking_and_says_so(page: WatchedPage) -> None:
    page.set("Floor", ENDLESS)
    reply = page.ask(BILL)
    page.wait_until_thinking(reply)
    reply.get_by_role("button", name="Answer now").click()
    page.wait_until_ended(reply)
    expect(reply.locator(".steered")).to_have_text(re.compile(r"Answer now: in effect from \d+ thinking tokens on\."))
    expect(reply.locator(".thinking-foot .forced")).to_have_text("Closed by “Answer now”")
    assert reply.locator(".markdown").inner_text().strip()


def test_think_on_changes_the_floor(page: WatchedPage) -> None:
    page.set("Floor", ENDLESS)
    reply = page.ask(BILL)
    page.wait_until_thinking(reply)
    reply.get_by_label("Think on until").fill("600")
    reply.get_by_role("button", name="Think on").click()
    page.wait_until_ended(reply)
    assert int(fact(reply, "Thinking").replace(",", "").partition("/")[0]) >= 600
    assert re.search(r"Think on until 600: in effect", reply.locator(".steered").inner_text())


def test_a_steering_request_that_cannot_be_kept_is_answered_in_words(new_page: NewPage) -> None:
    page = new_page(allow_failed_requests=True)
    page.set("Floor", ENDLESS)
    reply = page.ask(BILL)
    page.wait_until_thinking(reply)
    reply.get_by_label("Think on until").fill("9000000")
    reply.get_by_role("button", name="Think on").click()
    expect(reply.locator(".steered")).to_have_text(re.compile("min_thinking_tokens"))
    page.page.get_by_label("Stop").click()


def test_edits_and_further_tries_are_branches(page: WatchedPage) -> None:
    page.set("Temperature", 0)
    page.wait_until_ended(page.ask(BILL))
    page.page.get_by_label("Try again").click()
    branches = page.page.get_by_role("group", name="Branches")
    expect(branches).to_have_text("2 / 2")
    page.wait_until_ended(page.replies.first)
    page.page.get_by_label("Edit", exact=True).click()
    page.page.get_by_label("Edit the message").fill("Add up this bill: jam 2, tea 3")
    page.page.get_by_role("button", name="Send", exact=True).first.click()
    expect(branches.first).to_have_text("2 / 2")
    page.wait_until_ended(page.replies.first)
    assert page.requests[-1]["messages"] == [{"role": "user", "content": "Add up this bill: jam 2, tea 3"}]
    branches.first.get_by_label("Previous branch").click()
    expect(page.page.locator(".bubble")).to_have_text(BILL)
    expect(branches.last).to_have_text("2 / 2")


def test_a_conversation_has_its_system_message_and_its_history(page: WatchedPage) -> None:
    page.page.get_by_role("button", name="Add a system message").click()
    page.page.get_by_label("System message", exact=True).fill("You add up bills.")
    page.wait_until_ended(page.ask("Add up this bill: jam 2, tea 3"))
    answer = page.replies.first.locator(".markdown").inner_text()
    page.wait_until_ended(page.ask(BILL))
    sent = page.requests[-1]["messages"]
    assert [message["role"] for message in sent] == ["system", "user", "assistant", "user"]
    assert sent[0]["content"] == "You add up bills."
    assert answer in sent[2]["content"]


def test_what_is_exported_can_be_imported_by_another_reader(new_page: NewPage, tmp_path: Path) -> None:
    page, other = new_page(), new_page()
    page.wait_until_ended(page.ask(BILL))
    with page.page.expect_download() as download:
        page.page.get_by_role("button", name="Export").click()
    file = tmp_path / "conversation.json"
    download.value.save_as(file)
    other.page.get_by_label("Conversation to import").set_input_files(file)
    expect(other.page.locator(".bubble")).to_have_text(BILL)
    answer = page.replies.first.locator(".markdown").inner_text()
    expect(other.replies.first.locator(".markdown")).to_have_text(answer)
    wrong = tmp_path / "wrong.json"
    wrong.write_text('{"format": "another"}')
    other.page.get_by_label("Conversation to import").set_input_files(wrong)
    expect(other.page.get_by_role("alert")).to_have_text("The file is not a conversation that this page has exported.")


def test_conversations_are_kept_and_can_be_deleted(page: WatchedPage) -> None:
    page.wait_until_ended(page.ask(BILL))
    page.page.get_by_role("button", name="New conversation").first.click()
    expect(page.page.get_by_role("heading", name="How long should it think?")).to_be_visible()
    page.page.reload()
    page.page.get_by_role("button", name=BILL[:30]).first.click()
    expect(page.page.locator(".bubble")).to_have_text(BILL)
    expect(page.replies.first.locator(".thinking-toggle")).to_have_attribute("aria-expanded", "false")
    page.page.get_by_label("Delete “Add up").click()
    expect(page.page.locator(".bubble")).to_have_count(0)


def test_a_reload_in_mid_stream_keeps_what_had_arrived(page: WatchedPage, server: RunningServer) -> None:
    page.set("Floor", ENDLESS)
    reply = page.ask(BILL)
    page.wait_until_thinking(reply)
    page.page.reload()
    expect(page.replies.first.locator(".warning")).to_have_text(re.compile("^The reply was interrupted"))
    page.replies.first.locator(".thinking-toggle").click()
    assert "First comes soup" in thinking(page.replies.first)
    server.wait_until(lambda: is_idle(server), seconds=20)
    page.set("Floor", "")
    page.page.get_by_label("Retry").click()
    page.wait_until_ended(page.replies.first)
    expect(page.replies.first.locator(".warning")).to_have_count(0)


TEXTS = ["<b>bold</b>", "&lt;b&gt;", "مرحبا بالعالم", "你好，世界", "🍲 ${x} `y` $z$"]


@pytest.mark.parametrize("text", TEXTS)
def test_texts_that_look_like_something_else_are_shown_as_they_are(page: WatchedPage, text: str) -> None:
    page.set("Wait text", text)
    page.set("Waits", 1)
    page.set("Cap", 300)
    page.set("Max tokens", 400)
    reply = page.ask(f"{BILL} {text}")
    page.wait_until_ended(reply)
    assert page.page.locator(".bubble").inner_text() == f"{BILL} {text}"
    assert text in thinking(reply)
    assert [mark.removeprefix("↻ ").strip() for mark in marks(reply)] == [text]
    assert reply.locator(".thinking-text b, .bubble b").count() == 0


def test_a_marker_in_a_message_is_text_and_one_in_a_wait_text_is_refused(new_page: NewPage) -> None:
    page = new_page(allow_failed_requests=True)
    page.set("Cap", 40)
    page.set("Max tokens", 80)
    reply = page.ask(f"{BILL} </think> <|im_start|>answer")
    page.wait_until_ended(reply)
    assert int(fact(reply, "Thinking").removesuffix(" / 40")) > 0
    assert page.page.locator(".bubble").inner_text() == f"{BILL} </think> <|im_start|>answer"
    page.set("Wait text", "</think>")
    expect(page.ask(BILL).locator(".error")).to_have_text(re.compile("wait_text: holds '</think>', a control token"))


def test_right_to_left_text_is_set_from_the_right(page: WatchedPage) -> None:
    page.set("Cap", 40)
    page.set("Max tokens", 80)
    page.ask("مرحبا بالعالم")
    bubble = page.page.locator(".bubble")
    assert bubble.evaluate("element => getComputedStyle(element).direction") == "rtl"
    assert page.page.get_by_label("Message", exact=True).get_attribute("dir") == "auto"


MARKDOWN = {
    "<script>alert(1)</script>": "script",
    '<img src="https://example.org/x.png">': "img",
    "![x](https://example.org/x.png)": "img",
    '<b style="color:red">x</b>': "b",
    "[x](javascript:alert(1))": "a[href]",
    "<iframe src=x></iframe>": "iframe",
    "<a href=x onclick=y>": "[onclick]",
    "<style>*{display:none}</style>": "style",
}


def drawn(page: WatchedPage, text: str) -> Any:
    """An answer's Markdown, drawn outside of the page's own elements."""
    code = """async text => {
        const { toHtml } = await import(new URL("playground/ui/markdown.js", document.baseURI));
        const place = document.createElement("div");
        place.innerHTML = toHtml(text);
        return place.outerHTML;
    }"""
    return page.page.evaluate(code, text)


@pytest.mark.parametrize(("text", "selector"), MARKDOWN.items())
def test_an_answers_html_is_text_and_loads_nothing(page: WatchedPage, text: str, selector: str) -> None:
    code = "([html, selector]) => new DOMParser().parseFromString(html, 'text/html').querySelectorAll(selector).length"
    assert page.page.evaluate(code, [drawn(page, text), selector]) == 0


def test_mathematics_is_drawn_without_styles(page: WatchedPage) -> None:
    """A conversation from a file has it, as the built-in model writes none."""
    content = r"So $\frac{1}{2}$, \(x^2\), and" + "\n\n$$\\sum_{i=1}^n i$$\n\nIt costs $5 or $6. Wrong: $\\nothing{$"
    turns: dict[str, dict[str, Any]] = {
        "q": {"id": "q", "parent": None, "role": "user", "content": "?"},
        "a": {"id": "a", "parent": "q", "role": "assistant", "content": "", "model": "m", "budget": {}},
    }
    reply = page.page.evaluate(
        """async content => {
            const { newReply } = await import(new URL("playground/lib/reply.js", document.baseURI));
            return { ...newReply(0), status: "done", finish: "stop", content };
        }""",
        content,
    )
    turns["a"]["reply"] = reply
    conversation = {
        "title": "Mathematics",
        "system": "",
        "turns": turns,
        "order": ["q", "a"],
        "chosen": {"root": "q", "q": "a"},
    }
    file = {"format": "tenuto-conversation-1", "conversation": conversation}
    page.page.get_by_label("Conversation to import").set_input_files(
        {"name": "x.json", "mimeType": "application/json", "buffer": json.dumps(file).encode()}
    )
    answer = page.replies.first.locator(".markdown")
    expect(answer.locator("math")).to_have_count(3)
    assert "It costs $5 or $6." in answer.inner_text()
    assert answer.locator("[style]").count() == 0


def test_the_number_and_the_slider_of_a_field_are_in_step(page: WatchedPage) -> None:
    number = page.page.get_by_role("textbox", name="Waits", exact=True)
    slider = page.page.get_by_role("slider", name="Waits, slider")
    number.fill("64")
    assert slider.input_value() == slider.get_attribute("max")
    slider.focus()
    page.page.keyboard.press("Home")
    expect(number).to_have_value("0")
    page.page.keyboard.press("ArrowRight")
    number.fill("65")
    expect(number).to_have_attribute("aria-invalid", "true")
    expect(page.page.get_by_text("A number from 0 to 64")).to_be_visible()
    page.page.get_by_label("Do not send waits").click()
    expect(number).to_have_value("")


def test_a_contradiction_is_named_before_it_is_sent(page: WatchedPage) -> None:
    page.set("Cap", 10)
    page.set("Floor", 20)
    expect(page.page.get_by_role("alert")).to_have_text("The floor is above the cap of 10")
    page.page.get_by_label("Message", exact=True).fill(BILL)
    page.page.keyboard.press("Enter")
    assert page.requests == []
    expect(page.page.get_by_label("Message", exact=True)).to_have_value(BILL)


def test_what_is_set_is_what_is_sent(page: WatchedPage) -> None:
    for label, value in (("Cap", 300), ("Floor", 10), ("Waits", 1), ("Landing", 5), ("Max tokens", 500)):
        page.set(label, value)
    page.set("Temperature", 0.5)
    page.set("Wait text", "Hold on")
    page.page.get_by_label("Effort").select_option("low")
    page.wait_until_ended(page.ask(BILL))
    sent = {name: value for name, value in page.requests[-1].items() if name not in ("messages", "request_id")}
    assert sent == {
        "model": "s1-tiny",
        "max_thinking_tokens": 300,
        "min_thinking_tokens": 10,
        "num_waits": 1,
        "landing_tokens": 5,
        "max_tokens": 500,
        "temperature": 0.5,
        "wait_text": "Hold on",
        "reasoning_effort": "low",
        "stream": True,
        "stream_options": {"include_usage": True, "continuous_usage_stats": True},
    }


def test_each_served_model_can_be_chosen(page: WatchedPage) -> None:
    page.page.get_by_label("Model").select_option("bill-adder")
    reply = page.ask(BILL)
    page.wait_until_ended(reply)
    assert page.requests[-1]["model"] == "bill-adder"
    assert reply.locator(".who").inner_text() == "bill-adder"


def code_in(page: WatchedPage, reply: Locator, language: str) -> str:
    reply.get_by_role("button", name=language, exact=True).click()
    return reply.locator(".code-of-request code").inner_text()


def test_the_request_as_code_does_what_the_page_did(page: WatchedPage, tmp_path: Path) -> None:
    page.set("Cap", 25)
    page.set("Temperature", 0)
    reply = page.ask(f"{BILL} 'it’s' \"so\"")
    page.wait_until_ended(reply)
    reply.get_by_label("Show the request as code").click()
    answer = reply.locator(".markdown").inner_text().strip()
    environment = {"TENUTO_API_KEY": KEY, "PATH": "/usr/bin:/bin"}
    for language, command in (
        ("curl", ["sh"]),
        ("Python (openai)", [sys.executable]),
        ("Python (tenuto)", [sys.executable]),
    ):
        file = tmp_path / "code"
        file.write_text(code_in(page, reply, language))
        assert KEY not in file.read_text()
        run = subprocess.run([*command, str(file)], env=environment, capture_output=True, text=True, timeout=120)
        assert run.returncode == 0, run.stderr
        assert answer in run.stdout
        assert "25" in run.stdout
    script = tmp_path / "code.mjs"
    script.write_text(code_in(page, reply, "JavaScript"))
    assert subprocess.run(["node", "--check", str(script)], timeout=60).returncode == 0


def test_the_readers_toggle_wins_and_thinking_can_start_collapsed(page: WatchedPage) -> None:
    page.set("Floor", ENDLESS)
    reply = page.ask(BILL)
    page.wait_until_thinking(reply)
    toggle = reply.locator(".thinking-toggle")
    toggle.click()
    expect(toggle).to_have_attribute("aria-expanded", "false")
    first = reply.locator(".numbers").inner_text()
    expect(reply.locator(".numbers")).not_to_have_text(first)  # the counter of a closed panel goes on
    reply.get_by_role("button", name="Answer now").click()
    page.wait_until_ended(reply)
    expect(toggle).to_have_attribute("aria-expanded", "false")
    page.page.get_by_label("Thinking starts collapsed").check()
    page.set("Floor", "")
    second = page.ask(BILL)
    page.wait_until_ended(second)
    expect(second.locator(".thinking-toggle")).to_have_attribute("aria-expanded", "false")
    second.locator(".thinking-toggle").click()
    second.get_by_role("button", name="Collapse").click()
    expect(second.locator(".thinking-toggle")).to_have_attribute("aria-expanded", "false")


def test_nothing_jumps_when_the_thinking_ends(page: WatchedPage) -> None:
    page.set("Floor", 1500)
    reply = page.ask(BILL)
    page.wait_until_thinking(reply)
    heights = reply.locator(".thinking").evaluate(
        """async panel => {
            const heights = [];
            while (panel.dataset.state === "running") {
                heights.push(panel.offsetHeight);
                await new Promise(requestAnimationFrame);
            }
            for (let frame = 0; frame < 30; frame++) {
                heights.push(panel.offsetHeight);
                await new Promise(requestAnimationFrame);
            }
            return heights;
        }"""
    )
    assert max(abs(after - before) for before, after in zip(heights[-60:], heights[-59:], strict=False)) <= 1


def test_a_reader_who_scrolls_up_is_left_there(page: WatchedPage) -> None:
    page.set("Floor", ENDLESS)
    reply = page.ask(BILL)
    box = reply.locator(".thinking-text")
    page.page.wait_for_function(
        "() => { const b = document.querySelector('.thinking-text'); return b && b.scrollHeight > 2 * b.clientHeight }"
    )
    end = "box => box.scrollHeight - box.scrollTop - box.clientHeight"
    page.page.wait_for_function(
        "() => { const b = document.querySelector('.thinking-text'); return b.scrollTop > 100 }"
    )
    box.evaluate("box => { box.scrollTop = 10 }")
    size = box.evaluate("box => box.scrollHeight")
    page.page.wait_for_function("size => document.querySelector('.thinking-text').scrollHeight > size + 200", arg=size)
    assert box.evaluate("box => box.scrollTop") == 10
    box.evaluate("box => { box.scrollTop = box.scrollHeight }")
    size = box.evaluate("box => box.scrollHeight")
    page.page.wait_for_function("size => document.querySelector('.thinking-text').scrollHeight > size + 200", arg=size)
    assert box.evaluate(end) < 60
    page.page.get_by_label("Stop").click()
