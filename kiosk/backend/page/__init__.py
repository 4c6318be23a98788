"""Page of the fleet: how the kiosks are, what was wrong with visits, and what may be done about it.

Rendered here, without a build step and without anything from elsewhere. It works without a script;
with one it renews itself when something changes.
"""
