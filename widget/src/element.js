/**
 * <ticket-counter ticket="GUID">, or <ticket-counter event="slug or id">: how many tickets are left, live, on any page.
 *
 * In: counters. Out: a sentence that is true now, or the element's own content; of an event, a list of its tickets.
 */
import { HOME, attempt, warn } from "./home.js";
import { countdown, sentence } from "./sentence.js";
import { serverTime, subscribe } from "./connection.js";
import { announce } from "./announcer.js";

/** @typedef {import("./sentence.js").Counter} Counter */

const NAME = "ticket-counter";
const GUID = /^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/;

const STYLE = new CSSStyleSheet();
STYLE.replaceSync(
  ":host{font-variant-numeric:tabular-nums;overflow-wrap:anywhere}:host([hidden]),[hidden],[part]:empty,[part=countdown]{display:none}span{unicode-bidi:isolate}a{color:inherit}",
);

/**
 * How each element on the page is brought up to date; with true it may connect from now on.
 * @type {Map<Element, (needed?: any) => void>}
 */
const updates = new Map();
const updateAll = () => updates.forEach((update) => update());

/** Those near the viewport connect, and those without a box, whose place cannot be known. */
const viewport = new IntersectionObserver(
  (entries) => {
    for (const { isIntersecting, boundingClientRect, target } of entries)
      if (isIntersecting || !boundingClientRect.width) updates.get(target)?.(true);
  },
  { rootMargin: "50%" },
);

new MutationObserver(updateAll).observe(document, { subtree: true, attributeFilter: ["lang"] });
addEventListener("load", updateAll);

/** @param {string} tag @param {string} [part] */
const made = (tag, part) => {
  const node = document.createElement(tag);
  if (part) node.setAttribute("part", part);
  return node;
};

/** Set it if it differs. */
const set = (/** @type {any} */ node, /** @type {string} */ name, /** @type {any} */ value) => {
  if (node[name] !== value) node[name] = value;
};

/** The nearest language, across shadow roots. @returns {string} */
const languageOf = (/** @type {any} */ node) =>
  node ? node.getAttribute?.("lang") || languageOf(node.parentNode ?? node.host) : "";

class TicketCounter extends HTMLElement {
  /** Bring the element up to date with its attributes. */
  #update;
  /** @type {Counter | null} */
  #counter = null;

