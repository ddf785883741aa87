"""Trains a small net on digits with AdamW and a cosine schedule. Six lines for hptune."""

import argparse
import json
import math

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import hptune


def parse():
    parser = argparse.ArgumentParser()
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--wd", type=float, default=1e-2)
    parser.add_argument("--beta1", type=float, default=0.9)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--hidden", type=int, default=64)
    parser.add_argument("--dropout", type=float, default=0.1)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def data():
    x, y = load_digits(return_X_y=True)
    x, y = torch.tensor(x / 16).float(), torch.tensor(y)
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    x, y = x[order], y[order]
    parts = slice(1200), slice(1200, 1500), slice(1500, None)
    return [TensorDataset(x[part], y[part]) for part in parts]


def evaluate(model, dataset):
    x, y = dataset.tensors
    model.eval()
    with torch.no_grad():
        logits = model(x)
        loss = nn.functional.cross_entropy(logits, y).item()
        accuracy = (logits.argmax(1) == y).float().mean().item()
    model.train()
    return loss, accuracy


def main():
    args = parse()
    trial = hptune.trial()  # with a seed of its own
    torch.set_num_threads(1)
    train, val, test = data()
    loader = DataLoader(train, args.batch_size, shuffle=True, drop_last=True)
    model = nn.Sequential(
        nn.Linear(64, args.hidden), nn.ReLU(), nn.Dropout(args.dropout), nn.Linear(args.hidden, 10)
    )
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=args.lr, betas=(args.beta1, 0.999), weight_decay=args.wd
    )
    schedule = trial.schedule(optimizer)
    for epoch in range(args.epochs):
        total = 0.0
        for x, y in trial.batches(loader):
            loss = nn.functional.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            schedule.step()
            trial.log(train_loss=loss)
            if trial.evaluate_now:
                trial.log(val_loss=evaluate(model, val)[0])
        val_loss, val_accuracy = evaluate(model, val)
        print(f"epoch {epoch}: train {total / len(loader):.4f}, val loss {val_loss:.4f}")
        if not math.isfinite(val_loss):
            raise SystemExit("diverged")
    _, test_accuracy = evaluate(model, test)
    found = {"val_loss": val_loss, "val_accuracy": val_accuracy, "test_accuracy": test_accuracy}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
