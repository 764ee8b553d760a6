"""Train a tiny reasoning model from scratch on procedural traces: the bundled teacher, and its weaker student.

    python -m factory.students.pretrain data/teacher/recipe.toml

The traces think in `<think>…</think>`, check their steps, slip now and then, notice it and correct themselves, so the
model that comes out makes real mistakes and real corrections. Qwen3 architecture, so that vLLM serves it unchanged.
Muon for the matrices, AdamW for the rest (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon).
"""

import argparse
import itertools
import json
import random
import time
import tomllib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from tqdm import tqdm
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

from factory.sources.worlds import FAMILIES, Operation, Task, tasks

CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
PAD, START, END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"


@dataclass(frozen=True)
class PretrainRecipe:
    """What makes a model: `tokens` is the number of trained (assistant) tokens, `slips` the chance of one a step."""

    tokens: int
    seed: int = 0
    hidden: int = 128
    layers: int = 4
    heads: int = 4
    kv_heads: int = 2
    intermediate: int = 384
    vocabulary: int = 640
    context: int = 2048
    batch: int = 32
    learning_rate: float = 3e-3
    slips: float = 0.15
    checks: float = 0.4
    levels: tuple[int, ...] = (1, 2, 3)
    threads: int = 1
    tokenizer: str = ""


# -- traces ----------------------------------------------------------------------------------------------------------


def worked(task: Task, rng: random.Random, slips: float, checks: float) -> str:
    """One trace of `task`: thinking with checks, slips and their corrections, then the boxed answer."""
    lines = [line for operation in task.operations for line in _lines(operation, rng, slips, checks)]
    return "<think>\n" + "\n".join(lines) + f"\n</think>\nThe answer is \\boxed{{{task.answer}}}."


def _lines(operation: Operation, rng: random.Random, slips: float, checks: float) -> list[str]:
    right = f"{operation.left}{operation.sign}{operation.right}={operation.value}"
    if rng.random() < slips:
        wrong = operation.value + rng.choice([-10, -2, -1, 1, 2, 10])
        slip = f"{operation.left}{operation.sign}{operation.right}={wrong}"
        return [slip, f"Check: {_inverse(operation, wrong)}. That does not match. Wait, redo:", right]
    if rng.random() < checks:
        return [right, f"Check: {_inverse(operation, operation.value)}, ok."]
    return [right]


def _inverse(operation: Operation, value: int) -> str:
    """The result undone: for `12-5=7` the text `7+5=12`; a division that leaves a rest says so."""
    right = operation.right
    match operation.sign:
        case "+":
            return f"{value}-{right}={value - right}"
        case "-":
            return f"{value}+{right}={value + right}"
        case "/":
            return f"{value}*{right}={value * right}"
    return f"{value}/{right}={value // right}" + (f" rest {value % right}" if value % right else "")


def conversations(recipe: PretrainRecipe, seed: int) -> Iterator[tuple[str, str]]:
    """Endless (prompt, trace) of the train split."""
    rng = random.Random(f"traces/{seed}")
    for _, _, task in tasks("train", seed, tuple(FAMILIES), recipe.levels):
        yield task.prompt, worked(task, rng, recipe.slips, recipe.checks)


# -- tokenizer -------------------------------------------------------------------------------------------------------


def build_tokenizer(recipe: PretrainRecipe) -> PreTrainedTokenizerFast:
    """Byte-level BPE with single digits; any text can be encoded, the worlds' words are one token each."""
    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    raw.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=recipe.vocabulary, special_tokens=[PAD, START, END],
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)
    texts = itertools.islice(conversations(recipe, seed=-1), 4000)
    raw.train_from_iterator((f"user\n{p}\nassistant\n{t}" for p, t in texts), trainer)
    raw.add_tokens(["<think>", "</think>"])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=raw, eos_token=END, pad_token=PAD,
                                        model_max_length=recipe.context)
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


# -- training --------------------------------------------------------------------------------------------------------


def encode(tokenizer: PreTrainedTokenizerFast, prompt: str, trace: str) -> tuple[list[int], int]:
    """Token ids of the conversation, and how many of them are prompt (not trained on)."""
    head = f"{START}user\n{prompt}{END}\n{START}assistant\n"
    prefix = tokenizer.encode(head, add_special_tokens=False)
    return prefix + tokenizer.encode(trace + END, add_special_tokens=False), len(prefix)


def batches(recipe: PretrainRecipe, tokenizer: PreTrainedTokenizerFast) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """(ids, labels), each [batch, longest]; labels are -100 on prompt and padding. Rows of like length go together."""
    stream = (encode(tokenizer, *pair) for pair in conversations(recipe, recipe.seed))
    while True:
        pool = sorted(itertools.islice(stream, recipe.batch * 16), key=lambda row: len(row[0]))
        groups = [pool[i:i + recipe.batch] for i in range(0, len(pool), recipe.batch)]
        random.Random(len(pool[0][0])).shuffle(groups)
        for rows in groups:
            width = max(len(ids) for ids, _ in rows)
            yield (torch.tensor([ids + [0] * (width - len(ids)) for ids, _ in rows]),
                   torch.tensor([[-100] * n + ids[n:] + [-100] * (width - len(ids)) for ids, n in rows]))


