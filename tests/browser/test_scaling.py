"""A set of questions over waits, caps and votes: drawn as results arrive, and exported."""

import json
from pathlib import Path

from playwright.sync_api import FilePayload, expect

from tests.browser.watched_page import WatchedPage

PNG = b"\x89PNG\r\n\x1a\n"


def begin(page: WatchedPage, questions: int, waits: str, caps: str, votes: str) -> None:
    page.view("Scaling")
    page.page.get_by_text("of 400").wait_for()
    page.page.get_by_label("Questions", exact=True).fill(str(questions))
    for label, values in (("Waits", waits), ("Caps", caps), ("Votes", votes)):
        page.page.locator("form").get_by_label(label).fill(values)
    page.page.get_by_role("button", name="Run").click()


def test_a_run_draws_and_exports_what_the_server_answered(page: WatchedPage, tmp_path: Path) -> None:
    begin(page, 6, "0, 6", "0, 25", "1, 2")
    expect(page.page.get_by_text("36 of 36")).to_be_visible()
    rows = [row.split("\t") for row in page.page.locator("tbody tr").all_inner_texts()]
    assert [row[:2] for row in rows] == [
        [m, s] for m, s in (("Waits", "0"), ("Waits", "6"), ("Caps", "0"), ("Caps", "25"), ("Vote", "1"), ("Vote", "2"))
    ]
    for name in ("JSON", "PNG"):
        with page.page.expect_download() as download:
            page.page.get_by_role("button", name=name, exact=True).click()
        download.value.save_as(tmp_path / name)
    assert (tmp_path / "PNG").read_bytes().startswith(PNG)
    run = json.loads((tmp_path / "JSON").read_text())
    assert (run["model"], run["status"], len(run["results"])) == ("s1-tiny", "done", 36)
    waits = [result for result in run["results"] if result["method"] == "waits" and result["setting"] == 6]
    correct = sum(result["correct"] for result in waits)
    assert rows[1][2] == f"{round(100 * correct / 6)} %"
    assert correct >= 3  # with six waits the built-in model finds most totals
    capped = [result["thinkingTokens"] for result in run["results"] if result["method"] == "caps"]
    assert sorted(set(capped)) == [0, 25]
    assert page.page.locator(".chart canvas").evaluate("canvas => canvas.width") > 300


def test_a_run_can_be_stopped(page: WatchedPage) -> None:
    begin(page, 400, "6", "", "")
    page.page.get_by_role("button", name="Stop").click()
    expect(page.page.get_by_text("of 400, stopped")).to_be_visible()
    expect(page.page.get_by_role("button", name="Run")).to_be_enabled()


def test_questions_of_a_file_are_asked(page: WatchedPage) -> None:
    page.view("Scaling")
    page.page.get_by_text("of 400").wait_for()
    questions = ["Add up this bill: jam 2, tea 3", "Add up this bill: tea 3"]
    lines = [json.dumps({"question": text, "answer": answer}) for text, answer in zip(questions, (5, "3"), strict=True)]
    upload(page, "\n".join(lines))
    expect(page.page.get_by_text("of 2", exact=True)).to_be_visible()
    page.page.locator("form").get_by_label("Waits").fill("0")
    page.page.locator("form").get_by_label("Caps").fill("")
    page.page.locator("form").get_by_label("Votes").fill("")
    page.page.get_by_role("button", name="Run").click()
    expect(page.page.get_by_text("2 of 2", exact=True)).to_be_visible()
    assert sorted(request["messages"][0]["content"] for request in page.requests) == questions
    upload(page, '{"question": 1}')
    message = 'Line 1 is not an object with “question” and “answer”: {"question": 1}'
    expect(page.page.get_by_role("alert")).to_have_text(message)


def upload(page: WatchedPage, text: str) -> None:
    file = FilePayload(name="mine.jsonl", mimeType="application/jsonl", buffer=text.encode())
    page.page.get_by_label("Questions as JSON lines").set_input_files(file)
