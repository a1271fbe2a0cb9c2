"""The alerts as Prometheus evaluates them: promtool checks the files, and each alert fires when it should."""

import asyncio
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml  # type: ignore[import-untyped]

from tests.rig.monitoring import dashboard, labels, rules, shown
from tests.rig.process import ROOT, Run
from tests.rig.redis import free_port
from tests.rig.server import until
from tests.rig.wix import WixRig

DEPLOY = ROOT / "deploy"
JOB = 'job="ticket-counter",instance="a:8000"'

GROWS, RARE = "0+60x60", "0+1x2 2x60"
"""Counters, at one value a minute: 1 a second; 2 in two minutes, and then no more."""
FIRING: dict[str, dict[str, str]] = {
    "TicketCounterDown": {f"up{{{JOB}}}": "0x60"},
    "TicketCounterNotMeasured": {},
    "TicketCounterWorkerMissing": {f"ticketcounter_missing_workers{{{JOB}}}": "0 1x60"},
    "TicketCounterWixSilent": {f"ticketcounter_silent_wix_sites{{{JOB}}}": "0 2x60"},
    "TicketCounterRedisFaults": {f'ticketcounter_store_faults_total{{call="watch",{JOB}}}': GROWS},
    "TicketCounterNumbersWithdrawn": {f"ticketcounter_withdrawn_total{{{JOB}}}": GROWS},
    "TicketCounterWebhooksSilent": {f"ticketcounter_silent_sites{{{JOB}}}": "1x60"},
    "TicketCounterWebhooksRefused": {f'ticketcounter_webhooks_total{{type="none",outcome="forged",{JOB}}}': GROWS},
    "TicketCounterWebhooksLost": {f'ticketcounter_webhooks_total{{type="none",outcome="unavailable",{JOB}}}': GROWS},
    "TicketCounterViewersRefused": {f'ticketcounter_refused_total{{reason="address",{JOB}}}': GROWS},
    "TicketCounterProxyUntrusted": {f"ticketcounter_untrusted_forwarded_total{{{JOB}}}": GROWS},
    "TicketCounterDescriptors": {f"process_open_fds{{{JOB}}}": "90x60", f"process_max_fds{{{JOB}}}": "100x60"},
    "TicketCounterRestarts": {f"process_start_time_seconds{{{JOB}}}": "0+100x60"},
    "TicketCounterOtherRules": {f'ticketcounter_disallowed_total{{how="stored",{JOB}}}': GROWS},
    "TicketCounterVersionsDiffer": {
        f'ticketcounter_build_info{{version="1",{JOB}}}': "1x180",
        'ticketcounter_build_info{version="2",job="ticket-counter",instance="b:8000"}': "1x180",
    },
    "TicketCounterSyncLate": {f'ticketcounter_sync_oldest_seconds{{target="t",{JOB}}}': "0+60x60"},
    "TicketCounterSyncParked": {f'ticketcounter_sync_parked{{target="t",{JOB}}}': "1x60"},
    "TicketCounterSyncPaused": {f'ticketcounter_sync_paused_seconds{{target="t",{JOB}}}': "90000+60x60"},
    "TicketCounterNotifyPaused": {f'ticketcounter_notify_paused_seconds{{server="mail",{JOB}}}': "0+60x60"},
    "TicketCounterNotifyFailed": {
        f'ticketcounter_notify_messages_total{{channel="mail",outcome="failed",{JOB}}}': GROWS
    },
    "TicketCounterOptOutsLost": {f'ticketcounter_opt_outs_total{{outcome="not_kept",{JOB}}}': GROWS},
    "TicketCounterRequestsParked": {
        f'ticketcounter_notify_requests_total{{kind="opt-out",outcome="parked",{JOB}}}': GROWS
    },
}
"""Series of an hour, one value a minute, at which each alert fires."""
WELL = {
    f"up{{{JOB}}}": "1x180",
    f'ticketcounter_build_info{{version="1",{JOB}}}': "1x180",
    f"ticketcounter_missing_workers{{{JOB}}}": "0x180",
    f"ticketcounter_silent_wix_sites{{{JOB}}}": "0 1 0x180",
    f"ticketcounter_silent_sites{{{JOB}}}": "0x180",
    f'ticketcounter_store_faults_total{{call="watch",{JOB}}}': RARE,
    f"ticketcounter_withdrawn_total{{{JOB}}}": RARE,
    f'ticketcounter_webhooks_total{{type="none",outcome="forged",{JOB}}}': RARE,
    f'ticketcounter_webhooks_total{{type="none",outcome="marked",{JOB}}}': GROWS,
    f'ticketcounter_refused_total{{reason="request",{JOB}}}': GROWS,
    f'ticketcounter_refused_total{{reason="full",{JOB}}}': RARE,
    f"process_open_fds{{{JOB}}}": "10x180",
    f"process_max_fds{{{JOB}}}": "100x180",
    f"process_start_time_seconds{{{JOB}}}": "100x10 200x170",
    f'ticketcounter_sync_oldest_seconds{{target="t",{JOB}}}': "3x180",
    f'ticketcounter_sync_parked{{target="t",{JOB}}}': "0x180",
    f'ticketcounter_notify_messages_total{{channel="mail",outcome="sent",{JOB}}}': GROWS,
}
"""Series of a deployment that is well: what happens now and then is no alarm."""


