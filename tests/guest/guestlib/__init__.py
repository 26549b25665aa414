# SPDX-License-Identifier: GPL-2.0-or-later
"""Real guests: packages, images, machines and the tests that boot them. Standard library only."""
