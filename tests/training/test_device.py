"""The device: what is asked for, what is there, and how many cores really are."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import nn

from tenfold.core.errors import DeviceError, TrainingError, UnknownNameError
from tenfold.core.machine import available_cores
from tenfold.training import device as device_module
from tenfold.training.device import (
    Device,
    check_memory,
    choose_device,
    enough_memory,
    keep_freed_memory,
)

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _keep_threads() -> Iterator[None]:
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def no_accelerator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)


def test_an_unknown_device_suggests_the_near_one() -> None:
    with pytest.raises(UnknownNameError, match=r"no device named 'cuda0'\. Did you mean 'cuda'"):
        choose_device("cuda0")


@pytest.mark.usefixtures("no_accelerator")
@pytest.mark.parametrize("asked", ["cuda", "mps"])
def test_a_device_that_is_not_there_says_which_are(asked: str) -> None:
    with pytest.raises(DeviceError) as caught:
        choose_device(asked)
    message = str(caught.value)
    assert message.startswith(f"The device '{asked}' is not available: torch {torch.__version__}")
    assert message.endswith("Usable here: cpu. Leave out --device to take the best.")


@pytest.mark.usefixtures("no_accelerator")
def test_auto_takes_the_cpu_when_there_is_nothing_else() -> None:
    device = choose_device("auto")
    assert device == choose_device("cpu")
    assert (device.kind, device.torch_device) == ("cpu", torch.device("cpu"))
    assert device.description
    assert device.threads == available_cores() == torch.get_num_threads()


def test_auto_takes_cuda_before_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "a card")
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert (choose_device().kind, choose_device().description) == ("cuda", "a card")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device().kind == "mps"


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ({"avx512f", "avx512_bf16"}, torch.bfloat16),
        ({"amx_bf16"}, torch.bfloat16),
        ({"avx2", "avx512f"}, torch.float32),
        (set(), torch.float32),
    ],
)
def test_auto_precision_is_what_the_processor_computes_in(
    flags: set[str], expected: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device_module, "_cpu_flags", lambda: frozenset(flags))
    cpu = Device("cpu", "", 1)
    assert cpu.precision("auto") == expected
    assert cpu.precision("float32") == torch.float32
    assert cpu.precision("bfloat16") == torch.bfloat16


def test_precision_of_an_apple_gpu_is_float32_unless_asked() -> None:
    assert Device("mps", "", 1).precision("auto") == torch.float32


def test_other_systems_keep_their_allocator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "darwin")
    keep_freed_memory.cache_clear()
    try:
        assert keep_freed_memory() is False
    finally:
        keep_freed_memory.cache_clear()


def _network() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Flatten())


def test_a_step_that_cannot_fit_is_refused_with_a_size_and_what_fits_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(device_module, "available_memory", lambda: 2**26)
    with pytest.raises(TrainingError, match=r"200 × 200 px.*image_size_px=(64|96).*batch_size"):
        check_memory(_network(), (200, 200, 3), 100, CPU)
    check_memory(_network(), (200, 200, 3), 10, CPU)
    check_memory(_network(), (64, 64, 3), 100, CPU)


def test_torchs_own_words_become_a_sentence() -> None:
    with (
        pytest.raises(TrainingError, match=r"batches of 4 images of 90 × 80 px"),
        enough_memory((80, 90, 3), 4),
    ):
        torch.empty(2**60)
    with pytest.raises(RuntimeError, match="shape"), enough_memory((80, 80, 3), 4):
        raise RuntimeError("a shape does not fit")
