"""Where a run's validation loss has come to a plateau.

Source: Smith 2018, section 4.4, Figure 12: weight decays are compared from a snapshot taken there.
"""

from __future__ import annotations

import numpy as np

from hptune.results.records import Curve

RECENT = 3  # readings on either side of the comparison
FLAT = 0.05  # of the fall so far: a gain below this is none


def on_plateau(curve: Curve) -> bool:
    """Say whether the last readings of the validation loss no longer fall."""
    read = curve.val_loss[np.isfinite(curve.val_loss)]
    if len(read) < 2 * RECENT:
        return False
    before, now = np.median(read[-2 * RECENT : -RECENT]), np.median(read[-RECENT:])
    fall = max(curve.train_loss[0], read[0]) - min(before, now)
    return bool(fall > 0 and before - now < FLAT * fall)
