"""The dashboard in Chromium, beside an operator at work: what people see, hear and type, and what they cannot do to it.

`python -m tests.demo.pictures` takes the pictures of the documentation.
"""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright

from tests import browser as chromium
from tests.cluster import Cluster
from tests.e2e.test_release import bad
from tests.support.install import grant_lease
from tests.support.operator import Operator
from tests.support.proxy import Proxy, faults, prometheus_proxy
from tests.support.waiting import PATIENCE, eventually
from tests.support.world import SAMPLE, World

pytestmark = pytest.mark.long

HOSTILE = "<img src=x onerror=\"document.title='pwned'\"><script>document.title='pwned'</script>"
Obj = dict[str, Any]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium. Missing, it is an error where CI is set."""
    binary = chromium.find()
    if binary is None:
        if os.environ.get("CI"):
            pytest.fail("Chromium is not installed: python -m tests.browser install")
        pytest.skip("Chromium is not installed")
    with sync_playwright() as playwright:
        # Its own sandbox wants rights that containers lack; the pages are ours.
        found = playwright.chromium.launch(executable_path=binary, args=["--no-sandbox"])
        yield found
        found.close()


def is_wrong(message: ConsoleMessage) -> bool:
    """Whether it is an error of the page's own; that the operator has ended is none."""
    return message.type == "error" and "net::ERR_" not in message.text


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Opens pages that fail the test when a script fails or the content security policy refuses something."""
    pages: list[Page] = []
    wrong: list[str] = []

    def make(url: str, **options: Any) -> Page:
        page = browser.new_context(**options).new_page()
        page.set_default_timeout(PATIENCE * 1000)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda message: wrong.append(message.text) if is_wrong(message) else None)
        page.goto(url)
        pages.append(page)
        return page

    expect.set_options(timeout=PATIENCE * 1000)
    yield make
    for page in pages:
        page.context.close()
    assert wrong == []


@pytest.fixture
def world(cluster: Cluster) -> Iterator[World]:
    """A fresh namespace."""
    found = World(cluster, f"shop-{uuid.uuid4().hex[:4]}").create()
    yield found
    found.remove()


def accessible(page: Page) -> None:
    """What axe-core calls serious or critical is not there."""
    found = Axe().run(page).response["violations"]
    weighty = [(v["id"], [n["html"] for n in v["nodes"]]) for v in found if v["impact"] in ("serious", "critical")]
    assert weighty == []


def fits(page: Page) -> bool:
    """Whether nothing sticks out to the side."""
    return bool(page.evaluate("document.documentElement.scrollWidth <= innerWidth"))


def base(operator: Operator) -> str:
    return f"http://127.0.0.1:{operator.dashboard_port}"


def test_people_see_what_is_decided_and_why(world: World, operator: Operator, open_page: Callable[..., Page]) -> None:
    world.deployment()
    for other in ("rehearsed", "suspended", "paused"):
        world.deployment(other)
    world.load.workload(world.namespace, "checkout", rps=120, cpu_total_cores=0.255, latency_p99_seconds=0.2)
    world.load.workload(world.namespace, "rehearsed", rps=120, cpu_utilisation=0.9, latency_p99_seconds=0.2)
    quick = SAMPLE.replace("for: 10s", "for: 3s")
    world.policy(text=quick, scaleDown={"after": "10m"})
    # At most 5, so that the number does not depend on how long the test takes.
    rehearsed = {"targetRef": {"name": "rehearsed"}, "replicas": {"max": 5}}
    world.policy("rehearsed", text=quick, mode="DryRun", **rehearsed)
    world.policy("paused", targetRef={"name": "paused"})
    pause = {"spec": {"paused": True}}
    world.apps.patch_namespaced_deployment("paused", world.namespace, pause, field_manager=HOSTILE)
    world.policy("suspended", targetRef={"name": "suspended"}, mode="Suspended")
    world.until(lambda: "scaleUp" in world.actions(), "two pods more")
    world.until(lambda: "scaleUp" in world.actions("rehearsed"), "two pods rehearsed", "rehearsed")

    page = open_page(base(operator), viewport={"width": 1360, "height": 800}, color_scheme="light")
    names = page.locator("#rows th a")
    expect(names).to_have_count(4)
    expect(page.locator("#live")).to_have_text("Live")
    fleet = json.loads(operator.get("/api/policies")[1])
    assert names.all_inner_texts()[0].endswith(fleet["policies"][0]["name"])
    expect(page.locator("tr", has_text="rehearsed").locator(".tag").first).to_have_text("dry run")
    accessible(page)
    search(page)
    poison(world, "suspended")
    hostile(page, open_page, operator, world)

    # By keyboard alone: from the top into the search, to the policy, and on its page into a chart.
    page.goto(base(operator))
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    page.get_by_role("link", name="checkout").focus()
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text(f"{world.namespace}/checkout")
    expect(page.locator("figure")).to_have_count(4)
    expect(page.locator("#words")).to_contain_text("acts on cpu above 70% for 3s")
    expect(page.locator("#decisions")).to_contain_text("scaleUp")
    expect(page.locator("#decisions")).to_contain_text("3 → 5")

    # Unchanged values are stored every 30 s. An evaluation that is a little late leaves no gap; a missing one does.
    ends = page.evaluate("import('./static/charts.js').then(m => m.ends([0, 34, 100], 5, 101))")
    assert ends == [34, 39, 101]

    # A release that fails, live on the page that is open.
    bad(world)
    world.release("2.0")
    expect(page.locator("#decisions")).to_contain_text("rollback")
    expect(page.locator("#words")).to_contain_text("is quarantined")
    page.locator(".plot").first.focus()
    page.keyboard.press("End")
    expect(page.locator("#point")).to_contain_text("cpu")
    newest = page.locator("#point").inner_text()
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#point")).not_to_have_text(newest)
    page.get_by_text("Show as a table").click()
    expect(page.locator("#table tbody tr").first).to_contain_text("Ok")
    accessible(page)
    page.get_by_text("Show as a table").click()

    page.get_by_role("button", name="Theme").click()
    page.get_by_role("button", name="Theme").click()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    accessible(page)

    phone = open_page(
        page.url.replace("checkout", "rehearsed"), viewport={"width": 390, "height": 844}, color_scheme="dark"
    )
    expect(phone.locator("#rehearsal")).to_contain_text("nothing is changed")
    expect(phone.locator("tr.rehearsed").first).to_contain_text("dry run")
    expect(phone.locator("figure").last).to_contain_text("5 in dry run")
    assert fits(phone)
    accessible(phone)
    phone.goto(base(operator))
    expect(phone.locator("#rows th a")).to_have_count(4)
    assert fits(phone)
    accessible(phone)


def search(page: Page) -> None:
    """The list is narrowed by the operator; the address tells how, so that it can be passed on."""
    page.get_by_label("Search").fill("deployment/re dry")
    expect(page.locator("#rows th a")).to_have_count(1)
    expect(page.locator("#count")).to_have_text("1 of 4, worst first")
    page.get_by_label("Search").fill("")
    chip = page.get_by_role("button", name="Suspended")
    chip.click()
    expect(chip).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#rows th a")).to_have_count(1)
    assert page.url.endswith("?state=Suspended")
    page.reload()
    expect(page.locator("#rows th a")).to_have_count(1)


def poison(world: World, name: str) -> None:
    """Markup wherever a status can hold text, as somebody with the right to write it might leave it."""
    at = "2026-01-31T10:00:00Z"
    decision = {
        "at": at, "rule": HOSTILE, "action": HOSTILE, "from": HOSTILE, "to": HOSTILE, "reason": HOSTILE,
        "message": HOSTILE, "traceID": HOSTILE,
    }  # fmt: skip
    status = {
        "lastDecision": decision,
        "history": [decision],
        "signals": [{"name": "cpu", "value": HOSTILE, "verdict": "Breach", "reason": HOSTILE}],
        "memory": {"target_uid": HOSTILE},
    }
    world.until(lambda: world.condition("Ready", name).get("reason") == "Suspended", "it was looked at", name)
    world.custom.patch_namespaced_custom_object_status(
        "resilience-operator.io", "v1alpha1", world.namespace, "resiliencepolicies", name,
        {"status": status}, _content_type="application/merge-patch+json",
    )  # fmt: skip


def hostile(page: Page, open_page: Callable[..., Page], operator: Operator, world: World) -> None:
    """Markup is shown as the text that it is."""
    page.goto(f"{base(operator)}?q=suspended")
    expect(page.locator("#rows")).to_contain_text("<script>")
    for name in ("suspended", "paused"):
        other = open_page(f"{base(operator)}/policy?namespace={world.namespace}&name={name}")
        expect(other.locator("body")).to_contain_text("<img src=x")
        assert other.locator("img, body script").count() == 0
        assert "pwned" not in other.title()
    stranger = open_page(f"{base(operator)}/policy?namespace={HOSTILE}&name={HOSTILE}")
    expect(stranger.locator("#why")).to_contain_text("This policy does not exist")
    assert stranger.locator("img, body script").count() == 0


def test_a_standby_says_so_and_the_doors_are_shut(
    world: World, new_operator: Callable[..., Operator], open_page: Callable[..., Page]
) -> None:
    grant_lease(world.cluster, world.namespace)
    lease = {
        "RESILIENCE_LEASE_NAMESPACE": world.namespace,
        "RESILIENCE_LEADER_ELECTION": "true",
        "RESILIENCE_LEASE_SECONDS": "60",  # nobody else leads, however busy the machine
    }
    leader = new_operator(environment=lease).start()
    eventually(lambda: leader.leads, "the first one leads")
    standby = new_operator(environment=lease).start()
    off = new_operator(environment={**lease, "RESILIENCE_DASHBOARD": "false"}).start()
    world.deployment()
    world.load.workload(world.namespace, "checkout", rps=120, cpu_utilisation=0.3, latency_p99_seconds=0.2)
    world.policy()
    world.until_verdict("cpu", "Ok")

    page = open_page(base(standby))
    expect(page.locator("#standby")).to_contain_text("This replica is on standby")
    page.get_by_role("link", name="checkout").click()
    expect(page.locator("#standby")).to_contain_text("another replica acts on this policy")
    expect(page.locator("#words")).to_contain_text("no action needed: it acts on cpu above 70% for 10s")
    expect(page.locator("figure")).to_have_count(0)
    accessible(page)
    # Whoever is still looking does not hold up the end, and is told.
    expect(page.locator("#live")).to_have_text("Live")
    assert standby.stop() == 0
    expect(page.locator("#live")).to_contain_text("Disconnected")

    assert off.get("/")[0] == 0, "nobody listens"
    assert off.get("/api/policies")[0] == 0
    assert off.get("/metrics")[0] == 200
    for path in ("/", "/policy", "/api/policies", "/static/style.css", "/nothing"):
        answer = ask(leader, path)
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert "Set-Cookie" not in answer.headers
    assert ask(leader, "/api/policies", "POST").status == 405
    assert ask(leader, "/static/../routes.py").status == 404
    assert leader.stop() == 0


def history(operator: Operator, world: World, hours: str = "") -> Obj:
    """The points of the policy's charts, and where they come from."""
    path = f"/api/policy?namespace={world.namespace}&name=checkout&hours={hours}"
    found: Obj = json.loads(operator.get(path)[1]).get("track") or {}
    return found


