"""The optimiser: torch's own as the yardstick, and a state that a checkpoint can hold."""

import pytest

torch = pytest.importorskip("torch", reason="the students need the extra [train]")

from factory.students._muon import Matrices, Muon, orthogonal  # noqa: E402


def test_it_steps_like_torchs_own() -> None:
    torch.manual_seed(0)
    ours = [torch.nn.Parameter(torch.randn(*shape)) for shape in [(24, 64), (24, 64), (64, 24)]]
    theirs = [torch.nn.Parameter(p.detach().clone()) for p in ours]
    mine = Matrices(ours, 1e-2)
    yours = torch.optim.Muon(theirs, lr=1e-2, weight_decay=0.01, adjust_lr_fn="match_rms_adamw")
    for _ in range(4):
        for one, other in zip(ours, theirs, strict=True):
            one.grad = torch.randn_like(one) * 1e-3
            other.grad = one.grad.clone()
        mine.step()
        yours.step()
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-3)  # theirs rounds to bfloat16 on the way


def test_singular_values_come_near_one_whatever_the_scale_of_the_gradient() -> None:
    torch.manual_seed(0)
    values = torch.linalg.svdvals(orthogonal(torch.randn(3, 16, 48) * torch.tensor([1e-6, 1.0, 1e4]).view(3, 1, 1)))
    assert values.min() > 0.5
    assert values.max() < 1.3


def test_a_state_that_was_saved_goes_on_as_if_nothing_had_happened() -> None:
    def model() -> torch.nn.Module:
        torch.manual_seed(0)
        return torch.nn.Sequential(torch.nn.Linear(8, 12), torch.nn.Linear(12, 4))

    def step(made: torch.nn.Module, optimiser: Muon) -> None:
        made(torch.arange(16.0).view(2, 8)).square().mean().backward()
        optimiser.step()
        optimiser.zero_grad()

    straight, stopped = model(), model()
    one, other = Muon(straight, 1e-2), Muon(stopped, 1e-2)
    for _ in range(3):
        step(straight, one)
        step(stopped, other)
    resumed = Muon(stopped, 1e-2)
    resumed.load_state_dict(other.state_dict())
    for _ in range(2):
        step(straight, one)
        step(stopped, resumed)
    for expected, found in zip(straight.parameters(), stopped.parameters(), strict=True):
        assert torch.equal(expected, found)
