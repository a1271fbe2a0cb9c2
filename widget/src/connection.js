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
 * @typedef {(code?: number, reason?: string) => void} End
 * @typedef {{ _key: string, _listeners: Map<string, Set<Take>>, _plan: (ms: number) => void, _close: () => void,
 *   _join: (query: string, take: Take) => void, _leave: (query: string, take: Take) => void,
 *   _check: (silence?: number) => void, _wake: (ms: number, force: boolean) => void }} Channel
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
const LINGER = 5; // checks, after which a connection without listeners is closed
const GATHER = 50; // in which changes of elements are batched
const SECOND = 1_000; // between two connections for other tickets
const POLL = 7_000; // between two polls

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
 * The ways to connect, the best first: each opens a connection and returns what closes it.
 * @type {((url: string, take: Take, end: End) => () => void)[]}
 */
const ways = [
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
    for (const name of ["message", "beat", "bye"]) source.addEventListener(name, ({ data }) => take(parsed(data)));
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
        take({ beat: Date.parse(answer.headers.get("date")) });
        take(list);
        counters.forEach(take);
        setTimeout(() => closed || poll(), POLL);
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
const SOCKET = ways[0];

/** @type {Set<Channel>} */
const channels = new Set();
let asleep = document.hidden;

/** What the page forbids: the server, and whether it is its WebSockets. @type {Set<string>} */
const forbidden = new Set();

const origin = (/** @type {string} */ url) => url.replace(/^ws/, "http").split("/", 3).join("/");

/** Whether a message is for who subscribed to this ticket or event. */
const concerns = (/** @type {Message} */ { ticket }, /** @type {string} */ query) => query[0] === "e" || query.endsWith(`${ticket}`);

/**
 * One connection, and who listens to it.
 * @param {string} url up to its tickets or its event
 * @param {string} key of what may be asked for together
 * @param {Map<string | undefined, Message>} [last] the last counter of each ticket; the list of an event has none
 * @returns {Channel}
 */
const channel = (url, key, last = new Map()) => {
  /** By ticket or event, as in the address. @type {Map<string, Set<Take>>} */
  const listeners = new Map();
  /** Tickets that this connection has not told yet. @type {Set<string | undefined>} */
  let missing = new Set();
  /** Closes the connection that counts. @type {(() => void) | undefined} */
  let line;
  /** Closes its successor, which has told nothing yet. @type {(() => void) | undefined} */
  let next;
  /** What the newest connection asks for. */
  let asked = "";
  /** When the newest connection was begun, when the one that counts told its first message, and when it was last heard. */
  let began = 0;
  let since = 0;
  let heard = 0;
  let failures = 0;
  let unused = 0;
  /** The way that worked last, and the way to try next. */
  let worked = ways[3];
  let way = ways[0];
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;

  const allowed = () => ways.filter((one) => !forbidden.has(origin(url) + (one === SOCKET)));

  /** Connect in so many ms, if other tickets are wanted by then than were asked for. */
  const plan = (/** @type {number} */ ms, force = false) => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      timer = undefined;
      const wanted = [...listeners.keys()].sort().join("&");
      // The same tickets without a connection: it was refused.
      if (wanted && !asleep && (force || wanted !== asked)) open(wanted);
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

  /** @param {boolean} trial of an earlier way, while another works */
  const open = (/** @type {string} */ wanted, chosen = way, trial = false) => {
    next?.();
    asked = wanted;
    began = Date.now();
    if (!allowed().includes(chosen)) [chosen] = allowed();
    if (!chosen) return;
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
      if (code >= 4500) {
        if (listeners.size > 1 && / sites/.test(reason)) {
          // Of two sites: each half is asked for apart.
          const other = channel(url, key, new Map(last));
          for (const [query, takers] of [...listeners].slice(listeners.size / 2)) {
            listeners.delete(query);
            other._listeners.set(query, takers);
          }
          other._plan(0);
          return plan(0);
        }
        if (!line) withdraw(last.keys());
        return warn(`${code} ${reason}`);
      }
      asked = "";
      if (first && old(first, SETTLED)) failures = 0;
      if (++failures === 3) warn(`cannot connect to ${url}`);
      // A way that has worked here is given more time: the server restarts.
      if (!first && (chosen !== worked || failures > 4)) way = ways[(ways.indexOf(chosen) + 1) % 3];
      const [low, high] = pause ?? [0, Math.min(LATEST, 500 * 2 ** failures)];
      plan(low + Math.random() * (high - low));
    };
    setTimeout(() => first || end(), ANSWER);
    try {
      shut = chosen(url + wanted, take, end);
    } catch {
      setTimeout(end);
    }
  };

  /** @type {Channel} */
  const self = {
    _key: key,
    _listeners: listeners,
    _plan: plan,
    _close: close,

    _join: (/** @type {string} */ query, /** @type {Take} */ take) => {
      listeners.set(query, (listeners.get(query) ?? new Set()).add(take));
      for (const message of last.values()) if (concerns(message, query)) take(message);
      if (!timer) plan(Math.min(SECOND, Math.max(GATHER, began + SECOND - Date.now())));
    },

    _leave: (/** @type {string} */ query, /** @type {Take} */ take) => {
      const takers = listeners.get(query);
      if (takers?.delete(take) && !takers.size) listeners.delete(query);
    },

    /** Withdraw what was not verified for so many ms, and replace a silent connection. */
    _check: (silence = SILENCE) => {
      if (old(heard, silence)) withdraw(last.keys());
      // Heartbeats do not verify a ticket that this connection has not told.
      else if (old(since, silence)) withdraw(missing);
      unused = listeners.size ? 0 : unused + 1;
      if (unused > LINGER) {
        close();
        channels.delete(self);
      }
      if (!line || next) return;
      if (old(heard, SILENCE)) open(asked);
      else if (worked !== allowed()[0] && old(Math.max(began, since), EARLIER))
        open(asked, ways[Math.trunc(Math.random() * ways.indexOf(worked))], true);
    },

    /** The page is seen again, or the network is back. */
    _wake: (/** @type {number} */ ms, /** @type {boolean} */ force) => {
      self._check(line ? BEAT : AWAY);
      if (!line) way = ways[0];
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
  const key = query[0] === "e" ? url + query : url;
  const fits = (/** @type {Channel} */ one) =>
    one._key === key && (one._listeners.has(query) || one._listeners.size < MOST);
  ([...channels].find(fits) ?? channel(url, key))._join(query, take);
  // It may have moved to another one by then.
  return () => channels.forEach((one) => one._leave(query, take));
};

/** @type {ReturnType<typeof setTimeout> | undefined} */
let hiding;
const sleep = () => {
  asleep = true;
  channels.forEach((one) => one._close());
};
const wake = (/** @type {number} */ ms, force = false) => {
  clearTimeout(hiding);
  asleep = document.hidden;
  if (!asleep) channels.forEach((one) => one._wake(ms, force));
};
document.addEventListener("visibilitychange", () => {
  if (document.hidden) hiding = setTimeout(sleep, HIDDEN);
  else wake(0);
});
// The back button restores pages, not connections.
addEventListener("pagehide", sleep);
addEventListener("pageshow", ({ persisted }) => persisted && wake(Math.random() * SECOND));
addEventListener("online", () => wake(Math.random() * SECOND, true));
setInterval(() => channels.forEach((one) => one._check()), SECOND);

// A way that the page forbids is told once, and not tried again.
document.addEventListener("securitypolicyviolation", ({ blockedURI }) => {
  const server = origin(blockedURI);
  if (![...channels].some(({ _key }) => origin(_key) === server)) return;
  forbidden.add(server + blockedURI.startsWith("ws"));
  warn(`CSP: connect-src needs ${server} ${server.replace("http", "ws")}`);
});
