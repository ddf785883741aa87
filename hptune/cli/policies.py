"""`hptune policies`."""

from __future__ import annotations

from typing import Any

import click

from hptune.cli.completion import policies
from hptune.cli.options import output_options, print_json
from hptune.errors import InputError

EXAMPLES = """\b
Examples:
  hptune policies                    # what each is, and its arguments
  hptune policies 1cycle --iterations 100 --lr 0.1 --csv
"""


@click.command("policies", epilog=EXAMPLES)
@click.argument("name", required=False, shell_complete=policies)
@click.option("--iterations", type=click.IntRange(min=1), help="Length of the run.")
@click.option("--lr", type=click.FloatRange(min=0, min_open=True), default=0.1, help="Maximum LR.")
@click.option("--lr-min", type=click.FloatRange(min=0), help="Minimum LR.")
@click.option("--momentum", type=click.FloatRange(0, 1), default=0.95, help="Maximum of momentum.")
@click.option("--momentum-min", type=click.FloatRange(0, 1), help="Minimum of momentum.")
@click.option("--momentum-mode", default="auto", help="auto, cyclical, increasing or constant.")
@click.option("--set", "args", multiple=True, metavar="KEY=VALUE", help="An argument; repeatable.")
@click.option("--csv", "as_csv", is_flag=True, help="Print iteration,lr,momentum.")
@output_options
def command(
    name: str | None,
    iterations: int | None,
    args: tuple[str, ...],
    as_csv: bool,
    as_json: bool,
    **values: Any,
) -> None:
    """List the learning-rate policies, or print one as CSV."""
    from hptune.config.load import parse_setting
    from hptune.policies import CHOICES, COMMON, find_policy, schedule

    if name is not None and iterations is not None:
        given = dict(parse_setting(text) for text in args)
        series = schedule(name, iterations, args=given, **values)
        rows = zip(range(iterations), series.lr.tolist(), series.momentum.tolist(), strict=True)
        if as_json:
            print_json([{"iteration": i, "lr": lr, "momentum": m} for i, lr, m in rows])
        else:
            click.echo("iteration,lr,momentum")
            click.echo("\n".join(f"{i},{lr!r},{momentum!r}" for i, lr, momentum in rows))
        return
    if as_csv:
        raise InputError("--csv: a series needs NAME and --iterations N; give both")
    chosen = [find_policy(each) for each in (CHOICES if name is None else [name])]
    if as_json:
        print_json(
            [
                {
                    "name": policy.name,
                    "summary": policy.summary,
                    "parameters": {p.name: p.default for p in policy.parameters},
                }
                for policy in chosen
            ]
        )
        return
    lists = [(f"{policy.name:<20}{policy.summary}", policy.parameters) for policy in chosen]
    for title, parameters in [*lists, ("any policy", COMMON)]:
        click.echo(title)
        for p in parameters:
            default = f"{p.default:.4g}" if isinstance(p.default, float) else p.default
            click.echo(f"{'':<22}{p.name} [{default}]: {p.text}")
    click.echo(
        "\nLengths are a fraction of the run up to 1, iterations above 1, or '41 epochs', "
        "'5000 iterations'."
    )
