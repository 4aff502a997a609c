"""Keyboards, screen readers, narrow screens, light and dark."""

from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import NewPage
from tests.browser.test_chat import BILL
from tests.browser.watched_page import PHONE, WatchedPage

NAME_OF_FOCUSED = """() => {
    const element = document.activeElement;
    return element.getAttribute("aria-label") || element.labels?.[0]?.innerText || element.innerText;
}"""
SIZES = {"desktop": {}, "phone": {"viewport": PHONE, "has_touch": True, "is_mobile": True}}


def violations(page: WatchedPage, axe: str) -> list[str]:
    """What axe finds in the page as it is. The styles that axe itself tries to set are no problem of the page."""
    known = list(page.problems)
    page.page.evaluate(axe)
    found: Any = page.page.evaluate("() => axe.run(document, { resultTypes: ['violations'], preload: false })")
    page.problems[:] = known
    nodes = [(each["id"], node) for each in found["violations"] for node in each["nodes"]]
    return [f"{rule}: {node['html'][:160]} {node['failureSummary'][:200]}" for rule, node in nodes]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_axe_finds_nothing(new_page: NewPage, axe: str, scheme: str, size: str) -> None:
    page = new_page(color_scheme=scheme, **SIZES[size])
    page.page.get_by_label("Message", exact=True).wait_for()
    assert violations(page, axe) == []
    if size == "phone":
        page.page.get_by_label("Budget", exact=True).first.click()
    page.set("Waits", 1)
    page.set("Cap", 60)
    assert violations(page, axe) == []
    page.page.keyboard.press("Escape")
    reply = page.ask(BILL)
    page.wait_until_ended(reply)
    reply.get_by_label("Show the request as code").click()
    assert violations(page, axe) == []
    page.view("Compare")
    page.page.get_by_label("Question").fill(BILL)
    page.page.get_by_label("Values").fill("0, 1")
    page.page.get_by_role("button", name="Compare", exact=True).last.click()
    page.page.locator(".column .facts").nth(1).wait_for()
    assert violations(page, axe) == []
    page.view("Scaling")
    page.page.get_by_label("Questions", exact=True).fill("1")
    page.page.get_by_role("button", name="Run").click()
    expect(page.page.locator("tbody tr").first).to_be_visible()
    assert violations(page, axe) == []


def test_axe_finds_nothing_in_the_form_for_a_key(new_page: NewPage, axe: str) -> None:
    page = new_page(key=None, allow_failed_requests=True)
    page.page.get_by_label("Key").wait_for()
    assert violations(page, axe) == []


@pytest.mark.parametrize("view", ["Chat", "Compare", "Scaling"])
def test_nothing_is_wider_than_a_phone(new_page: NewPage, view: str) -> None:
    page = new_page(**SIZES["phone"])
    page.page.get_by_label("Message", exact=True).wait_for()
    if view == "Chat":
        page.page.get_by_label("Budget", exact=True).first.click()
        page.set("Cap", 40)
        page.set("Max tokens", 80)
        page.page.keyboard.press("Escape")
        page.wait_until_ended(page.ask(f"{BILL} {'x' * 200}"))
    page.view(view)
    widths = page.page.evaluate("() => [document.documentElement.scrollWidth, innerWidth]")
    assert widths[0] <= widths[1]


def test_everything_can_be_done_with_the_keyboard(page: WatchedPage) -> None:
    page.page.get_by_label("Message", exact=True).wait_for()
    keys = page.page.keyboard
    keys.press("Tab")
    expect(page.page.get_by_role("link", name="Skip to the conversation")).to_be_focused()
    reached = set()
    for _ in range(45):
        keys.press("Tab")
        reached.add(page.page.evaluate(NAME_OF_FOCUSED))
    assert {"Chat", "Compare", "Scaling", "Model", "Message", "Preset", "Cap", "Cap, slider", "Effort"} <= reached
    page.page.get_by_label("Message", exact=True).focus()
    keys.type(BILL)
    keys.press("Shift+Enter")
    keys.type("please")
    keys.press("Enter")
    page.wait_until_ended(page.replies.first)
    assert page.requests[0]["messages"][0]["content"] == f"{BILL}\nplease"
    expect(page.page.locator("[aria-live=polite]")).to_have_text("The reply is complete.")


def test_the_theme_can_be_chosen_and_is_kept(page: WatchedPage) -> None:
    button = page.page.get_by_label("Theme:")
    button.click()
    expect(button).to_have_attribute("aria-label", "Theme: light")
    button.click()
    dark = page.page.evaluate("() => getComputedStyle(document.body).backgroundColor")
    page.page.wait_for_timeout(600)
    page.page.reload()
    expect(button).to_have_attribute("aria-label", "Theme: dark")
    assert page.page.evaluate("() => getComputedStyle(document.body).backgroundColor") == dark
