"""WHAT IS SERVED: routes, problem documents, the request log, figures and the live stream.

HTTP stands here; no SQL and no API key.
"""
