"""A training script that trains nothing: its loss is a law of its arguments. It needs no torch."""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import time
from pathlib import Path

parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float, default=0.01)
parser.add_argument("--wd", type=float, default=1e-3)
parser.add_argument("--epochs", type=int, default=10)
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--width", type=int, default=32)
parser.add_argument("--does", default="json")
parser.add_argument("--file", default="")
args = parser.parse_args()

if args.does == "fails-above" and args.lr > 0.02:
    raise RuntimeError("the loss is too high")
if args.does == "is-killed":
    os.kill(os.getpid(), 9)
if args.does == "hangs":
    print("about to hang", flush=True)
    time.sleep(60)

loss = (
    0.1
    + 0.5 * (math.log10(args.lr) + 1.5) ** 2
    + 0.05 * (math.log10(args.wd) + 4) ** 2
    + abs(args.width - 32) / 100
    + 1 / args.epochs
    + random.Random(args.seed).gauss(0, 0.005)
)
epochs = [(epoch, loss + 1 / (epoch + 1)) for epoch in range(args.epochs)]
if args.does == "text":
    for epoch, value in epochs:
        print(f"Epoch {epoch}: val loss = {value:.4f}, acc = {1 - value / 10:.4f}")
elif args.does == "rows":
    with Path(args.file).open("w") as file:
        for epoch, value in epochs:
            row = {"epoch": epoch, "eval_loss": value, "eval_accuracy": 1 - value / 10}
            file.write(json.dumps(row) + "\n")
elif args.does == "csv":
    Path(args.file).write_text("epoch,val_loss\n" + "".join(f"{e},{v}\n" for e, v in epochs))
elif args.does == "nested":
    print(json.dumps({"epoch": args.epochs, "val": {"loss": loss, "f1": 0.5}}))
elif args.does == "says-loss":
    print(json.dumps({"loss": loss}))
elif args.does == "says-nothing":
    print("done")
elif args.does == "is-nan":
    print(json.dumps({"val_loss": math.nan if args.lr > 0.02 else loss}))
else:
    print("a line of prose {not json}")
    print(json.dumps({"val_loss": loss, "val_accuracy": 1 - loss / 10, "test_accuracy": 0.5}))
