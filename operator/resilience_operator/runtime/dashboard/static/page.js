// What both pages need: elements made of text alone, times, and news from the operator.

/** An element. What comes from the cluster only ever becomes text or an attribute, never markup. */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined && child !== ""));
  return element;
}

/** Show a text in an element, or hide it. */
export function note(element, text) {
  element.hidden = !text;
  if (element.textContent !== text) element.textContent = text;
}

/** `45s`, `3m`, `5h`, `12d`. */
export function age(seconds) {
  const s = Math.max(0, seconds);
  if (s < 90) return `${Math.round(s)}s`;
  if (s < 5400) return `${Math.round(s / 60)}m`;
  return s < 172800 ? `${Math.round(s / 3600)}h` : `${Math.round(s / 86400)}d`;
}

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });

/** The time of day, of seconds since the epoch. */
export function timeOfDay(at) {
  return clock.format(at * 1000);
}

const verdictLevels = { Ok: "good", Pending: "warning", Breach: "bad", Unknown: "unknown" };

/** A state or a verdict. Its word always stands beside its colour. */
export function badge(word, level) {
  return make("span", { class: `badge ${level ?? verdictLevels[word] ?? "note"}` }, word);
}

export function change(decision) {
  return [...new Set([decision.from, decision.to].filter((part) => part !== undefined))].join(" → ");
}

/** The address of a policy's page. */
export function address(policy) {
  return `policy?${new URLSearchParams({ namespace: policy.namespace, name: policy.name })}`;
}

const POLL = 15000;

/**
 * Call `show` with what `what` (policies or policy) answers to `query`, now and whenever it changes; returns a function
 * that ends it. Where the stream is refused or breaks it asks now and then. The page says how it stands. A page that
 * nobody sees asks for nothing.
 */
export function follow(what, query, show) {
  const status = document.getElementById("live");
  let source = null;
  let timer = 0;
  let ended = false;
  let last = 0;

  function tell(text, stale = false) {
    if (status.textContent !== text) status.textContent = text;
    document.body.classList.toggle("stale", stale);
  }

  function take(document) {
    last = Date.now() / 1000;
    show(document);
  }

  function listen() {
    stop();
    source = new EventSource(`events/${what}?${query}`);
    source.onmessage = (message) => {
      tell("Live");
      take(JSON.parse(message.data));
    };
    source.onerror = () => {
      source.close();
      if (!ended) ask();
    };
  }

  async function ask() {
    try {
      const answer = await fetch(`api/${what}?${query}`);
      if (ended) return;
      if (!answer.ok && answer.status !== 404) throw new Error(answer.statusText);
      const found = await answer.json();
      if (ended) return;
      tell(`Updated every ${POLL / 1000} s`);
      take(found);
    } catch {
      if (ended) return;
      tell(last ? `Disconnected: data of ${timeOfDay(last)}` : "Disconnected", true);
    }
    if (!document.hidden) timer = setTimeout(listen, POLL);
  }

  function stop() {
    clearTimeout(timer);
    source?.close();
  }

  function seen() {
    if (document.hidden) stop();
    else listen();
  }

  document.addEventListener("visibilitychange", seen);
  if (!document.hidden) listen();
  return () => {
    ended = true;
    stop();
    document.removeEventListener("visibilitychange", seen);
  };
}
