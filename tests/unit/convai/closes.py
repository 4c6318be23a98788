"""How servers end conversations, and what each end is called: tables for tests."""

from kiosk.endings import Kind

# Codes and reasons of the published contract and of public reports.
CLOSES: list[tuple[int | None, str, Kind]] = [
    (1000, "", Kind.AGENT_ENDED),
    (1001, "", Kind.NETWORK_LOST),
    (1002, "This request exceeds your quota limit.", Kind.QUOTA),
    (1002, "", Kind.AGENT_FAILED),
    (1005, "", Kind.NETWORK_LOST),
    (1006, "", Kind.NETWORK_LOST),
    (None, "", Kind.NETWORK_LOST),
    (1008, "Override for field 'language' is not allowed by config.", Kind.OVERRIDE_REFUSED),
    (1008, "Missing required dynamic variables in first message: {}", Kind.VARIABLE_MISSING),
    (1008, "Missing required dynamic variables in tools: {'name'}", Kind.VARIABLE_MISSING),
    (1008, "Invalid message received", Kind.PROTOCOL),
    (1008, "Could not authorize the conversation", Kind.REFUSED),
    (1008, "", Kind.REFUSED),
    (1009, "", Kind.PROTOCOL),
    (1008, "Host kiosk is not allowed to connect to this agent", Kind.AGENT_MISCONFIGURED),
    (1011, "Conversation has exceeded maximum duration", Kind.MAX_DURATION),
    (1011, "", Kind.INTERNAL),
    (3000, "Request error", Kind.REFUSED),
    (3000, "The AI agent you are trying to reach does not exist.", Kind.AGENT_MISSING),
    (3000, "Could not authorize the conversation.", Kind.REFUSED),
    (3000, "The agent appears to be misconfigured", Kind.AGENT_MISCONFIGURED),
    (3008, "too many concurrent connections", Kind.BUSY),
    (3008, "", Kind.BUSY),
    (4300, "queue wait timed out", Kind.BUSY),
    (4300, "", Kind.BUSY),
    (1002, "Agent has exceeded its daily call limit of 100", Kind.QUOTA),
    (4999, "", Kind.INTERNAL),
]  # fmt: skip

# Every error type of the published contract, by the code it comes with.
ERROR_TYPES = {
    1000: {"max_duration_exceeded": Kind.MAX_DURATION},
    1002: {
        "safety_violation": Kind.SAFETY,
        "transport_receive_timeout": Kind.NOT_HEARD,
        "llm_timeout": Kind.AGENT_FAILED,
        "asyncio_timeout": Kind.AGENT_FAILED,
        "http_exception": Kind.AGENT_FAILED,
        "llm_error": Kind.AGENT_FAILED,
        "custom_llm_error": Kind.AGENT_FAILED,
        "cascade_brain_error": Kind.AGENT_FAILED,
        "asr_transcription_error": Kind.AGENT_FAILED,
        "vad_error": Kind.AGENT_FAILED,
        "turn_probability_error": Kind.AGENT_FAILED,
        "tts_cascade_error": Kind.AGENT_FAILED,
        "redis_timeout_error": Kind.AGENT_FAILED,
        "unknown": Kind.AGENT_FAILED,
    },
    1008: {
        "invalid_message": Kind.PROTOCOL,
        "value_error": Kind.PROTOCOL,
        "missing_fields": Kind.PROTOCOL,
        "telephony_agent_error": Kind.AGENT_MISCONFIGURED,
        "mcp_tool_error": Kind.AGENT_MISCONFIGURED,
        "mcp_https_error": Kind.AGENT_MISCONFIGURED,
        "override_error": Kind.OVERRIDE_REFUSED,
        "missing_dynamic_variable": Kind.VARIABLE_MISSING,
        "missing_dynamic_variable_transfer": Kind.VARIABLE_MISSING,
    },
    1011: {
        "unknown_websocket_crash": Kind.INTERNAL,
        "websocket_disconnect": Kind.NETWORK_LOST,
        "unknown": Kind.INTERNAL,
    },
}

# A WebSocket refused with an HTTP status.
HANDSHAKES = [
    (401, Kind.REFUSED),
    (403, Kind.REFUSED),
    (404, Kind.AGENT_MISSING),
    (422, Kind.PROTOCOL),
    (429, Kind.BUSY),
    (200, Kind.UNREACHABLE),
    (302, Kind.UNREACHABLE),
    (500, Kind.UNREACHABLE),
    (503, Kind.UNREACHABLE),
]
