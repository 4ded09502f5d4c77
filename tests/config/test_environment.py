import os
import sys

import pytest

from sense import config


@pytest.mark.skipif(sys.platform != "linux", reason="control groups and sched_setaffinity are Linux's")
@pytest.mark.parametrize(
    ("quota", "expected"),
    [("max 100000\n", 8), ("150000 100000\n", 2), ("50000 100000\n", 1), ("9900000 100000\n", 8), (None, 8)],
)
def test_cores_are_those_of_the_container(tmp_path, monkeypatch, quota, expected):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(8)))
    monkeypatch.setattr(sys.modules["sense.config.environment"], "_CPU_QUOTA", tmp_path / "cpu.max")  # a function has its name
    if quota is not None:
        (tmp_path / "cpu.max").write_text(quota)
    assert config.cores() == expected


@pytest.mark.parametrize(
    ("meminfo", "quota", "expected"),
    [
        ("MemTotal: 9 kB\nMemAvailable:   8 kB\n", None, 8192),
        ("MemAvailable: 8 kB\n", "max\n", 8192),
        ("MemAvailable: 8 kB\n", "6000\n", 6000 - 5000 + 1500),
        ("MemAvailable: 1 kB\n", "6000\n", 1024),
        (None, "6000\n", 2500),
        (None, None, None),
    ],
)
def test_available_memory_is_that_of_the_container(tmp_path, monkeypatch, meminfo, quota, expected):
    environment = sys.modules["sense.config.environment"]
    monkeypatch.setattr(environment, "_MEMORY", tmp_path / "meminfo")
    monkeypatch.setattr(environment, "_CONTAINER_MEMORY", tmp_path)
    (tmp_path / "memory.current").write_text("5000\n")
    (tmp_path / "memory.stat").write_text("anon 3000\ninactive_file 1500\nactive_file 500\n")
    if meminfo is not None:
        (tmp_path / "meminfo").write_text(meminfo)
    if quota is not None:
        (tmp_path / "memory.max").write_text(quota)
    assert config.available_memory() == expected


@pytest.mark.parametrize(
    ("variables", "proxy"),
    [
        ({}, None),
        ({"https_proxy": "http://proxy:3128"}, "http://proxy:3128"),
        ({"https_proxy": "proxy:3128"}, "http://proxy:3128"),
        ({"http_proxy": "http://proxy:3128"}, None),
        ({"all_proxy": "http://proxy:3128"}, "http://proxy:3128"),
        ({"https_proxy": "http://proxy:3128", "no_proxy": "localhost,example.com"}, None),
        ({"https_proxy": "http://proxy:3128", "no_proxy": "elsewhere.com"}, "http://proxy:3128"),
        ({"https_proxy": "http://proxy:3128", "no_proxy": "*"}, None),
    ],
)
def test_the_proxy_to_a_host(monkeypatch, variables, proxy):
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert config.proxy_url("https", "api.example.com") == proxy
