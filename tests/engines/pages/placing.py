"""Where the tag stands, and when it comes there."""

import re

from tests.rig.host_page import LOW, OWN, PLENTY, HostPage

ANY = re.compile(".*", re.DOTALL)
"""Where nobody sees it yet."""

FIRST = "document.querySelector('ticket-counter')"

PAGES = [
    HostPage(
        title="Tag created by a script before the widget's script",
        body="""<main></main><script>
            const early = document.createElement("ticket-counter");
            early.setAttribute("ticket", "{T1}");
            document.querySelector("main").append(early);</script>{W}""",
    ),
    HostPage(
        title="Tag created by a script after the widget's script",
        head="{W}",
        body="""<main></main><script>
            const late = document.createElement("ticket-counter");
            document.querySelector("main").append(late);
            late.setAttribute("ticket", "{T1}");</script>""",
    ),
    HostPage(
        title="Attributes come late",
        head="{W}",
        body="<ticket-counter></ticket-counter>",
        shows=("",),
        then=f"void {FIRST}.setAttribute('ticket', '{{T1}}')",
        later=(LOW,),
    ),
    HostPage(
        title="Inside an open shadow root",
        head="{W}",
        body="""<div></div><script>
            document.querySelector("div").attachShadow({ mode: "open" }).innerHTML = '{TAG}';</script>""",
    ),
    HostPage(
        title="Inside a closed shadow root",
        head="{W}",
        body="""<div></div><script>
            closedRoots = [document.querySelector("div").attachShadow({ mode: "closed" })];
            closedRoots[0].innerHTML = '{TAG}';</script>""",
    ),
    HostPage(
        title="Declarative shadow root",
        head="{W}",
        body='<div><template shadowrootmode="open">{TAG}</template></div>',
    ),
    HostPage(
        title="Inside a template that is cloned",
        head="{W}",
        body="""<template>{TAG}</template><main></main><script>
            const found = document.querySelector("template").content;
            document.querySelector("main").append(found.cloneNode(true), document.importNode(found, true));</script>""",
        shows=(LOW, LOW),
    ),
    HostPage(
        title="Written by innerHTML",
        head="{W}",
        body="<main></main><script>document.querySelector('main').innerHTML = '<p>{TAG}</p>'</script>",
    ),
    HostPage(
        title="Inside a table, a list, a button and a link",
        head="{W}",
        body="""<table><tr><td>{TAG}</td></tr></table><ul><li>{TAG}</li></ul><button>Buy {TAG}</button>
            <a href="#buy">Buy {TAG}</a><p>Now {TAG}, later more</p>""",
        shows=(LOW,) * 5,
    ),
    HostPage(
        title="Inside closed details that a visitor opens",
        head="{W}",
        body="<details><summary>Tickets</summary>{TAG}</details>",
        shows=(ANY,),
        then="void (document.querySelector('details').open = true)",
        later=(LOW,),
    ),
    HostPage(
        title="Inside a closed dialog that a visitor opens",
        head="{W}",
        body="<dialog>{TAG}</dialog>",
        shows=(ANY,),
        then="void document.querySelector('dialog').showModal()",
        later=(LOW,),
    ),
    HostPage(
        title="Hidden by display none, then shown",
        head="{W}",
        body='<div style="display: none">{TAG}</div>',
        shows=(ANY,),
        then="void (document.querySelector('div').style.display = 'block')",
        later=(LOW,),
    ),
    HostPage(
        title="Without a box of its own: display contents",
        head="{W}<style>ticket-counter { display: contents }</style>",
        body="{TAG}",
    ),
    HostPage(
        title="Far below the fold, read by a script of the page",
        head="{W}",
        body='<div style="height: 9000px"></div><ticket-counter ticket="{T1}" eager></ticket-counter>',
    ),
    HostPage(
        title="Far below the fold, until the visitor scrolls there",
        head="{W}",
        body='<div style="height: 9000px"></div>{TAG}',
        shows=(ANY,),
        then="scrollTo(0, 9000)",
        later=(LOW,),
    ),
    HostPage(
        title="Moved to other places of the page",
        head="{W}",
        body="<header></header>{TAG}<footer></footer>",
        then=f"document.querySelector('header').append({FIRST}), document.querySelector('footer').append({FIRST})",
        later=(LOW,),
        holds=(f"{FIRST}.parentNode.localName === 'footer'",),
    ),
    HostPage(
        title="Removed, and put back later",
        head="{W}",
        body="<main>{TAG}</main>",
        then=f"""new Promise((done) => {{
            const taken = {FIRST};
            taken.remove();
            setTimeout(() => done(void document.querySelector("main").append(taken)), 300);
        }})""",
        later=(LOW,),
    ),
    HostPage(
        title="Cloned together with what it shows",
        head="{W}",
        body="{TAG}",
        then=f"document.body.append({FIRST}.cloneNode(true))",
        later=(LOW, LOW),
    ),
    HostPage(
        title="Adopted into an iframe",
        head="{W}",
        body='{TAG}<iframe srcdoc="<!doctype html><p>frame</p>"></iframe>',
        then=f"document.querySelector('iframe').contentDocument.body.append({FIRST})",
        later=(LOW,),
    ),
    HostPage(
        title="In an iframe of the site, which has the script itself",
        body='<iframe src="/own-frame"></iframe>',
        frames={"/own-frame": "<!doctype html><html lang=en><title>Frame</title>{W}{TAG}</html>"},
    ),
    HostPage(
        title="In a sandboxed iframe without an origin",
        body="""<script>addEventListener("message", ({ data }) => { said = data })</script>
            <iframe sandbox="allow-scripts" src="/sandboxed"></iframe>""",
        frames={
            "/sandboxed": """<!doctype html><html lang=en><title>Frame</title>{W}<script>
                addEventListener("ticket-counter", ({ counter }) => parent.postMessage([counter.unsold, origin], "*"))
                </script><ticket-counter ticket="{T1}" eager></ticket-counter></html>"""
        },
        shows=(),
        holds=("String(window.said) === '3,null'",),
    ),
    HostPage(
        title="Own content that is a link, a heading and an image",
        head="{W}",
        body="""<ticket-counter ticket="{T1}"><a href="#buy">Get your tickets</a></ticket-counter>
            <ticket-counter ticket="99999999-aaaa-4aaa-8aaa-000000000009"><h3>Tickets at the door</h3></ticket-counter>""",
        shows=(LOW, OWN),
    ),
    HostPage(
        title="Attribute is not the id of a ticket",
        head="{W}",
        body='<ticket-counter ticket="general-admission">Ask us</ticket-counter>{TAG}',
        shows=("Ask us", LOW),
        says=("warning: <ticket-counter>: .*general-admission",),
    ),
    HostPage(
        title="Recycled by a virtual list",
        head="{W}",
        body="{TAG}",
        then=f"""new Promise((done) => {{
            let number = 100;
            const timer = setInterval(() => {{
                const id = String(number++);
                {FIRST}.setAttribute("ticket", `${{id.padStart(8, "0")}}-aaaa-4aaa-8aaa-${{id.padStart(12, "0")}}`);
                if (number < 130) return;
                clearInterval(timer);
                done(void {FIRST}.setAttribute("ticket", "{{T2}}"));
            }}, 20);
        }})""",
        later=(PLENTY,),
    ),
]
