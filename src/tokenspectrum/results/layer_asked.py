"""Whether the layer that a result shows is one that was measured.  Read at plan time; knows no result."""

from collections.abc import Callable, Iterator
from operator import attrgetter
from typing import Any

from tokenspectrum.errors import UserError
from tokenspectrum.params.layers import resolve_layer


def unmeasured(name: str, measured: str = "tokens.layers") -> Callable[[Any], Iterator[str]]:
    """The check of `analysis.<name>.layer` against the layers that the params list under `measured`."""

    def lacks(params: Any) -> Iterator[str]:
        """The layer that it shows, among those that were measured."""
        layer, n_layers = getattr(params.analysis, name).layer, params.policy.num_layers
        try:
            found = resolve_layer(layer, n_layers)
        except UserError as e:
            yield f"analysis.{name}.layer: {e}"
            return
        layers = attrgetter(measured)(params)
        # `rule` stands for a layer that differs between methods.
        if layers != "all" and found not in {resolve_layer(of, n_layers) for of in layers if of != "rule"}:
            yield f"layer {layer} of analysis.{name}.layer is not in {measured}; add it there"

    return lacks
