"""Environment variables that every process of a verl job inherits.  Knows their names and reasons.  Starts nothing.

verl and vLLM read them when they are imported.  So they are set before Ray starts.
"""

from tokenspectrum.systems.params import VerlSystems

_ALWAYS = {
    "TOKENIZERS_PARALLELISM": "false",
    # The policy is a local folder: nothing is downloaded, and no usage is reported.
    "HF_HUB_OFFLINE": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    # The driver's log is a file.
    "RAY_COLOR_PREFIX": "0",
    # Without this Ray waits at its end until its services have moved to other nodes.  There are no services.
    "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "0",
    # Processes are known by their environment (node.py); a long title must not be written over it.
    "SPT_NOENV": "1",
}
_CPU = {
    "VERL_PLATFORM": "cpu",
    "VERL_USE_EXTERNAL_MODULES": "tokenspectrum.training.backends.verl.platform_cpu",
    # Worker processes share the cores.  More threads than cores would only wait for one another.
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    # Compiling costs more than it saves on a small policy, and threads are the scheduler's to place.
    "TORCHDYNAMO_DISABLE": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "VLLM_CPU_KVCACHE_SPACE": "1",  # GiB
}
# If all nodes are on this machine, no traffic needs to leave it.
_ONE_MACHINE = {"GLOO_SOCKET_IFNAME": "lo", "NCCL_SOCKET_IFNAME": "lo", "VLLM_HOST_IP": "127.0.0.1"}
# Of another cluster, or set by ourselves a process at a time.
DROPPED = ("RAY_ADDRESS", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")


def variables(systems: VerlSystems, *, one_machine: bool) -> dict[str, str]:
    """What a job on `systems` needs besides the environment that it is started from."""
    return _ALWAYS | (_CPU if systems.device == "cpu" else {}) | (_ONE_MACHINE if one_machine else {})
