import { attempt, warn } from "./home.js";
/** @typedef {any} Counter */
const TEXTS = {open: "Available.",available: "{n} left.",available_here: "{n} left at this price.",low: "Only {n} left.",low_here: "Only {n} left at this price.",sold_out: "Sold out.",scheduled: "On sale from {when}.",soon: "Not on sale yet.",closed: "Registration is closed.",ended: "Sale ended.",free: "Free",from: "from {price}",};
export const countdown = (ms, tag) => Math.ceil(ms/1000)+"";
export const sentence = ({ state, unsold, prices, shared, name, sale }, lang, { option, own, now }) => {
    const locale = attempt(() => Intl.getCanonicalLocales(lang)[0], () => "en")||"en";
    const when = (timeZone) =>
      new Date(sale.start).toLocaleString("en", {
        day: "numeric", month: "long", year: "numeric", hour: "numeric", minute: "2-digit", timeZoneName: "short", timeZone,
      });
    let key = state;
    if (state === "available" && unsold === null) key = "open";
    else if (state === "scheduled" && !(Date.parse(sale.start) > now)) key = "soon";
    else if (!shared && prices.length === 1) key += "_here";
    const wording = TEXTS[state] && (own(`${state}-${new Intl.PluralRules("en").select(unsold ?? 0)}`) ?? own(state));
    if (/{(?!(n|price|name|when)})/.test(wording)) warn(`"${wording}": only {n} {price} {name} {when} are filled in`);
    const claim = (wording ?? TEXTS[key] ?? TEXTS[state] ?? "")
      .replace("{name}", () => name)
      .replace("{n}", () => unsold.toLocaleString(locale))
      .replace("{when}", () => attempt(() => when(sale.zone ?? undefined), () => when("UTC")));
    const wait = Date.parse(sale.start) - now;
    const R = (a, b) => [a, b, "en", "ltr", state === "scheduled" && wait > 0 ? wait : Infinity];
    if (!prices.length) return R(claim, "");
    const [{ amount, currency }, ...others] = prices.filter((one) => !option || one.option === option || one.name === option).sort((one, other) => +one.amount - +other.amount);
    const money = attempt(() => new Intl.NumberFormat(locale, { style: "currency", currency }).format(amount), () => amount);
    if (others.length ? others.some((other) => other.amount !== amount) : shared) return R(claim, TEXTS.from.replace("{price}", () => money));
    return R(claim, +amount ? money : TEXTS.free);
};
