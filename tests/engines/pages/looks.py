"""Style sheets, languages and directions."""

import re

from tests.rig.host_page import LONG, LOW, HostPage

PART = "document.querySelector('ticket-counter').shadowRoot.querySelector('[part=text]')"
NAMED = '<ticket-counter ticket="{T1}" show-name show-price></ticket-counter>'
IN_FULL = f"General admission $25.00 {LOW}"


def style(of: str, name: str) -> str:
    """An expression: a style of an element as it is computed."""
    return f"getComputedStyle({of}).{name}"


PAGES = [
    HostPage(title="Name and price beside the sentence", head="{W}", body=NAMED, shows=(IN_FULL,)),
    HostPage(
        title="Style sheet resets everything",
        head="{W}<style>* { all: unset } head, script { display: none }</style>",
        body="{TAG}",
        holds=(f"{PART}.getClientRects().length > 0",),
    ),
    HostPage(
        title="Style sheet hides every span",
        head="{W}<style>span, slot, [hidden] ~ * { display: none !important }</style>",
        body="{TAG}",
        holds=(f"{PART}.getClientRects().length > 0",),
    ),
    HostPage(
        title="Dark page",
        head="{W}<style>:root { color-scheme: dark } body { background: rgb(0, 0, 0); color: rgb(238, 238, 238) }</style>",
        body="{TAG}",
        holds=(
            f"{style(PART, 'color')} === 'rgb(238, 238, 238)'",
            f"{style(PART, 'backgroundColor')} === 'rgba(0, 0, 0, 0)'",
        ),
    ),
    HostPage(
        title="Parts and states in the page's style sheet",
        head="""{W}<style>
            ticket-counter::part(text) { font-weight: 700 } ticket-counter[data-state="low"] { color: rgb(154, 82, 0) }
            </style>""",
        body="{TAG}",
        holds=(
            f"{style(PART, 'fontWeight')} === '700'",
            f"{style(PART, 'color')} === 'rgb(154, 82, 0)'",
        ),
    ),
    HostPage(
        title="State as a custom state in the page's style sheet",
        head="{W}<style>ticket-counter:state(low) { color: rgb(154, 82, 0) }</style>",
        body="{TAG}",
        holds=(f"{style(PART, 'color')} === 'rgb(154, 82, 0)'",),
    ),
    HostPage(
        title="Style sheet for print hides the rest of the page",
        head="{W}<style media=print>body > :not(main) { display: none }</style>",
        body="<nav>Menu</nav><main>{TAG}</main>",
        holds=(f"{PART}.getClientRects().length > 0",),
    ),
    HostPage(
        title="Very long name on a narrow phone",
        body='<iframe src="/narrow" style="width: 320px; height: 600px; border: 0"></iframe>',
        frames={
            "/narrow": """<!doctype html><html lang=en><meta name=viewport content="width=device-width"><title>Narrow</title>{W}
                <style>body { margin: 0 }</style><p><ticket-counter ticket="{T5}" show-name></ticket-counter></p></html>"""
        },
        shows=(f"{LONG} {LOW}",),
        holds=("document.querySelector('iframe').contentDocument.documentElement.scrollWidth <= 320",),
    ),
    HostPage(
        title="Page in German",
        root='lang="de"',
        head="{W}",
        body="{TAG}",
        shows=(re.compile(r"Nur noch 3 .+\."),),
        holds=(f"{PART}.lang === 'de'", f"{PART}.matches(':lang(de)')"),
    ),
    HostPage(
        title="Page in German, as a content system writes it",
        root='lang="de_DE"',
        head="{W}",
        body="{TAG}",
        shows=(re.compile(r"Nur noch 3 .+\."),),
    ),
    HostPage(
        title="Page in Hebrew, right to left",
        root='lang="he" dir="rtl"',
        head="{W}",
        body="{TAG}",
        shows=(re.compile(r"[^A-Za-z]*3[^A-Za-z]*"),),
        holds=(f"{PART}.lang === 'he'", f"{style(PART, 'direction')} === 'rtl'"),
    ),
    HostPage(
        title="Page in a language that the widget has not",
        root='lang="eo"',
        head="{W}",
        body="{TAG}",
        holds=(f"{PART}.lang === 'en'", f"!{PART}.matches(':lang(eo)')"),
    ),
    HostPage(
        title="Page in a right to left language that the widget has not",
        root='lang="fa" dir="rtl"',
        head="{W}",
        body="{TAG}",
        holds=(f"{PART}.lang === 'en'", f"{style(PART, 'direction')} === 'ltr'"),
    ),
    HostPage(
        title="Language of the page is switched by its menu",
        head="{W}",
        body="{TAG}",
        then="void (document.documentElement.lang = 'fr')",
        later=(re.compile(r"[^.]*\b3\b[^.]*(billets|places|restant|reste)[^.]*\."),),
        holds=(f"{PART}.lang === 'fr'",),
    ),
    HostPage(
        title="Language around the tag, outside of its shadow root",
        head="{W}",
        body="""<div lang="de"></div><script>
            document.querySelector("div").attachShadow({ mode: "open" }).innerHTML = '{TAG}';</script>""",
        shows=(re.compile(r"Nur noch 3 .+\."),),
    ),
    HostPage(
        title="Page without a language",
        root="",
        head="{W}",
        body="{TAG}",
    ),
]
