// One policy: a summary, charts, and its decisions.
import { Charts, kindOf } from "./charts.js";
import * as format from "./format.js";
import { age, badge, change, follow, make, note, timeOfDay } from "./page.js";

const $ = (id) => document.getElementById(id);
const asked = new URLSearchParams(location.search);
const namespace = asked.get("namespace") ?? "";
const name = asked.get("name") ?? "";
const charts = new Charts($("charts"), $("point"));
let policy = null;
let told = "";

const sentence = (text) => (/[.?]$/.test(text) ? text : `${text}.`);
const sentences = (list) => list.map((text) => make("p", {}, sentence(text)));

function rule(r) {
  return make(
    "article",
    { class: "rule" },
    make("h3", {}, r.name, " ", badge(r.verdict)),
    make("p", { class: "quiet" }, `On ${r.actsWhen}: ${r.does}.`),
    ...sentences([...r.readings, ...r.then]),
  );
}

function words(e) {
  const section = (title, list) => (list.length ? [make("h3", {}, title), ...sentences(list)] : []);
  return [
    ...section("Blockers", e.blockers),
    ...section("Target", e.target),
    ...e.rules.map(rule),
    ...section("Scale-down", e.scaleDown),
    ...section("Last decision", e.lastDecision ? [e.lastDecision] : []),
  ];
}

function decisions(list) {
  if (!list.length) return make("p", { class: "quiet" }, "No decisions yet.");
  const heads = ["When", "Action", "Change", "Rule", "Why"];
  return make(
    "table",
    { class: "decisions", role: "table" },
    make("caption", { class: "unseen" }, "Decisions, newest first"),
    make("thead", { role: "rowgroup" }, make("tr", { role: "row" }, ...heads.map((h) => make("th", { role: "columnheader", scope: "col" }, h)))),
    make("tbody", { role: "rowgroup" }, ...list.map(decision)),
  );
}

function decision(d) {
  const at = Date.parse(d.at) / 1000;
  const when = make("time", { datetime: d.at }, new Date(at * 1000).toLocaleString(undefined, { hourCycle: "h23" }));
  const cells = [
    [when, make("span", { class: "quiet" }, ` ${age(policy.now - at)} ago`)],
    [make("span", { class: `action ${kindOf(d.action).paint}` }, d.action), " ", d.dryRun ? make("span", { class: "tag" }, "dry run") : ""],
    [change(d) || "–"],
    [d.rule ?? "–"],
    [d.message, d.traceID ? make("span", { class: "quiet" }, ` trace ${d.traceID}`) : ""],
  ];
  const heads = ["When", "Action", "Change", "Rule", "Why"];
  return make(
    "tr",
    { role: "row", class: d.dryRun ? "rehearsed" : null },
    ...cells.map((content, i) => make("td", { role: "cell", "data-label": heads[i] }, ...content)),
  );
}

function table() {
  if (!$("table-details").open || !policy?.track) return;
  const { track, signals } = policy;
  const names = signals.filter((s) => track.signals[s.name]);
  const heads = ["Time", ...names.map((s) => s.name), "Replicas", "Ready", ...(policy.mode === "DryRun" ? ["Dry run"] : []), "Release"];
  const rows = track.at.map((at, i) =>
    make(
      "tr",
      {},
      make("th", { scope: "row" }, timeOfDay(at)),
      ...names.map((s) => {
        const found = track.signals[s.name];
        return make("td", {}, `${format.value(found.values[i], s.unit)} ${found.verdicts[i]}`);
      }),
      make("td", {}, String(track.replicas[i] ?? "–")),
      make("td", {}, String(track.ready[i] ?? "–")),
      policy.mode === "DryRun" ? make("td", {}, track.rehearsed[i] === null ? "–" : String(track.rehearsed[i])) : "",
      make("td", {}, track.phase[i]),
    ),
  );
  $("table").replaceChildren(
    make(
      "table",
      {},
      make("caption", { class: "unseen" }, "Measurements, newest first"),
      make("thead", {}, make("tr", {}, ...heads.map((h) => make("th", { scope: "col" }, h)))),
      make("tbody", {}, ...rows.reverse()),
    ),
  );
}

