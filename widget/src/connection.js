/**
 * Subscriptions: who subscribes to a ticket or an event gets its messages, over one connection for up to 50 tickets, or for an event.
 *
 * Messages are as docs/contract.md has them. A connection is a WebSocket; where that does not work, server-sent events; else polling.
 * A later way is left when an earlier one works again. A hidden page has no connection.
 */
import { attempt, warn } from "./home.js";

/**
 * @typedef {{ ticket?: string, tickets?: string[], state?: string, beat?: number, bye?: { retry_ms: number[] }, [member: string]: any }} Message
 * @typedef {(message: Message) => void} Take
 * @typedef {(code?: number, reason?: string) => void} End called at most once, unless it was closed from here
 */

// In ms.
const SILENCE = 60_000; // after which counters are withdrawn
const BEAT = 30_000; // in which something is heard from a connection that works
const AWAY = 15_000; // without a connection, after which counters are withdrawn before a page is seen again
const ANSWER = 10_000; // for the first message, before the next way is tried
const SETTLED = 5_000; // after which a connection resets the back-off
const LATEST = 30_000; // of the back-off
const HIDDEN = 30_000; // after which a hidden page disconnects
const EARLIER = 300_000; // after which an earlier way is tried again
const LINGER = 5_000; // in which a ticket that nobody shows any more stays subscribed
const GATHER = 50; // in which changes of elements are batched
const SECOND = 1_000; // between two connections for other tickets
const POLL = 5_000; // at least, between two polls

const MOST = 50; // tickets in one request

/** The server's clock minus this one, in ms. */
let ahead = 0;

/** The server's time in ms: this clock's until the server has told its own. */
export const serverTime = () => Date.now() + ahead;

const old = (/** @type {number} */ since, /** @type {number} */ ms) => Math.abs(Date.now() - since) >= ms;

/** @returns {Message} */
const parsed = (/** @type {string} */ text) =>
  attempt(
    () => JSON.parse(text),
    () => warn(`not JSON: ${text}`),
  ) ?? {};

/**
 * The ways to connect: each answers the function that closes the connection.
 * @type {((url: string, take: Take, end: End) => () => void)[]}
 */
const WAYS = [
  (url, take, end) => {
    const socket = new WebSocket(url.replace("http", "ws"));
    socket.onmessage = ({ data }) => take(parsed(data));
    socket.onclose = ({ code, reason }) => end(code, reason);
    return () => {
      // Closing it before it is open would log an error.
      if (socket.readyState) socket.close();
      else socket.onopen = () => socket.close();
    };
  },
  (url, take, end) => {
    const source = new EventSource(url.replace("?", "/stream?"));
    for (const name of ["message", "beat", "bye"])
      source.addEventListener(name, ({ data }) => take(parsed(data)));
    source.onerror = () => end();
    return () => source.close();
  },
  (url, take, end) => {
    let closed = false;
    const poll = async () => {
      try {
        // The browser's cache asks with If-None-Match.
        const answer = await fetch(url, { cache: "no-cache" });
        const { error, counters, ...list } = await answer.json();
        if (error) return end(answer.headers.has("retry-after") ? 4000 : 4500, error.message);
        take({ beat: Date.parse(answer.headers.get("date") ?? "") });
        if (list.tickets) take(list);
        counters.forEach(take);
        setTimeout(() => closed || poll(), POLL * (1 + Math.random()));
      } catch {
        end();
      }
    };
    poll();
    return () => {
      closed = true;
    };
  },
];

/** Whether the page's Content Security Policy forbids the first way, and the others. */
const forbidden = [false, false];

/** The first way, from this one on, that is not forbidden. */
const allowed = (/** @type {number} */ way) => [0, 1, 2].map((more) => (way + more) % 3).find((one) => !forbidden[one && 1]);

/** @type {Set<ReturnType<typeof channel>>} */
const channels = new Set();
let asleep = document.hidden;

/** Whether a message is for who subscribed to this ticket or event. */
const concerns = (/** @type {Message} */ { ticket }, /** @type {string} */ query) => query[0] === "e" || query.endsWith(`${ticket}`);

