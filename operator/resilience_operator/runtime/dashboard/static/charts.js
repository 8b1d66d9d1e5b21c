// Signals against their thresholds, replicas, releases and decisions, on one time axis. uPlot draws lines and axes; bands,
// thresholds and marks are painted in its hooks, in colours of the style sheet.
import * as format from "./format.js";
import { badge, make, timeOfDay } from "./page.js";

/* global uPlot */

const HEIGHT = 150;
const LEAST = 60; // seconds that the axis shows at least

const paint = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

const bands = { Pending: "band-warning", Breach: "band-bad", Unknown: "band-unknown" };
// Verdict colours are for verdicts only: a release has one colour, and its phase is written into the band.
const phases = new Set(["Progressing", "Baking", "Paused", "RollingBack", "RolledBack"]);

/** What a decision looks like: its colour, and which way its arrow points. */
export function kindOf(action) {
  if (action === "scaleUp") return { paint: "scale", sign: "up", word: "scaled up" };
  if (action === "scaleDown") return { paint: "scale", sign: "down", word: "scaled down" };
  if (action === "rollback") return { paint: "bad", sign: "down", word: "rolled back" };
  if (action === "pauseRollout") return { paint: "warning", sign: "square", word: "rollout paused" };
  if (action.startsWith("resume")) return { paint: "good", sign: "square", word: "rollout resumed" };
  return { paint: "quiet", sign: "square", word: action };
}

/** Until when each point holds: until the next one, unless that is missing. Unchanged values are stored every 30 s only,
 * and an evaluation may be late. recorded: how many points were read from the metric source, and how far apart. */
export function ends(at, interval, now, recorded) {
  return at.map((t, i) => {
    const step = i < (recorded?.count ?? 0) ? recorded.step : 0;
    const longest = step ? 1.5 * step : 30 + 3 * interval;
    return i + 1 < at.length && at[i + 1] - t <= longest ? at[i + 1] : Math.min(t + (step || interval), now);
  });
}

function triangle(ctx, x, y, size, sign) {
  ctx.beginPath();
  if (sign === "square") ctx.rect(x - size * 0.8, y - size * 0.8, size * 1.6, size * 1.6);
  else {
    const tip = sign === "up" ? -size : size;
    ctx.moveTo(x, y + tip);
    ctx.lineTo(x - size, y - tip);
    ctx.lineTo(x + size, y - tip);
    ctx.closePath();
  }
}

export class Charts {
  constructor(container, readout) {
    this.container = container;
    this.readout = readout;
    this.plots = [];
    this.names = null;
    this.range = [0, 1];
    this.index = null;
    new ResizeObserver(() => this.resize()).observe(container);
    document.addEventListener("theme", () => this.plots.forEach((p) => p.chart.redraw(false)));
  }

  /** Show a policy; it must have a track. */
  show(policy) {
    this.policy = policy;
    const { at, began, span, recorded } = policy.track;
    // From the first measurement or decision of the last hour on.
    const seen = [Math.max(began ?? 0, policy.now - span), ...policy.decisions.map((d) => Date.parse(d.at) / 1000)].filter((t) => t > policy.now - span);
    if (recorded?.count) seen.push(at[0]);
    const from = began === null ? policy.now - span : Math.min(...seen, policy.now - LEAST);
    this.range = [Math.max(policy.now - span, from - (policy.now - from) * 0.03), policy.now];
    this.recorded = recorded?.count ?? 0;
    this.ends = ends(at, policy.interval, policy.now, recorded);
    const names = JSON.stringify([policy.signals.map((s) => s.name), policy.mode]);
    if (names !== this.names) {
      this.names = names;
      this.build();
    }
    for (const plot of this.plots) plot.update();
  }

  /** To the second where the axis is short. */
  time(at) {
    return this.range[1] - this.range[0] < 600 ? timeOfDay(at) : timeOfDay(at).slice(0, 5);
  }

  clear() {
    this.plots.forEach((p) => p.chart.destroy());
    this.plots = [];
    this.names = null;
    this.container.replaceChildren();
  }

