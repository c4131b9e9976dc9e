"""One-off: go on from a state for so many seconds, the rate falling with time; no evaluation on the device."""
import os, sys, time, math, json
from pathlib import Path
import torch
torch.set_float32_matmul_precision("high")
from cursivetransformer.config import from_dict, to_dict
from cursivetransformer.data.batches import Batches
from cursivetransformer.data.dataset import create_datasets
from cursivetransformer.model.checkpoint import save_model
from cursivetransformer.model.lora import build_model
from cursivetransformer.training.optim import make_optimizer
from cursivetransformer.training.runs import set_sizes
t0 = time.time()
out, seconds, batch, state_path, bank = Path(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]), sys.argv[4], sys.argv[5]
device = "cuda" if torch.cuda.is_available() else "cpu"
state = torch.load(state_path, map_location="cpu", weights_only=True)
c = from_dict({**state["config"], "dataset_name": bank, "device": device, "batch_size": batch, "run_dir": "x", "seed": state["config"]["seed"]})
train, test = create_datasets(c); set_sizes(c, train.words)
assert c.vocab_size == state["config"]["vocab_size"] and list(c.merge_ids) == list(state["config"]["merge_ids"])
m = build_model(c).to(device); m.load_state_dict(state["model"]); m.train()
opt = make_optimizer(m, c); opt.load_state_dict(state["optimizer"])
for g in opt.param_groups: g.setdefault("initial_lr", g["lr"])
print("ready", round(time.time() - t0, 1), "from step", state["step"], [g["initial_lr"] for g in opt.param_groups], flush=True)
b = Batches(train, device); begin = time.time(); step = 0; log = []; recent = []
offset = 5000  # other pools than before
while True:
    done = (time.time() - begin) / seconds
    if done >= 1: break
    for g in opt.param_groups: g["lr"] = g["initial_lr"] * (1 - done)
    loss = m(*b(offset + step))[1]
    opt.zero_grad(); loss.backward()
    torch.nn.utils.clip_grad_norm_(m.parameters(), 1.0)
    opt.step(); step += 1; recent.append(loss.detach())
    if step % 200 == 0 or step in (5, 20):
        l = torch.stack(recent).mean().item(); recent = []
        log.append(dict(step=step, seconds=time.time() - begin, loss=l)); print(json.dumps(log[-1]), flush=True)
        if step % 1000 == 0: save_model(m, out / "part.safetensors", state["step"] + step)
save_model(m, out / "chain.safetensors", state["step"] + step)
(out / "log.json").write_text(json.dumps(log))
with torch.no_grad():
    m.eval(); print("steps", step, "words a step", 2 * batch, "took", time.time() - begin, flush=True)
