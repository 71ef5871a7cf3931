"""The review page in a real browser."""

from __future__ import annotations

import csv
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from chromium import Browser

pytestmark = pytest.mark.browser

SEEN = (
    "document.querySelectorAll('#stage img').length && "
    "[...document.querySelectorAll('#stage img')].every((one) => one.complete)"
)
CODES = {"Enter": 13, "Escape": 27, "ArrowRight": 39, "ArrowDown": 40, "End": 35}


def press(browser: Browser, *keys: str) -> None:
    for key in keys:
        browser.press(key, CODES.get(key, ord(key[0].upper())))


def here(browser: Browser) -> str:
    """Give the identifier of the image that is shown, once it is."""
    browser.wait_for(SEEN)
    return str(browser.evaluate("document.querySelector('#where').textContent")).split(" · ")[1]


def decide(browser: Browser, *keys: str) -> str:
    """Decide about the image that is shown, and wait for another; give which it was."""
    name = here(browser)
    press(browser, *keys)
    browser.wait_for(f"!document.querySelector('#where').textContent.includes('{name}') && {SEEN}")
    return name


def actions(run: Path) -> dict[str, tuple[str, str]]:
    with (run / "review" / "corrections.csv").open(newline="") as file:
        return {row["id"]: (row["action"], row["suggested"]) for row in csv.DictReader(file)}


def test_by_keyboard_alone_and_on_after_a_kill(
    browser: Browser, start_server: Any, reviewed: Path
) -> None:
    server = start_server(str(reviewed), command="review")
    browser.open(server.address)
    browser.wait_for("document.querySelectorAll('#lists button').length == 4")
    browser.evaluate("document.querySelector('[data-list=train]').click()")
    browser.wait_for("document.querySelector('#where').textContent.includes('train/')")
    browser.wait_for("document.querySelectorAll('#nearest img').length > 3")
    browser.picture("review-light")
    first = here(browser)
    suggested = browser.evaluate("document.querySelector('#suggest-name').textContent")
    decide(browser, "s")
    press(browser, "u")
    browser.wait_for(f"document.querySelector('#where').textContent.includes('{first}')")
    assert decide(browser, "s") == first
    dropped = decide(browser, "d")
    second = here(browser)
    press(browser, "r")
    browser.wait_for("document.querySelector('#relabel').open")
    press(browser, "l", "i", "g")
    browser.picture("review-relabel")
    press(browser, "Enter")
    browser.wait_for(f"!document.querySelector('#where').textContent.includes('{second}')")
    server.stop(signal.SIGKILL)
    found = actions(reviewed)
    assert suggested == f"It is {found[first][1]}"
    assert found[dropped] == ("drop", "")
    assert found[second] in [("relabel", "light"), ("keep", "")]
    # What is decided while nobody answers is not taken for decided.
    waiting = here(browser)
    press(browser, "k")
    browser.wait_for("!document.querySelector('#problem').hidden")
    assert here(browser) == waiting
    again = start_server(str(reviewed), "--port", str(server.port), command="review")
    assert decide(browser, "k") == waiting  # the same page goes on
    assert actions(reviewed).keys() == {first, dropped, second, waiting}
    browser.open(again.address)
    browser.wait_for("document.querySelector('[data-list=train]')")
    browser.evaluate("document.querySelector('[data-list=train]').click()")
    browser.wait_for("document.querySelector('#where').textContent.startsWith('5 of')")
    browser.show_as(width=390, height=844, scheme="dark")
    browser.picture("review-phone-dark")
    assert browser.evaluate("document.documentElement.scrollWidth") <= 390


def test_pairs_and_two_tabs(browser: Browser, start_server: Any, reviewed: Path) -> None:
    server = start_server(str(reviewed), "--reviewer", "ben", command="review")
    browser.open(server.address)
    browser.wait_for("document.querySelector('[data-list=pairs]')")
    browser.evaluate("document.querySelector('[data-list=pairs]').click()")
    browser.wait_for("document.querySelectorAll('.pair .shot').length == 2")
    browser.wait_for(SEEN)
    browser.picture("review-pair")
    press(browser, "1", "d")
    browser.wait_for("document.querySelector('#status').textContent.includes('decided')")
    (name,) = actions(reviewed)
    # Another tab takes it back, which this one does not know of.
    browser.evaluate(
        "ask('api/undo', { number: history_.at(-1) }).then(() => "
        f"ask('api/decide', {{ id: '{name}', verdict: 'keep', expects: null }}))"
    )
    press(browser, "u")
    browser.wait_for("document.querySelector('#problem').textContent.includes('another tab')")
    assert actions(reviewed) == {name: ("keep", "")}


def test_ten_thousand_issues(
    browser: Browser,
    start_server: Any,
    reviewed: Path,
    with_issues: Callable[[Path, int], None],
) -> None:
    with_issues(reviewed, 10_000)
    browser.open(start_server(str(reviewed), command="review").address)
    browser.wait_for(SEEN)
    browser.events.clear()  # what an earlier test's page still asked of a server that is gone
    press(browser, "w")
    browser.wait_for("document.querySelectorAll('.tile[data-loaded]').length > 10")
    browser.picture("review-wall")
    rows = "performance.getEntriesByType('resource').filter((one) => one.name.includes('api/rows'))"
    assert browser.evaluate(f"{rows}.length") <= 2
    found = browser.evaluate(
        """(async () => {
          const wall = document.getElementById('wall');
          const tasks = [];
          new PerformanceObserver((list) => tasks.push(...list.getEntries()))
            .observe({ type: 'longtask' });
          let most = 0;
          for (let step = 1; step <= 120; step += 1) {
            wall.scrollTop = wall.scrollHeight * step / 120;
            await new Promise(requestAnimationFrame);
            most = Math.max(most, document.getElementsByTagName('*').length);
          }
          return { most, tasks: tasks.map((one) => one.duration) };
        })()"""
    )
    print(found)
    assert found["most"] < 1500  # elements, of 10,000 images
    browser.wait_for("tiles.has(9999) && tiles.get(9999).dataset.loaded")
    assert browser.complaints() == []