  build() {
    this.clear();
    this.names = JSON.stringify([this.policy.signals.map((s) => s.name), this.policy.mode]);
    this.policy.signals.forEach((signal, number) => this.add(signal.name, this.signalParts(number)));
    this.add("replicas", this.replicaParts());
  }

  /** A chart with its caption. parts: series, data, y range, caption and painting. */
  add(name, parts) {
    const caption = make("figcaption", { id: `chart-${this.plots.length}` });
    const box = make("div", { class: "plot", tabindex: "0", role: "img", "aria-labelledby": caption.id });
    this.container.append(make("figure", {}, caption, box));
    const axis = { stroke: () => paint("quiet"), grid: { stroke: () => paint("line"), width: 1 }, ticks: { show: false }, font: "12px system-ui" };
    const chart = new uPlot(
      {
        width: Math.max(200, this.container.clientWidth),
        height: HEIGHT,
        legend: { show: false },
        cursor: { sync: { key: "policy" }, drag: { setScale: false, x: false, y: false }, y: false, points: { size: 7 } },
        scales: { x: { time: true, range: () => this.range }, y: { range: (_, low, high) => parts.range(low, high) } },
        axes: [
          { ...axis, size: 26, values: (_, splits) => splits.map((s) => this.time(s)), space: 80 },
          { ...axis, size: 58, space: 32, values: (_, splits) => splits.map(parts.label) },
        ],
        series: [{}, ...parts.series],
        hooks: {
          drawClear: [(u) => this.behind(u, parts)],
          draw: [(u) => this.above(u, parts)],
          setCursor: [(u) => this.pointed(u)],
        },
      },
      [[], ...parts.series.map(() => [])],
      box,
    );
    box.addEventListener("keydown", (event) => this.key(event));
    box.addEventListener("pointermove", () => this.readout.setAttribute("aria-live", "off"));
    this.plots.push({
      chart,
      name,
      update: () => {
        parts.caption(caption);
        chart.setData(this.gapped(parts.data()));
      },
    });
  }

  /** The columns with a gap wherever no point stands. */
  gapped(columns) {
    const { at } = this.policy.track;
    const found = [[], ...columns.map(() => [])];
    at.forEach((t, i) => {
      found[0].push(t);
      columns.forEach((column, c) => found[c + 1].push(column[i]));
      const next = at[i + 1] ?? this.range[1];
      if (this.ends[i] < next) {
        found[0].push(this.ends[i]);
        columns.forEach((column, c) => found[c + 1].push(column[i]));
        if (this.ends[i] + 0.001 < next) {
          found[0].push(this.ends[i] + 0.001);
          columns.forEach((_, c) => found[c + 1].push(null));
        }
      }
    });
    return found;
  }

  /** A column of this process, and one of what the metric source recorded before; they meet at one point. */
  split(column) {
    const own = column.map((value, i) => (i < this.recorded ? null : value));
    return [own, column.map((value, i) => (this.recorded && i <= this.recorded ? value : null))];
  }

  signalParts(number) {
    const signal = () => this.policy.signals[number];
    const { name, unit } = signal();
    const track = () => this.policy.track.signals[name] ?? { values: [], verdicts: [] };
    return {
      series: [
        { stroke: () => paint("ink"), width: 2, points: { show: false } },
        { stroke: () => paint("quiet"), width: 1, points: { show: false } },
      ],
      data: () => this.split(track().values),
      label: (v) => format.value(v, unit),
      range: (low, high) => {
        const limits = signal().thresholds.filter((t) => t.value !== null).map((t) => t.value);
        const top = Math.max(high ?? 0, ...limits);
        const bottom = Math.min(0, low ?? 0, ...limits);
        return [bottom, top + (top - bottom || 1) * 0.25];
      },
      bands: () => track().verdicts.map((v) => [bands[v], ""]),
      lines: () => signal().thresholds.filter((t) => t.value !== null),
      caption: (element) => {
        const s = signal();
        const values = track().values;
        const newest = values.length ? format.value(values.at(-1), unit) : s.value ?? "unknown";
        const verdict = track().verdicts.at(-1) ?? s.verdict;
        element.replaceChildren(
          make("h3", {}, name), " ", make("span", { class: "value" }, newest), " ", badge(verdict), " ",
          make("span", { class: "quiet" }, s.thresholds.map((t) => `${t.rule}: ${t.text}`).join("; ")),
        );
      },
    };
  }

