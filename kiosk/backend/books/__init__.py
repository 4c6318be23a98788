"""WHAT IS KEPT: tables and migrations, and everything that asks them or changes them.

SQL stands here and nowhere else. No HTTP, no clock: `now` is an argument.
"""