def ranges(proxy: Proxy) -> list[str]:
    """The queries over ranges of times that went to the source."""
    seen = proxy.seen(lambda p: "query_range" in p.asked.path)
    return [urllib.parse.parse_qs(p.asked.body.decode())["query"][0] for p in seen]


def test_a_restart_does_not_empty_the_charts(
    world: World, new_operator: Callable[..., Operator], open_page: Callable[..., Page]
) -> None:
    custom = {"name": "in-flight", "query": "sum(http_requests_total{pod=~'{{pods}}'})", "unit": "number"}
    signals = [
        {"name": "cpu", "preset": "cpu", "window": "10s"},
        {"name": "error-rate", "preset": "error-rate", "window": "10s"},
        custom,
    ]
    rules = [
        {"name": signal["name"], "when": {"signal": signal["name"], "above": above}, "then": [{"alert": {}}]}
        for signal, above in zip(signals, ("70%", "1%", 10**9), strict=True)
    ]  # fmt: skip
    with prometheus_proxy(world.cluster) as proxy:
        operator = new_operator(prometheus_url=proxy.url).start()
        world.deployment(replicas=4)
        world.load.workload(world.namespace, "checkout", rps=40, cpu_utilisation=0.3, latency_p99_seconds=0.2)
        world.policy(signals=signals, rules=rules)
        world.until_verdict("cpu", "Ok")
        world.until_verdict("error-rate", "Ok")
        begun = eventually(lambda: history(operator, world).get("at"), "it keeps points")[0]
        eventually(lambda: history(operator, world)["at"][-1] > begun + 35, "of half a minute", patience=PATIENCE + 60)
        # What was before the policy is asked for, as is what was before a restart; but only once.
        eventually(lambda: history(operator, world)["recorded"]["state"] == "ready", "the source is read")
        assert operator.stop() == 0

        asked = len(ranges(proxy))
        assert 0 < asked <= 6, "each signal once, and the replicas"
        operator.start()
        world.until_verdict("cpu", "Ok")
        eventually(lambda: operator.metric("resilience_evaluations_total") > 1, "it evaluates")
        assert len(ranges(proxy)) == asked, "nothing is read while nobody looks"

        page = open_page(f"{base(operator)}/policy?namespace={world.namespace}&name=checkout")
        expect(page.locator("#recorded")).to_contain_text("come from metric source “default”")
        found = history(operator, world)
        count, cpu = found["recorded"]["count"], found["signals"]["cpu"]
        assert count >= 2
        assert found["recorded"]["fault"] == ""
        assert found["at"] == sorted(found["at"])
        assert found["at"][0] < begun + 30 < found["began"]
        assert found["at"][count - 1] < found["at"][count]
        assert cpu["values"][count - 1] == pytest.approx(0.3, abs=0.1)
        assert cpu["verdicts"][:count] == [""] * count
        assert cpu["verdicts"][count] != ""
        assert found["signals"]["error-rate"]["values"][count - 1] == 0
        assert found["signals"]["in-flight"]["values"][count - 1] > 100
        assert found["replicas"][count - 1] == found["ready"][count - 1] == 4
        assert all(f'namespace="{world.namespace}"' in query for query in ranges(proxy)), "as evaluations are limited"
        asked = len(ranges(proxy))
        history(operator, world)
        assert len(ranges(proxy)) == asked, "what is past does not change"

        page.locator(".plot").first.focus()
        page.keyboard.press("Home")
        expect(page.locator("#point")).to_contain_text("4 replicas, 4 ready · from the metric source")
        accessible(page)
        page.get_by_role("button", name="6 hours").click()
        eventually(lambda: history(operator, world, "6")["recorded"]["state"] == "ready", "six hours are read")
        assert page.url.endswith("hours=6")
        assert history(operator, world, "6")["span"] == 6 * 3600