/** One connection, and who listens to it. @param {string} url up to its tickets or its event */
const channel = (url) => {
  /** By ticket or event, as in the address. @type {Map<string, Set<Take>>} */
  const listeners = new Map();
  /** The last counter of each ticket; the list of the event has no ticket. @type {Map<string | undefined, Message>} */
  const last = new Map();
  /** Tickets that this connection has not told yet. @type {Set<string | undefined>} */
  let missing = new Set();
  /** They close the connection that counts, and its successor, which has told nothing yet. @type {(() => void) | undefined} */
  let line, next;
  /** What the newest connection asks for. */
  let asked = "";
  /** When the newest connection was begun, when the one that counts told its first message, and when it was last heard. */
  let began = 0;
  let since = 0;
  let heard = 0;
  let failures = 0;
  /** The way that worked last, and the way to try next. @type {number | undefined} */
  let worked, way = allowed(0);
  let lingers = false;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;

  /** Connect in so many ms, if other tickets are wanted by then than were asked for. */
  const plan = (/** @type {number} */ ms, force = false) => {
    clearTimeout(timer);
    lingers = false;
    timer = setTimeout(() => {
      timer = undefined;
      const wanted = [...listeners.keys()].sort().join("&");
      if (!wanted) {
        close();
        channels.delete(self);
        // The same tickets without a connection: it was refused.
      } else if (!asleep && (force || wanted !== asked)) open(wanted, way);
    }, ms);
  };

  const close = () => {
    line?.();
    next?.();
    line = next = undefined;
    asked = "";
  };

  /** The last message counts, whatever its `v`. */
  const show = (/** @type {Message} */ message) => {
    missing.delete(message.ticket);
    last.set(message.ticket, message);
    for (const [query, takers] of listeners) if (concerns(message, query)) for (const take of takers) take(message);
  };

  const withdraw = (/** @type {Iterable<string | undefined>} */ tickets) => {
    for (const ticket of tickets) {
      const counter = last.get(ticket);
      if (counter?.state && counter.state !== "unknown") show({ ...counter, state: "unknown", unsold: null, prices: [] });
    }
  };

  /** @param {boolean} [trial] of an earlier way, while another works */
  const open = (/** @type {string} */ wanted, /** @type {number | undefined} */ chosen, trial) => {
    next?.();
    asked = wanted;
    began = Date.now();
    if (chosen === undefined) return;
    let alive = true;
    let first = 0;
    /** @type {number[] | undefined} */
    let pause;
    /** @type {(() => void) | undefined} */
    let shut;
    const drop = (next = () => {
      alive = false;
      shut?.();
    });
    /** @type {Take} */
    const take = (message) => {
      if (!alive) return;
      heard = Date.now();
      if (next === drop) {
        // Now only this connection counts: two never alternate.
        line?.();
        line = drop;
        next = undefined;
        first = since = heard;
        worked = way = chosen;
        for (const ticket of last.keys()) if (ticket && asked[0] === "t" && !asked.includes(ticket)) last.delete(ticket);
        missing = new Set(last.keys());
      }
      if (message.beat) ahead = message.beat - heard;
      else if (message.bye) pause = message.bye.retry_ms;
      else if (message.ticket || message.tickets) show(message);
    };
    /** @type {End} */
    const end = (code = 0, reason = "") => {
      if (!alive) return;
      drop();
      if (line === drop) line = undefined;
      else next = undefined;
      if (next || trial) return;
      if (code >= 4500 && code < 5000) {
        if (listeners.size > 1 && / sites/.test(reason)) {
          // Tickets of two sites: those that were not told yet are asked for apart, or half of them.
          const told = (/** @type {[string, any]} */ [query]) => [...last.values()].some((message) => concerns(message, query));
          const all = [...listeners];
          const fresh = all.filter((one) => !told(one));
          const other = channel(url);
          for (const [query, takers] of fresh.length < all.length ? fresh : all.slice(all.length / 2)) {
            listeners.delete(query);
            other.listeners.set(query, takers);
          }
          other.plan(0);
          return plan(0);
        }
        if (!line) withdraw(last.keys());
        return warn(`${code} ${reason}: correct ticket and site, or the server's ORIGINS`);
      }
      asked = "";
      if (first && old(first, SETTLED)) failures = 0;
      if (++failures === 3) warn(`cannot connect to ${url}`);
      // A way that has worked here is given more time: the server restarts.
      if (!first && (chosen !== worked || failures > 4)) way = allowed(chosen + 1);
      const [low, high] = pause ?? [0, Math.min(LATEST, 500 * 2 ** failures)];
      plan(low + Math.random() * (high - low));
    };
    setTimeout(() => first || end(), ANSWER);
    try {
      shut = WAYS[chosen](url + wanted, take, end);
    } catch {
      setTimeout(end);
    }
  };

  const self = {
    url,
    listeners,
    plan,
    close,

    join: (/** @type {string} */ query, /** @type {Take} */ take) => {
      listeners.set(query, (listeners.get(query) ?? new Set()).add(take));
      for (const message of last.values()) if (concerns(message, query)) take(message);
      if (!timer || lingers) plan(Math.min(SECOND, Math.max(GATHER, began + SECOND - Date.now())));
    },

    leave: (/** @type {string} */ query, /** @type {Take} */ take) => {
      const takers = listeners.get(query);
      if (!takers?.delete(take) || takers.size) return;
      listeners.delete(query);
      if (!timer) plan(LINGER);
      lingers = true;
    },

    /** Withdraw what was not verified for so many ms, and replace a silent connection. */
    check: (silence = SILENCE) => {
      if (old(heard, silence)) withdraw(last.keys());
      // Heartbeats do not verify a ticket that this connection has not told.
      else if (old(since, silence)) withdraw(missing);
      if (!line || next) return;
      if (old(heard, SILENCE)) open(asked, way);
      else if (worked && old(Math.max(began, since), EARLIER)) open(asked, allowed(Math.trunc(Math.random() * worked)), true);
    },

    /** The page is seen again, or the network is back. */
    wake: (/** @type {number} */ ms, /** @type {boolean} */ force) => {
      self.check(line ? BEAT : AWAY);
      way = line ? way : allowed(0);
      // Without a connection the same tickets are not asked for again: they were refused.
      if (force || !asked || old(Math.max(heard, began), BEAT)) plan(ms, !!line);
    },
  };
  channels.add(self);
  return self;
};