def build_model(recipe: PretrainRecipe, tokenizer: PreTrainedTokenizerFast) -> Qwen3ForCausalLM:
    """A Qwen3 of the recipe's size with fresh weights."""
    torch.manual_seed(recipe.seed)
    config = Qwen3Config(
        vocab_size=len(tokenizer), hidden_size=recipe.hidden, intermediate_size=recipe.intermediate,
        num_hidden_layers=recipe.layers, num_attention_heads=recipe.heads, num_key_value_heads=recipe.kv_heads,
        head_dim=recipe.hidden // recipe.heads, max_position_embeddings=recipe.context, tie_word_embeddings=True,
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id, bos_token_id=None)
    return Qwen3ForCausalLM(config)


def optimisers(model: Qwen3ForCausalLM, rate: float) -> list[torch.optim.Optimizer]:
    """Muon for the two-dimensional weights inside the layers, AdamW for embeddings and norms."""
    inner = [p for n, p in model.named_parameters() if p.ndim == 2 and "embed" not in n]
    outer = [p for n, p in model.named_parameters() if p.ndim != 2 or "embed" in n]
    return [torch.optim.Muon(inner, lr=rate, weight_decay=0.01, adjust_lr_fn="match_rms_adamw"),
            torch.optim.AdamW(outer, lr=rate, betas=(0.9, 0.95), weight_decay=0.01)]


def fit(model: Qwen3ForCausalLM, tokenizer: PreTrainedTokenizerFast, recipe: PretrainRecipe) -> dict[str, float]:
    """Train on `recipe.tokens` assistant tokens; linear warm-up (2 %) and linear decay. Returns figures."""
    model.train()
    optims, seen, smooth, started = optimisers(model, recipe.learning_rate), 0, 0.0, time.perf_counter()
    bar = tqdm(total=recipe.tokens, unit="tok", unit_scale=True, mininterval=5)
    for ids, labels in batches(recipe, tokenizer):
        rate = recipe.learning_rate * min(1.0, seen / (0.02 * recipe.tokens) + 0.01) * (1 - seen / recipe.tokens)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = model(input_ids=ids, labels=labels).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optim in optims:
            for group in optim.param_groups:
                group["lr"] = rate
            optim.step()
            optim.zero_grad(set_to_none=True)
        count = int((labels >= 0).sum())
        seen, smooth = seen + count, 0.98 * smooth + 0.02 * loss.item() if smooth else loss.item()
        bar.update(count)
        bar.set_postfix(loss=f"{smooth:.3f}")
        if seen >= recipe.tokens:
            break
    return {"tokens": seen, "loss": round(smooth, 4), "seconds": round(time.perf_counter() - started, 1)}


# -- measuring -------------------------------------------------------------------------------------------------------


@torch.inference_mode()  # type: ignore[untyped-decorator]
def greedy_accuracy(model: Qwen3ForCausalLM, tokenizer: PreTrainedTokenizerFast, recipe: PretrainRecipe,
                    count: int = 500) -> float:
    """Greedy pass@1 on `count` problems of the dev split, by string equality of the boxed integer."""
    model.eval()
    items = [t for _, _, t in itertools.islice(tasks("dev", 1, tuple(FAMILIES), recipe.levels), count)]
    heads = [tokenizer.encode(f"{START}user\n{t.prompt}{END}\n{START}assistant\n") for t in items]
    right = 0
    for i in range(0, count, 100):
        part = heads[i:i + 100]
        width = max(map(len, part))
        ids = torch.tensor([[tokenizer.pad_token_id] * (width - len(h)) + h for h in part])
        mask = torch.tensor([[0] * (width - len(h)) + [1] * len(h) for h in part])
        out = model.generate(ids, attention_mask=mask, max_new_tokens=256, do_sample=False)
        texts = tokenizer.batch_decode(out[:, width:], skip_special_tokens=True)
        right += sum(f"\\boxed{{{t.answer}}}" in x.partition("</think>")[2]
                     for t, x in zip(items[i:i + 100], texts, strict=True))
    return right / count


def save(model: Qwen3ForCausalLM, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Write weights (float32 safetensors), configuration, tokenizer and chat template."""
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    model.float().save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def load_recipe(path: Path) -> PretrainRecipe:
    """Read a pre-training recipe; unknown keys are refused."""
    values: dict[str, Any] = tomllib.loads(path.read_text())
    if unknown := set(values) - set(PretrainRecipe.__dataclass_fields__):
        raise SystemExit(f"{path}: unknown key '{min(unknown)}': use {', '.join(PretrainRecipe.__dataclass_fields__)}")
    return PretrainRecipe(**{**values, "levels": tuple(values.get("levels", (1, 2, 3)))})


def main() -> None:
    parser = argparse.ArgumentParser(description="Train a tiny reasoning model from scratch.")
    parser.add_argument("recipe", type=Path, help="recipe.toml; the model is written beside it")
    args = parser.parse_args()
    recipe = load_recipe(args.recipe)
    torch.set_num_threads(recipe.threads)
    tokenizer = (PreTrainedTokenizerFast.from_pretrained(recipe.tokenizer) if recipe.tokenizer
                 else build_tokenizer(recipe))
    model = build_model(recipe, tokenizer)
    figures: dict[str, Any] = {"parameters": sum(p.numel() for p in model.parameters())}
    figures |= fit(model, tokenizer, recipe)
    save(model, tokenizer, args.recipe.parent)
    figures["greedy pass@1 (500 dev problems)"] = greedy_accuracy(model, tokenizer, recipe)
    (args.recipe.parent / "figures.json").write_text(json.dumps({**figures, "recipe": asdict(recipe)}, indent=1) + "\n")
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
