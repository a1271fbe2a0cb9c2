/**
 * <ticket-counter ticket="GUID">: how many tickets are left, live, as a guest in somebody's page.
 *
 * In: whole counters, over one WebSocket a page. Out: a sentence that is true now, or else the element's own content.
 *
 * @typedef {{ state: string, unsold: number?, prices: { amount: string, currency: string }[], shared: boolean,
 *   name: string?, sale: { start: string?, zone: string? } }} Counter
 */
"use strict";

// The block is the scope; a second copy finds the first, and stops.
if (!customElements.get("ticket-counter")) {
  // In ms.
  const SILENCE = 60_000; // after which nothing is known any more
  const HIDDEN = 60_000; // after which an unseen page lets go
  const BEAT = 30_000; // in which a live socket speaks
  const SETTLED = 5_000; // after which a socket makes up for failures
  const GATHER = 50; // in which elements come and go as one
  const [SOON, LATEST] = [500, 30_000];
  const QUIET = 30_000; // between words to screen readers
  const SPOKEN = 10_000; // after which they are taken back

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

  /** Where this script came from: a module can tell only by its stack. */
  const HOME = /https?:\S*?(?=\/widget\/v1\/ticket-counter)/.exec(
    [new Error().stack, ...Array.from(document.scripts, ({ src }) => src)].join(" "),
  )?.[0];

  const warn = (text) => console.warn(`<ticket-counter>: ${text}`);

  const either = (one, other) => {
    try {
      return one();
    } catch {
      return other();
    }
  };

  /** The claim, if any, and the price. @returns {[string, string]} */
  const words = (/** @type {Counter} */ { state, unsold, prices, shared, sale }, lang) => {
    const locale = either(() => Intl.getCanonicalLocales(lang)[0], () => "en");
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
      .replace("{when}", () => either(() => when(sale.zone ?? undefined), () => when("UTC")));

    if (!prices.length) return [claim, ""];
    const [{ amount, currency }, ...others] = [...prices].sort((one, other) => +one.amount - +other.amount);
    const money = either(
      () => new Intl.NumberFormat(locale, { style: "currency", currency }).format(amount),
      () => amount,
    );
    // One price and shared: the buyer names it, from there on.
    if (others.length ? others.some((other) => other.amount !== amount) : shared)
      return [claim, TEXTS.from.replace("{price}", () => money)];
    return [claim, +amount ? money : TEXTS.free];
  };

  let asleep = false;

  /** A socket for up to 50 tickets, and its last word on each. */
  class Feed {
    static all = new Set();

    /** Listen; answers how to stop. */
    static join(address, ticket, hear) {
      const fits = (feed) =>
        feed.#address === address && (feed.#hearers.has(ticket) || feed.#hearers.size < TICKETS);
      const feed = [...Feed.all].find(fits) ?? new Feed(address);
      const hearers = feed.#hearers.get(ticket) ?? new Set();
      feed.#hearers.set(ticket, hearers.add(hear));
      if (feed.#said.has(ticket)) hear(feed.#said.get(ticket));
      feed.#timer ||= feed.#plan(GATHER);
      return () => {
        if (hearers.delete(hear) && !hearers.size) feed.#hearers.delete(ticket);
        feed.#timer ||= feed.#plan(GATHER);
      };
    }

    #address;
    /** @type {Map<string, Set<(text: string) => void>>} */
    #hearers = new Map();
    /** @type {Map<string, string>} */
    #said = new Map();
    /** Tickets that the socket has not spoken of yet. */
    #owed = new Set();
    #socket;
    /** Its successor, until that speaks. */
    #next;
    /** The newest one's tickets. */
    #asked = "";
    #began = 0;
    #heard = 0;
    #failures = 0;
    #timer = 0;

    constructor(address) {
      this.#address = address;
      Feed.all.add(this);
    }

    #plan(ms) {
      return setTimeout(() => this.turn(), ms);
    }

    /** Have a socket for just the wanted tickets. */
    turn(anew = false) {
      clearTimeout(this.#timer);
      this.#timer = 0;
      for (const ticket of this.#said.keys())
        if (!this.#hearers.has(ticket) && this.#said.delete(ticket)) this.#owed.delete(ticket);
      const query = [...this.#hearers.keys()].sort().map((ticket) => `ticket=${ticket}`).join("&");
      if (!query) {
        this.rest();
        Feed.all.delete(this);
        // Asked, and no socket: that was refused.
      } else if (!asleep && (query !== this.#asked || (anew && this.#live))) this.#open(query);
    }

    get #live() {
      return this.#next ?? this.#socket;
    }

    wake(anew) {
      this.watch();
      this.turn(anew || Date.now() - Math.max(this.#heard, this.#began) > BEAT);
    }

    rest() {
      clearTimeout(this.#timer);
      this.#timer = 0;
      if (this.#live) this.#asked = "";
      this.#drop(this.#socket);
      this.#drop(this.#next);
      this.#socket = this.#next = undefined;
    }

    #open(query) {
      this.#drop(this.#next);
      this.#asked = query;
      this.#began = Date.now();
      const socket = (this.#next = either(() => new WebSocket(this.#address + query), () => undefined));
      if (!socket) return warn(`cannot connect to ${this.#address}`);
      let spoke = Infinity;
      let again;
      socket.onmessage = ({ data }) => {
        this.#heard = Date.now();
        if (socket === this.#next) {
          // Now only the new one counts: two servers never take turns.
          this.#drop(this.#socket);
          this.#socket = socket;
          this.#next = undefined;
          this.#owed = new Set(this.#said.keys());
          spoke = this.#heard;
        }
        const { ticket, bye } = JSON.parse(data);
        if (ticket) this.#say(ticket, data);
        else if (bye) again = bye.retry_ms;
      };
      socket.onclose = ({ code, reason }) => {
        if (socket === this.#socket) this.#socket = undefined;
        else this.#next = undefined;
        if (this.#next) return;
        if (code >= 4500 && code < 5000) {
          if (!this.#socket) this.#withdraw(this.#said.keys());
          return warn(`${code} ${reason}: correct ticket and site, or the server's ORIGINS`);
        }
        this.#asked = "";
        if (Date.now() - spoke >= SETTLED) this.#failures = 0;
        const [low, high] = again ?? [SOON, SOON + Math.min(LATEST, 1000 * 2 ** this.#failures++)];
        clearTimeout(this.#timer);
        this.#timer = this.#plan(low + Math.random() * (high - low));
      };
    }

    #drop(socket) {
      if (!socket) return;
      socket.onmessage = socket.onclose = null;
      // Closed before it is open, it would complain in the console.
      if (socket.readyState) socket.close();
      else socket.onopen = () => socket.close();
    }

    /** The last word counts, whatever its `v`. */
    #say(ticket, text) {
      this.#owed.delete(ticket);
      if (!this.#hearers.has(ticket)) return;
      this.#said.set(ticket, text);
      for (const hear of this.#hearers.get(ticket)) hear(text);
    }

    #withdraw(tickets) {
      for (const ticket of tickets) {
        const counter = JSON.parse(this.#said.get(ticket));
        this.#say(ticket, JSON.stringify({ ...counter, state: "unknown", unsold: null, prices: [] }));
      }
    }

    /** Withdraw what nobody vouches for, replace a silent socket. */
    watch() {
      const old = (since) => Math.abs(Date.now() - since) >= SILENCE;
      if (old(this.#heard)) this.#withdraw(this.#said.keys());
      // Heartbeats do not vouch for what was never spoken of.
      else if (!this.#next && old(this.#began)) this.#withdraw(this.#owed);
      if (this.#next ? old(this.#began) : this.#socket && old(this.#heard)) this.turn(true);
    }
  }

  const sleep = () => {
    asleep = true;
    for (const feed of Feed.all) feed.rest();
  };
  const wake = (anew) => {
    asleep = false;
    for (const feed of Feed.all) feed.wake(anew);
  };
  setInterval(() => Feed.all.forEach((feed) => feed.watch()), 1_000);
  let hiding = 0;
  const look = () => {
    clearTimeout(hiding);
    if (document.hidden) hiding = setTimeout(sleep, HIDDEN);
    else wake(false);
  };
  document.addEventListener("visibilitychange", look);
  // The back button revives pages, not sockets.
  addEventListener("pagehide", sleep);
  addEventListener("pageshow", () => wake(false));
  addEventListener("online", () => wake(true));
  look();

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
    static observedAttributes = ["ticket", "site", "server", "lang", "show-name", "show-price"];

    #slot = document.createElement("slot");
    #name = element("span", "part", "name");
    #price = element("span", "part", "price");
    #text = element("span", "part", "text");
    #status = element("span", "role", "status");
    /** @type {Counter | null} */
    #counter = null;
    #heard = "";
    #place;
    #leave;
    #settling = false;
    #told = "";
    #toldAt = 0;
    #telling = 0;

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
      this.#settle();
    }

    disconnectedCallback() {
      this.#settle();
    }

    attributeChangedCallback() {
      this.#settle();
    }

    /** All changes at once: an element that only moves goes on as it was. */
    #settle() {
      if (this.#settling) return;
      this.#settling = true;
      queueMicrotask(() => {
        this.#settling = false;
        const ticket = this.isConnected && this.#id("ticket");
        const address = ticket && this.#address();
        const place = address && address + ticket;
        if (place !== this.#place) {
          this.#leave?.();
          this.#place = place;
          this.#counter = null;
          this.#heard = this.#told = "";
          this.#leave = address ? Feed.join(address, ticket, (text) => this.#hear(text)) : undefined;
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
      return either(
        () => {
          const { href } = new URL(server.replace(/\/*$/, "/v1/counters?"), document.baseURI);
          return href.replace("http", "ws") + (site ? `site=${site}&` : "");
        },
        () => warn(`server="${server}" is not an address`),
      );
    }

    #hear(text) {
      if (text === this.#heard) return;
      this.#heard = text;
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
      if (this.#write(this.#text, claim)) this.#tell(claim, state);
      if (this.#slot.hidden !== !!claim) this.#slot.hidden = !!claim;
      if (!state) delete this.dataset.state;
      else if (this.dataset.state !== state) this.dataset.state = state;
    }

    /** Write only what differs. */
    #write(node, text) {
      if (node.textContent === text) return false;
      node.textContent = text;
      return true;
    }

    /** Tell screen readers of a new state; the first is read with the page. */
    #tell(claim, state) {
      clearTimeout(this.#telling);
      this.#write(this.#status, "");
      if (!claim || state === this.#told) return;
      if (!this.#told) this.#told = state;
      else
        this.#telling = setTimeout(() => {
          this.#told = state;
          this.#toldAt = Date.now();
          this.#write(this.#status, claim);
          this.#telling = setTimeout(() => this.#write(this.#status, ""), SPOKEN);
        }, this.#toldAt + QUIET - Date.now());
    }
  }

  customElements.define("ticket-counter", TicketCounter);
}
