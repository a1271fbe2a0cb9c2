/**
 * The service worker of /tell-me: shows each push message, sends the token of a first one back, and opens the page at a click.
 *
 * In: messages of server/notify/channels/push.py: {notification: {title, body, lang, dir, tag, navigate}}, or anything else. Out: a
 * notification for each, since browsers end subscriptions whose messages show nothing.
 */
"use strict";

/** Shown for a message that cannot be read. */
const UNREADABLE = {
  en: ["News about tickets", "Open the page to see what is on sale."],
  de: ["Neues zu den Tickets", "Die Seite zeigt, was im Verkauf ist."],
  he: ["חדשות על הכרטיסים", "העמוד מראה מה נמצא במכירה."],
};

const text = (value, otherwise = "") => (typeof value === "string" && value ? value : otherwise);

/** A page of ours; any other address becomes the page without an event. */
const ours = (address) => {
  const home = new URL(self.registration.scope);
  try {
    const url = new URL(address, home);
    return url.origin === home.origin && url.pathname === home.pathname ? url : home;
  } catch {
    return home;
  }
};

/** What a message says: as JSON, or as a browser has read it that knows declarative messages. */
const read = (event) => {
  try {
    const found = event.data?.json()?.notification;
    if (found && typeof found === "object") return found;
  } catch {
    // It is no JSON, or was not encrypted for this browser.
  }
  return event.notification ?? {};
};

const windows = () => self.clients.matchAll({ type: "window", includeUncontrolled: true });

const tell = async (message) => {
  for (const client of await windows()) client.postMessage(message);
};

const confirm = async (token) => {
  const answer = await fetch(`${self.registration.scope}/confirm`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ token }),
  });
  if (answer.ok) await tell({ confirmed: true });
};

const show = async (event) => {
  const message = read(event);
  const language = self.navigator.language.split("-")[0];
  const [title, body] = UNREADABLE[language] ?? UNREADABLE.en;
  const page = ours(text(message.navigate));
  const token = new URLSearchParams(page.hash.slice(1)).get("confirm");
  page.hash = "";
  const known = Boolean(text(message.title));
  await self.registration.showNotification(text(message.title, title), {
    body: known ? text(message.body) : body,
    lang: text(message.lang, known ? "" : language),
    dir: text(message.dir, "auto"),
    tag: text(message.tag),
    renotify: Boolean(text(message.tag)),
    icon: `${self.registration.scope}/icon.png`,
    data: { page: page.href },
  });
  // Without a network the page sends it, when it is opened.
  if (token) await confirm(token).catch(() => {});
  await tell({ pushed: true });
};

const open = async (address) => {
  const page = ours(address);
  const all = (await windows()).map((client) => [client, new URL(client.url)]);
  const [same] = all.find(([, url]) => url.pathname === page.pathname && url.search === page.search) ?? [];
  if (!same) return self.clients.openWindow(page.href);
  same.postMessage({ pushed: true });
  return same.focus();
};

self.addEventListener("install", () => self.skipWaiting());
self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));
self.addEventListener("push", (event) => event.waitUntil(show(event)));
self.addEventListener("notificationclick", (event) => {
  event.notification.close();
  event.waitUntil(open(event.notification.data?.page ?? ""));
});
