/**
 * The page /tell-me: shows the tickets of an event, and has this browser, or an e-mail address, told when they go on sale.
 *
 * In: what page.py wrote into <main> and the templates, and /v1/counters. Out: requests to /tell-me/subscribe, confirm, unsubscribe and
 * sign-up. Which events this browser wants to hear of is remembered in it, so that all are subscribed to again with a new key.
 */
"use strict";

const READ_EVERY = 30_000; // ms
const WAIT_EVERY = 5_000; // ms, until the first push has come
const MOST_WAITS = 24;
const REMEMBERED = "tell-me";
const MOST_REMEMBERED = 50;

const main = document.querySelector("main");
const { root, query, counters, key } = main.dataset;
const lang = document.documentElement.lang;
const element = (id) => document.getElementById(id);
const sentence = (name) => element(`text-${name}`)?.content.textContent ?? "";

const post = async (path, content, topic = query) => {
  try {
    const answer = await fetch(`${root}/tell-me/${path}?${topic}`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(content),
    });
    return { status: answer.status, ...(await answer.json().catch(() => ({}))) };
  } catch {
    return { status: 0 };
  }
};

// -- tickets --

const words = ({ state, unsold, sale }) => {
  if (state === "available" && unsold !== null) return sentence("left").replace("{n}", () => unsold.toLocaleString(lang));
  if (state === "low") return sentence("low").replace("{n}", () => unsold.toLocaleString(lang));
  if (state === "scheduled") {
    if (!sale.start) return sentence("soon");
    const form = {
      day: "numeric", month: "long", year: "numeric", hour: "numeric", minute: "2-digit", timeZoneName: "short",
    };
    const when = (zone) => new Date(sale.start).toLocaleString(lang, { ...form, timeZone: zone });
    let text;
    try {
      text = when(sale.zone ?? undefined);
    } catch {
      text = when("UTC");
    }
    return sentence("scheduled").replace("{when}", () => text);
  }
  return sentence(state === "unknown" ? "unreadable" : state);
};

const line = (counter) => {
  const item = document.createElement("li");
  item.dataset.state = counter.state;
  const name = document.createElement("bdi");
  name.className = "name";
  name.textContent = counter.name ?? "";
  const state = document.createElement("span");
  state.className = "state";
  state.textContent = words(counter);
  item.append(name, " ", state);
  if (["available", "low"].includes(counter.state) && /^https?:\/\//.test(counter.buy ?? "")) {
    const link = document.createElement("a");
    link.href = counter.buy;
    link.textContent = sentence("buy");
    if (counter.name) link.setAttribute("aria-label", `${sentence("buy")}: ${counter.name}`);
    item.append(" ", link);
  }
  return item;
};

let shown = "";

const readTickets = async () => {
  let found;
  try {
    const answer = await fetch(`${root}/v1/counters?${counters}`, { headers: { Accept: "application/json" }, cache: "no-store" });
    found = (await answer.json()).counters;
  } catch {
    found = undefined;
  }
  const [list, reading] = [element("list"), element("reading")];
  const text = JSON.stringify(found ?? null);
  if (text === shown) return;
  shown = text;
  const known = found?.filter(({ state }) => state !== "unknown") ?? [];
  list.replaceChildren(...known.map(line));
  list.hidden = !known.length;
  reading.hidden = known.length > 0;
  reading.textContent = found && !found.length ? sentence("gone") : sentence("unreadable");
};

// -- push --

const push = element("push");
/** @type {ServiceWorkerRegistration} */
let registration;
let waits = 0;

const remembered = () => {
  try {
    const found = JSON.parse(localStorage.getItem(REMEMBERED) ?? "[]");
    return Array.isArray(found) ? found.filter((one) => typeof one === "string") : [];
  } catch {
    return [];
  }
};

const remember = (topic, on) => {
  const others = remembered().filter((one) => one !== topic);
  try {
    localStorage.setItem(REMEMBERED, JSON.stringify((on ? [...others, topic] : others).slice(-MOST_REMEMBERED)));
  } catch {
    // Without storage the state is lost with the page; the subscription is not.
  }
};

/** Show a state, with the button that changes it. */
const showState = (name, { on = false, off = false } = {}) => {
  element("push-state").textContent = name ? sentence(name) : "";
  element("push-state").dataset.state = name;
  element("push-lead").hidden = off;
  const [subscribe, unsubscribe] = [element("subscribe"), element("unsubscribe")];
  // A button that is hidden while it has the focus loses it.
  const focused = [subscribe, unsubscribe].includes(document.activeElement);
  subscribe.hidden = !on;
  unsubscribe.hidden = !off;
  if (focused) (off ? unsubscribe : on ? subscribe : null)?.focus();
};

const bytes = (base64url) =>
  Uint8Array.from(atob(base64url.replaceAll("-", "+").replaceAll("_", "/")), (sign) => sign.charCodeAt(0));

