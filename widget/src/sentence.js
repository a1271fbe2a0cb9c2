/**
 * What may be said of a counter, and of its price.
 */
import { attempt, warn } from "./home.js";
import { form, words } from "./words.js";

/**
 * @typedef {{ amount: string, currency: string, option: string?, name: string? }} Price
 * @typedef {{ ticket: string, state: string, unsold: number?, prices: Price[], shared: boolean, fees: string?, name: string?,
 *   sale: { start: string?, zone: string? }, buy: string? }} Counter
 */

/** The text of a state, by number; the next one has its number or date. @type {Record<string, number>} */
const STATES = { available: 0, low: 0, sold_out: 2, scheduled: 3, closed: 5, ended: 6 };

/** @type {Record<string, any>} */
const formats = {};

/**
 * A formatter, made when it is first needed. Digits and calendar are the same in every engine.
 * @param {string} kind @param {string} lang @param {object} [options]
 */
const intl = (kind, lang, options) =>
  (formats[kind + lang + JSON.stringify(options)] ??= new /** @type {any} */ (Intl)[kind]([lang + "-u-ca-gregory-nu-latn", "en"], options));

/**
 * @param {Counter} counter
 * @param {string} tag the page's language tag, "" if there is none
 * @param {number} now the time in ms
 * @param {string | null} [option] whose price it is, by id or name
 * @param {(key: string) => string | null | undefined} [own] the organiser's wording of a state ("low") or of a state and plural
 *   category ("low-one")
 * @returns {[text: string, price: string, lang: string, dir: string, wait: number]} text "": nothing may be said;
 *   wait: ms until the text changes by itself, or Infinity
 */
export const sentence = ({ state, unsold, prices, shared, fees, name, sale }, tag, now, option, own) => {
  let [ours, texts, lang] = words(tag);
  let dir = "auto";
  const base = STATES[state];
  const start = base === 3 ? Date.parse(sale.start) : 0;
  const counted = base === 0 && unsold != null;
  const wait = start > now ? start - now : Infinity;

  const category = () => intl("PluralRules", lang).select(unsold);

  const number = () => unsold != null && intl("NumberFormat", lang).format(unsold);

  const when = () => {
    const date = (/** @type {string | undefined} */ timeZone) =>
      intl("DateTimeFormat", lang, {
        year: "numeric", day: "numeric", hour: "numeric", minute: "numeric", month: "long", timeZoneName: "short", timeZone,
      }).format(start);
    return start > now && attempt(() => date(sale.zone ?? undefined), () => date("UTC"));
  };

  const price = () => {
    const chosen = option && prices.find((one) => one.option === option || one.name === option);
    const offers = (chosen ? [chosen] : [...prices]).sort((one, other) => +one.amount - +other.amount);
    if (!offers[0]) return "";
    const { amount, currency } = offers[0];
    if (!+amount) return texts[7];
    const money = attempt(() => intl("NumberFormat", lang, { style: "currency", currency }).format(amount), () => amount);
    // Of one shared price, the buyer pays at least that.
    const least = offers.at(-1).amount !== amount || (shared && !chosen && !prices[1]);
    return (least ? texts[8].replace("#", () => money) : money) + (fees === "added" ? " " + texts[9] : "");
  };

  /** The organiser's text with its values, or "" if one is not known. @param {string | null | undefined} text */
  const fill = (text) => {
    let known = text;
    const filled = text?.replace(/{(.*?)}/g, (_, key) => {
      const value =
        key === "n" ? number()
        : key === "price" ? price()
        // Without what could turn the digits beside it.
        : key === "name" ? name && `\u2068${name.replace(/\p{Bidi_C}/gu, "")}\u2069`
        : key === "when" ? when()
        : warn(`unknown {${key}} in "${text}"`);
      known &&= value;
      return value;
    });
    return known && filled;
  };

  let text = base >= 0 && own && ((unsold != null && fill(own(state + "-" + category()))) || fill(own(state)));
  if (!text) {
    lang = ours;
    dir = "ltr";
    const value = counted ? number() : when();
    text = base >= 0 ? form(texts[value ? base + 1 : base], state === "low", !shared && prices.length === 1, category).replace("#", () => value) : "";
  }
  return [text, text && price(), lang, /^(ar|he)\b/.test(lang) ? "rtl" : dir, wait];
};

/**
 * The rest of the time until the start: "2 days 03:04:05".
 * @param {number} ms
 * @param {string} tag the page's language tag
 */
export const countdown = (ms, tag) =>
  (ms < 864e5 ? "" : intl("NumberFormat", words(tag)[0], { style: "unit", unit: "day", unitDisplay: "long" }).format(Math.floor(ms / 864e5)) + " ") +
  new Date(Math.max(ms, 0)).toISOString().slice(11, 19);