def test_a_source_without_history_leaves_the_page_as_it_is(
    world: World, new_operator: Callable[..., Operator], open_page: Callable[..., Page]
) -> None:
    with prometheus_proxy(world.cluster) as proxy:
        proxy.add(
            faults.answer(422, '{"status":"error","errorType":"execution","error":"<b>no</b> range"}'),
            "",
            "query_range",
        )
        operator = new_operator(prometheus_url=proxy.url).start()
        world.deployment()
        world.load.workload(world.namespace, "checkout", rps=40, cpu_utilisation=0.3, latency_p99_seconds=0.2)
        world.policy()
        world.until_verdict("cpu", "Ok")
        page = open_page(f"{base(operator)}/policy?namespace={world.namespace}&name=checkout")
        expect(page.locator("#recorded")).to_contain_text("Not all earlier values could be read")
        expect(page.locator("#recorded")).to_contain_text("<b>no</b> range")
        expect(page.locator("figure")).to_have_count(4)
        assert operator.metric("resilience_breaker_state", state="open") == 0
        world.until_verdict("error-rate", "Ok")


def ask(operator: Operator, path: str, method: str = "GET") -> Any:
    request = urllib.request.Request(base(operator) + path, method=method)
    try:
        return urllib.request.urlopen(request, timeout=10)
    except urllib.error.HTTPError as error:
        return error
