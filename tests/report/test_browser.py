"""The report in a real browser, from a file, without a network: nothing fails, everything can be used and read."""

import html
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from bench.analysis.run import Analysis
from bench.cli.app import main
from bench.report.figures import FIGURES
from bench.report.page import MAIN_FIGURES
from tests.report.conftest import PUBLISHED, reported
from tests.report.synthetic import HOSTILE, in_both_heaps

sync_api = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning"),
]


@pytest.fixture(scope="module")
def context() -> Iterator["sync_api.BrowserContext"]:
    flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        context = browser.new_context(offline=True)
        yield context
        browser.close()


@pytest.fixture
def page(context: "sync_api.BrowserContext", hostile: Analysis) -> Iterator["sync_api.Page"]:
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: message.type == "error" and complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("dialog", lambda dialog: (complaints.append(f"dialog {dialog.message}"), dialog.dismiss()))
    page.on("request", lambda request: request.url.startswith("http") and complaints.append(request.url))
    page.goto((hostile.folder / "report.html").as_uri())
    yield page
    assert not complaints
    page.close()


def test_tables_sort(page: "sync_api.Page") -> None:
    table = page.locator("#latency table.sortable")
    titles = table.locator("thead th").all_inner_texts()
    place = next(number for number, title in enumerate(titles) if "overhead" in title.lower())
    head = table.locator("thead th").nth(place)
    for order, sign in (("ascending", 1), ("descending", -1)):
        head.locator("button").click()
        assert head.get_attribute("aria-sort") == order
        keys = table.locator("tbody tr").evaluate_all(f"rows => rows.map(row => row.cells[{place}].dataset.key)")
        values = [sign * float(key) for key in keys if key]
        assert values == sorted(values) and len(values) > 3


def test_tables_filter(page: "sync_api.Page") -> None:
    section = page.locator("#latency")
    rows = section.locator("table.sortable tbody tr")
    before = rows.count()
    section.locator("input[type=search]").first.fill("copy_shift 1/8")
    shown = [row for row in rows.all() if row.is_visible()]
    assert 0 < len(shown) < before
    assert all("copy_shift" in row.inner_text() for row in shown)
    assert f"{len(shown)} of {before} rows" in section.locator("[role=status]").first.inner_text()
    with page.expect_download() as saved:
        section.get_by_role("link", name="Save as CSV").first.click()
    read = pd.read_csv(saved.value.path(), dtype=str)
    assert saved.value.suggested_filename == "latency.csv" and len(read) == len(shown)
    cells = shown[0].locator("td").all_inner_texts()
    assert list(read.iloc[0].fillna("")) == [cell.replace("−", "-") for cell in cells]
    section.locator("input[type=search]").first.fill("")
    assert all(row.is_visible() for row in rows.all())


