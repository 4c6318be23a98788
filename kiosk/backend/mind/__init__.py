"""Mind of a guide: what an agent answers, where an operator's own model or script does.

`port` is what a mind is; the doors are how a provider's agent asks one.
"""
