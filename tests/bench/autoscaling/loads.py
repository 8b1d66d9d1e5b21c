"""Loads in requests/s, one value per step: recorded traces, synthetic shapes, and steps."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

STEP = 5
"""Seconds per step of the model."""

DAY = 86400
FULL = 1400.0
"""Requests/s to which a trace is scaled: 20 pods of 100 requests/s at 70%."""

NOISE, CORRELATION = 0.05, 0.9
"""AR(1) noise on every load: standard deviation as a share of the load, and the correlation of neighbouring steps."""

Array = NDArray[np.float64]


class BadTrace(ValueError):  # noqa: N818 - says what is so, like InvalidPolicy
    """A file is not a trace. The text names the file and says what is expected."""


def read_traces(folder: Path, *, days: int = 2) -> dict[str, Array]:
    """Return each trace of `folder` (CSV: `seconds,value`), scaled, without noise.

    Of a longer trace, only the day with the largest rise within five minutes and the days after it are used.
    """
    files = sorted(folder.glob("*.csv"))
    if not files:
        raise BadTrace(f"{folder} has no *.csv: a trace is a file of lines `seconds,value`")
    return {path.stem: _worst_days(_read(path), days) for path in files}


def _read(path: Path) -> Array:
    """Return the trace on the steps of the model, linear between its points."""
    rows = []
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        if line.startswith(("#", "seconds")) or not line.strip():
            continue
        try:
            seconds, value = line.split(",")[:2]
            rows.append((float(seconds), float(value)))
        except ValueError:
            raise BadTrace(f"{path}, line {number}: {line!r} is not `seconds,value`") from None
    if len(rows) < 2:
        raise BadTrace(f"{path} has fewer than two lines `seconds,value`")
    points = np.array(sorted(rows))
    times = np.arange(points[0, 0], points[-1, 0], STEP)
    load = np.maximum(np.interp(times, points[:, 0], points[:, 1]), 0.0)
    return scaled(load, str(path))


def scaled(load: Array, name: str) -> Array:
    """Return the load, scaled so that the 99.9th percentile of a minute is FULL."""
    minutes = load[: len(load) // 12 * 12].reshape(-1, 12).mean(axis=1)
    high = float(np.percentile(minutes, 99.9))
    if high <= 0:
        raise BadTrace(f"{name} has no load")
    found: Array = load * (FULL / high)
    return found


def _worst_days(load: Array, days: int) -> Array:
    per_day = DAY // STEP
    count = len(load) // per_day
    if count <= days:
        return load
    lag = 300 // STEP
    rises = np.zeros_like(load)
    rises[lag:] = load[lag:] - load[:-lag]
    worst = int(np.argmax([rises[d * per_day : (d + 1) * per_day].max() for d in range(count - days + 1)]))
    return load[worst * per_day : (worst + days) * per_day]


def synthetic(seed: int = 7) -> Mapping[str, Array]:
    """Return shapes that recordings rarely have in pure form, one day each."""
    rng = np.random.default_rng(seed)
    t = np.arange(0, DAY, STEP, dtype=float)
    spikes = np.full_like(t, 400.0)
    for at in np.cumsum(rng.exponential(5400.0, 16)):
        since = t - at
        spikes += np.where(since > 0, rng.uniform(300, 900) * np.minimum(since / 60, 1) * np.exp(-since / 600), 0.0)
    walk = 600 * np.exp(np.clip(np.cumsum(rng.normal(0, 0.01, len(t))) * 0.6, -1.2, 0.85))
    return {
        "diurnal": 700 + 500 * np.sin(2 * np.pi * t / DAY - np.pi / 2),
        "sawtooth": 200 + 1000 * ((t % 3600) / 3600),
        "ramps": 300 + 900 * np.clip(np.sin(2 * np.pi * t / 7200) * 2, 0, 1),
        "spikes": spikes,
        "walk": walk,
        "flat": np.full_like(t, 650.0),
        "quiet": np.where((t > 30000) & (t < 50000), 900.0, 2.0),
    }


def random_loads(count: int, first: int = 1) -> Mapping[str, Array]:
    """Return loads of one day that nobody has drawn: their parameters come from `random_load`'s distributions."""
    return {f"random-{seed}": random_load(seed) for seed in range(first, first + count)}


def random_load(seed: int) -> Array:
    """Return a day of diurnal load, steps, spikes, ramps and noise, scaled like a trace.

    Amplitude of the day: uniform, 0 to 80% of the base. Steps: Poisson, 2 a day, factor log-uniform 0.4 to 3, for an
    exponential time of 2 h on average. Spikes: Poisson, 3 a day, height log-uniform 0.3 to 3 times the base, rise
    uniform 0 to 5 min, decay log-uniform 1 to 30 min. Ramps: Poisson, 1 a day, factor log-uniform 0.4 to 2.5, up and
    down within log-uniform 10 to 120 min. Noise: AR(1), standard deviation uniform 0 to 10%, correlation time
    log-uniform 15 s to 10 min.
    """
    rng = np.random.default_rng(seed)
    t = np.arange(0, DAY, STEP, dtype=float)

    def log_uniform(low: float, high: float) -> float:
        return float(np.exp(rng.uniform(np.log(low), np.log(high))))

    load = 1 + rng.uniform(0, 0.8) * np.sin(2 * np.pi * (t / DAY + rng.uniform()))
    for at in rng.uniform(0, DAY, rng.poisson(2)):
        load *= np.where((t >= at) & (t < at + rng.exponential(7200.0)), log_uniform(0.4, 3), 1.0)
    for at in rng.uniform(0, DAY, rng.poisson(3)):
        since, rise, decay = t - at, rng.uniform(0, 300), log_uniform(60, 1800)
        shape = np.clip(since / max(rise, 1.0), 0, 1) * np.exp(-np.maximum(since - rise, 0) / decay)
        load += log_uniform(0.3, 3) * np.where(since > 0, shape, 0.0)
    for at in rng.uniform(0, DAY, rng.poisson(1)):
        half = log_uniform(600, 7200)
        load *= 1 + (log_uniform(0.4, 2.5) - 1) * np.clip(1 - np.abs(t - at) / half, 0, 1)
    correlation = np.exp(-STEP / log_uniform(15, 600))
    shocks = rng.normal(0.0, rng.uniform(0, 0.1) * np.sqrt(1 - correlation**2), len(t))
    level, noise = 0.0, np.empty(len(t))
    for i, shock in enumerate(shocks):
        level = correlation * level + shock
        noise[i] = level
    return scaled(np.maximum(load * (1 + noise), 0.0), f"seed {seed}")


def step_load(to: float, *, before: float = 300.0, at: float = 3600.0, seconds: float = 10800.0) -> Array:
    """Return a load that rises once, without a ramp."""
    t = np.arange(0, seconds, STEP)
    return np.where(t < at, before, to)


def with_noise(load: Array, seed: int) -> Array:
    """Return the load with AR(1) noise."""
    rng = np.random.default_rng(seed)
    shocks = rng.normal(0.0, NOISE * np.sqrt(1 - CORRELATION**2), len(load))
    noise = np.empty(len(load))
    level = 0.0
    for i, shock in enumerate(shocks):
        level = CORRELATION * level + shock
        noise[i] = level
    return np.maximum(load * (1 + noise), 0.0)