  replicaParts() {
    const stepped = uPlot.paths.stepped({ align: 1 });
    const step = (stroke, more) => ({ stroke: () => paint(stroke), width: 2, paths: stepped, points: { show: false }, ...more });
    const rehearses = this.policy.mode === "DryRun";
    const track = () => this.policy.track;
    return {
      series: [
        step("ready", { width: 5 }),
        step("ink"),
        ...(rehearses ? [step("scale", { dash: [6, 4] })] : []),
      ],
      data: () => [track().ready, track().replicas, ...(rehearses ? [track().rehearsed] : [])],
      label: (v) => (Number.isInteger(v) ? String(v) : ""),
      range: (_, high) => [0, Math.max(4, (high ?? 0) * 1.35)],
      bands: () => track().phase.map((p) => [phases.has(p) ? "band-release" : undefined, p]),
      lines: () => [],
      caption: (element) => {
        const last = track().at.length - 1;
        const told = last < this.recorded ? "" : `${track().replicas[last]}, ${track().ready[last]} ready`;
        const other = rehearses && last >= 0 ? `; ${track().rehearsed[last] ?? "–"} in dry run (dashed)` : "";
        element.replaceChildren(
          make("h3", {}, "replicas"), " ", make("span", { class: "value" }, told + other), " ",
          make("span", { class: "quiet" }, `release: ${track().phase.at(-1) ?? this.policy.phase ?? "unknown"}`),
        );
      },
    };
  }

  /** Bands of one kind, each over the time in which it held; and the time of which nothing is known. */
  behind(u, parts) {
    const { ctx, bbox } = u;
    const ratio = devicePixelRatio;
    const x = (t) => Math.round(u.valToPos(t, "x", true));
    const within = (from, to, fill, text, top = false) => {
      const left = Math.max(bbox.left, x(from));
      const right = Math.min(bbox.left + bbox.width, x(to));
      if (right <= left || !fill) return;
      ctx.fillStyle = paint(fill);
      ctx.fillRect(left, bbox.top, right - left, bbox.height);
      if (!text) return;
      ctx.font = `${11 * ratio}px system-ui`;
      if (ctx.measureText(text).width + 8 * ratio > right - left) return;
      ctx.fillStyle = paint("quiet");
      ctx.textAlign = "left";
      ctx.textBaseline = top ? "top" : "bottom";
      ctx.fillText(text, left + 4 * ratio, top ? bbox.top + 3 * ratio : bbox.top + bbox.height - 3 * ratio);
    };
    ctx.save();
    const { at, began } = this.policy.track;
    const text = parts.lines().length ? "" : "no data";
    if (this.recorded) within(at[0], this.ends[this.recorded - 1], "band-unrecorded");
    if (began !== null) within(this.range[0], at[0] ?? this.range[1], "band-unrecorded", text, true);
    const kinds = parts.bands();
    for (let i = 0; i < at.length; ) {
      let j = i;
      while (j + 1 < at.length && kinds[j + 1].join() === kinds[i].join() && this.ends[j] >= at[j + 1]) j++;
      within(at[i], this.ends[j], ...kinds[i]);
      i = j + 1;
    }
    ctx.restore();
  }

