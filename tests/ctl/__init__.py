# SPDX-License-Identifier: LGPL-2.1-or-later
"""Black-box tests of qemu-pr-ctl."""
