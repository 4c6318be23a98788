"""THE NETWORK: the WebSocket, and the credential that opens it, renewed ahead of its expiry.

Libraries (websockets, httpx2) are imported when first used. Everything here is cancellable and has
a deadline.
"""
