"""`hptune landscape`: looks at trained weights; each look is a command of its own."""

from __future__ import annotations

import click

from hptune.cli.landscape.around import hessian, sharpness
from hptune.cli.landscape.between import line, plane
from hptune.cli.landscape.evolution import introspection
from hptune.cli.landscape.walk import walk

EXAMPLES = """\b
Examples:
  hptune landscape hessian runs/digits
  hptune landscape line runs/digits --match
  hptune landscape introspection runs/digits --to evolution.pt
"""


@click.group(
    "landscape", commands=[hessian, sharpness, line, plane, walk, introspection], epilog=EXAMPLES
)
@click.pass_context
def command(context: click.Context) -> None:
    """Look at the loss around, between and along trained weights.

    Results are tables under landscape/ of the run directory; `hptune report` draws them.
    """
    # The defaults of a project hold for each look, too.
    context.default_map = dict.fromkeys(command.commands, context.default_map)
