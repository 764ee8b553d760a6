"""No trainer takes a row that is longer than its base's context."""

from types import SimpleNamespace

import pytest

from factory.students import _rows


@pytest.mark.parametrize(("context", "room", "limit"), [
    (20, 0, 20), (4096, 0, 1024), (None, 0, 1024), (1024, 320, 704)])
def test_the_limit_is_the_lower_of_max_length_and_the_context(context: int | None, room: int, limit: int) -> None:
    text = SimpleNamespace(max_position_embeddings=context)
    model = SimpleNamespace(config=SimpleNamespace(get_text_config=lambda: text))
    assert _rows.limit(model, 1024, room) == limit
