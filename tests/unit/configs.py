"""Configurations that tests write down, as an operator would."""

WITHOUT_HARDWARE = """
[button]
driver = "none"
[indicator]
driver = "none"
[capture]
driver = "virtual"
[playback]
driver = "virtual"
"""