  constructor() {
    super();
    const root = this.attachShadow({ mode: "open" });
    root.adoptedStyleSheets = [STYLE];
    const slot = made("slot");
    const debug = made("small", "debug");
    /** @type {any} */
    const states = attempt(() => this.attachInternals().states);
    let near = false;
    let [address, query] = ["", ""];
    /** @type {(() => void) | undefined} */
    let leave;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    let timer;
    /** The last counter of each ticket, as text too. @type {Map<string, [Counter, string]>} */
    const counters = new Map();
    /** Of each ticket, in order: the line, its link, and its parts. @type {Map<string, any[]>} */
    let lines = new Map();

    /** A line for each ticket; those of an event are a list. */
    const list = (/** @type {string[]} */ tickets) => {
      const whole = query[0] === "e";
      const all = made(whole ? "ul" : "span", "list");
      lines = new Map(
        tickets.map((ticket) => {
          const item = made(whole ? "li" : "span", "item");
          const link = made("a", "link");
          const parts = ["name", "price", "text", "countdown"].map((name) => made("span", name));
          item.append(link);
          all.append(item);
          return [ticket, [item, link, ...parts]];
        }),
      );
      root.replaceChildren(slot, all, debug);
    };

    const write = (/** @type {any} */ part, /** @type {string} */ text, /** @type {string} */ dir, lang = "") => {
      const before = part.textContent;
      const changed = before !== text;
      set(part, "dir", dir);
      set(part, "lang", lang);
      set(part, "textContent", text);
      // A text that stood changes calmly.
      if (before && text && changed)
        attempt(() => matchMedia("(prefers-reduced-motion)").matches || part.animate({ opacity: [0.4, 1] }, 300));
      return changed;
    };

    const render = () => {
      clearTimeout(timer);
      const tag = languageOf(this);
      // Outside of the loop: the minifier would move it behind its use.
      const now = serverTime();
      let said = "";
      let state = "";
      let next = Infinity;
      for (const [ticket, [item, link, name, price, text, left]] of lines) {
        const counter = counters.get(ticket)?.[0];
        if (!counter) continue;
        const [words, amount, lang, dir, wait] = sentence(
          counter,
          tag,
          now,
          this.getAttribute("option"),
          (key) =>
            this.getAttribute(`text-${key}`) ??
            /** @type {any} */ (this.querySelector(`template[data-text="${key}"]`))?.content.textContent,
        );
        const shown = (/** @type {string} */ part) => words && (query[0] === "e" || this.hasAttribute(`show-${part}`));
        // Inserted again, parts and spaces that are elsewhere on the line are no layout shift.
        const moved = [
          write(name, (shown("name") && counter.name) || "", "auto"),
          write(price, (shown("price") && amount) || "", dir, lang),
          write(text, words, dir, lang),
        ];
        if (moved.includes(true)) link.replaceChildren(name, " ", price, " ", text, " ", left);
        const ticks = wait < Infinity && getComputedStyle(left).display !== "none";
        set(left, "textContent", ticks ? countdown(wait, tag) : "");
        if (words && counter.buy && this.hasAttribute("show-link")) set(link, "href", counter.buy);
        else link.removeAttribute("href");
        set(item, "hidden", !words);
        set(item.part, "value", `item ${counter.state}`);
        announce(counter, words, lang, dir);
        said += words;
        if (query[0] === "t") state = counter.state;
        next = Math.min(next, ticks ? 1000 - (now % 1000) : wait);
      }
      if (next < Infinity) timer = setTimeout(render, Math.min(next, 60_000));
      set(root.children[1], "hidden", !said);
      // What has the focus stays until it lets go.
      set(slot, "hidden", !!said && !this.matches(":focus-within"));
      set(
        debug,
        "textContent",
        !said && (this.hasAttribute("tc-debug") || /[?&]tc-debug/.test(location.search))
          ? `${NAME}: ${address} ${query || "no ticket"} ${state || "no answer"}`
          : "",
      );
      attempt(() => {
        states.clear();
        if (state) states.add(state);
      });
      // Until the page has loaded, frameworks compare the attributes with their own.
      if (document.readyState !== "complete") return;
      if (state) set(this.dataset, "state", state);
      else delete this.dataset.state;
    };

    /** What cannot be shown is withdrawn, here alone. */
    const show = () => {
      try {
        render();
      } catch (error) {
        warn(`not shown: ${error}`);
        list([...lines.keys()]);
        slot.hidden = false;
      }
    };

    const take = (/** @type {any} */ message) => {
      const { ticket, tickets } = message;
      const text = JSON.stringify(message);
      if (tickets) list(tickets);
      else if (counters.get(ticket)?.[1] === text) return;
      counters.set(ticket, [message, text]);
      // The page may change what it is given.
      const counter = structuredClone(message);
      if (query[0] === "t") this.#counter = counter;
      show();
      if (ticket) attempt(() => this.dispatchEvent(Object.assign(new CustomEvent(NAME, { bubbles: true, composed: true }), { counter })));
    };

    this.#update = (/** @type {any} */ needed) => {
      near ||= needed === true || this.hasAttribute("eager");
      const [event, ticket, site, server] = ["event", "ticket", "site", "server"].map((name) => this.getAttribute(name)?.trim() ?? "");
      const id = (/** @type {string} */ name, /** @type {string} */ value) => {
        value = value.toLowerCase();
        if (GUID.test(value)) return `${name}=${value}`;
        if (value) warn(`${name}="${value}" is not a GUID`);
        return "";
      };
      const wanted = !this.isConnected ? "" : event ? `event=${encodeURIComponent(event)}` : id("ticket", ticket);
      const url = attempt(
        () => new URL((server || HOME).replace(/\/*$/, "/v1/counters"), document.baseURI).href + `?${site && `${id("site", site)}&`}`,
        () => (wanted && warn(`server="${server}" is not an address`), ""),
      );
      if (url + wanted !== address + query) {
        leave?.();
        leave = undefined;
        [address, query] = [url, wanted];
        counters.clear();
        this.#counter = null;
        list(wanted && !event ? [wanted.slice(7)] : []);
      }
      if (url && wanted && near) leave ??= subscribe(url, wanted, take);
      show();
    };
    // Its own attributes, and its wording; `data-state` is set again where the page takes it away.
    new MutationObserver(this.#update).observe(this, { attributes: true, childList: true });
    this.addEventListener("focusout", () => setTimeout(show));
  }

  /** The last counter, or null; that of a `ticket`. */
  get counter() {
    this.#update(true);
    return this.#counter;
  }

  /** An element with a listener connects, wherever it is. @param {[any, any, any?]} listener */
  addEventListener(...listener) {
    if (listener[0] === NAME) this.#update(true);
    super.addEventListener(...listener);
  }

  connectedCallback() {
    updates.set(this, this.#update);
    viewport.observe(this);
    // An element that is moved stays subscribed.
    setTimeout(this.#update);
  }

  disconnectedCallback() {
    updates.delete(this);
    viewport.unobserve(this);
    setTimeout(this.#update);
  }
}

customElements.define(NAME, TicketCounter);
