/**
 * What screen readers are told: one polite status region a page, for all its counters.
 *
 * In: each sentence as it changes. Out: news at most twice a minute: a ticket's new state, or each count of the last few. The first
 * sentence of a ticket is read with the page, so it is no news.
 */

const FEW = 5; // tickets left, from which on each count is news
const PAUSE = 30_000; // ms between two announcements
const STANDS = 10_000; // ms that one stands, whatever is sold meanwhile

const region = document.createElement("div");
region.setAttribute("role", "status");
region.style.cssText = "position:fixed;clip-path:inset(50%)";

/** The news of each ticket that was told, or was there first. @type {Map<string, string>} */
const known = new Map();
/** What is to be told of a ticket. @type {Map<string, [key: string, text: string, name: string, lang: string, dir: string]>} */
const waiting = new Map();
let before = 0;
/** @type {ReturnType<typeof setTimeout> | undefined} */
let pending;

const tell = () => {
  pending = undefined;
  const several = known.size > 1;
  region.replaceChildren(
    ...[...waiting].map(([ticket, [key, text, name, lang, dir]]) => {
      known.set(ticket, key);
      const one = document.createElement("p");
      one.lang = lang;
      one.dir = dir;
      one.textContent = several ? `${name}: ${text}` : text;
      return one;
    }),
  );
  if (!waiting.size) return;
  waiting.clear();
  before = Date.now();
  setTimeout(() => region.replaceChildren(), STANDS);
};

/**
 * @param {{ ticket: string, state: string, unsold: number | null, name: string | null }} counter
 * @param {string} text "" where nothing may be said: that is no news
 * @param {string} lang @param {string} dir
 */
export const announce = ({ ticket, state, unsold, name }, text, lang, dir) => {
  // A region is heard only if it was there before its text; behind a modal dialog none is.
  const home = document.querySelector("dialog:modal") ?? document.body;
  if (region.parentNode !== home) home.append(region);
  const key = state + (unsold !== null && unsold <= FEW ? unsold : "");
  waiting.delete(ticket);
  if (!text) return;
  if (!known.has(ticket)) known.set(ticket, key);
  if (known.get(ticket) === key) return;
  waiting.set(ticket, [key, text, name ?? "", lang, dir]);
  pending ??= setTimeout(tell, Math.min(PAUSE, Math.max(100, before + PAUSE - Date.now())));
};
