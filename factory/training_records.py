"""What a training leaves in the lake besides its model: a row of settings and figures, its losses, and their picture.

A private trainer reports what it likes; a figure that it does not report is NULL.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from factory.records import canonical, content_id

NUMBERS = ("rows", "rows_too_long", "length_limit", "steps", "processes", "tokens", "trained_tokens", "seconds",
           "tokens_per_second", "flops", "matrix_rate", "mfu", "peak_memory", "estimated_memory", "estimated_seconds",
           "first_loss", "last_loss")
"""Figures that are columns of their own."""
TOO_LONG = {"rows_too_long": "rows are longer than", "prompts_too_long": "prompts are longer than",
            "pairs_too_long": "pairs have a side longer than", "rows_left_out": "rows have no step or are longer than"}
"""Figures of trainers that count what they did not train on, and the words for it."""


def training_row(student: str, run_id: str, name: str, data_digest: str, recipe: Mapping[str, Any],
                 figures: Mapping[str, Any], created: str) -> dict[str, Any]:
    """The row of `trainings`; `recipe` is every setting that the trainer noted, defaults included."""
    return {"id": content_id("training", student), "student": student, "run_id": run_id, "name": name,
            "data_digest": data_digest, "recipe": canonical(recipe), "versions": canonical(figures.get("versions", {})),
            "device": figures.get("device"), "bf16": figures.get("bf16"),
            **{key: figures.get(key) for key in NUMBERS}, "rows": figures.get("rows", figures.get("prompts")),
            "rows_too_long": next((figures[key] for key in TOO_LONG if key in figures), None), "created": created}


def loss_rows(student: str, run_id: str, figures: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The rows of `losses`: a stretch of steps each, by its last."""
    return [{"id": content_id("loss", student, int(step)), "student": student, "run_id": run_id, "step": int(step),
             "loss": float(loss)} for step, loss in figures.get("points", [])]


def picture(name: str, figures: Mapping[str, Any], path: Path) -> Path | None:
    """A PNG of the loss by step, of a reward too where there is one, and what it cost beneath; None without losses."""
    points = figures.get("points", [])
    if not points:
        return None
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axis = pyplot.subplots(figsize=(7, 4.2))
    marker = "." if len(points) < 20 else None
    axis.plot([step for step, _ in points], [loss for _, loss in points], color="#4472a8", marker=marker)
    axis.set_title(f"{name}: loss by step")
    axis.set_xlabel("step" + (f"   ({', '.join(told)})" if (told := cost(figures)) else ""))
    axis.locator_params(axis="x", integer=True)
    axis.set_ylabel("loss", color="#4472a8")
    axis.spines[["top", "right"]].set_visible(False)
    if rewards := figures.get("rewards"):
        other = axis.twinx()
        other.plot([step for step, _ in rewards], [reward for _, reward in rewards], color="#c8553d", marker=marker)
        other.set_ylabel("mean reward", color="#c8553d")
        axis.set_title(f"{name}: loss and mean reward by step")
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
    return path


def cost(figures: Mapping[str, Any]) -> list[str]:
    """What the training took, as far as the trainer tells."""
    parts = [("seconds", "{:,.0f} s"), ("tokens_per_second", "{:,.0f} tokens/s"),
             ("mfu", "{:.0%} of the matrix rate"), ("peak_memory", "{:,.0f} MiB at most")]
    return [shown.format(figures[key] / 2**20 if key == "peak_memory" else figures[key])
            for key, shown in parts if figures.get(key) is not None]


def learnt(figures: Mapping[str, Any]) -> list[str]:
    """What came of it: losses, and what the trainer has found on prompts that it held out."""
    pairs = [("loss {:.3f} to {:.3f}", "first_loss", "last_loss"),
             ("mean reward {:+.2f} to {:+.2f}", "first_reward", "last_reward"),
             ("accuracy {:.2f} on {:,} held-out pairs", "held_out_accuracy", "held_out_pairs"),
             ("AUROC {:.2f} of their traces", "held_out_auroc"),
             ("AUROC {:.2f} on {:,} held-out steps", "step_auroc", "held_out_steps"),
             ("first wrong steps F1 {:.2f}", "first_error_f1"), ("margin right in {:.0%}", "margin_accuracy")]
    return [shown.format(*values) for shown, *keys in pairs
            if None not in (values := [figures.get(key) for key in keys])]
