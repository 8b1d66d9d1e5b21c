// The list of all policies: searched, counted and paged by the operator.
import { address, age, badge, change, follow, make, note } from "./page.js";

const $ = (id) => document.getElementById(id);
const asked = new URLSearchParams(location.search);
let search = { q: asked.get("q") ?? "", state: asked.get("state") ?? "", page: Number(asked.get("page")) || 1 };
let end = () => {};
let waiting = 0;

function query() {
  const found = new URLSearchParams();
  if (search.q) found.set("q", search.q);
  if (search.state) found.set("state", search.state);
  if (search.page > 1) found.set("page", search.page);
  return found;
}

function look(changes) {
  search = { ...search, page: 1, ...changes };
  const text = query().toString();
  history.replaceState(null, "", text ? `?${text}` : location.pathname);
  end();
  end = follow("policies", text, show);
}

function cell(label, ...children) {
  return make("td", { role: "cell", "data-label": label }, ...children);
}

function signal(s) {
  const plain = `${s.name} ${s.value ?? s.reason ?? "unknown"}`;
  return make("li", {}, make("span", { class: "plain" }, plain), s.verdict === "Ok" ? "" : badge(s.verdict));
}

function decision(d) {
  if (!d) return "";
  const when = make("time", { datetime: d.at, class: "quiet" }, `${age((Date.now() - Date.parse(d.at)) / 1000)} ago`);
  return make(
    "span",
    { class: d.dryRun ? "decision rehearsed" : "decision" },
    `${d.action} ${change(d)} `,
    d.dryRun ? make("span", { class: "tag" }, "dry run") : "",
    " ",
    when,
  );
}

function row(policy) {
  const name = make("a", { href: address(policy), id: `${policy.namespace}/${policy.name}` });
  name.append(make("span", { class: "quiet" }, `${policy.namespace}/`), policy.name);
  return make(
    "tr",
    { role: "row", class: policy.acting ? null : "watched" },
    make("th", { role: "rowheader", scope: "row" }, name, policy.mode === "Enforce" ? "" : tag(policy.mode)),
    cell("State", make("div", {}, badge(policy.state, policy.level)), make("div", { class: "quiet small" }, policy.why)),
    cell("Target", ...breakable(policy.target)),
    cell("Pods", policy.replicas === undefined ? "–" : String(policy.replicas)),
    cell("Release", policy.phase ?? "–"),
    cell("Signals", policy.signals.length ? make("ul", { class: "signals" }, ...policy.signals.map(signal)) : "–"),
    cell("Last decision", decision(policy.lastDecision) || "–"),
  );
}

/** A target like Deployment/checkout, which may be broken after the kind rather than within a word. */
function breakable(target) {
  const [kind, ...name] = target.split("/");
  return name.length ? [`${kind}/`, make("wbr"), name.join("/")] : [target];
}

function tag(mode) {
  return mode === "DryRun" ? make("span", { class: "tag" }, "dry run") : mode ? make("span", { class: "tag" }, mode) : "";
}

function chip(state) {
  const pressed = state.state === search.state;
  const button = make(
    "button",
    { type: "button", class: `chip ${state.level}`, "aria-pressed": String(pressed), id: `state ${state.state}` },
    `${state.state} `,
    make("strong", {}, state.count.toLocaleString("en")),
  );
  button.addEventListener("click", () => look({ state: pressed ? "" : state.state }));
  return button;
}

/** Replace children, and leave the focus on what it was on. */
function replace(element, children) {
  const focused = element.contains(document.activeElement) ? document.activeElement.id : "";
  element.replaceChildren(...children);
  if (focused) $(focused)?.focus({ preventScroll: true });
}

function show(found) {
  const states = [...found.states];
  if (search.state && !states.some((s) => s.state === search.state)) {
    states.push({ state: search.state, level: "note", count: 0 });
  }
  replace($("states"), states.map(chip));
  const empty = found.all ? "No policy matches." : "There are no policies yet. The quick start has one to apply.";
  const rows = found.policies.map(row);
  replace($("rows"), rows.length ? rows : [make("tr", { role: "row" }, make("td", { role: "cell", colspan: 7 }, empty))]);
  const n = (count) => count.toLocaleString("en");
  $("count").textContent =
    found.total === found.all ? `${n(found.all)}, worst first` : `${n(found.total)} of ${n(found.all)}, worst first`;
  $("page").textContent = found.pages > 1 ? `${n(found.first)} to ${n(found.first + rows.length - 1)} of ${n(found.total)}` : "";
  document.querySelector(".pages").hidden = found.pages < 2;
  search.page = found.page;
  $("previous").disabled = found.page <= 1;
  $("next").disabled = found.page >= found.pages;
  const idle = found.policies.filter((p) => !p.acting).length;
  note(
    $("standby"),
    !idle
      ? ""
      : idle === rows.length
        ? "This replica is on standby: another replica acts on these policies. This page shows the status that it wrote."
        : "Another replica acts on the policies in italics. This page shows the status that it wrote.",
  );
}

$("q").value = search.q;
$("q").addEventListener("input", () => {
  clearTimeout(waiting);
  waiting = setTimeout(() => look({ q: $("q").value.trim() }), 200);
});
$("search").addEventListener("submit", (event) => {
  event.preventDefault();
  look({ q: $("q").value.trim() });
});
$("previous").addEventListener("click", () => look({ page: search.page - 1 }));
$("next").addEventListener("click", () => look({ page: search.page + 1 }));
look({ page: search.page });