@pytest.fixture(scope="module")
def both_heaps(whole: Analysis, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The page of a run with three panels: whole clips on two heaps, and frame by frame."""
    return (reported(in_both_heaps(whole), tmp_path_factory.mktemp("heaps") / "run").folder / "report.html").as_uri()


def shown(page: "sync_api.Page", attribute: str) -> set[str]:
    """What the rows that can be seen are about; rows of the latency table are among them."""
    rows = [row for row in page.locator(f"tr[data-{attribute}]").all() if row.is_visible()]
    return {row.get_attribute(f"data-{attribute}") or "" for row in rows}


def solid(page: "sync_api.Page", figure: str, key: str) -> set[str]:
    """What a figure shows in full colour, by its parts that say what they are about."""
    text = page.locator(f"#{figure} img").evaluate("image => decodeURIComponent(image.src)")
    parts = re.findall(r'<g id="({[^"]*})"( opacity="0.12")?', text)
    values = (json.loads(html.unescape(part)).get(key) for part, faint in parts if not faint)
    return {value[0] if key == "panels" else value for value in values if value}


def test_one_filter_for_all_tables_and_figures(context: "sync_api.BrowserContext", both_heaps: str) -> None:
    page = context.new_page()
    page.goto(both_heaps)
    whole = page.locator("#overhead_by_heap img").get_attribute("src")
    mechanism, panel = (page.locator(f"#only select[name={name}]") for name in ("strategy", "panel"))
    mechanism.focus()
    page.keyboard.type("copy")  # as on a keyboard: what begins so is chosen
    assert mechanism.input_value() == "copy_shift"
    assert shown(page, "strategy") == {"copy_shift", "no_shift"}
    assert solid(page, "overhead_by_heap", "strategy") == {"copy_shift"}
    words = page.locator("#only [role=status]").inner_text()
    assert re.fullmatch(r"\d+ of \d+ rows", words) and not words.startswith("0 ")

    mechanism.select_option("")
    panel.select_option(label="resnet50, retained heap")
    label = panel.input_value()
    assert label.endswith("-retained") and shown(page, "panel") == {label}
    assert solid(page, "overhead_by_heap", "panels") == {label}
    assert page.locator("#online_overhead").is_hidden()
    assert page.locator("#accuracy_by_fraction").is_visible()  # trainings have no panel

    panel.select_option("")
    assert len(shown(page, "panel")) == 3 and page.locator("#online_overhead").is_visible()
    assert page.locator("#only [role=status]").inner_text() == ""
    assert "0.12" not in (page.locator("#overhead_by_heap img").get_attribute("src") or "") and whole
    page.close()


def test_a_choice_that_a_table_has_nothing_of(context: "sync_api.BrowserContext", both_heaps: str) -> None:
    page = context.new_page()
    page.goto(both_heaps)
    page.locator("#only select[name=panel]").select_option(label="resnet50, 1 stream")
    assert page.locator("#latency tbody tr:visible").count() == 0
    note = "body => getComputedStyle(body, '::after').content"
    assert "Nothing of what was chosen" in page.locator("#latency tbody").evaluate(note)
    page.close()


def test_on_paper_nothing_is_cut_off(context: "sync_api.BrowserContext", both_heaps: str) -> None:
    page = context.new_page()
    page.goto(both_heaps)
    page.emulate_media(media="print")
    page.set_viewport_size({"width": 720, "height": 1020})  # A4 less its margins
    cut = "parts => parts.filter((part) => part.scrollWidth > part.clientWidth + 1).map((part) => part.textContent)"
    assert page.locator(".glance > div, .answer .scroll").evaluate_all(cut) == []
    assert page.locator("#only").is_hidden()
    page.close()


def test_without_scripts_all_is_shown(context: "sync_api.BrowserContext", both_heaps: str) -> None:
    assert context.browser is not None
    plain = context.browser.new_context(offline=True, java_script_enabled=False)
    page = plain.new_page()
    page.goto(both_heaps)
    assert page.locator("#only").is_hidden()
    assert page.locator("#latency tbody tr").count() > 8
    assert all(row.is_visible() for row in page.locator("tr[data-strategy]").all())
    plain.close()


def test_a_case_leads_to_its_processes(page: "sync_api.Page") -> None:
    name = page.locator("#latency tbody td a").first
    place = name.get_attribute("href")
    assert place is not None and not page.locator(place).is_visible()
    name.click()
    assert page.locator(place).is_visible()
    assert "slot [ms]" in page.locator(place).inner_text()


def test_figures_render(page: "sync_api.Page") -> None:
    figures = page.locator("figure img")
    assert figures.count() >= 3
    for figure in figures.all():
        box = figure.bounding_box()
        assert box is not None and box["width"] > 200 and box["height"] > 100


@pytest.mark.parametrize("width", [360, 390, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_overflows(page: "sync_api.Page", width: int, scheme: str) -> None:
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    page.set_viewport_size({"width": width, "height": 900})
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_what_a_plug_in_is_called_stays_text(page: "sync_api.Page") -> None:
    assert page.locator("main img[src=x]").count() == 0
    assert page.get_by_text(HOSTILE).count() > 0
    page.locator("#only select[name=strategy]").select_option(HOSTILE)
    assert shown(page, "strategy") == {HOSTILE, "no_shift"}
    assert solid(page, "latency_overhead", "strategy") == {HOSTILE}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_serious_barrier(page: "sync_api.Page", scheme: str) -> None:
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    require_no_serious_barrier(page)


def require_no_serious_barrier(page: "sync_api.Page") -> None:
    """As axe finds them."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    found = axe.Axe().run(page).response["violations"]
    serious = {
        v["id"]: [n["html"][:200] for n in v["nodes"][:3]] for v in found if v["impact"] in ("serious", "critical")
    }
    assert not serious, json.dumps(serious, indent=1)


def test_the_gallery_shows_figures_that_there_are() -> None:
    assert set(MAIN_FIGURES) <= FIGURES.keys()


def test_the_gallery(context: "sync_api.BrowserContext", tmp_path: Path) -> None:
    shutil.copytree(PUBLISHED, tmp_path / PUBLISHED.name)
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "run.json").write_text("{")
    assert main(["report", str(tmp_path)]) == 0
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: message.type == "error" and complaints.append(message.text))
    page.goto((tmp_path / "index.html").as_uri())
    page.locator("#runs th button", has_text="machine").click()
    assert page.locator("#runs th[aria-sort=ascending]").inner_text().startswith("machine") and not complaints
    assert page.locator(f"section#{PUBLISHED.name} img").evaluate("image => image.naturalWidth") > 300
    assert "cannot read" in page.locator("#failed").inner_text()
    for width in (360, 1280):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    require_no_serious_barrier(page)
    page.close()
