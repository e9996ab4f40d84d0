"""A key-value cache of fixed size, for a batch whose rows only grow and only leave.

transformers' DynamicCache copies every layer's keys and values at every token.  Here a token is written in place, and
the attention gets a view.  Sliding-window layers keep their whole past: the model's own mask hides it.  Knows
transformers' cache interface.  Knows no model.
"""

import torch
from transformers.cache_utils import Cache, CacheLayerMixin


class _Slots(CacheLayerMixin):
    """One layer's keys and values (rows, kv heads, capacity, head dim), the first `length` positions filled."""

    is_sliding = False

    def __init__(self, capacity: int) -> None:
        super().__init__()
        self.capacity, self.length = capacity, 0

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        rows, heads, _, _ = key_states.shape
        self.keys = key_states.new_empty(rows, heads, self.capacity, key_states.shape[-1])
        self.values = value_states.new_empty(rows, heads, self.capacity, value_states.shape[-1])
        self.is_initialized = True

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: object, **kwargs: object
    ) -> tuple[torch.Tensor, torch.Tensor]:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        end = self.length + key_states.shape[-2]
        keys, values = self._slots()
        keys[:, :, self.length : end] = key_states
        values[:, :, self.length : end] = value_states
        self.length = end
        return keys[:, :, :end], values[:, :, :end]

    def _slots(self) -> tuple[torch.Tensor, torch.Tensor]:
        if self.keys is None or self.values is None:
            raise RuntimeError("the cache holds nothing yet")
        return self.keys, self.values

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.length + query_length, 0

    def get_seq_length(self) -> int:
        return self.length

    def get_max_cache_shape(self) -> int:
        return self.capacity

    def select(self, rows: torch.Tensor, capacity: int) -> None:
        """Keep (or repeat) `rows`, in that order, with room for `capacity` positions."""

        def moved(old: torch.Tensor) -> torch.Tensor:
            new = old.new_empty(len(rows), old.shape[1], capacity, old.shape[3])
            new[:, :, : self.length] = old[rows, :, : self.length]
            return new

        keys, values = self._slots()
        self.keys, self.values, self.capacity = moved(keys), moved(values), capacity


class SlotCache(Cache):
    """`n_layers` layers of slots with room for `capacity` positions."""

    def __init__(self, n_layers: int, capacity: int) -> None:
        super().__init__(layers=[_Slots(capacity) for _ in range(n_layers)])

    def select(self, rows: torch.Tensor, capacity: int) -> None:
        """Keep (or repeat) `rows` of the batch, in that order, with room for `capacity` positions."""
        for layer in self.layers:
            assert isinstance(layer, _Slots)
            layer.select(rows, capacity)
