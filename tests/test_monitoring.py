"""The alerts and the dashboard of deploy/, which are read by programs that do not notice a name that is not there."""

import re

import pytest
import yaml  # type: ignore[import-untyped]

from tests.rig.monitoring import ALERTS, NAME, TARGET, dashboard, labels, panels, rules, shown
from tests.rig.process import ROOT

GUIDE = ROOT / "docs" / "monitoring.md"

SELECTOR = re.compile(rf"({NAME.pattern})\{{([^}}]*)\}}")
MATCHER = re.compile(r'([a-z_]+)(=~|=)"([^"]*)"')
BY = re.compile(r"\bby \(([^)]*)\)")

QUERIES = [*(rule["expr"] for rule in rules()), *(query for query, _ in shown())]


@pytest.mark.parametrize("query", QUERIES)
def test_query_uses_what_there_is(query: str) -> None:
    """Each query of an alert or a panel names metrics, and labels of them, that this server has."""
    known = labels()
    names = set(NAME.findall(query))
    assert names
    assert set() == names - set(known)
    of_all = set.union(*(known[name] for name in names)) | TARGET
    for by in BY.findall(query):
        assert {one.strip() for one in by.split(",")} <= of_all
    for name, matchers in SELECTOR.findall(query):
        assert {label for label, _, _ in MATCHER.findall(matchers)} <= known[name] | TARGET


@pytest.mark.parametrize("query", QUERIES)
def test_query_selects_values_that_there_are(query: str) -> None:
    """Each value of a label that a query selects is a text of the server's source."""
    source = "\n".join(path.read_text() for path in (ROOT / "server").rglob("*.py"))
    for _, matchers in SELECTOR.findall(query):
        for label, _, value in MATCHER.findall(matchers):
            if label not in TARGET:
                assert [] == [one for one in value.split("|") if f'"{one}"' not in source]


@pytest.mark.parametrize(("query", "legend"), list(shown()))
def test_legend_names_labels_of_its_query(query: str, legend: str) -> None:
    """A legend names only labels that are left in what its query answers."""
    left = {one.strip() for by in BY.findall(query) for one in by.split(",")}
    left |= TARGET if "by (" not in query and not query.startswith(("sum(", "max(", "60 * sum(")) else set()

    assert set(re.findall(r"{{(\w+)}}", legend)) <= left


def test_every_metric_is_on_the_dashboard() -> None:
    """The dashboard shows each metric of this server."""
    queries = " ".join(query for query, _ in shown())
    own = {name.removesuffix("_bucket") for name in labels() if name.startswith("ticketcounter_")}
    own -= {name for name in own if name.endswith(("_sum", "_count"))}

    assert set() == {name for name in own if name not in queries}


def test_panels_have_their_places() -> None:
    """Panels have ids of their own, do not overlap, fit into the 24 columns, and read from the chosen data source and job."""
    places: set[tuple[int, int]] = set()
    for panel in dashboard()["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not places & cells
        assert at["x"] + at["w"] <= 24
        places |= cells
    ids = [panel["id"] for panel in dashboard()["panels"]]
    variables = {one["name"] for one in dashboard()["templating"]["list"]}

    assert len(ids) == len(set(ids))
    assert {"datasource", "job"} == variables
    assert {"${datasource}"} == {panel["datasource"]["uid"] for panel in panels()}
    assert all('{job=~"$job"' in query for query, _ in shown())


def test_each_alert_says_what_to_do() -> None:
    """Each alert has a name of its own, how urgent it is, what is wrong, and a cure."""
    names = [rule["alert"] for rule in rules()]

    assert len(names) == len(set(names))
    assert {"critical", "warning"} == {rule["labels"]["severity"] for rule in rules()}
    assert all({"summary", "cure"} == set(rule["annotations"]) for rule in rules())


def test_each_alert_is_in_the_guide() -> None:
    """The guide has each alert once, in the order of the file, with how urgent it is."""
    rows = re.findall(r"^\| `(TicketCounter\w+)` \| (\w+) \|", GUIDE.read_text(), re.MULTILINE)

    assert [(rule["alert"], rule["labels"]["severity"]) for rule in rules()] == rows


def test_commands_and_log_lines_of_cures_exist() -> None:
    """What a cure names in backquotes is a command, or an event of the log."""
    source = "\n".join(path.read_text() for path in (ROOT / "server").rglob("*.py"))
    named = {one for rule in rules() for one in re.findall(r"`([^`]+)`", rule["annotations"]["cure"])}
    events = {one for one in named if " " not in one}

    assert {"wix_fault", "store_unavailable", "part_ended"} <= events
    assert [] == [one for one in sorted(events) if f'"{one}"' not in source]
    assert all(one.startswith(("ticket-counter ", "sync ")) for one in named - events)


def test_prometheus_reads_the_alerts() -> None:
    """The example of Prometheus's file names the alerts, and the job that they are about, with a token."""
    config = yaml.safe_load((ROOT / "deploy" / "prometheus.yaml").read_text())
    [job] = config["scrape_configs"]

    assert [ALERTS.name] == config["rule_files"]
    assert "ticket-counter" == job["job_name"]
    assert job["authorization"]["credentials_file"]
    assert "metrics_path" not in job
