/**
 * <ticket-counter ticket="GUID">: how many tickets are left, live, on any page.
 *
 * In: counters, over one WebSocket per page. Out: a sentence that is true now, or the element's own content.
 *
 * @typedef {{ state: string, unsold: number?, prices: { amount: string, currency: string }[], shared: boolean,
 *   name: string?, sale: { start: string?, zone: string? } }} Counter
 */

// In ms.
const SILENCE = 60_000; // after which counters are withdrawn
const HIDDEN = 60_000; // after which a hidden page disconnects
const BEAT = 30_000; // between heartbeats
const SETTLED = 5_000; // after which a socket resets the back-off
const GATHER = 50; // in which changes of elements are batched
const [SOON, LATEST] = [500, 30_000]; // back-off
const QUIET = 30_000; // between texts for screen readers
const SPOKEN = 10_000; // after which they are removed

const TICKETS = 50; // in one request
const GUID = /^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/;

/** By state; `_here` is stock at one price. */
const TEXTS = {
  open: "Available.",
  available: "{n} left.",
  available_here: "{n} left at this price.",
  low: "Only {n} left.",
  low_here: "Only {n} left at this price.",
  sold_out: "Sold out.",
  scheduled: "On sale from {when}.",
  soon: "Not on sale yet.",
  closed: "Registration is closed.",
  ended: "Sale ended.",
  free: "Free",
  from: "from {price}",
};

const STYLE = new CSSStyleSheet();
STYLE.replaceSync(`
  :host { font-variant-numeric: tabular-nums }
  :host([hidden]), [hidden], [part]:empty { display: none }
  [part] { unicode-bidi: isolate }
  [part=name]::after, [part=price]::after { content: " " }
  [role] { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap }`);

/** This script's origin; a module finds it only in its stack. */
const HOME = /https?:\S*?(?=\/widget\/v1\/ticket-counter)/.exec(
  [new Error().stack, ...Array.from(document.scripts, ({ src }) => src)].join(" "),
)?.[0];

const warn = (text) => console.warn(`<ticket-counter>: ${text}`);

const attempt = (one, other) => {
  try {
    return one();
  } catch {
    return other();
  }
};

/** The claim, if any, and the price. @returns {[string, string]} */
const words = (/** @type {Counter} */ { state, unsold, prices, shared, sale }, lang) => {
  const locale = attempt(() => Intl.getCanonicalLocales(lang)[0], () => "en");
  const when = (timeZone) =>
    new Date(sale.start).toLocaleString("en", {
      day: "numeric", month: "long", year: "numeric", hour: "numeric", minute: "2-digit", timeZoneName: "short", timeZone,
    });
  let key = state;
  if (state === "available" && unsold === null) key = "open";
  else if (state === "scheduled" && !sale.start) key = "soon";
  else if (!shared && prices.length === 1) key += "_here";
  const claim = (TEXTS[key] ?? TEXTS[state] ?? "")
    .replace("{n}", () => unsold.toLocaleString(locale))
    .replace("{when}", () => attempt(() => when(sale.zone ?? undefined), () => when("UTC")));

  if (!prices.length) return [claim, ""];
  const [{ amount, currency }, ...others] = [...prices].sort((one, other) => +one.amount - +other.amount);
  const money = attempt(
    () => new Intl.NumberFormat(locale, { style: "currency", currency }).format(/** @type {any} */ (amount)),
    () => amount,
  );
  // One shared price: the buyer pays at least that.
  if (others.length ? others.some((other) => other.amount !== amount) : shared)
    return [claim, TEXTS.from.replace("{price}", () => money)];
  return [claim, +amount ? money : TEXTS.free];
};

let asleep = false;

/** A socket for up to 50 tickets, and the last frame of each. */
class Connection {
  static all = new Set();

  /** Subscribe; returns the function to unsubscribe. */
  static join(address, ticket, listener) {
    const fits = (connection) =>
      connection.#address === address && (connection.#listeners.has(ticket) || connection.#listeners.size < TICKETS);
    const connection = [...Connection.all].find(fits) ?? new Connection(address);
    const listeners = connection.#listeners.get(ticket) ?? new Set();
    connection.#listeners.set(ticket, listeners.add(listener));
    if (connection.#frames.has(ticket)) listener(connection.#frames.get(ticket));
    connection.#timer ||= connection.#plan(GATHER);
    return () => {
      if (listeners.delete(listener) && !listeners.size) connection.#listeners.delete(ticket);
      connection.#timer ||= connection.#plan(GATHER);
    };
  }

  #address;
  /** @type {Map<string, Set<(text: string) => void>>} */
  #listeners = new Map();
  /** @type {Map<string, string>} */
  #frames = new Map();
  /** Tickets without a frame from this socket. */
  #missing = new Set();
  #socket;
  /** Its successor, until its first frame. */
  #next;
  /** The newest socket's tickets. */
  #query = "";
  #began = 0;
  #heard = 0;
  #failures = 0;
  #timer = 0;

  constructor(address) {
    this.#address = address;
    Connection.all.add(this);
  }

  #plan(ms) {
    return setTimeout(() => this.sync(), ms);
  }

