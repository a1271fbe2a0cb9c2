/* Tells the page around /embed how high the counters are, in CSS pixels: {"ticket-counter": {"height": 24}} by postMessage. */
{
  // Chromium and WebKit name the page around this one; Firefox tells its origin as the referrer, unless that page forbids it. Only pages that
  // may frame this one (ORIGINS) get here at all: the policy's frame-ancestors keeps others from loading it.
  const around = location.ancestorOrigins?.[0] ?? (document.referrer && new URL(document.referrer).origin);
  let told = -1;
  // The origin of a sandboxed page is "null", which no message can be addressed to.
  if (parent !== window && around && around !== "null")
    new ResizeObserver(() => {
      const height = Math.ceil(document.documentElement.getBoundingClientRect().height);
      if (height !== told) parent.postMessage({ "ticket-counter": { height: (told = height) } }, around);
    }).observe(document.documentElement);
}
