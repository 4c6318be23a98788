"""THE LOCAL AGENT: a ConvAI server in a box, for trying and testing without an account.

It hears (voice activity, then recognition over a small grammar), answers from a guide, speaks with
espeak-ng, and behaves on the wire as the real service does. It shares the wire with the kiosk and
nothing else: of ours it imports `convai`, `audio` and the ground only.
"""
