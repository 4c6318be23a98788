"""THE NETWORK: the roads to the agent, and the credential that opens one, renewed ahead of its
expiry.

Libraries (websockets, livekit, httpx2) are imported when first used. Everything here is cancellable
and has a deadline.
"""
