# SPDX-License-Identifier: LGPL-2.1-or-later
"""What tests/run is made of: a suite and its result, and the order in which suites run."""
