"""Several processes: what is shared out among them, before they have met."""

import pytest

from factory.protocols import UserError
from factory.students import _device, _estimate


@pytest.mark.parametrize("world", ["1", "8"])
def test_a_model_that_needs_sharding_is_refused_on_one_gpu_alone(world: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", world)
    monkeypatch.setattr(_device, "free_memory", lambda place: 80 * 2**30)
    needs = 7_000_000_000, 7_000_000_000, "adamw", "cuda", 0
    if world == "8":
        _estimate.refuse_what_cannot_fit(*needs)
    else:
        with pytest.raises(UserError, match="GPUs of this size"):
            _estimate.refuse_what_cannot_fit(*needs)
