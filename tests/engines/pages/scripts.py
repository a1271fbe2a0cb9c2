"""What other scripts of the page do."""

from tests.rig.host_page import LOW, OWN, PLENTY, HostPage

TWO = '{TAG}<ticket-counter ticket="{T2}"></ticket-counter>'

PAGES = [
    HostPage(
        title="Event replaced by an old library",
        head="<script>window.Event = function Event(event) { this.event = event || window.event }</script>{W}",
        body=TWO,
        shows=(LOW, PLENTY),
    ),
    HostPage(
        title="Prototype of Array has more methods",
        head="""<script>
            Array.prototype.remove = function (one) { this.splice(this.indexOf(one), 1) };
            Array.prototype.contains = Array.prototype.includes;
            Object.prototype.each = function () {};</script>{W}""",
        body="{TAG}",
    ),
    HostPage(
        title="JSON.parse replaced by one that makes dates",
        head="""<script>{
            const parse = JSON.parse;
            JSON.parse = (text) => parse(text, (_, value) => /^\\d{4}-\\d\\d-\\d\\dT/.test(value) ? new Date(value) : value);
        }</script>{W}""",
        body="{TAG}",
    ),
    HostPage(
        title="Name of the tag is taken by another element",
        head='<script>customElements.define("ticket-counter", class extends HTMLElement {})</script>{W}',
        body="{TAG}",
        shows=(OWN,),
    ),
    HostPage(
        title="customElements.define wrapped by a polyfill",
        head="""<script>{
            const define = customElements.define;
            customElements.define = function (name, made, options) { return define.call(this, name, made, options) };
        }</script>{W}""",
        body="{TAG}",
    ),
    HostPage(
        title="WebSocket wrapped by a monitoring script",
        head="""<script>window.WebSocket = new Proxy(WebSocket, {
            construct: (made, given) => { window.opened = (window.opened ?? 0) + 1; return new made(...given) } })</script>{W}""",
        body="{TAG}",
        holds=("opened === 1",),
    ),
    HostPage(
        title="WebSocket is missing",
        head="<script>delete window.WebSocket; window.WebSocket = undefined</script>{W}",
        body="{TAG}",
    ),
    HostPage(
        title="Listener of the page throws",
        head="""<script>addEventListener("ticket-counter", () => { throw new Error("of the page") })</script>{W}""",
        body=TWO,
        shows=(LOW, PLENTY),
        says=("error: .*of the page",),
    ),
    HostPage(
        title="Stack traces are turned off",
        head="<script>Error.stackTraceLimit = 0</script>{W}",
        body="{TAG}",
    ),
    HostPage(
        title="Globals with the names of the widget's own",
        head="""<script>
            var HOME = 1, warn = 2, attempt = 3, sentence = 4, subscribe = 5, announce = 6, words = 7, name = "8";</script>{W}""",
        body="{TAG}",
        holds=("[HOME, warn, attempt, sentence, subscribe, announce, words, name].join() === '1,2,3,4,5,6,7,8'",),
    ),
    HostPage(
        title="Morphing takes away what the page did not write",
        head="{W}",
        body="{TAG}",
        then="document.querySelector('ticket-counter').removeAttribute('data-state')",
        holds=("document.querySelector('ticket-counter').dataset.state === 'low'",),
    ),
    HostPage(
        title="Morphing rewrites the content of the tag",
        head="{W}",
        body="{TAG}",
        then="void (document.querySelector('ticket-counter').textContent = 'Get your tickets')",
        holds=("document.querySelector('ticket-counter').textContent === 'Get your tickets'",),
    ),
]