const hasOurKey = (subscription) => {
  const its = subscription.options?.applicationServerKey;
  const our = bytes(key);
  return !its || (its.byteLength === our.length && new Uint8Array(its).every((byte, at) => byte === our[at]));
};

const register = async () => {
  const scope = `${root}/tell-me`;
  registration ??= await navigator.serviceWorker.register(`${scope}/service_worker.js`, { scope, updateViaCache: "none" });
};

/** The browser's subscription, made anew where it has another key of ours, with all events that it was for. */
const subscribed = async () => {
  await register();
  const old = await registration.pushManager.getSubscription();
  if (old && hasOurKey(old)) return old;
  if (old) await old.unsubscribe();
  const found = await registration.pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: bytes(key) });
  if (old)
    for (const topic of remembered()) {
      await post("unsubscribe", { endpoint: old.endpoint }, topic);
      if (topic !== query) await send(found, topic);
    }
  return found;
};

const send = (subscription, topic = query) =>
  post("subscribe", { subscription: subscription.toJSON(), key, language: navigator.language }, topic);

/** Tell the server of the subscription, which costs nothing if it knows it, and show what it says. */
const report = async (subscription) => {
  const { status, state } = await send(subscription);
  if (status === 200) {
    remember(query, true);
    showState(state, { off: true });
    if (state === "waiting" && waits++ < MOST_WAITS) setTimeout(() => report(subscription), WAIT_EVERY);
    return;
  }
  if (status === 404 || status === 429) remember(query, false);
  const name = { 400: "refused", 429: "asked" }[status] ?? "busy";
  showState(name, { on: true });
};

const start = async () => {
  showState("asking");
  if ((await Notification.requestPermission()) !== "granted") {
    showState(Notification.permission === "denied" ? "denied" : "", { on: Notification.permission !== "denied" });
    return;
  }
  waits = 0;
  try {
    await report(await subscribed());
  } catch {
    showState("busy", { on: true });
  }
};

const stop = async () => {
  await register();
  const found = await registration.pushManager.getSubscription();
  if (found) {
    const { status } = await post("unsubscribe", { endpoint: found.endpoint });
    if (status !== 200) {
      showState("busy", { off: true });
      return;
    }
  }
  remember(query, false);
  if (found && !remembered().length) await found.unsubscribe();
  showState("left_off", { on: true });
};

const isOnIos = () =>
  /iPhone|iPad|iPod/.test(navigator.userAgent) || (/Macintosh/.test(navigator.userAgent) && navigator.maxTouchPoints > 1);
const isInstalled = () => matchMedia("(display-mode: standalone)").matches || navigator.standalone === true;

const startPush = async () => {
  push.hidden = false;
  if (isOnIos() && !isInstalled()) {
    element("install").hidden = false;
    return;
  }
  if (!("serviceWorker" in navigator && "PushManager" in window && "Notification" in window)) {
    showState("unsupported");
    return;
  }
  element("subscribe").addEventListener("click", start);
  element("unsubscribe").addEventListener("click", stop);
  try {
    await confirmed();
    await register();
    const known = remembered().includes(query) && Notification.permission === "granted";
    if (known) await report(await subscribed());
    else if (Notification.permission === "denied") showState("denied");
    else showState("", { on: true });
  } catch {
    showState("busy", { on: true });
  }
};

/** A click on a first message leads here with its token, if the service worker could not send it. */
const confirmed = async () => {
  const token = new URLSearchParams(location.hash.slice(1)).get("confirm");
  if (!token) return;
  history.replaceState(null, "", location.pathname + location.search);
  if ((await post("confirm", { token })).status === 200) remember(query, true);
};

// -- e-mail --

const startMail = () => {
  element("mail").hidden = false;
  const [form, address, state] = [element("mail-form"), element("address"), element("mail-state")];
  const say = (name, wrong = false) => {
    state.textContent = sentence(name);
    state.dataset.state = name;
    address.setAttribute("aria-invalid", String(wrong));
    if (wrong) address.focus();
  };
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (!address.value.includes("@")) {
      say("bad_address", true);
      return;
    }
    const { status } = await post("sign-up", { address: address.value, language: lang });
    if (status === 400) say("bad_address", true);
    else say({ 200: "signed_up", 429: "mail_crowded" }[status] ?? "busy");
    if (status === 200) form.reset();
  });
};

// -- all of it --

readTickets();
setInterval(() => document.hidden || readTickets(), READ_EVERY);
document.addEventListener("visibilitychange", () => document.hidden || readTickets());
navigator.serviceWorker?.addEventListener("message", async ({ data }) => {
  if (data?.pushed) readTickets();
  if (data?.confirmed && registration && remembered().includes(query)) await report(await subscribed());
});
if (push) startPush();
if (element("mail")) startMail();
