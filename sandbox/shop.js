/**
 * The shop page of the local Wix.
 *
 * In: GET /sandbox/world once a second, and clicks. Out: what Wix's page says beside the widget, embedded as on a
 * customer's page. No data passes between them: the widget gets its counters from the counter server.
 */

const POLL = 1_000; // ms
const WEBHOOKS = 12; // shown
const RUSH = 10; // buyers

/** @param {string} id */
const byId = (id) => document.getElementById(id);

/** Create an element with text. @param {string} tag @param {string} text @param {string} [className] */
function make(tag, text, className = "") {
  const element = document.createElement(tag);
  element.textContent = text;
  if (className) element.className = className;
  return element;
}

/** @param {string} text @param {() => void} act */
function button(text, act) {
  const element = /** @type {HTMLButtonElement} */ (make("button", text));
  element.type = "button";
  element.addEventListener("click", act);
  return element;
}

/** Set the text if it differs, so that focus and selection are kept. @param {Element} node @param {string} text */
function write(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Show these rows in a list; elements of rows with the same key are reused. @param {Element} list */
function fill(list, rows) {
  const old = new Map([...list.children].map((row) => [row.dataset.key, row]));
  const wanted = rows.map(({ key, build, update }) => {
    const row = old.get(key) ?? build();
    row.dataset.key = key;
    update?.(row);
    return row;
  });
  if (wanted.length !== list.children.length || wanted.some((row, place) => row !== list.children[place]))
    list.replaceChildren(...wanted);
}

/** Call the control API; throws an Error with its text. */
async function ask(path, method = "GET", body = undefined) {
  const answer = await fetch(`/sandbox${path}`, {
    method,
    headers: body && { "Content-Type": "application/json" },
    body: body && JSON.stringify(body),
  });
  const found = await answer.json();
  if (!answer.ok) throw new Error(found.error ?? `${answer.status}`);
  return found;
}

/** @param {{ value: string, currency: string }} price */
function money({ value, currency }) {
  return Number(value) ? new Intl.NumberFormat("en-US", { style: "currency", currency }).format(value) : "Free";
}

const sum = (rows) => rows.reduce((total, { quantity }) => total + quantity, 0);

// ---- The counter, as a customer embeds it ----

class Embed {
  /** @param {string | null} server @param {string} site */
  constructor(server, site) {
    this.server = server;
    this.site = site;
  }

  /** Load the widget as a customer's page does. */
  load() {
    if (!this.server) return showError("No counter server: start the sandbox with --webhook URL.");
    const script = document.createElement("script");
    script.src = `${this.server}/widget/v1/ticket-counter.js`;
    script.async = true;
    const message = `No counter server answers at ${this.server}. Start it, then reload this page.`;
    script.addEventListener("error", () => showError(message));
    document.head.append(script);
  }

  /** @param {string} ticket */
  element(ticket) {
    const element = make("ticket-counter", "Tickets at the door");
    element.setAttribute("ticket", ticket);
    element.setAttribute("site", this.site);
    element.setAttribute("eager", "");
    return element;
  }

  /** The HTML that embeds it. @param {string} ticket */
  snippet(ticket) {
    return [
      `<script src="${this.server}/widget/v1/ticket-counter.js" async></script>`,
      "",
      this.element(ticket).outerHTML,
    ].join("\n");
  }
}

/** @param {string} text */
function showError(text) {
  write(byId("trouble"), text);
}

// ---- A ticket ----

class Card {
  /** @param {string} id @param {Embed} embed */
  constructor(id, embed) {
    this.id = id;
    this.root = byId("ticket").content.firstElementChild.cloneNode(true);
    /** Time of the last click, until the counter changes. @type {number | null} */
    this.clicked = null;
    this.options = "";
    this.root.dataset.key = id;
    this.part("window").append(embed.element(id));
    this.part("snippet").textContent = embed.snippet(id);
    this.root.addEventListener("ticket-counter", () => this.#changed());
    for (const act of ["buy", "hold", "rush"])
      this.root.querySelector(`[data-act=${act}]`).addEventListener("click", () => this.#act(act));
  }

  /** @param {string} name */
  part(name) {
    return this.root.querySelector(`[data-${name}]`);
  }

  /** Show what Wix's page says, and the stock. @param {object} ticket @param {object[]} holds @param {number} now */
  update(ticket, holds, now) {
    const { unsold, limit, prices, pricing, page } = ticket;
    write(this.part("name"), ticket.name);
    write(this.part("says"), page.text);
    this.part("says").dataset.state = page.state;
    write(this.part("price"), page.price);
    const meter = this.part("meter");
    meter.classList.toggle("none", limit === null);
    if (limit !== null) Object.assign(meter, { max: Math.max(1, limit), value: unsold, low: 10.5, optimum: Math.max(1, limit) });
    write(this.part("stock"), limit === null ? "No limit" : `${unsold} of ${limit} in stock`);
    write(this.part("sales"), `${ticket.sold} sold, ${ticket.reserved} held`);
    for (const one of this.root.querySelectorAll("[data-act]")) one.disabled = page.state !== "on_sale";
    this.#choose(pricing === "options" ? prices : []);
    fill(this.part("holds"), holds.map((hold) => this.#hold(hold, now)));
  }

  /** Fill the select element of prices. */
  #choose(prices) {
    const texts = prices.map((price) => `${price.name ?? "Ticket"}, ${money(price)}`);
    if (texts.join() === this.options) return;
    this.options = texts.join();
    const select = this.part("option");
    select.replaceChildren(...prices.map(({ optionId }, place) => new Option(texts[place], optionId)));
    select.hidden = !prices.length;
  }

  #hold({ id, quantity, expires }, now) {
    const build = () => {
      const row = document.createElement("li");
      const release = button("Release", () => this.#perform(() => ask(`/holds/${id}/cancel`, "POST")));
      const buy = button("Buy it", () => this.#perform(() => ask(`/holds/${id}/buy`, "POST")));
      row.append(make("span", ""), buy, release);
      return row;
    };
    const seconds = Math.max(0, Math.round((Date.parse(expires) - now) / 1000));
    const left = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
    return { key: id, build, update: (row) => write(row.firstElementChild, `${quantity} held for ${left}`) };
  }

  #act(act) {
    const wanted = { quantity: 1, option: this.part("option").value || null };
    if (act !== "rush") return this.#perform(() => ask(`/tickets/${this.id}/${act}`, "POST", wanted));
    return this.#perform(async () => {
      const buyer = () => ask(`/tickets/${this.id}/buy`, "POST", wanted);
      const all = await Promise.allSettled(Array.from({ length: RUSH }, buyer));
      const refused = all.filter(({ status }) => status === "rejected");
      if (refused.length) throw new Error(`${refused.length} of ${RUSH} got none: ${refused[0].reason.message}`);
    });
  }

  async #perform(act) {
    this.clicked = performance.now();
    write(this.part("lag"), "");
    write(this.part("trouble"), "");
    try {
      await act();
    } catch (error) {
      write(this.part("trouble"), error.message);
    }
    await refresh();
  }

  /** The counter has changed: show how long after the click. */
  #changed() {
    if (this.clicked === null) return;
    const seconds = (performance.now() - this.clicked) / 1000;
    this.clicked = null;
    write(this.part("lag"), `${seconds.toFixed(2)} s after the click`);
  }
}

