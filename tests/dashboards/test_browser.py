"""The pages in a real browser, served as `controlplane dashboard` serves them."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
import seed
from playwright.sync_api import Page, expect, sync_playwright

from controlplane.cli.serve import dashboard_command

pytestmark = pytest.mark.browser
DEADLINE = 60.0
PAGES = {
    "": "Overview",
    "rmf": "AI RMF",
    "monitors": "Monitors",
    "monitor": "Monitor detail",
    "incidents": "Incidents",
    "rollbacks": "Rollbacks",
    "history": "Alias history",
}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def address(told_once: tuple[Path, seed.Told], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    home = tmp_path_factory.mktemp("served") / "home"
    shutil.copytree(told_once[0], home)
    port = free_port()
    told = {"CONTROLPLANE_DATABASE_URL": seed.url_of(home), "CONTROLPLANE_WORKSPACE": "default"}
    log = home / "streamlit.log"
    with log.open("w") as out:
        served = subprocess.Popen(
            dashboard_command(port, "localhost"), env=os.environ | told, cwd=home, stdout=out, stderr=out
        )
        try:
            wait_for(f"http://localhost:{port}/_stcore/health", served, log)
            yield f"http://localhost:{port}"
        finally:
            served.terminate()
            served.wait(20)


def wait_for(url: str, served: subprocess.Popen[bytes], log: Path) -> None:
    """Ask until it answers, until it ended, or until the deadline."""
    until = time.monotonic() + DEADLINE
    while served.poll() is None and time.monotonic() < until:
        try:
            if httpx.get(url, timeout=2).is_success:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    raise AssertionError(f"the pages were not served:\n{log.read_text()}")


@pytest.fixture(scope="module")
def page_and_hosts() -> Iterator[tuple[Page, set[str]]]:
    """A browser's page, and the hosts it asked for anything."""
    found = [shutil.which(name) for name in ("chromium", "chromium-browser", "google-chrome")]
    own = os.environ.get("CHROMIUM") or next(filter(None, found), None)
    arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=own, args=arguments)
        page = browser.new_page(viewport={"width": 1400, "height": 1000})
        page.set_default_timeout(30_000)
        expect.set_options(timeout=30_000)
        hosts: set[str] = set()
        page.on("request", lambda request: hosts.add(urlsplit(request.url).hostname or ""))
        page.on("websocket", lambda socket: hosts.add(urlsplit(socket.url).hostname or ""))
        yield page, hosts
        browser.close()


def test_every_page_opens_without_an_error_and_asks_no_host_but_this_one(
    address: str, page_and_hosts: tuple[Page, set[str]]
) -> None:
    page, hosts = page_and_hosts
    for path, title in PAGES.items():
        page.goto(f"{address}/{path}")
        expect(page.get_by_role("heading", level=1, name=title)).to_be_visible()
        expect(page.get_by_test_id("stStatusWidget")).to_have_count(0)
        expect(page.get_by_test_id("stSkeleton")).to_have_count(0)
        expect(page.get_by_test_id("stException")).to_have_count(0)
        expect(page.get_by_text("Traceback")).to_have_count(0)
    assert hosts <= {"localhost", ""}, hosts


def test_a_proposal_is_approved_by_clicking_from_the_landing_page(
    address: str, page_and_hosts: tuple[Page, set[str]]
) -> None:
    page, hosts = page_and_hosts
    page.goto(address)
    page.get_by_role("link", name="Approve or reject").click()
    expect(page.get_by_role("heading", name="digits: evasion")).to_be_visible()
    form = page.get_by_test_id("stForm").filter(has_text="Approve the rollback")
    form.get_by_label("Your name").fill("dana")
    form.get_by_label("Why").fill("version 1 was fine")
    form.get_by_role("button", name="Approve the rollback").click()
    expect(page.get_by_text("The scheduler applies it at its next tick").first).to_be_visible()
    expect(page.get_by_role("button", name="Approve the rollback")).to_have_count(0)
    assert hosts <= {"localhost", ""}, hosts


def test_picking_a_monitor_on_the_landing_page_opens_its_measures(
    address: str, page_and_hosts: tuple[Page, set[str]]
) -> None:
    page, _ = page_and_hosts
    page.goto(address)
    table = page.get_by_test_id("stDataFrame").first
    expect(table).to_be_visible()
    table.scroll_into_view_if_needed()
    table.click(position={"x": 16, "y": 52})
    expect(page.get_by_role("heading", level=1, name="Monitor detail")).to_be_visible()
    assert page.url.endswith("/monitor?monitor=digits")


def test_the_reliability_curve_is_drawn_under_the_calibration_error(
    address: str, page_and_hosts: tuple[Page, set[str]]
) -> None:
    page, _ = page_and_hosts
    page.goto(f"{address}/monitor?monitor=insurance&check=calibration")
    expect(page.get_by_text("How often what was believed came true")).to_be_visible()
    expect(page.get_by_test_id("stVegaLiteChart")).to_have_count(2)
    expect(page.get_by_test_id("stVegaLiteChart").nth(1).locator("canvas, svg").first).to_be_visible()
    expect(page.get_by_test_id("stException")).to_have_count(0)
