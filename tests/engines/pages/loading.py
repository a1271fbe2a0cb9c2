"""How the script comes to the page."""

from tests.rig.host_page import LOW, OWN, PLENTY, HostPage

PAGES = [
    HostPage(title="Classic script before the tag", head="{W}", body="{TAG}"),
    HostPage(title="Script after the tag", body="{TAG}{W}"),
    HostPage(
        title="Async script, as in the README",
        head='<script src="{A}/widget/v1/ticket-counter.js" async></script>',
        body="{TAG}",
    ),
    HostPage(
        title="Deferred script",
        head='<script src="{A}/widget/v1/ticket-counter.js" defer></script>',
        body="{TAG}",
    ),
    HostPage(
        title="Module script",
        head='<script type="module" src="{A}/widget/v1/ticket-counter.js"></script>',
        body="{TAG}",
    ),
    HostPage(
        title="Imported by a module of the site",
        body='{TAG}<script type="module">import "{A}/widget/v1/ticket-counter.js"</script>',
    ),
    HostPage(
        title="Two copies of the script and a module",
        head='{W}{W}<script type="module" src="{A}/widget/v1/ticket-counter.js?again"></script>',
        body="{TAG}",
    ),
    HostPage(
        title="Script added by a tag manager after load",
        body="""{TAG}<script>addEventListener("load", () => setTimeout(() => {
            const added = document.createElement("script");
            added.src = "{A}/widget/v1/ticket-counter.js";
            added.async = true;
            document.head.append(added);
        }))</script>""",
    ),
    HostPage(title="Script with integrity and crossorigin", head="{PINNED}", body="{TAG}"),
    HostPage(
        title="Server under a path of a shared host",
        head='<script src="{B}/widget/v1/ticket-counter.js"></script>',
        body="{TAG}",
    ),
    HostPage(
        title="Script inlined into the page, with the server attribute",
        body='<ticket-counter ticket="{T1}" server="{A}"></ticket-counter><script>{SOURCE}</script>',
    ),
    HostPage(
        title="Script inlined into the page, without the server attribute",
        body="{TAG}<script>{SOURCE}</script>",
        shows=(OWN,),
        says=("warning: <ticket-counter>: .*server",),
    ),
    HostPage(
        title="Base address of the page is elsewhere",
        head='<base href="{H}/assets/">{W}',
        body="{TAG}",
    ),
    HostPage(
        title="Two servers' counters on one page",
        head="{W}",
        body='{TAG}<ticket-counter ticket="{T2}" server="{B}"></ticket-counter>',
        shows=(LOW, PLENTY),
    ),
    HostPage(
        title="Site that lists every type of ticket: 200 counters",
        head="{W}<style>body { margin: 0; font: 5px/1 sans-serif }</style>",
        body="""<main></main><script>
            for (let number = 100; number < 300; number++) {
                const id = String(number);
                const counter = document.createElement("ticket-counter");
                counter.setAttribute("ticket", `${id.padStart(8, "0")}-aaaa-4aaa-8aaa-${id.padStart(12, "0")}`);
                document.querySelector("main").append(counter, " ");
            }</script>""",
        shows=(LOW,) * 200,
    ),
    HostPage(
        title="Page as XHTML",
        type="application/xhtml+xml; charset=utf-8",
        whole="""<?xml version="1.0" encoding="utf-8"?><html xmlns="http://www.w3.org/1999/xhtml" lang="en" xml:lang="en">
            <head><title>Page as XHTML</title>{W}</head><body><p>{TAG}</p></body></html>""",
    ),
    HostPage(title="Page in quirks mode", doctype="", head="{W}", body="{TAG}"),
]