def promtool(*words: str | Path, text: bytes = b"", folder: Path = DEPLOY) -> tuple[int, str]:
    """Run promtool; answers its exit status and what it printed."""
    program = shutil.which("promtool")
    assert program, "promtool is not installed: apt-get install prometheus"
    done = subprocess.run([program, *words], cwd=folder, input=text, capture_output=True, check=False)
    return done.returncode, (done.stdout + done.stderr).decode()


def case(series: dict[str, str], at: str, fires: list[str]) -> dict[str, Any]:
    """A test of promtool: which alerts fire, by name, at a time."""
    severity = {rule["alert"]: rule["labels"]["severity"] for rule in rules()}
    query = 'count by (alertname, severity) (ALERTS{alertstate="firing"})'
    samples = [{"labels": f'{{alertname="{one}",severity="{severity[one]}"}}', "value": 1} for one in fires]
    return {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": [{"expr": query, "eval_time": at, "exp_samples": samples}],
    }


def unit_test(folder: Path, one: dict[str, Any]) -> tuple[int, str]:
    """Have promtool run a test of the alerts."""
    path = folder / "test.yaml"
    path.write_text(yaml.safe_dump({"rule_files": [str(DEPLOY / "alerts.yaml")], "tests": [one]}))
    return promtool("test", "rules", path)


def test_promtool_accepts_the_files(tmp_path: Path) -> None:
    """Alerts and configuration are valid, without a warning of promtool's, in which an alert without a metric would be none."""
    (tmp_path / "token").write_text("secret")
    for name in ("alerts.yaml", "prometheus.yaml"):
        text = (DEPLOY / name).read_text().replace("/etc/prometheus/ticket-counter.token", "token")
        (tmp_path / name).write_text(text)
    found = [
        promtool("check", "rules", "--lint=all", "--lint-fatal", "alerts.yaml", folder=tmp_path),
        promtool("check", "config", "--lint=all", "--lint-fatal", "prometheus.yaml", folder=tmp_path),
    ]

    assert [0, 0] == [status for status, _ in found], found


@pytest.mark.parametrize("alert", [rule["alert"] for rule in rules()])
def test_alert_fires(tmp_path: Path, alert: str) -> None:
    """Each alert fires within an hour, or two, of the state that it is about, and no other does."""
    measured = {f'ticketcounter_build_info{{version="1",{JOB}}}': "1x180"} if FIRING[alert] else {}

    status, text = unit_test(
        tmp_path,
        case({**measured, **FIRING[alert]}, "2h" if alert == "TicketCounterVersionsDiffer" else "59m", [alert]),
    )

    assert 0 == status, text


def test_no_alert_of_a_deployment_that_is_well(tmp_path: Path) -> None:
    """None fires while all is well, and none for what happens now and then."""
    status, text = unit_test(tmp_path, case(WELL, "50m", []))

    assert 0 == status, text


