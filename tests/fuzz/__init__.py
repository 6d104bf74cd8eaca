"""Damaged files on purpose: seeds, ways to damage them, and a runner that watches time and memory."""
