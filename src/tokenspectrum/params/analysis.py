"""`analysis`: what the results show and which rules they state.  One sub-section a result that has options.

The sub-sections are found: each is declared in its result's folder.  So this module is for those that look at params
as a whole; a stage reads only its own.
"""

from typing import TYPE_CHECKING, Any

from pydantic import create_model

from tokenspectrum.params.base import Frozen
from tokenspectrum.results.discover import results

if TYPE_CHECKING:

    class AnalysisParams(Frozen):
        """For the type checker: the sections are found in the results' folders."""

        def __getattr__(self, name: str) -> Any: ...
else:
    AnalysisParams = create_model(
        "AnalysisParams",
        __base__=Frozen,
        __doc__="The whole section.",
        **{name: (result.params, result.params()) for name, result in results().items() if result.params},
    )
