"""What a process does with the memory of its device."""

import ctypes
import platform
import sys
from types import SimpleNamespace

import pytest
import torch

from sense.training import devices

MIB = 1024**2


@pytest.mark.skipif(sys.platform != "linux", reason="glibc is Linux's")
@pytest.mark.parametrize(("has_gpu", "expected"), [(False, [(-3, 32 * MIB), (-1, 512 * MIB)]), (True, [])])
def test_freed_memory_is_kept_on_a_cpu(monkeypatch, has_gpu, expected):
    calls = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: has_gpu)
    monkeypatch.setattr(ctypes, "CDLL", lambda _name: SimpleNamespace(mallopt=lambda *call: calls.append(call)))
    devices.keep_freed_memory()
    assert calls == expected


@pytest.mark.skipif(sys.platform != "linux", reason="glibc is Linux's")
def test_another_c_library_keeps_its_ways(monkeypatch):
    monkeypatch.setattr(ctypes, "CDLL", lambda _name: SimpleNamespace())
    devices.keep_freed_memory()


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="this is not glibc")
def test_glibc_takes_the_settings():
    library = ctypes.CDLL(None)
    assert [library.mallopt(-3, 32 * MIB), library.mallopt(-1, 512 * MIB)] == [1, 1]  # 1: done
