"""The Grafana dashboard: its form, and that every metric in it is one that the gateway or vLLM has."""

import json
import re

from prometheus_client.parser import text_string_to_metric_families

from sense.serving.admission import Admission
from sense.serving.observability import Metrics
from tests.chart.rendering import CHART, find, render

DASHBOARD = json.loads((CHART / "dashboards" / "sense.json").read_text())
# of vLLM 0.32: vllm/v1/metrics/loggers.py
VLLM = {
    "vllm:num_requests_running",
    "vllm:num_requests_waiting",
    "vllm:kv_cache_usage_perc",
    "vllm:time_to_first_token_seconds_bucket",
    "vllm:e2e_request_latency_seconds_bucket",
    "vllm:request_queue_time_seconds_bucket",
    "vllm:prompt_tokens_total",
    "vllm:generation_tokens_total",
    "vllm:request_success_total",
    "vllm:num_preemptions_total",
}
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]


def expressions():
    return [target["expr"] for panel in PANELS for target in panel["targets"]]


def test_panels_have_ids_of_their_own_and_do_not_overlap():
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    cells = [
        (x, y)
        for panel in DASHBOARD["panels"]
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(set(cells)) == len(cells)
    assert max(x for x, _ in cells) < 24


def test_every_panel_asks_the_chosen_data_source_in_the_chosen_namespace():
    for panel in PANELS:
        assert {panel["datasource"]["uid"], *(target["datasource"]["uid"] for target in panel["targets"])} == {"${datasource}"}
    for expression in expressions():
        assert all('namespace="$namespace"' in selector for selector in re.findall(r"\{(.*?)\}", expression))
        assert expression.count("(") == expression.count(")")
    assert [one["name"] for one in DASHBOARD["templating"]["list"]] == ["datasource", "namespace", "model"]


def test_every_metric_of_vllm_is_one():
    used = set(re.findall(r"vllm:\w+", " ".join(expressions())))
    assert used == VLLM


def gateway_metrics():
    """The samples that the gateway offers."""
    families = text_string_to_metric_families(Metrics(Admission(1, 0, 1.0)).text().decode())
    names = {family.name + {"counter": "_total", "histogram": "_bucket"}.get(family.type, "") for family in families}
    return {name for name in names if not name.endswith("_created")}  # when a counter began


def test_every_metric_of_the_gateway_is_shown_and_no_other():
    used = set(re.findall(r"\bsense_\w+", " ".join(expressions())))
    assert used == gateway_metrics()


def test_the_config_map_holds_it_unchanged():
    manifest = find(render("values-full.yaml"), "ConfigMap", "-dashboard")
    assert json.loads(manifest["data"]["sense.json"]) == DASHBOARD
