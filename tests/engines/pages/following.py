"""What happens later: sales, the back button, screen readers, events."""

import re

from tests.rig.host_page import LOW, OWN, PLENTY, SLUG, HostPage

SOLD_OUT = "Sold out."
STATUS = """(() => {
  const found = [];
  const walk = (root) => {
    for (const node of root.querySelectorAll("*")) {
      if (node.matches("[role=status], [aria-live]")) found.push(node);
      if (node.shadowRoot) walk(node.shadowRoot);
    }
  };
  walk(document);
  return found;
})()"""

PAGES = [
    HostPage(
        title="A ticket is sold while the page is open",
        head="{W}",
        body="{TAG}",
        sold=[{1: 2}],
        later=("Only 2 left at this price.",),
    ),
    HostPage(
        title="Sells out while the page is open",
        head="{W}",
        body="{TAG}",
        sold=[{1: 0}],
        later=(SOLD_OUT,),
        holds=("document.querySelector('ticket-counter').dataset.state === 'sold_out'",),
    ),
    HostPage(
        title="Left and restored by the back button",
        head="{W}",
        body="{TAG}",
        leaves=True,
        sold=[{1: 2}],
        later=("Only 2 left at this price.",),
    ),
    HostPage(
        title="Every state on one page",
        head="{W}",
        body="""{TAG}<ticket-counter ticket="{T2}"></ticket-counter><ticket-counter ticket="{T3}"></ticket-counter>
            <ticket-counter ticket="{T4}"></ticket-counter><ticket-counter ticket="{T6}" show-price></ticket-counter>
            <ticket-counter ticket="99999999-aaaa-4aaa-8aaa-000000000009">Tickets at the door</ticket-counter>""",
        shows=(
            LOW,
            PLENTY,
            SOLD_OUT,
            re.compile(r"On sale from March 1, 2035 at 6:30\sPM UTC\."),
            f"Free {LOW}",
            OWN,
        ),
    ),
    HostPage(
        title="One ticket in three places of the page",
        head="{W}",
        body='<header>{TAG}</header><main>{TAG} <ticket-counter ticket="{T2}"></ticket-counter></main><footer>{TAG}</footer>',
        shows=(LOW, LOW, PLENTY, LOW),
        sold=[{1: 0}],
        later=(SOLD_OUT, SOLD_OUT, PLENTY, SOLD_OUT),
        holds=(f"{STATUS}.length === 1", f"/General admission.*Sold out/.test({STATUS}[0].textContent)"),
    ),
    HostPage(
        title="Another sale a moment after the state was told to screen readers",
        head="{W}",
        body='<ticket-counter ticket="{T2}"></ticket-counter>',
        shows=(PLENTY,),
        sold=[{2: 5}, {2: 4}],
        later=("Only 4 left at this price.",),
        holds=(f"{STATUS}.some((region) => /Only [54] left/.test(region.textContent))",),
    ),
    HostPage(
        title="Script of the page listens",
        head="""<script>addEventListener("ticket-counter", ({ target, counter }) => {
            window.heard = [target.localName, counter.state, counter.unsold].join() })</script>{W}""",
        body="{TAG}",
        holds=("heard === 'ticket-counter,low,3'", "document.querySelector('ticket-counter').counter.unsold === 3"),
    ),
    HostPage(
        title="The whole event by its slug",
        head="{W}",
        body=f'<ticket-counter event="{SLUG}"></ticket-counter>',
        shows=(re.compile(rf"General admission \$25\.00 {LOW} Balcony \$8\.50 {PLENTY} Front row.*", re.DOTALL),),
    ),
    HostPage(
        title="Organiser's own wording",
        head="{W}",
        body='<ticket-counter ticket="{T1}" text-low="Be quick: {n}"></ticket-counter>',
        shows=("Be quick: 3",),
    ),
    HostPage(
        title="Our page in a frame of the site",
        body='<iframe src="{A}/embed?ticket={T1}" onload="loaded = true"></iframe>',
        shows=(),
        holds=("window.loaded",),
    ),
]
