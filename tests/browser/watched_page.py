"""A page of the playground as a reader sees and uses it, watched for errors and for requests to elsewhere."""

import json
from typing import Any

from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, Request

FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
DESKTOP = {"width": 1360, "height": 860}
PHONE = {"width": 360, "height": 740}
#: In milliseconds: machines that run tests are slow.
PATIENCE = 60_000.0
#: What a browser writes to the console for each response with an error status, and for connections that fail.
FAILED_REQUEST = "Failed to load resource"


class WatchedPage:
    """A page with a reader of its own: nothing is stored yet, except a key, if one is given.

    Attributes:
        problems: errors in the console, exceptions, and requests to another origin.
        requests: the bodies of all requests for a chat completion.
    """

    def __init__(
        self, browser: Browser, url: str, *, key: str | None, allow_failed_requests: bool = False, **options: Any
    ) -> None:
        self.url = url
        self.problems: list[str] = []
        self.requests: list[dict[str, Any]] = []
        self._allows_failures = allow_failed_requests
        self._context = browser.new_context(**{"viewport": DESKTOP, "accept_downloads": True, **options})
        self._context.set_default_timeout(PATIENCE)
        if key is not None:
            stored = json.dumps(json.dumps(key))
            self._context.add_init_script(
                f"sessionStorage.getItem('tenuto.key') ?? sessionStorage.setItem('tenuto.key', {stored})"
            )
        self.page: Page = self._context.new_page()
        self.page.on("console", self._on_console)
        self.page.on("pageerror", lambda error: self.problems.append(f"exception: {error}"))
        self.page.on("request", self._on_request)
        self.page.goto(url)

    def _on_console(self, message: ConsoleMessage) -> None:
        is_allowed = self._allows_failures and message.text.startswith(FAILED_REQUEST)
        if message.type in ("error", "warning") and not is_allowed:
            self.problems.append(f"{message.type}: {message.text}")

    def _on_request(self, request: Request) -> None:
        if not request.url.startswith((self.url, "blob:", "data:")):
            self.problems.append(f"request to {request.url}")
        if request.url.endswith("/v1/chat/completions"):
            self.requests.append(request.post_data_json or {})

    def close(self) -> None:
        self._context.close()

    # What a reader does

    def set(self, label: str, value: object) -> None:
        """Type a number into a field of the budget."""
        self.page.get_by_role("textbox", name=label, exact=True).fill(str(value))

    def ask(self, text: str) -> Locator:
        """Send a message; the turn of the reply, which runs."""
        before = self.replies.count()
        self.page.get_by_label("Message", exact=True).fill(text)
        self.page.keyboard.press("Enter")
        reply = self.replies.nth(before)
        reply.wait_for()
        return reply

    def view(self, name: str) -> None:
        self.page.get_by_role("navigation").get_by_role("button", name=name).click()

    # What a reader sees

    @property
    def replies(self) -> Locator:
        return self.page.locator(".turn.assistant")

    def wait_until_thinking(self, reply: Locator, text: str = "After") -> None:
        """Wait until some thinking has streamed."""
        reply.locator(".thinking-text").get_by_text(text).first.wait_for()

    def wait_until_ended(self, reply: Locator) -> None:
        reply.get_by_label("Show the request as code").wait_for()