  /** Connect if the set of tickets has changed. */
  sync(force = false) {
    clearTimeout(this.#timer);
    this.#timer = 0;
    for (const ticket of this.#frames.keys())
      if (!this.#listeners.has(ticket) && this.#frames.delete(ticket)) this.#missing.delete(ticket);
    const query = [...this.#listeners.keys()].sort().map((ticket) => `ticket=${ticket}`).join("&");
    if (!query) {
      this.disconnect();
      Connection.all.delete(this);
      // The same tickets without a socket: it was refused.
    } else if (!asleep && (query !== this.#query || (force && this.#live))) this.#open(query);
  }

  get #live() {
    return this.#next ?? this.#socket;
  }

  wake(force) {
    this.watch();
    this.sync(force || Date.now() - Math.max(this.#heard, this.#began) > BEAT);
  }

  disconnect() {
    clearTimeout(this.#timer);
    this.#timer = 0;
    if (this.#live) this.#query = "";
    this.#drop(this.#socket);
    this.#drop(this.#next);
    this.#socket = this.#next = undefined;
  }

  #open(query) {
    this.#drop(this.#next);
    this.#query = query;
    this.#began = Date.now();
    const socket = (this.#next = attempt(() => new WebSocket(this.#address + query), () => undefined));
    if (!socket) return warn(`cannot connect to ${this.#address}`);
    let firstFrame = Infinity;
    let again;
    socket.onmessage = ({ data }) => {
      this.#heard = Date.now();
      if (socket === this.#next) {
        // Now only the new socket counts: two never alternate.
        this.#drop(this.#socket);
        this.#socket = socket;
        this.#next = undefined;
        this.#missing = new Set(this.#frames.keys());
        firstFrame = this.#heard;
      }
      const { ticket, bye } = JSON.parse(data);
      if (ticket) this.#show(ticket, data);
      else if (bye) again = bye.retry_ms;
    };
    socket.onclose = ({ code, reason }) => {
      if (socket === this.#socket) this.#socket = undefined;
      else this.#next = undefined;
      if (this.#next) return;
      if (code >= 4500 && code < 5000) {
        if (!this.#socket) this.#withdraw(this.#frames.keys());
        return warn(`${code} ${reason}: correct ticket and site, or the server's ORIGINS`);
      }
      this.#query = "";
      if (Date.now() - firstFrame >= SETTLED) this.#failures = 0;
      const [low, high] = again ?? [SOON, SOON + Math.min(LATEST, 1000 * 2 ** this.#failures++)];
      clearTimeout(this.#timer);
      this.#timer = this.#plan(low + Math.random() * (high - low));
    };
  }

  #drop(socket) {
    if (!socket) return;
    socket.onmessage = socket.onclose = null;
    // Closing it before it is open would log an error.
    if (socket.readyState) socket.close();
    else socket.onopen = () => socket.close();
  }

  /** The last frame counts, whatever its `v`. */
  #show(ticket, text) {
    this.#missing.delete(ticket);
    if (!this.#listeners.has(ticket)) return;
    this.#frames.set(ticket, text);
    for (const listener of this.#listeners.get(ticket)) listener(text);
  }

  #withdraw(tickets) {
    for (const ticket of tickets) {
      const counter = JSON.parse(this.#frames.get(ticket));
      this.#show(ticket, JSON.stringify({ ...counter, state: "unknown", unsold: null, prices: [] }));
    }
  }

  /** Withdraw unverified counters, replace a silent socket. */
  watch() {
    const old = (since) => Math.abs(Date.now() - since) >= SILENCE;
    if (old(this.#heard)) this.#withdraw(this.#frames.keys());
    // Heartbeats do not verify tickets without a frame.
    else if (!this.#next && old(this.#began)) this.#withdraw(this.#missing);
    if (this.#next ? old(this.#began) : this.#socket && old(this.#heard)) this.sync(true);
  }
}

const sleep = () => {
  asleep = true;
  for (const connection of Connection.all) connection.disconnect();
};
const wake = (force) => {
  asleep = false;
  for (const connection of Connection.all) connection.wake(force);
};
setInterval(() => Connection.all.forEach((connection) => connection.watch()), 1_000);
let hideTimer = 0;
const onVisibility = () => {
  clearTimeout(hideTimer);
  if (document.hidden) hideTimer = setTimeout(sleep, HIDDEN);
  else wake(false);
};
document.addEventListener("visibilitychange", onVisibility);
// The back button restores pages, not sockets.
addEventListener("pagehide", sleep);
addEventListener("pageshow", () => wake(false));
addEventListener("online", () => wake(true));
onVisibility();

class TicketCounterEvent extends Event {
  constructor(/** @type {Counter} */ counter) {
    super("ticket-counter", { bubbles: true, composed: true });
    this.counter = counter;
  }
}

const element = (tag, attribute, value) => {
  const made = document.createElement(tag);
  made.setAttribute(attribute, value);
  return made;
};

class TicketCounter extends HTMLElement {
  static observedAttributes = ["ticket", "event", "site", "server", "lang", "option", "show-name", "show-price", "show-link", "eager", "tc-debug"];

  #slot = document.createElement("slot");
  #name = element("span", "part", "name");
  #price = element("span", "part", "price");
  #text = element("span", "part", "text");
  #status = element("span", "role", "status");
  /** @type {Counter | null} */
  #counter = null;
  #frame = "";
  #key;
  #unsubscribe;
  #pending = false;
  #announced = "";
  #announcedAt = 0;
  #announceTimer = 0;

  constructor() {
    super();
    const root = this.attachShadow({ mode: "open" });
    root.adoptedStyleSheets = [STYLE];
    root.append(this.#slot, this.#name, this.#price, this.#text, this.#status);
  }

  get counter() {
    return this.#counter;
  }

  connectedCallback() {
    this.#update();
  }

  disconnectedCallback() {
    this.#update();
  }

  attributeChangedCallback() {
    this.#update();
  }

  /** Apply all changes at once: a moved element stays subscribed. */
  #update() {
    if (this.#pending) return;
    this.#pending = true;
    queueMicrotask(() => {
      this.#pending = false;
      const ticket = this.isConnected && this.#id("ticket");
      const address = ticket && this.#address();
      const key = address && address + ticket;
      if (key !== this.#key) {
        this.#unsubscribe?.();
        this.#key = key;
        this.#counter = null;
        this.#frame = this.#announced = "";
        this.#unsubscribe = address ? Connection.join(address, ticket, (text) => this.#receive(text)) : undefined;
      }
      this.#render();
    });
  }

  #id(name) {
    const id = this.getAttribute(name)?.trim().toLowerCase();
    if (!id || GUID.test(id)) return id;
    warn(`${name}="${id}" is not a GUID`);
  }

  #address() {
    const server = this.getAttribute("server") ?? HOME;
    const site = this.#id("site");
    return attempt(
      () => {
        const { href } = new URL(server.replace(/\/*$/, "/v1/counters?"), document.baseURI);
        return href.replace("http", "ws") + (site ? `site=${site}&` : "");
      },
      () => warn(`server="${server}" is not an address`),
    );
  }

  #receive(text) {
    if (text === this.#frame) return;
    this.#frame = text;
    this.#counter = JSON.parse(text);
    this.#render();
    this.dispatchEvent(new TicketCounterEvent(this.#counter));
  }

  #render() {
    const counter = this.#counter;
    const lang = this.closest("[lang]")?.getAttribute("lang") || navigator.language;
    const [claim, price] = counter ? words(counter, lang) : ["", ""];
    const state = counter?.state ?? "";
    const part = (name, text) => (claim && this.hasAttribute(`show-${name}`) && text) || "";
    this.#write(this.#name, part("name", counter?.name));
    this.#write(this.#price, part("price", price));
    if (this.#write(this.#text, claim)) this.#announce(claim, state);
    if (this.#slot.hidden !== !!claim) this.#slot.hidden = !!claim;
    if (!state) delete this.dataset.state;
    else if (this.dataset.state !== state) this.dataset.state = state;
  }

  /** Set the text if it differs. */
  #write(node, text) {
    if (node.textContent === text) return false;
    node.textContent = text;
    return true;
  }

  /** Tell screen readers a new state; the first is read with the page. */
  #announce(claim, state) {
    clearTimeout(this.#announceTimer);
    this.#write(this.#status, "");
    if (!claim || state === this.#announced) return;
    if (!this.#announced) this.#announced = state;
    else
      this.#announceTimer = setTimeout(() => {
        this.#announced = state;
        this.#announcedAt = Date.now();
        this.#write(this.#status, claim);
        this.#announceTimer = setTimeout(() => this.#write(this.#status, ""), SPOKEN);
      }, this.#announcedAt + QUIET - Date.now());
  }
}

customElements.define("ticket-counter", TicketCounter);
