"""ELEVENLABS: what it is asked, what it delivers, and whether its agent fits the kiosks.

`client` is the one module that holds the API key.
"""
