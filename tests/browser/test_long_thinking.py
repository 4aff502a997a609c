"""20,000 tokens of thinking: the page stays smooth, its memory bounded, and a token costs the same at the end."""

from playwright.sync_api import expect

from tests.browser.test_chat import BILL, fact
from tests.browser.watched_page import WatchedPage

TOKENS = 20_000
PATIENCE = 400_000.0

#: Records how long each frame took, in milliseconds.
RECORD = """() => {
    const record = window.record = { frames: [] };
    let last = performance.now();
    const frame = now => {
        record.frames.push(now - last);
        last = now;
        requestAnimationFrame(frame);
    };
    requestAnimationFrame(frame);
}"""


def median(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]


def test_very_long_thinking_stays_smooth(page: WatchedPage) -> None:
    session = page.page.context.new_cdp_session(page.page)
    session.send("Performance.enable")

    def metrics() -> dict[str, float]:
        session.send("HeapProfiler.collectGarbage")
        found = session.send("Performance.getMetrics")["metrics"]
        return {each["name"]: each["value"] for each in found}

    def work() -> float:
        """Seconds of script and layout so far."""
        found = metrics()
        return found["ScriptDuration"] + found["LayoutDuration"] + found["RecalcStyleDuration"]

    page.set("Floor", TOKENS)
    page.set("Cap", TOKENS + 500)
    page.page.evaluate(RECORD)
    reply = page.ask(BILL)
    page.wait_until_thinking(reply)
    before = metrics()["JSHeapUsedSize"]
    costs = []
    for part in range(1, 5):
        begun, first = work(), tokens(page)
        page.page.wait_for_function(f"() => {COUNTED} >= {part * TOKENS // 4}", timeout=PATIENCE)
        costs.append((work() - begun) / max(tokens(page) - first, 1))
    page.page.wait_for_function("() => document.querySelector('.facts')", timeout=PATIENCE)
    frames = page.page.evaluate("() => window.record.frames")
    after = metrics()["JSHeapUsedSize"]
    used = int(fact(reply, "Thinking").replace(",", "").partition(" ")[0])
    assert used >= TOKENS
    quarters = [round(1000 * cost, 3) for cost in costs]
    frame_times = f"frames: median {median(frames):.0f} ms, longest {max(frames):.0f} ms"
    print(f"ms per token by quarter: {quarters}; heap {before / 1e6:.1f} to {after / 1e6:.1f} MB; {frame_times}")  # noqa: T201
    assert costs[-1] < 2.5 * costs[0] + 0.0005
    assert after - before < 30e6
    assert reply.locator(".thinking-text > div > div").count() < 200
    scroll = reply.locator(".thinking-text").evaluate(
        """async box => {
            const times = [];
            for (let step = 0; step < 60; step++) {
                const begun = performance.now();
                box.scrollTop = (box.scrollHeight * step) / 60;
                await new Promise(requestAnimationFrame);
                times.push(performance.now() - begun);
            }
            return times;
        }"""
    )
    assert median(scroll) < 60
    expect(reply.locator(".markdown")).to_be_visible()


COUNTED = "Number((document.querySelector('.numbers')?.textContent ?? '0').split(/[/·t]/)[0].replaceAll(',', ''))"


def tokens(page: WatchedPage) -> int:
    return int(page.page.evaluate(f"() => {COUNTED}"))
