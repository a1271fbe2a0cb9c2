"""Habits of real sites, as data: one page each (tests/rig/host_page.py says what the fields mean).

loading.py    how the script comes to the page
placing.py    where the tag stands, and when it comes there
policies.py   what the page's headers forbid
scripts.py    what other scripts of the page do
looks.py      style sheets, languages and directions
following.py  what happens later: sales, the back button, events
"""

from tests.engines.pages import following, loading, looks, placing, policies, scripts

PAGES = [page for theme in (loading, placing, policies, scripts, looks, following) for page in theme.PAGES]
