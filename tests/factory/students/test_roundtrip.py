"""What real chat templates do to thinking. The templates are written here from the documented format of each family."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("transformers", reason="the students need the extra [train]")
roundtrip = pytest.importorskip("factory.students._roundtrip")

from tokenizers import Tokenizer, decoders, models, pre_tokenizers  # noqa: E402
from transformers import PreTrainedTokenizerFast  # noqa: E402

from factory.protocols import UserError  # noqa: E402

CHATML = ("{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
          "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}")

QWEN25 = ("{% if messages[0].role != 'system' %}<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
          "{% endif %}" + CHATML)

QWEN3 = """\
{%- set ns = namespace(last=-1) %}
{%- for m in messages %}{% if m.role == 'user' %}{% set ns.last = loop.index0 %}{% endif %}{% endfor %}
{%- for m in messages %}
{%- if m.role == 'assistant' %}
{%- set reasoning = m.reasoning_content or '' %}{% set content = m.content %}
{%- if not reasoning and '</think>' in content %}
{%- set reasoning = content.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') %}
{%- set content = content.split('</think>')[-1].lstrip('\\n') %}
{%- endif %}
{%- if loop.index0 > ns.last and (loop.last or reasoning) %}
{{- '<|im_start|>assistant\\n<think>\\n' + reasoning.strip('\\n') + '\\n</think>\\n\\n' + content.lstrip('\\n') }}
{%- else %}{{- '<|im_start|>assistant\\n' + content }}{% endif %}
{{- '<|im_end|>\\n' }}
{%- else %}{{- '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}{% endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{% endif %}"""

R1_DISTILL = """\
{{- bos_token }}
{%- for m in messages %}
{%- if m.role == 'user' %}{{- '<｜User｜>' + m.content }}{% endif %}
{%- if m.role == 'assistant' %}{% set content = m.content %}
{%- if '</think>' in content %}{% set content = content.split('</think>')[-1] %}{% endif %}
{{- '<｜Assistant｜>' + content + '<｜end▁of▁sentence｜>' }}{% endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<｜Assistant｜><think>\\n' }}{% endif %}"""

LLAMA3 = ("{{ bos_token }}{% for m in messages %}<|start_header_id|>{{ m.role }}<|end_header_id|>\n\n"
          "{{ m.content | trim }}<|eot_id|>{% endfor %}{% if add_generation_prompt %}"
          "<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}")

MISTRAL = ("{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}[INST] {{ m.content }} [/INST]"
           "{% elif m.role == 'assistant' %} {{ m.content }}</s>{% else %}"
           "{{ raise_exception('Only user and assistant roles are supported!') }}{% endif %}{% endfor %}")

MARKED = ("{% for m in messages %}<|im_start|>{{ m.role }}\n{% if m.role == 'assistant' %}{% generation %}"
          "{{ m.content }}<|im_end|>{% endgeneration %}{% else %}{{ m.content }}<|im_end|>{% endif %}\n{% endfor %}"
          "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}")

HALF_MARKED = MARKED.replace("{% generation %}{{ m.content }}", (
    "{{ m.content.split('</think>')[0] }}{% generation %}{{ m.content.split('</think>')[-1] }}"))

OPENS = CHATML.replace("<|im_start|>assistant\n{% endif %}", "<|im_start|>assistant\n<think>\n{% endif %}")

TOKENS = ["<|im_start|>", "<|im_end|>", "<think>", "</think>", "<｜User｜>", "<｜Assistant｜>", "<｜end▁of▁sentence｜>",
          "<|eot_id|>", "<|start_header_id|>", "<|end_header_id|>", "[INST]", "[/INST]", "<s>", "</s>"]


def tokenizer(template: str) -> Any:
    """Bytes, one merge (two line ends, as real vocabularies have it), and the marks of all families as added tokens."""
    newline = pre_tokenizers.ByteLevel(add_prefix_space=False).pre_tokenize_str("\n")[0][0]
    alphabet = [*sorted(pre_tokenizers.ByteLevel.alphabet()), newline * 2]
    plain = Tokenizer(models.BPE({symbol: i for i, symbol in enumerate(alphabet)}, [(newline, newline)]))
    plain.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    plain.decoder = decoders.ByteLevel()
    made = PreTrainedTokenizerFast(tokenizer_object=plain, bos_token="<s>", eos_token="<|im_end|>")
    made.add_tokens(TOKENS)
    made.chat_template = template
    return made


def fault(template: str, *messages: dict[str, str], first: int = 0) -> str:
    said: str = roundtrip.Student(tokenizer(template)).fault({"messages": list(messages), "first": first})
    return said


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def assistant(text: str, **more: str) -> dict[str, str]:
    return {"role": "assistant", "content": text, **more}


ASKED = user("What is 2 + 2?")
ANSWERS = ["<think>\nTwo and two\nare 4.\n</think>\n\nThe answer is \\boxed{4}.", "<think>2+2=4</think>It is 4.",
           "No thinking: 4."]
FAITHFUL = {"qwen3": QWEN3, "qwen2.5": QWEN25, "llama-3": LLAMA3, "mistral": MISTRAL, "marked": MARKED}


@pytest.mark.parametrize("answer", ANSWERS, ids=["lines", "one line", "no thinking"])
@pytest.mark.parametrize("name", FAITHFUL)
def test_thinking_of_one_turn_survives_these_templates(name: str, answer: str) -> None:
    assert fault(FAITHFUL[name], ASKED, assistant(answer)) == ""


@pytest.mark.parametrize(("name", "said"), [
    ("qwen3", "the template deletes the thinking of an earlier turn"), ("qwen2.5", ""), ("llama-3", ""),
    ("mistral", ""), ("marked", "")])
def test_qwen3_drops_the_thinking_of_an_earlier_turn_and_the_others_do_not(name: str, said: str) -> None:
    turns = (ASKED, assistant(ANSWERS[1]), user("Sure?"), assistant(ANSWERS[0]))
    assert fault(FAITHFUL[name], *turns) == said
    assert fault(FAITHFUL[name], *turns, first=3) == ""  # as in a preference row, whose prompt is not learnt from


def test_r1_distill_cuts_everything_before_the_end_of_the_thinking() -> None:
    assert fault(R1_DISTILL, ASKED, assistant(ANSWERS[0])) == "the template deletes the thinking"
    assert fault(R1_DISTILL, ASKED, assistant(ANSWERS[2])) == ""


def test_qwen3_takes_the_thinking_from_a_field_of_its_own_and_the_others_lose_it() -> None:
    row = (ASKED, assistant("It is 4.", reasoning_content="2+2=4"))
    assert fault(QWEN3, *row) == ""
    assert fault(LLAMA3, *row) == "the template deletes the thinking"


def test_a_second_thought_is_changed_by_qwen3() -> None:
    assert fault(QWEN3, ASKED, assistant("<think>It is 4. </think> Wait. </think>Yes: 4.")) == (
        "the template changes the thinking")


def test_a_template_that_marks_only_the_response_leaves_the_thinking_out_of_the_loss() -> None:
    assert fault(HALF_MARKED, ASKED, assistant(ANSWERS[0])) == "the thinking is not inside the loss mask"


def test_a_generation_prompt_that_opens_the_thinking_is_no_fault_where_the_row_goes_on_from_it() -> None:
    assert fault(OPENS, ASKED, assistant(ANSWERS[0])) == ""
    assert fault(OPENS, ASKED, assistant(ANSWERS[1])) == ""


def test_a_row_that_does_not_begin_like_its_prompt_cannot_be_masked() -> None:
    chatty = CHATML.replace("<|im_start|>assistant\n{% endif %}", "<|im_start|>model\n{% endif %}")
    assert fault(chatty, ASKED, assistant(ANSWERS[0])) == roundtrip.NOT_A_PREFIX


def test_what_a_template_raises_is_the_reason() -> None:
    system = {"role": "system", "content": "Be brief."}
    said = fault(MISTRAL, system, ASKED, assistant("4"))
    assert said.startswith("the template refuses it:") and "Only user and assistant roles" in said


def test_text_that_the_tokenizer_cannot_write_is_a_fault() -> None:
    few = Tokenizer(models.WordLevel({"?": 0, "[UNK]": 1, "4": 2}, unk_token="[UNK]"))
    few.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    made = PreTrainedTokenizerFast(tokenizer_object=few, unk_token="[UNK]", chat_template=(
        "{% for m in messages %}{{ m.content }}{% endfor %}"))
    student = roundtrip.Student(made)
    assert student.fault({"messages": [user("?"), assistant("4")], "first": 0}) == ""
    assert "no token" in student.fault({"messages": [user("?"), assistant("5")], "first": 0})


Program = Callable[..., list[Any]]


@pytest.fixture
def program(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Program:
    """Runs `main` on lines and gives back the lines it answers."""
    def run(*arguments: str, lines: list[Any]) -> list[Any]:
        monkeypatch.setattr("sys.stdin", [json.dumps(line) for line in lines])
        roundtrip.main(arguments)
        return [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return run


def test_the_program_answers_line_by_line_with_a_template_file_alone(tmp_path: Path, program: Program) -> None:
    (tmp_path / "r1.jinja").write_text(R1_DISTILL)
    rows = [{"messages": [ASKED, assistant(text)], "first": 0} for text in (ANSWERS[0], ANSWERS[2])]
    assert program("", str(tmp_path / "r1.jinja"), lines=[rows, []]) == [
        {}, ["the template deletes the thinking", ""], []]


@pytest.mark.parametrize(("prepare", "said"), [
    (lambda folder: (folder / "tokenizer.json").write_text("{"), "there is no tokenizer in .* that opens"),
    (lambda folder: tokenizer("").save_pretrained(folder), "has no chat template: set datasets.template"),
    (lambda folder: tokenizer("{% for %}").save_pretrained(folder), "cannot render a question and an answer"),
])
def test_a_folder_that_cannot_be_used_is_one_sentence(tmp_path: Path, prepare: Callable[[Path], Any], said: str
                                                      ) -> None:
    prepare(tmp_path)
    with pytest.raises(UserError, match=said):
        roundtrip.open_student(str(tmp_path), "")


def test_the_bundled_student_keeps_its_thinking() -> None:
    student = roundtrip.open_student(str(Path(__file__).parents[3] / "data" / "student"), "")
    row = [user("Compute 3 + 4."), assistant("<think>\n3+4=7\n</think>\nThe answer is \\boxed{7}.")]
    assert student.fault({"messages": row, "first": 0}) == ""


# -- what the trainers learn from is what was checked ----------------------------------------------------------------


@pytest.mark.parametrize("answer", ANSWERS, ids=["lines", "one line", "no thinking"])
@pytest.mark.parametrize("name", [*FAITHFUL, "opens"])
def test_the_loss_begins_where_the_round_trip_has_looked(name: str, answer: str) -> None:
    sft = pytest.importorskip("factory.students.sft")
    made, row = tokenizer({**FAITHFUL, "opens": OPENS}[name]), [ASKED, assistant(answer)]
    student = roundtrip.Student(made)
    ids = sft.tokenised(made, row)
    masked = sum(label < 0 for label in ids["labels"])
    whole = student.render(row)
    assert made.decode(ids["input_ids"][:masked]) == whole[:student.start(row, 1, whole)]
    assert made.decode(ids["input_ids"][masked:]) == answer + made.eos_token


def test_thinking_in_a_field_of_its_own_is_learnt_as_the_template_writes_it_or_refused() -> None:
    sft = pytest.importorskip("factory.students.sft")
    row = [{**ASKED, "reasoning_content": None}, assistant("It is 4.", reasoning_content="2+2=4")]
    ids = sft.tokenised(made := tokenizer(QWEN3), row)
    learnt = [label for label in ids["labels"] if label >= 0]
    assert made.decode(learnt) == "<think>\n2+2=4\n</think>\n\nIt is 4.<|im_end|>"
    assert made.decode(ids["input_ids"]) == roundtrip.Student(made).render(row).removesuffix("\n")
    with pytest.raises(UserError, match=r'does not write the thinking .* emit them with thinking = "tags"'):
        sft.tokenised(tokenizer(LLAMA3), row)


def test_an_answer_that_goes_on_with_a_turn_is_learnt_in_that_turn() -> None:
    """As `dpo` emits with `split`: the steps that both answers begin with are the beginning of the assistant's turn."""
    dpo = pytest.importorskip("factory.students.dpo")
    row = {"prompt": [ASKED, assistant("<think>\nFirst.\n")], "chosen": [assistant("2+2=4.\n</think>\n\n4")],
           "rejected": [assistant("2+2=5.\n</think>\n\n5")]}
    for template in (CHATML, OPENS):
        ids = dpo.tokenised(made := tokenizer(template), row, None)
        whole = [ASKED, assistant("<think>\nFirst.\n2+2=4.\n</think>\n\n4")]
        assert made.decode(ids["prompt_ids"] + ids["chosen_ids"]) == roundtrip.Student(made).render(whole).rstrip()