def test_promtool_accepts_the_queries_of_the_dashboard(tmp_path: Path) -> None:
    """Each query of the dashboard is one that Prometheus understands."""
    queries = [query.replace("$__rate_interval", "1m").replace("$job", ".*") for query, _ in shown()]
    queries.append(dashboard()["annotations"]["list"][0]["expr"])
    records = [{"record": f"query:{at}", "expr": query} for at, query in enumerate(queries)]
    (tmp_path / "queries.yaml").write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": records}]}))

    status, text = promtool("check", "rules", "queries.yaml", folder=tmp_path)

    assert (0, True) == (status, f"{len(queries)} rules found" in text), text


async def test_promtool_accepts_the_metrics(command: Run, wix: WixRig, redis_url: str) -> None:
    """Promtool has no complaint about what the processes answer: a `serve` alone, two of one `web`, and a worker."""
    settings = {**{name.upper(): value for name, value in wix.settings().items()}, "METRICS_TOKEN": "secret"}
    settings["REDIS_URL"] = redis_url
    running = [
        command("serve", **settings),
        command("web", WEB_PROCESSES="2", **settings),
        command("worker", WORKER_PORT="0", **settings),
    ]
    texts = []
    async with httpx.AsyncClient(trust_env=False, timeout=20) as client:
        for one in running:
            headers = {"Authorization": "Bearer secret"}
            texts.append((await client.get(f"{await one.url()}/metrics", headers=headers)).content)
    found = [promtool("check", "metrics", text=text) for text in texts]
    names = [{line.split()[2] for line in text.decode().splitlines() if line.startswith("# TYPE")} for text in texts]

    assert [(0, "")] * 3 == found
    assert names[0] == names[1] == names[2]
    assert {name for name in labels() if name.startswith("ticketcounter_build")} <= names[0]


async def test_prometheus_measures_a_server(tmp_path: Path, command: Run, wix: WixRig) -> None:
    """Prometheus itself reads a server by the example of its file, evaluates every alert, and fires none."""
    program = shutil.which("prometheus")
    assert program, "Prometheus is not installed: apt-get install prometheus"
    settings = {name.upper(): value for name, value in wix.settings().items()}
    serving = command("serve", METRICS_TOKEN="secret", **settings)
    (tmp_path / "token").write_text("secret")
    text = (DEPLOY / "prometheus.yaml").read_text()
    text = text.replace("/etc/prometheus/ticket-counter.token", "token").replace("15s", "1s")
    text = text.replace("127.0.0.1:8000", (await serving.url()).removeprefix("http://"))
    (tmp_path / "prometheus.yaml").write_text(text)
    shutil.copy(DEPLOY / "alerts.yaml", tmp_path)
    port = free_port()
    options = ["--config.file=prometheus.yaml", "--storage.tsdb.path=data", f"--web.listen-address=127.0.0.1:{port}"]
    with (tmp_path / "log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(program, *options, cwd=tmp_path, stdout=log, stderr=log)
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=20) as client:

            async def asked(query: str) -> list[Any]:
                try:
                    answer = (await client.get("/api/v1/query", params={"query": query})).json()
                except (httpx.HTTPError, json.JSONDecodeError):
                    return []
                return [one["value"][1] for one in answer["data"]["result"]]

            await until(lambda: asked('up{job="ticket-counter"} == 1'))
            await until(lambda: asked("ticketcounter_missing_workers == 0"))

            async def evaluated() -> list[dict[str, Any]]:
                groups = (await client.get("/api/v1/rules")).json()["data"]["groups"]
                found = [rule for group in groups for rule in group["rules"]]
                return found if all(rule["lastEvaluation"] > "2000" for rule in found) else []

            states = await until(evaluated)
            firing = await asked('ALERTS{alertstate="firing"}')
    finally:
        process.terminate()
        await process.wait()

    assert {rule["alert"]: "ok" for rule in rules()} == {rule["name"]: rule["health"] for rule in states}
    assert [] == firing
