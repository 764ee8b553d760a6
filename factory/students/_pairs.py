"""TRL's trainer of preferences, on rows that are tokens already."""

from typing import Any

from trl import DPOTrainer


class TokenisedPairs(DPOTrainer):  # type: ignore[misc]  # TRL is untyped here
    """TRL's own preparation would end a cut side as if the turn were over."""

    def _prepare_dataset(self, dataset: Any, *rest: Any) -> Any:
        return dataset
