"""What the page's headers forbid."""

from tests.rig.host_page import LOW, OWN, HostPage

CSP = "Content-Security-Policy"
OF_THE_ENGINE = ("error: .*(Content.Security.Policy|connect-src)", "warning: .*(Content.Security.Policy|connect-src)")
"""Each engine tells of a violated policy in its own words, and as a warning or an error."""

ONE_WARNING = "warning: <ticket-counter>: "

PAGES = [
    HostPage(
        title="Policy with a nonce and without styles",
        headers={
            CSP: "default-src 'none'; img-src 'self'; script-src 'nonce-abc'; style-src 'none'; connect-src {WA}; base-uri 'none'"
        },
        body='<script nonce="abc" src="{A}/widget/v1/ticket-counter.js"></script>{TAG}',
    ),
    HostPage(
        title="Policy as the README has it",
        headers={CSP: "default-src 'none'; img-src 'self'; script-src {A}; connect-src {WA}"},
        head="{W}",
        body="{TAG}",
    ),
    HostPage(
        title="Policy that wants trusted types",
        headers={
            CSP: "require-trusted-types-for 'script'; trusted-types 'none'; script-src {A} 'unsafe-inline'; connect-src {WA}"
        },
        head="{W}",
        body="{TAG}",
    ),
    HostPage(
        title="Policy that forbids WebSockets only",
        headers={CSP: "connect-src {A}"},
        head="{W}",
        body="{TAG}",
        says=(ONE_WARNING,),
        noise=OF_THE_ENGINE,
    ),
    HostPage(
        title="Policy that forbids every connection",
        headers={CSP: "connect-src https:"},
        head="{W}",
        body="{TAG}",
        shows=(OWN,),
        says=(ONE_WARNING,),
        noise=OF_THE_ENGINE,
    ),
    HostPage(
        title="Sends no referrer",
        headers={"Referrer-Policy": "no-referrer"},
        head="{W}",
        body="{TAG}",
        shows=(LOW,),
    ),
]
