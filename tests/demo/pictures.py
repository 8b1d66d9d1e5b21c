"""Takes the pictures of README and of the dashboard's page from a real run.

    python -m tests.demo.pictures [--folder docs/pictures] [--ports BASE]

A shop with four services on the local control plane: load rises, pods are added, a bad version of `checkout` is
released under load and rolled back, and the load falls. It takes about five minutes, and needs Chromium.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, sync_playwright

from tests import browser as chromium
from tests.demo.stage import NAME, POLICY, SHOP, STATE, Stage, alone, set_up, tear_down
from tests.support.install import ROOT
from tests.support.waiting import eventually

PORTS = 27580
OTHERS = {"catalog": 28.0, "payments": 28.0, "search": 24.0}
"""Requests per second of the other services. `payments` is in dry run."""

EVENING_PAYMENTS = 58.0
"""What `payments` gets at the end: it would be scaled."""

DAY = ((12.0, 20), (22.0, 15), (34.0, 15), (50.0, 10), (66.0, 40), (70.0, 10))
"""Requests per second of `checkout`, and seconds for which it stays there: night, morning, noon."""

EVENING = ((52.0, 12), (36.0, 12), (24.0, 45))
SCALE = 2
WIDE = {"width": 1280, "height": 860}
TALL = {"width": 1280, "height": 1120}
PHONE = {"width": 390, "height": 844}


def play(stage: Stage) -> None:
    """The day, up to the evening after the rollback."""
    world = stage.world
    for name, rps in OTHERS.items():
        world.load.workload(SHOP, name, rps=rps)
        world.deployment(name, replicas=3, tag="3.1")
        mode = "DryRun" if name == "payments" else "Enforce"
        world.policy(name, text=POLICY.read_text(), mode=mode, targetRef={"name": name})
    world.load.image(world.image("1.5"), error_ratio=0.2)
    for rps, seconds in DAY:
        world.load.workload(SHOP, NAME, rps=rps)
        time.sleep(seconds)
    world.release("1.5", manager="argocd-controller")
    world.until(lambda: "rollback" in world.actions(), "the bad version is rolled back")
    eventually(lambda: set(world.tags()) == {"1.0"}, "no pod of it is left")
    world.load.workload(SHOP, "payments", rps=EVENING_PAYMENTS)
    for rps, seconds in EVENING:
        world.load.workload(SHOP, NAME, rps=rps)
        time.sleep(seconds)


def take(browser: Browser, url: str, folder: Path) -> list[Path]:
    """Photograph the pages, in both themes. Returns the files."""
    policy = f"{url}/policy?namespace={SHOP}&name={NAME}"
    shots = [
        ("hero-light", policy, TALL, "light", False),
        ("hero-dark", policy, TALL, "dark", False),
        ("dashboard-policy-light", policy, WIDE, "light", True),
        ("dashboard-policy-dark", policy, WIDE, "dark", True),
        ("dashboard-fleet", url, {**WIDE, "height": 560}, "light", True),
        ("dashboard-phone", policy.replace(f"name={NAME}", "name=payments"), PHONE, "dark", False),
        ("dashboard-phone-fleet", url, PHONE, "dark", False),
    ]
    files = []
    for name, address, size, theme, whole in shots:
        page = browser.new_context(viewport=size, color_scheme=theme, device_scale_factor=SCALE).new_page()  # type: ignore[arg-type]
        page.goto(address)
        page.locator("figure, #rows tr").first.wait_for(timeout=60_000)
        page.get_by_text("Reading earlier values").first.wait_for(state="hidden", timeout=60_000)
        files.append(folder / f"{name}.png")
        page.screenshot(path=files[-1], full_page=whole)
        page.context.close()
        # A palette: a third of the size, and no difference to see.
        Image.open(files[-1]).quantize(256).save(files[-1], optimize=True)
    return files


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=ROOT / "docs" / "pictures", help="default: %(default)s")
    parser.add_argument("--ports", type=int, metavar="BASE", default=PORTS, help="the first of a row of free ports")
    options = parser.parse_args()
    binary = chromium.find()
    if binary is None:
        parser.error("Chromium is not installed: python -m tests.browser install")
    with alone():
        try:
            stage = set_up(print, options.ports)
            play(stage)
            assert stage.operator is not None
            url = f"http://127.0.0.1:{stage.operator.dashboard_port}"
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=binary, args=["--no-sandbox"])
                for file in take(browser, url, options.folder):
                    print(file)
                browser.close()
        finally:
            if (STATE / "cluster.json").exists():
                tear_down(print)


if __name__ == "__main__":
    main()
