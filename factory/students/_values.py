"""What numbers a trainer's settings may have: checked when a recipe is, before a trace is bought for it."""

from typing import Annotated

from pydantic import Field

MANY = 1_000_000_000

Above0 = Annotated[float, Field(gt=0, lt=MANY)]
AtLeast0 = Annotated[float, Field(ge=0, lt=MANY)]
Share = Annotated[float, Field(ge=0, lt=1)]
Count = Annotated[int, Field(ge=1, lt=MANY)]
CountOr0 = Annotated[int, Field(ge=0, lt=MANY)]
Two = Annotated[int, Field(ge=2, lt=MANY)]
Threads = Annotated[int, Field(ge=0, le=4096)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
