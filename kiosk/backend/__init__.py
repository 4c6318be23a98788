"""THE BACKEND, extra `[backend]`: holds the ElevenLabs API key so that no kiosk has to.

It knows kiosks by their device tokens and mints one signed URL per visit. Of ours it imports
`convai`, `contract` and the ground, nothing else; the daemon never imports it.
"""
