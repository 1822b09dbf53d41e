"""The page in a real browser: text shown, no error on the console, nothing that does not fit a phone."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from drg_hpc.report.config import ReportOptions
from drg_hpc.report.page import write_report

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "headless_shell")
BROWSER = next((found for found in map(shutil.which, NAMES) if found), None)
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(BROWSER is None, reason=f"no browser found: none of {', '.join(NAMES)} is on PATH"),
]
PROBE = """<script>window.addEventListener('load', function () {
  var wide = [], limit = document.documentElement.clientWidth;
  document.querySelectorAll('main *').forEach(function (e) {
    if (!e.closest('.scroll') && !e.closest('svg') && e.getBoundingClientRect().right > limit + 1) wide.push(e.tagName);
  });
  document.title = 'width ' + limit + ' wide [' + wide.join(' ') + ']';
});</script></body>"""


def load(page: Path, profile: Path, *flags: str) -> tuple[str, str]:
    """DOM after loading, and what the browser logged."""
    assert BROWSER is not None
    command = [
        BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run",
        "--disable-sync", "--disable-dev-shm-usage", "--enable-logging=stderr", f"--user-data-dir={profile}", *flags,
        "--dump-dom", page.as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    return done.stdout, done.stderr


@pytest.fixture(scope="module")
def page(everything: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("browser") / "report.html"
    return write_report(ReportOptions(paths=tuple(everything.values()), out=out))


def test_loads_without_a_console_message(page: Path, tmp_path: Path) -> None:
    dom, log = load(page, tmp_path / "profile")
    assert "CONSOLE" not in log, log
    for text in ("never seen in training", "CTCF.H12CORE.0.P.B", "Receiver operating characteristic", "Provenance"):
        assert text in dom
    assert not re.search(r"https?://", dom)


@pytest.mark.parametrize("width", [500, 1280])
def test_nothing_is_wider_than_the_window(page: Path, tmp_path: Path, width: int) -> None:
    probe = tmp_path / "probe.html"
    probe.write_text(page.read_text().replace("</body>", PROBE))
    dom, log = load(probe, tmp_path / "profile", f"--window-size={width},900", "--hide-scrollbars")
    title = re.search(r"<title>(.*?)</title>", dom)
    assert title is not None and title[1] == f"width {width} wide []", (title and title[1], log)