/**
 * Subscribe; returns the function that ends it.
 * @param {string} url up to its tickets or its event
 * @param {string} query `ticket=ID` or `event=ID`
 * @param {Take} take called at once with what is known already
 */
export const subscribe = (url, query, take) => {
  const fits = (/** @type {ReturnType<typeof channel>} */ { url: its, listeners }) =>
    its === url && (listeners.has(query) || (query[0] === "t" && listeners.size < MOST && ![...listeners.keys()].some(([kind]) => kind === "e")));
  ([...channels].find(fits) ?? channel(url)).join(query, take);
  // It may have moved to another one by then.
  return () => channels.forEach((one) => one.leave(query, take));
};

/** @type {ReturnType<typeof setTimeout> | undefined} */
let hiding;
const sleep = () => {
  asleep = true;
  channels.forEach((one) => one.close());
};
const wake = (/** @type {number} */ ms, force = false) => {
  clearTimeout(hiding);
  asleep = document.hidden;
  if (!asleep) channels.forEach((one) => one.wake(ms, force));
};
document.addEventListener("visibilitychange", () => {
  if (document.hidden) hiding = setTimeout(sleep, HIDDEN);
  else wake(0);
});
// The back button restores pages, not connections.
addEventListener("pagehide", sleep);
addEventListener("pageshow", ({ persisted }) => persisted && wake(Math.random() * SECOND));
addEventListener("online", () => wake(Math.random() * SECOND, true));
setInterval(() => channels.forEach((one) => one.check()), SECOND);

// A way that the page forbids is told once and not tried again.
document.addEventListener("securitypolicyviolation", ({ blockedURI }) => {
  const way = +!blockedURI.startsWith("ws");
  const host = (/** @type {string} */ url) => attempt(() => new URL(url).host, () => "");
  if (forbidden[way] || ![...channels].some(({ url }) => host(url) === host(blockedURI))) return;
  forbidden[way] = true;
  warn(`the page's Content-Security-Policy forbids ${blockedURI}: add it to connect-src`);
});