function key() {
  const item = (className, text) => make("li", {}, make("span", { class: `swatch ${className}`, "aria-hidden": "true" }), text);
  const rehearses = policy.mode === "DryRun" || policy.decisions.some((d) => d.dryRun);
  return [
    item("threshold", "threshold"),
    item("warning", "Pending"),
    item("bad", "Breach"),
    item("unknown", "Unknown"),
    item("release", "release in progress"),
    item("line scale", "decision: pods"),
    item("line bad", "decision: rollback"),
    item("line warning", "decision: pause"),
    item("line begun", "new revision or spec"),
    ...(policy.track.recorded?.count ? [item("recorded", "from the metric source")] : []),
    ...(rehearses ? [item("line scale dashed", "dry run")] : []),
  ];
}

/** Where the points of the charts come from. */
function origin({ began, at, recorded }) {
  const since = timeOfDay(at[recorded?.count ?? 0] ?? began);
  const own = began ? `This process has measurements since ${since}.` : "";
  if (!recorded) return own;
  const source = `metric source “${recorded.source}”`;
  if (recorded.state === "reading") return `${own} Reading earlier values from ${source}…`;
  const read = recorded.count
    ? `Earlier values come from ${source}. They are computed again, so they may differ a little, and have no verdicts and phases.`
    : `${source[0].toUpperCase()}${source.slice(1)} has no earlier values.`;
  return recorded.fault ? `${own} ${recorded.count ? `${read} ` : ""}Not all earlier values could be read: ${sentence(recorded.fault)}` : `${own} ${read}`;
}

function show(found) {
  policy = found;
  $("name").textContent = `${namespace}/${name}`;
  document.title = `${namespace}/${name} · resilience-operator`;
  if (!found) {
    charts.clear();
    for (const id of ["words", "badges", "key", "decisions", "recorded", "point"]) $(id).replaceChildren();
    $("why").textContent = "This policy does not exist, or this operator does not watch its namespace.";
    return;
  }
  document.title = `${found.state} · ${namespace}/${name}`;
  $("badges").replaceChildren(badge(found.state, found.level), " ", make("span", { class: "quiet" }, `${found.target}${found.mode && found.mode !== "Enforce" ? ` · ${found.mode}` : ""}`));
  $("why").textContent = found.why ?? "";
  $("rehearsal").hidden = found.mode !== "DryRun";
  note(
    $("standby"),
    found.acting
      ? ""
      : "This replica is on standby: another replica acts on this policy. This page shows the status that the other replica " +
          "wrote. Charts are available from the acting replica.",
  );
  const text = JSON.stringify([found.explanation, found.decisions]);
  if (text !== told) {
    told = text;
    $("words").replaceChildren(...(found.explanation ? words(found.explanation) : []));
  }
  $("decisions").replaceChildren(decisions(found.decisions));
  if (!found.track) {
    charts.clear();
    $("key").replaceChildren();
    $("point").textContent = "";
    $("recorded").textContent = found.acting ? "This process has no measurements yet." : "";
    $("table-details").hidden = true;
    return;
  }
  $("table-details").hidden = false;
  $("recorded").textContent = origin(found.track);
  $("key").replaceChildren(...key());
  charts.show(found);
  if (!$("point").textContent) $("point").textContent = "Point at a chart, or focus it and use the arrow keys, to read its values.";
  table();
}

$("table-details").addEventListener("toggle", table);

let end = () => {};

/** Follow the policy over so many hours; the address keeps them, so that it can be shared. */
function span(hours) {
  end();
  for (const button of document.querySelectorAll("#spans button")) button.setAttribute("aria-pressed", String(button.value === hours));
  const query = new URLSearchParams({ namespace, name, ...(hours === "1" ? {} : { hours }) });
  history.replaceState(null, "", `?${query}`);
  end = follow("policy", query, show);
}

for (const button of document.querySelectorAll("#spans button")) button.addEventListener("click", () => span(button.value));
span(asked.get("hours") === "6" ? "6" : "1");
