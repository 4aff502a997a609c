"""What a reader sees when the server refuses: no key, a wrong key, a wrong request."""

import re

from playwright.sync_api import expect

from tests.browser.conftest import KEY, NewPage
from tests.browser.test_chat import BILL


def test_the_page_asks_for_a_key_and_keeps_it_for_the_tab_only(new_page: NewPage) -> None:
    page = new_page(key=None, allow_failed_requests=True)
    expect(page.page.get_by_text("This server asks for an API key.")).to_be_visible()
    page.page.get_by_label("Key").fill("wrong")
    page.page.get_by_role("button", name="Continue").click()
    expect(page.page.get_by_text("The server does not accept this key.")).to_be_visible()
    page.page.get_by_label("Key").fill(KEY)
    page.page.keyboard.press("Enter")
    page.wait_until_ended(page.ask(BILL))
    page.page.wait_for_timeout(600)
    stored = page.page.evaluate("() => [JSON.stringify(localStorage), JSON.stringify(sessionStorage), document.cookie]")
    assert [KEY in text for text in stored] == [False, True, False]
    page.page.reload()
    expect(page.page.get_by_label("Message", exact=True)).to_be_visible()


def test_a_key_that_is_not_valid_any_more_is_asked_for_again(new_page: NewPage) -> None:
    page = new_page(allow_failed_requests=True)
    page.page.get_by_label("Message", exact=True).wait_for()
    page.page.evaluate(
        "async () => (await import(new URL('playground/store.js', document.baseURI))).store.set({ key: 'old' })"
    )
    page.page.get_by_label("Message", exact=True).fill(BILL)
    page.page.keyboard.press("Enter")
    expect(page.page.get_by_text("The server does not accept this key.")).to_be_visible()
    page.page.get_by_label("Key").fill(KEY)
    page.page.keyboard.press("Enter")
    page.page.get_by_role("button", name="Retry").click()
    page.wait_until_ended(page.replies.first)
    expect(page.replies.first.locator(".error")).to_have_count(0)


def test_what_the_server_refuses_is_said_in_its_words(new_page: NewPage) -> None:
    page = new_page(allow_failed_requests=True)
    page.set("Cap", 65_000)
    page.set("Max tokens", 65_001)
    reply = page.ask(BILL)
    expect(reply.locator(".error")).to_have_text(re.compile("max_tokens|max_thinking_tokens"))
    page.set("Cap", 20)
    page.set("Max tokens", "")
    reply.get_by_role("button", name="Retry").click()
    expect(page.page.get_by_role("group", name="Branches")).to_have_text("2 / 2")
    page.wait_until_ended(page.replies.first)
