"""The server drains, and is gone: the last module, as it ends the server."""

import re
import signal

from playwright.sync_api import expect

from tenuto_testing.servers import RunningServer
from tests.browser.conftest import NewPage
from tests.browser.test_chat import BILL, ENDLESS


def test_a_server_that_drains_and_one_that_is_gone(new_page: NewPage, server: RunningServer) -> None:
    running, refused = new_page(allow_failed_requests=True), new_page(allow_failed_requests=True)
    refused.page.get_by_label("Message", exact=True).wait_for()
    running.set("Floor", ENDLESS)
    reply = running.ask(BILL)
    running.wait_until_thinking(reply)
    server.process.send_signal(signal.SIGTERM)
    server.wait_until(lambda: server.get("/readyz").status_code == 503, seconds=30)
    late = refused.ask(BILL)
    expect(late.locator(".error")).to_have_text(re.compile("does not accept requests now: the server is shutting down"))
    running.page.get_by_role("button", name="Answer now").click()  # a draining server can still be steered
    running.wait_until_ended(reply)
    expect(reply.locator(".steered")).to_have_text(re.compile("in effect"))
    server.process.wait(timeout=60)
    late.get_by_role("button", name="Retry").click()
    expect(refused.replies.first.locator(".error")).to_have_text(re.compile("^The server cannot be reached"))
    expect(refused.page.get_by_label("Message", exact=True)).to_be_editable()
