"""The two files that LLaMA-Factory trains from: `dataset_info.json` and a YAML of a full fine-tuning.

The YAML's values are those that Open-O1 published (Qwen or Llama of 7 to 8 billion parameters, 4,096 tokens); the model
and the template are for the user to set. For DPO the learning rate and the loss are those of LLaMA-Factory's
own example. Train with `llamafactory-cli train DATASET/llamafactory_sft.yaml`.
"""

import json
from collections.abc import Mapping
from typing import Any, Literal

_YAML = """\
### model: set both
model_name_or_path: Qwen/Qwen2.5-7B
template: qwen

### data: run from the folder that holds the dataset's files
dataset_dir: .
dataset: {name}
cutoff_len: 4096

### method
stage: {stage}
do_train: true
finetuning_type: full
{preference}deepspeed: examples/deepspeed/ds_z3_config.json

### training
output_dir: saves/{name}
per_device_train_batch_size: 4
gradient_accumulation_steps: 2
learning_rate: {rate}
num_train_epochs: 3.0
lr_scheduler_type: cosine
warmup_ratio: 0.1
bf16: true
ddp_timeout: 180000000
"""


def files(name: str, entry: Mapping[str, Any], stage: Literal["sft", "dpo"] = "sft") -> dict[str, str]:
    """`entry` says how the rows are read; the file is the folder of the training split."""
    info = {name: {"file_name": "data/train", **entry}}
    dpo = stage == "dpo"
    text = _YAML.format(name=name, stage=stage, preference="pref_beta: 0.1\npref_loss: sigmoid\n" if dpo else "",
                        rate="5.0e-6" if dpo else "1.0e-5")
    return {"dataset_info.json": json.dumps(info, indent=2) + "\n", f"llamafactory_{stage}.yaml": text}
