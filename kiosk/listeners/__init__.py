"""Listeners: each is given every moment after the effects of what happened, and returns at once."""