// ---- The page ----

/** @type {Map<string, Card>} */
const cards = new Map();
const lines = [];
let embed;
/** Query of the next request for webhooks; empty for the newest. */
let webhooks = "";

function showWorld({ now, event, tickets, holds, orders, knobs }) {
  const moment = Date.parse(now);
  write(byId("title"), event?.title ?? "There is no event");
  write(byId("when"), event ? when(event) : "");
  showRegistration(event);
  fill(
    byId("tickets"),
    tickets.map((ticket) => {
      const card = cards.get(ticket.id) ?? new Card(ticket.id, embed);
      cards.set(ticket.id, card);
      card.update(ticket, holds.filter((hold) => hold.ticket === ticket.id), moment);
      return { key: ticket.id, build: () => card.root };
    }),
  );
  const names = new Map(tickets.map(({ id, name }) => [id, name]));
  fill(byId("orders"), orders.toReversed().map((order) => orderRow(order, names)));
  showKnobs(knobs);
}

function when({ start, zone, status }) {
  const style = { dateStyle: "full", timeStyle: "short", timeZone: zone };
  const past = { CANCELED: "Canceled", ENDED: "Ended" }[status];
  return `${past ? `${past}. ` : ""}${new Intl.DateTimeFormat("en-GB", style).format(new Date(start))}, ${zone}`;
}

/** What the switch sets. */
const REGISTRATION = {
  open: { paused: false, disabled: false, status: null },
  paused: { paused: true, disabled: false, status: null },
  closed: { paused: false, disabled: true, status: null },
};

/** Whether a click on the switch is on its way: until then it shows what was clicked. */
let switching = false;

