"""`gradients.matched` as results read it; the stage has checked it.  Knows no result."""

from pydantic import BaseModel, ConfigDict, RootModel


class Control(BaseModel):
    """Which subset a control matches."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    of: str


class MatchedAsked(RootModel[dict[str, Control]]):
    """`gradients.matched`."""

    model_config = ConfigDict(frozen=True)
