# SPDX-License-Identifier: LGPL-2.1-or-later
"""Tests of what is handed out beside the programs: installation, packages, policies, pages."""
