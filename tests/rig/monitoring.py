"""What deploy/ has for Prometheus and Grafana, and the metrics that there are."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

import yaml  # type: ignore[import-untyped]
from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.metrics import MetricWrapperBase

from server import metrics
from tests.rig.process import ROOT

ALERTS = ROOT / "deploy" / "alerts.yaml"
DASHBOARD = ROOT / "deploy" / "grafana-dashboard.json"
OTHERS = {"up": {"job", "instance"}, "ALERTS": {"alertname", "alertstate"}}
"""Metrics that Prometheus itself has."""
TARGET = {"job", "instance"}
"""Labels that Prometheus adds to each series."""

NAME = re.compile(r"\b(?:ticketcounter|process|python)_[a-z_]+|\bup\b|\bALERTS\b")


@cache
def labels() -> Mapping[str, set[str]]:
    """The labels of each series that this server has, by its name."""
    found = dict(OTHERS)
    for one in vars(metrics).values():
        if isinstance(one, MetricWrapperBase):
            own = {*one._labelnames}
            if isinstance(one, Counter):
                found[f"{one._name}_total"] = own
            elif isinstance(one, Gauge):
                found[one._name] = own
            elif isinstance(one, Histogram):
                found |= {f"{one._name}_bucket": {*own, "le"}, f"{one._name}_sum": own, f"{one._name}_count": own}
    for line in metrics.text().decode().splitlines():
        if line.startswith(("process_", "python_", "ticketcounter_build")):
            name, _, rest = line.partition("{")
            found[name.split()[0]] = set(re.findall(r'([a-z]+)="', rest))
    return found


@cache
def rules() -> Sequence[dict[str, Any]]:
    """Each alert."""
    return [rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]


@cache
def dashboard() -> dict[str, Any]:
    return dict(json.loads(DASHBOARD.read_text()))


def panels() -> Iterator[dict[str, Any]]:
    """Each panel that shows something."""
    return (panel for panel in dashboard()["panels"] if panel["type"] != "row")


def shown() -> Iterator[tuple[str, str]]:
    """Each query of the dashboard, with the text of its legend."""
    for panel in panels():
        for target in panel["targets"]:
            yield target["expr"], target["legendFormat"]