  /** Thresholds, and what was decided or began anew. Rehearsed decisions are dashed, with a hollow sign. */
  above(u, parts) {
    const { ctx, bbox } = u;
    const ratio = devicePixelRatio;
    ctx.save();
    ctx.font = `${11 * ratio}px system-ui`;
    for (const threshold of parts.lines()) {
      const y = Math.round(u.valToPos(threshold.value, "y", true));
      ctx.strokeStyle = ctx.fillStyle = paint("threshold");
      ctx.lineWidth = 1.5 * ratio;
      ctx.setLineDash([2 * ratio, 3 * ratio]);
      ctx.beginPath();
      ctx.moveTo(bbox.left, y);
      ctx.lineTo(bbox.left + bbox.width, y);
      ctx.stroke();
      ctx.textAlign = "left";
      ctx.textBaseline = "bottom";
      ctx.setLineDash([]);
      ctx.strokeStyle = paint("paper");
      ctx.lineWidth = 3 * ratio;
      ctx.strokeText(threshold.text, bbox.left + 4 * ratio, y - 2 * ratio);
      ctx.fillText(threshold.text, bbox.left + 4 * ratio, y - 2 * ratio);
    }
    const line = (at, color, dash, width, sign, hollow) => {
      if (at < this.range[0] || at > this.range[1]) return;
      const x = Math.round(u.valToPos(at, "x", true));
      ctx.strokeStyle = ctx.fillStyle = paint(color);
      ctx.lineWidth = width * ratio;
      ctx.setLineDash(dash.map((d) => d * ratio));
      ctx.beginPath();
      ctx.moveTo(x, bbox.top);
      ctx.lineTo(x, bbox.top + bbox.height);
      ctx.stroke();
      if (!sign) return;
      ctx.setLineDash([]);
      triangle(ctx, x, bbox.top + 6 * ratio, 5 * ratio, sign);
      if (hollow) {
        const fill = ctx.fillStyle;
        ctx.fillStyle = paint("paper");
        ctx.fill();
        ctx.fillStyle = fill;
        ctx.stroke();
      } else ctx.fill();
    };
    for (const mark of this.policy.track.marks) line(mark.at, "quiet", [1, 3], 1.5);
    for (const decision of this.policy.decisions) {
      const kind = kindOf(decision.action);
      line(Date.parse(decision.at) / 1000, kind.paint, decision.dryRun ? [5, 4] : [], decision.dryRun ? 1.5 : 2, kind.sign, decision.dryRun);
    }
    ctx.restore();
  }

  pointed(u) {
    if (u.cursor.idx === null || u.cursor.idx === undefined) return;
    this.tell(u.data[0][u.cursor.idx]);
  }

  /** What was measured at a moment, as a line of text. */
  tell(moment) {
    const { track, signals } = this.policy;
    let i = track.at.findLastIndex((t) => t <= moment + 0.01);
    if (i < 0) i = 0;
    if (i >= track.at.length) return;
    this.index = i;
    const parts = signals.map((s) => {
      const found = track.signals[s.name];
      return found ? `${s.name} ${format.value(found.values[i], s.unit)} ${found.verdicts[i]}`.trim() : "";
    });
    const rehearsed = track.rehearsed[i] === null ? "" : `, ${track.rehearsed[i]} in dry run`;
    if (track.replicas[i] !== null) parts.push(`${track.replicas[i]} replicas, ${track.ready[i] ?? "–"} ready${rehearsed}`);
    parts.push(i < this.recorded ? "from the metric source" : track.phase[i]);
    this.readout.textContent = `${timeOfDay(track.at[i])} · ${parts.filter(Boolean).join(" · ")}`;
  }

  /** Left and right, home and end move over the points, in all charts at once. */
  key(event) {
    const last = this.policy.track.at.length - 1;
    const from = Math.min(this.index ?? last + 1, last + 1);
    const to = { ArrowLeft: from - 1, ArrowRight: from + 1, Home: 0, End: last }[event.key];
    if (to === undefined || last < 0) return;
    event.preventDefault();
    this.readout.setAttribute("aria-live", "polite");
    const index = Math.max(0, Math.min(last, to));
    for (const { chart } of this.plots) {
      chart.setCursor({ left: chart.valToPos(this.policy.track.at[index], "x"), top: 10 }, false);
    }
    this.tell(this.policy.track.at[index]);
  }

  resize() {
    const width = Math.max(200, this.container.clientWidth);
    for (const { chart } of this.plots) if (chart.width !== width) chart.setSize({ width, height: HEIGHT });
  }
}
