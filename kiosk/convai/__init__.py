"""THE WIRE: the ElevenLabs ConvAI WebSocket protocol. Pure: no I/O, no clock, no threads.

Both sides share it: the kiosk parses what the server sends and writes what the client sends, the
local agent does the reverse. A frame is one WebSocket text message holding one JSON object.
"""
