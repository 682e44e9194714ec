# SPDX-License-Identifier: LGPL-2.1-or-later
"""Changes to the engine in src/paths, each of which breaks a rule: what the model is worth is how
many of them it notices.

Each has the settings in which it is looked for, the source, a piece of text that is in it exactly
once, and what takes its place. One that does not fit any more is an error, and wants a look at
whether the defect can still be made.
"""
from typing import Dict, Tuple

MUTANTS: Dict[str, Tuple[str, str, str, str]] = {
}