/** Show what the switch is set to, and whether anything is sold. @param {object | null} event */
function showRegistration(event) {
  byId("registration").hidden = byId("selling").hidden = !event;
  if (!event) return;
  const { paused, disabled, closedBecause } = event.registration;
  const now = disabled ? "closed" : paused ? "paused" : "open";
  for (const choice of byId("registration").querySelectorAll("input"))
    if (!switching) choice.checked = choice.value === now;
  const over = { CANCELED: "the event is canceled", ENDED: "the event has ended", DRAFT: "the event is not published" };
  const reason = over[event.status] ?? closedBecause;
  write(byId("selling"), reason ? `Wix sells no tickets now: ${reason}.` : "Wix sells tickets now.");
  byId("selling").classList.toggle("late", Boolean(reason));
}

function orderRow({ number, ticket, quantity, status }, names) {
  const gone = /CANCEL/.test(status);
  const build = () => {
    const row = document.createElement("li");
    row.append(make("span", `${quantity} × ${names.get(ticket) ?? "a deleted ticket"}`, gone ? "canceled" : ""));
    if (!gone) {
      const cancel = button("Cancel", () => perform(() => ask(`/orders/${number}/cancel`, "POST")));
      cancel.setAttribute("aria-label", `Cancel order ${number}`);
      row.append(cancel);
    }
    return row;
  };
  return { key: `${number} ${status}`, build };
}

function showKnobs(knobs) {
  for (const field of byId("knobs").elements) {
    if (!(field.name in knobs)) continue;
    if (field !== document.activeElement && field.value !== `${knobs[field.name]}`) field.value = knobs[field.name];
    label(field);
  }
}

function label(field) {
  const value = field.parentElement.querySelector("span");
  if (!value) return;
  const text = field.dataset.unit === "%" ? `${Math.round(field.value * 100)} %` : `${+field.value} s`;
  write(value, text);
  field.ariaValueText = text;
}

function showWebhooks(found) {
  for (const webhook of found) {
    const place = lines.findIndex(({ n }) => n === webhook.n);
    if (place < 0) lines.push(webhook);
    else lines[place] = webhook;
  }
  lines.splice(0, Math.max(0, lines.length - WEBHOOKS));
  // Undelivered webhooks are requested again.
  const open = lines.find(({ attempts }) => !delivered(attempts));
  if (lines.length) webhooks = `?since=${open ? open.n - 1 : lines.at(-1).n}`;
  fill(byId("webhooks"), lines.toReversed().map(webhookRow));
}

const delivered = (attempts) => attempts.some(({ status }) => status === 200);

function webhookRow({ n, type, attempts }) {
  const last = attempts.at(-1);
  const good = attempts.findLast(({ status }) => status === 200) ?? last;
  let [text, className] = ["not sent yet", "late"];
  if (good?.status === 200) [text, className] = [`${good.ms} ms`, "ok"];
  else if (good) [text, className] = [`${good.status || "no answer"}`, "failed"];
  const name = type.split(".").at(-1).replaceAll("_", " ");
  const build = () => {
    const row = document.createElement("li");
    row.append(make("span", ""), make("span", ""));
    return row;
  };
  const update = (row) => {
    row.title = type;
    write(row.firstElementChild, name);
    write(row.lastElementChild, text);
    row.lastElementChild.className = className;
  };
  return { key: `${n}`, build, update };
}

/** Run an action that does not belong to a ticket, and show its error. */
async function perform(act) {
  try {
    await act();
    showError("");
  } catch (error) {
    showError(error.message);
  }
  await refresh();
}

let failing = false;

async function refresh() {
  try {
    const [world, sent] = await Promise.all([ask("/world"), ask(`/webhooks${webhooks}`)]);
    showWorld(world);
    showWebhooks(sent.webhooks);
    if (failing) showError("");
    failing = false;
  } catch (error) {
    failing = true;
    showError(error instanceof TypeError ? "The local Wix does not answer: it may have been stopped." : error.message);
  }
}

byId("registration").addEventListener("change", ({ target }) => {
  switching = true;
  perform(async () => {
    try {
      await ask("/event/update", "POST", { registration: REGISTRATION[target.value] });
    } finally {
      switching = false;
    }
  });
});
byId("knobs").addEventListener("input", ({ target }) => label(target));
byId("knobs").addEventListener("change", ({ target }) => {
  const value = target.type === "range" ? Number(target.value) : target.value;
  perform(() => ask("/knobs", "PATCH", { [target.name]: value }));
});
byId("knobs").addEventListener("reset", (event) => {
  event.preventDefault();
  const named = [...byId("knobs").elements].filter(({ name }) => name);
  const normal = Object.fromEntries(named.map(({ name, type }) => [name, type === "range" ? 0 : "none"]));
  perform(() => ask("/knobs", "PATCH", normal));
});

const { counter, site } = await ask("/page");
embed = new Embed(counter, site);
embed.load();
for (;;) {
  await refresh();
  await new Promise((done) => setTimeout(done, POLL));
}
