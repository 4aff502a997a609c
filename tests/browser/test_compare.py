"""One question at several budgets."""

import pytest
from playwright.sync_api import expect

from tests.browser.test_chat import BILL, ENDLESS, fact
from tests.browser.watched_page import WatchedPage


def columns(page: WatchedPage) -> list[str]:
    return page.page.locator(".column h2").all_inner_texts()


@pytest.mark.parametrize(
    ("varied", "values", "headings", "thinking"),
    [
        ("Cap", "0, 25, 40", ["Cap 0", "Cap 25", "Cap 40"], ["0 / 0", "25 / 25", "40 / 40"]),
        ("Waits", "2 0", ["Waits 0", "Waits 2"], ["45", "103"]),
    ],
)
def test_budgets_are_compared_side_by_side(
    page: WatchedPage, varied: str, values: str, headings: list[str], thinking: list[str]
) -> None:
    page.set("Temperature", 0)
    page.view("Compare")
    page.page.get_by_label("Question").fill(BILL)
    page.page.get_by_label("Vary").select_option(varied)
    page.page.get_by_label("Values").fill(values)
    page.page.get_by_role("button", name="Compare", exact=True).last.click()
    replies = page.page.locator(".column")
    for index in range(len(headings)):
        replies.nth(index).locator(".facts").wait_for()
    assert columns(page) == headings
    assert [fact(replies.nth(index), "Thinking") for index in range(len(headings))] == thinking
    page.view("Chat")
    page.view("Compare")
    assert columns(page) == headings


def test_columns_stream_at_the_same_time_and_stop_together(page: WatchedPage) -> None:
    page.view("Compare")
    page.page.get_by_label("Question").fill(BILL)
    page.page.get_by_label("Vary").select_option("Floor")
    page.page.get_by_label("Values").fill(f"{ENDLESS - 1} {ENDLESS}")
    page.page.get_by_role("button", name="Compare", exact=True).last.click()
    for index in range(2):
        page.wait_until_thinking(page.page.locator(".column").nth(index))
    assert page.page.locator(".thinking[data-state=running]").count() == 2
    page.page.get_by_role("button", name="Stop all").click()
    expect(page.page.locator(".column .warning")).to_have_text(["Stopped.", "Stopped."])


def test_values_out_of_bounds_are_named(page: WatchedPage) -> None:
    page.view("Compare")
    page.page.get_by_label("Question").fill(BILL)
    page.page.get_by_label("Values").fill("1, 65")
    expect(page.page.get_by_text("Whole numbers from 0 to 64")).to_be_visible()
    expect(page.page.get_by_role("button", name="Compare", exact=True).last).to_be_disabled()
