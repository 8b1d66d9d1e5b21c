"""From recorded answers to observations: tables of values."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import cast

import pytest

from resilience_operator.decision.model.observation import Histogram, Measured, Observation
from resilience_operator.signals.model import Signal, SignalRequest
from resilience_operator.signals.presets import aggregate as join
from resilience_operator.signals.presets.histogram import SparseBuckets, aligned, as_histogram, merged, quantile
from resilience_operator.signals.presets.models import Join, Quantile, Quotient, Ratio, load_families
from resilience_operator.signals.query import extract as digest
from resilience_operator.signals.sources.protocol import Answer, Series

NAN, INF = math.nan, math.inf
FAMILIES = load_families()
BY_OWNER = Join(by="owner", name="owner")
A, B = ("shop", "web-a"), ("shop", "web-b")
BOTH = {"web-a": "a", "web-b": "b"}


def target(
    owners: Mapping[str, str] = BOTH, name: str = "web", how: Join = BY_OWNER, kind: str = "Deployment", **signal: str
) -> join.SeriesKeys:
    return join.series_keys(SignalRequest("shop", name, kind, owners, Signal("s", preset="x", **signal)), how)


def preset(kind: type[Quantile] | type[Quotient]) -> Quantile | Quotient:
    found = FAMILIES.find("istio", "latency-p99" if kind is Quantile else "cpu")
    assert found and isinstance(found[1], kind)
    return found[1]


class TestTarget:
    def test_a_deployment_is_split(self) -> None:
        assert target().parts == ((A, "a"), (B, "b"))
        assert target().splittable

    def test_a_workload_that_owns_its_pods_is_not(self) -> None:
        found = target({"web": "rev-2"}, kind="StatefulSet")
        assert found.parts == ((("shop", "web"), ""),)
        assert not found.splittable

    def test_names_that_had_to_be_cut_are_not(self) -> None:
        base = "w" * 49
        found = target({f"{base}-0123456789": "a", f"{base}-0123456798": "b"}, base)
        assert found.parts == ((("shop", base), ""),)
        assert not found.splittable

    def test_owners_whose_revision_is_unknown_are_not(self) -> None:
        found = target({"web-7d9f": "", "web-5c4b": ""}, kind="Rollout")
        assert found.parts == ((("shop", "web-7d9f"), ""), (("shop", "web-5c4b"), ""))
        assert not found.splittable

    def test_by_service(self) -> None:
        assert target(how=Join(by="name", name="service")).parts == ((("shop", "web"), ""),)
        assert target(how=Join(by="name", name="x", combined_label=True)).parts == ((("", "shop-web"), ""),)

    def test_no_pods(self) -> None:
        assert target({}).parts == ()


class TestRatio:
    @pytest.mark.parametrize(
        ("events", "samples", "measured", "split"),
        [
            ({A: 1, B: 9}, {A: 100, B: 100}, Measured(0.05, 200, 10), {"a": (0.01, 100, 1), "b": (0.09, 100, 9)}),
            ({}, {A: 100, B: 50}, Measured(0, 150, 0), {"a": (0, 100, 0), "b": (0, 50, 0)}),
            ({B: 5}, {A: 100, B: 0}, Measured(0, 100, 0), {"a": (0, 100, 0)}),
            ({A: 5.2}, {A: 5.0}, Measured(1, 5, 5), {"a": (1, 5, 5)}),
            ({("other", "web-a"): 9}, {A: 10, ("other", "web-a"): 90}, Measured(0, 10, 0), {"a": (0, 10, 0)}),
        ],
    )
    def test_measured(
        self, events: digest.Index, samples: digest.Index, measured: Measured, split: dict[str, tuple[float, ...]]
    ) -> None:
        found = join.ratio(target(), 5.0, events, samples)
        assert found == Observation(
            5.0, measured, by_revision={k: Measured(*v) for k, v in split.items()}, splittable=True
        )

    @pytest.mark.parametrize(
        ("events", "samples", "reason"),
        [
            ({}, {}, "NoData"),
            ({A: 3}, {}, "NoData"),
            ({}, {A: 0.0}, "NoTraffic"),
            ({}, {A: 0.0, B: 0.0}, "NoTraffic"),
            ({A: NAN}, {A: 10.0}, "NotANumber"),
            ({A: 1}, {A: NAN}, "NotANumber"),
            ({A: 1}, {A: INF}, "NotANumber"),
        ],
    )
    def test_unknown(self, events: digest.Index, samples: digest.Index, reason: str) -> None:
        found = join.ratio(target(), 5.0, events, samples)
        assert (found.measured, found.reason, found.splittable) == (None, reason, True)
        assert found.message

    def test_the_same_owner_counts_once(self) -> None:
        base = "w" * 49
        both = target({f"{base}-0123456789": "a", f"{base}-0123456798": "b"}, base)
        found = join.ratio(both, 5.0, {}, {("shop", base): 10.0})
        assert found == Observation(5.0, Measured(0, 10, 0))


class TestQuotient:
    @pytest.mark.parametrize(
        ("above", "below", "measured", "split"),
        [
            ({A: 1, B: 3}, {A: 4, B: 4}, Measured(0.5), {"a": 0.25, "b": 0.75}),
            ({A: 2}, {A: 2, B: 2}, Measured(0.5), {"a": 1.0}),
            ({A: 0}, {A: 2}, Measured(0), {"a": 0}),
            ({A: 1, B: 1}, {A: 1}, Measured(1), {"a": 1}),
        ],
    )
    def test_measured(
        self, above: digest.Index, below: digest.Index, measured: Measured, split: dict[str, float]
    ) -> None:
        cpu = preset(Quotient)
        assert isinstance(cpu, Quotient)
        found = join.quotient(target(), 5.0, cpu, above, below)
        assert found.measured == measured
        assert {k: v.value for k, v in found.by_revision.items()} == split

    @pytest.mark.parametrize(
        ("above", "below", "reason", "says"),
        [
            ({A: 1}, {}, "NoData", "resources.requests.cpu"),
            ({}, {A: 1}, "NoData", "no usage"),
            ({A: 1}, {A: 0}, "NotANumber", "not a number"),
            ({A: NAN}, {A: 1}, "NotANumber", "not a number"),
        ],
    )
    def test_unknown(self, above: digest.Index, below: digest.Index, reason: str, says: str) -> None:
        cpu = preset(Quotient)
        assert isinstance(cpu, Quotient)
        found = join.quotient(target(), 5.0, cpu, above, below)
        assert (found.measured, found.reason) == (None, reason)
        assert says in found.message


class TestQuantiles:
    def observe(self, values: digest.Index, samples: digest.Index, buckets: digest.BucketIndex | None) -> Observation:
        p99 = preset(Quantile)
        assert isinstance(p99, Quantile)
        return join.quantiles(target(), 5.0, p99, values, samples, buckets)

    def test_one_revision_needs_no_buckets(self) -> None:
        found = self.observe({A: 1400.0}, {A: 10, B: 0}, None)
        assert found.measured == Measured(pytest.approx(1.4), 10)
        assert found.by_revision == {"a": Measured(pytest.approx(1.4), 10)}

    def test_several_are_merged_by_their_buckets(self) -> None:
        buckets = {A: {1000.0: 100.0, 2000.0: 100.0, INF: 100.0}, B: {1000.0: 0.0, 2000.0: 100.0, INF: 100.0}}
        found = self.observe({A: 990, B: 1990}, {A: 100, B: 100}, buckets)
        # 100 of 200 within 1 s, the rest evenly to 2 s: the 198th lies at 1.98 s, not at the mean of 1.49 s.
        histogram = Histogram((1.0, 2.0, INF), (100.0, 200.0, 200.0))
        assert found.measured == Measured(pytest.approx(1.98), 200, None, histogram)
        assert found.by_revision["a"].value == pytest.approx(0.99)

    @pytest.mark.parametrize(
        ("values", "samples", "buckets", "reason"),
        [
            ({}, {}, None, "NoData"),
            ({A: NAN}, {A: 0}, None, "NoTraffic"),
            ({A: NAN}, {A: 7}, None, "NotANumber"),
            ({A: 10_000}, {A: NAN}, None, "NotANumber"),
            ({A: INF}, {A: 7}, None, "NotANumber"),
            ({}, {A: 7}, None, "NoData"),
            ({A: 1, B: 1}, {A: 7, B: 7}, {A: {1.0: 1.0, INF: 1.0}}, "NoData"),
            ({A: 1, B: 1}, {A: 7, B: 7}, None, "NoData"),
        ],
    )
    def test_unknown(
        self, values: digest.Index, samples: digest.Index, buckets: digest.BucketIndex | None, reason: str
    ) -> None:
        found = self.observe(values, samples, buckets)
        assert (found.measured, found.reason) == (None, reason)


class TestHistogram:
    @pytest.mark.parametrize(
        ("q", "buckets", "value"),
        [
            (0.5, {1.0: 10, 2.0: 20, INF: 20}, 1.0),
            (0.25, {1.0: 10, 2.0: 20, INF: 20}, 0.5),
            (0.99, {1.0: 0, 2.0: 100, INF: 100}, 1.99),
            (0.99, {1.0: 10, 2.0: 20, INF: 100}, 2.0),
            (0.5, {-1.0: 10, 2.0: 20, INF: 20}, -1.0),
            (0.75, {1.0: 10, 2.0: 9.9, 4.0: 20, INF: 20}, 3.0),
            (0.99, {1.0: 0, INF: 0}, NAN),
            (0.99, {1.0: 5}, NAN),
            (0.99, {INF: 5}, NAN),
            (0.99, {}, NAN),
            (0.99, {1.0: NAN, INF: NAN}, NAN),
        ],
    )
    def test_quantile(self, q: float, buckets: dict[float, float], value: float) -> None:
        assert quantile(q, buckets) == pytest.approx(value, nan_ok=True)

    def test_only_common_bounds_are_merged(self) -> None:
        assert merged([{1.0: 1, 2.0: 2, INF: 3}, {2.0: 5, 4.0: 6, INF: 7}]) == {2.0: 7, INF: 10}


def series(**pods: float) -> list[Series]:
    return [Series({"pod": pod.replace("_", "-")}, value, 5.0) for pod, value in pods.items()]


def single(value: float) -> list[Series]:
    return [Series({}, value, 5.0)]


class TestCustom:
    @pytest.mark.parametrize(
        ("values", "samples", "measured", "split"),
        [
            (single(3), None, Measured(3), {}),
            (single(3), single(40), Measured(3, 40), {}),
            (single(3), series(web_a_1=40, web_b_1=2), Measured(3, 42), {}),
            (single(3), [], Measured(3, 0), {}),
            (series(web_a_1=1, web_a_2=3, web_b_1=8), None, Measured(4), {"a": Measured(2), "b": Measured(8)}),
            (series(web_a_1=1, web_a_2=NAN), None, Measured(1), {"a": Measured(1)}),
            (series(web_a_1=1, web_x_1=99), None, Measured(1), {"a": Measured(1)}),
            (
                series(web_a_1=1, web_b_1=4),
                series(web_a_1=2, web_b_1=1),
                Measured(2, 3),
                {"a": Measured(1, 2), "b": Measured(4, 1)},
            ),
            (series(web_a_1=1, web_b_1=4), single(30), Measured(2.5, 30), {"a": Measured(1), "b": Measured(4)}),
        ],
    )
    def test_measured(
        self,
        values: list[Series],
        samples: list[Series] | None,
        measured: Measured,
        split: dict[str, Measured],
    ) -> None:
        found = join.custom(target(), 5.0, values, samples)
        assert (found.measured, found.by_revision) == (measured, split)
        assert found.splittable is bool(split)

    def test_events_of_a_ratio(self) -> None:
        found = join.custom(target(unit="ratio"), 5.0, series(web_a_1=0.1), series(web_a_1=50))
        assert found.measured == Measured(0.1, 50, 5)
        assert found.by_revision == {"a": Measured(0.1, 50, 5)}

    def test_pods_of_a_statefulset(self) -> None:
        found = join.custom(target({"web": "r1"}, kind="StatefulSet"), 5.0, series(web_0=1, web_1=3), None)
        assert (found.measured, found.by_revision, found.splittable) == (Measured(2), {}, False)

    @pytest.mark.parametrize(
        ("values", "samples", "reason"),
        [
            ([], None, "NoData"),
            (single(NAN), None, "NotANumber"),
            (single(INF), None, "NotANumber"),
            (single(NAN), single(0), "NoTraffic"),
            (single(NAN), [], "NoTraffic"),
            (single(1), single(NAN), "NotANumber"),
            (single(1) + single(2), None, "AmbiguousResult"),
            (series(web_a_1=1) + single(2), None, "AmbiguousResult"),
            (series(web_a_1=1) + series(web_a_1=2), None, "AmbiguousResult"),
            (series(other_a_1=1), None, "NoData"),
            (series(web_a_1=NAN, web_b_1=NAN), None, "NotANumber"),
            (series(web_a_1=NAN), series(web_a_1=0), "NoTraffic"),
            (series(web_a_1=1, web_b_1=INF), None, "NotANumber"),
        ],
    )
    def test_unknown(self, values: list[Series], samples: list[Series] | None, reason: str) -> None:
        found = join.custom(target(), 5.0, values, samples)
        assert (found.measured, found.reason) == (None, reason)


class TestDigests:
    def test_by_target(self) -> None:
        answer = Answer([Series({"ns": "a", "o": "b"}, 1, 5), Series({"o": "c"}, 2, 5), Series({}, 3, 5)])
        assert digest.index_by_target("ns", "o")(answer) == {("a", "b"): 1, ("", "c"): 2, ("", ""): 3}
        assert digest.index_by_target("ns", "o") is digest.index_by_target("ns", "o")

    def test_buckets(self) -> None:
        answer = Answer([Series({"ns": "a", "o": "b", "le": le}, 1, 5) for le in ("1", "1.0", "2.5", "+Inf", "x", "")])
        assert digest.buckets_by_target("ns", "o")(answer) == {("a", "b"): {1.0: 1, 2.5: 1, INF: 1}}


HTTP_ERRORS = cast(Ratio, FAMILIES.find("http-generic", "error-rate")[1])  # type: ignore[index]


class TestWhatCannotBeRead:
    def observe(self, *details: digest.Detail, count: float = 100.0) -> Observation:
        unreadable = {A: list(details)}
        return join.ratio(target({"web-a": "a"}), 5.0, {A: 2.0}, {A: count}, unreadable, HTTP_ERRORS.status_labels)

    def test_a_status_of_an_unknown_form_is_unknown_and_not_zero(self) -> None:
        found = self.observe(({"status": "Hxx"}, 3.0))
        assert (found.measured, found.reason) == (None, "StatusNotReadable")
        assert 'status="Hxx"' in found.message

    def test_no_status_at_all_names_the_labels_that_are_read(self) -> None:
        found = self.observe(({}, 100.0))
        assert found.reason == "StatusNotReadable"
        assert "code, status, status_code" in found.message

    def test_requests_without_a_status_do_not_count_beside_others(self) -> None:
        found = self.observe(({}, 60.0))
        assert found.measured == Measured(0.05, 40.0, 2.0)
        assert found.by_revision["a"] == Measured(0.05, 40.0, 2.0)

    def test_what_is_not_readable_of_others_is_theirs(self) -> None:
        other = {B: [({"status": "Hxx"}, 3.0)]}
        assert join.ratio(target({"web-a": "a"}), 5.0, {}, {A: 9.0}, other).measured == Measured(0, 9, 0)

    def test_no_requests_is_no_traffic(self) -> None:
        assert self.observe(({"status": "Hxx"}, 0.0), count=0.0).reason == "NoTraffic"


class TestCpuThatIsNotCovered:
    def observe(self, *details: digest.Detail) -> Observation:
        cpu = preset(Quotient)
        assert isinstance(cpu, Quotient)
        return join.quotient(target({"web-a": "a"}), 5.0, cpu, {A: 0.012}, {A: 0.1}, {A: list(details)})

    def test_most_of_the_cpu_without_a_request_is_unknown_and_names_the_container(self) -> None:
        found = self.observe(({"container": "app"}, 3.0), ({"container": "logs"}, 0.1))
        assert (found.measured, found.reason) == (None, "CpuNotCovered")
        assert "container app" in found.message

    def test_a_small_sidecar_without_a_request_is_left_out(self) -> None:
        found = self.observe(({"container": "logs"}, 0.01))
        assert found.measured == Measured(pytest.approx(0.12))


class TestClusters:
    def several(self, clusters: Mapping[digest.Key, str], mixed: Mapping[digest.Key, set[str]]) -> set[str]:
        return join.several_clusters(target(), clusters, mixed)

    def test_one_cluster_is_fine(self) -> None:
        assert self.several({}, {}) == set()
        assert self.several({A: "eu", B: "eu", ("other", "web"): "us"}, {}) == set()

    def test_the_same_name_in_two_clusters(self) -> None:
        assert self.several({A: "eu"}, {A: {"eu", "us"}}) == {"eu", "us"}

    def test_a_revision_of_another_cluster(self) -> None:
        assert self.several({A: "eu", B: "us"}, {}) == {"eu", "us"}


class TestHistograms:
    def test_a_histogram_is_scaled_to_the_requests_of_the_window(self) -> None:
        """The buckets of an administrator's family may be rates."""
        assert as_histogram({100.0: 1.5, 500.0: 2.0, INF: 2.0}, 0.001, 240.0) == Histogram(
            (0.1, 0.5, INF), (180.0, 240.0, 240.0)
        )

    def test_counts_never_decrease(self) -> None:
        found = as_histogram({1.0: 10.0, 2.0: 9.0, INF: 10.0}, 1.0)
        assert found is not None and found.counts == (10.0, 10.0, 10.0)

    @pytest.mark.parametrize("buckets", [{}, {1.0: 2.0}, {1.0: 2.0, 2.0: 3.0}, {1.0: NAN, INF: 3.0}])
    def test_what_is_not_whole_is_none(self, buckets: Mapping[float, float]) -> None:
        assert as_histogram(buckets, 1.0) is None

    def test_bounds_that_a_release_changed_are_compared_where_both_have_them(self) -> None:
        old, new = {1.0: 1.0, 2.0: 2.0, INF: 3.0}, {1.0: 4.0, 5.0: 5.0, INF: 6.0}
        assert aligned([old, new]) == [{1.0: 1.0, INF: 3.0}, {1.0: 4.0, INF: 6.0}]

    def test_a_native_histogram_beside_a_classic_one_has_its_bounds(self) -> None:
        classic, native = {1.0: 4.0, INF: 6.0}, SparseBuckets({0.4: 0.0, 0.5: 2.0, 3.0: 2.0, 3.5: 5.0, INF: 5.0})
        assert aligned([classic, native]) == [classic, {1.0: 2.0, INF: 5.0}]
