"""Events as the published contract has them and as popular guides do, with what they mean."""

from kiosk.convai.server_messages import (
    AgentAudio,
    AgentResponse,
    AgentResponseComplete,
    AgentResponseCorrection,
    AgentResponseMetadata,
    AgentResponsePart,
    Alignment,
    ClientError,
    ContextUsage,
    ErrorReport,
    GuardrailTriggered,
    Interruption,
    Metadata,
    Ping,
    QueueStatus,
    UserTranscript,
    VadScore,
)
from kiosk.convai.server_parsing import ServerMessage
from kiosk.convai.server_tools import (
    AgentToolRequest,
    AgentToolResponse,
    McpConnectionStatus,
    McpIntegration,
    McpToolCall,
    ToolCall,
)

# The nested form of the contract, and the flat one of popular guides.
BOTH_FORMS: list[tuple[dict[str, object], ServerMessage]] = [
    (
        {
            "type": "conversation_initiation_metadata",
            "conversation_initiation_metadata_event": {
                "conversation_id": "conv_1",
                "agent_output_audio_format": "pcm_44100",
                "user_input_audio_format": "ulaw_8000",
            },
        },
        Metadata("conv_1", "pcm_44100", "ulaw_8000"),
    ),
    (
        {
            "type": "conversation_initiation_metadata",
            "agent_output_audio_format": "pcm_44100",
            "user_input_audio_format": "ulaw_8000",
        },
        Metadata(None, "pcm_44100", "ulaw_8000"),
    ),
    ({"type": "conversation_initiation_metadata"}, Metadata(None)),
    ({"type": "ping", "ping_event": {"event_id": 7, "ping_ms": 50}}, Ping(7, 50)),
    ({"type": "ping", "ping_event": {"event_id": 7, "ping_ms": None}}, Ping(7)),
    ({"type": "ping", "event_id": 7}, Ping(7)),
    ({"type": "ping", "event_id": "unique"}, Ping("unique")),
    (
        {
            "type": "audio",
            "audio_event": {"audio_base_64": "AAE=", "event_id": 7, "is_final": True},
        },
        AgentAudio(b"\0\1", 7, True),
    ),
    (
        {
            "type": "audio",
            "audio_event": {"audio_base_64": "AAE=", "event_id": "7", "alignment": {}},
        },
        AgentAudio(b"\0\1", 7),
    ),
    ({"type": "audio", "audio_event": {"audio_base64": "AAE="}}, AgentAudio(b"\0\1")),
    ({"type": "audio", "audio_event": {"audio": "AAE="}}, AgentAudio(b"\0\1")),
    ({"type": "audio", "audio_base_64": "AAE="}, AgentAudio(b"\0\1")),
    (
        {"type": "agent_response", "agent_response_event": {"agent_response": "Hi", "event_id": 3}},
        AgentResponse("Hi", 3),
    ),
    ({"type": "agent_response", "agent_response": "Hi"}, AgentResponse("Hi")),
    (
        {
            "type": "agent_response_correction",
            "agent_response_correction_event": {"corrected_agent_response": "Hi"},
        },
        AgentResponseCorrection("", "Hi"),
    ),
    (
        {
            "type": "user_transcript",
            "user_transcription_event": {"user_transcript": "Hello", "event_id": 2},
        },
        UserTranscript("Hello", 2),
    ),
    (
        {"type": "user_transcript", "user_transcript": {"user_transcription": "Hello"}},
        UserTranscript("Hello"),
    ),
    ({"type": "user_transcript", "user_transcript": "Hello"}, UserTranscript("Hello")),
    ({"type": "user_transcript", "user_transcription": "Hello"}, UserTranscript("Hello")),
    (
        {
            "type": "tentative_user_transcript",
            "tentative_user_transcription_event": {"user_transcript": "Hel"},
        },
        UserTranscript("Hel", tentative=True),
    ),
    ({"type": "interruption", "interruption_event": {"event_id": 4}}, Interruption(4)),
    ({"type": "interruption", "interruption_event": {"reason": "user"}}, Interruption()),
    ({"type": "interruption"}, Interruption()),
    ({"type": "vad_score", "vad_score_event": {"vad_score": 0.95}}, VadScore(0.95)),
    ({"type": "vad_score", "vad_score": 1}, VadScore(1.0)),
    (
        {
            "type": "audio",
            "audio_event": {
                "audio_base_64": "AAE=",
                "alignment": {
                    "chars": ["H", "i"],
                    "char_start_times_ms": [0, 60],
                    "char_durations_ms": [60, 40.5],
                },
            },
        },
        AgentAudio(b"\0\1", alignment=Alignment(("H", "i"), (0, 60), (60, 40.5))),
    ),
    (
        # Times that do not fit the characters are worth nothing; the sound is.
        {
            "type": "audio",
            "audio_event": {
                "audio_base_64": "AAE=",
                "alignment": {
                    "chars": ["H", "i"],
                    "char_start_times_ms": [0, "x"],
                    "char_durations_ms": [60, 40],
                },
            },
        },
        AgentAudio(b"\0\1"),
    ),
    (
        {
            "type": "agent_chat_response_part",
            "text_response_part": {
                "text": "Hi",
                "type": "delta",
                "event_id": 7,
                "response_id": "r",
            },
        },
        AgentResponsePart("Hi", "delta", 7, "r"),
    ),
    (
        {
            "type": "agent_reasoning_response_part",
            "reasoning_response_part": {"text": "Hm", "type": "start", "event_id": "7"},
        },
        AgentResponsePart("Hm", "start", 7, reasoning=True),
    ),
    (
        {"type": "agent_response_complete", "agent_response_complete_event": {"event_id": 7}},
        AgentResponseComplete(7),
    ),
    ({"type": "agent_response_complete", "event_id": 7}, AgentResponseComplete(7)),
    (
        {
            "type": "agent_response_metadata",
            "agent_response_metadata_event": {"metadata": {"tokens": 9}, "event_id": 7},
        },
        AgentResponseMetadata({"tokens": 9}, 7),
    ),
    (
        {"type": "agent_response_metadata", "metadata": {"tokens": 9}},
        AgentResponseMetadata({"tokens": 9}),
    ),
    (
        {
            "type": "context_usage",
            "context_usage_event": {
                "event_id": 7,
                "model": "llm-1",
                "context_tokens": 512,
                "context_limit_tokens": 8192,
            },
        },
        ContextUsage(7, "llm-1", 512, 8192),
    ),
    ({"type": "context_usage", "context_tokens": 512}, ContextUsage(None, "", 512, 0)),
    ({"type": "queue_status", "queue_status_event": {"status": "waiting"}}, QueueStatus("waiting")),
    ({"type": "queue_status", "status": "admitted"}, QueueStatus("admitted")),
    (
        {"type": "guardrail_triggered", "guardrail_triggered_event": {"guardrail_name": "harm"}},
        GuardrailTriggered("harm"),
    ),
    ({"type": "guardrail_triggered"}, GuardrailTriggered()),
    (
        {
            "type": "client_tool_call",
            "client_tool_call": {
                "tool_name": "light",
                "tool_call_id": "c1",
                "parameters": {"on": True},
                "event_id": 1,
                "expects_response": False,
            },
        },
        ToolCall("light", "c1", {"on": True}, False, 1),
    ),
    (
        {"type": "client_tool_call", "tool_name": "light", "tool_call_id": "c1"},
        ToolCall("light", "c1"),
    ),
    (
        {
            "type": "agent_tool_request",
            "agent_tool_request": {
                "tool_name": "weather",
                "tool_call_id": "c2",
                "tool_type": "webhook",
                "event_id": 7,
                "expects_response": True,
                "disable_interruptions": False,
                "response_timeout_secs": 20,
            },
        },
        AgentToolRequest("weather", "c2", "webhook", 7, 20),
    ),
    ({"type": "agent_tool_request", "tool_name": "weather"}, AgentToolRequest("weather")),
    (
        {
            "type": "agent_tool_response",
            "agent_tool_response": {
                "tool_name": "end_call",
                "tool_call_id": "c2",
                "tool_type": "system",
                "is_error": True,
                "is_called": False,
                "event_id": 7,
                "status": "skipped",
            },
        },
        AgentToolResponse("end_call", "c2", "system", True, False, 7, status="skipped"),
    ),
    ({"type": "agent_tool_response", "tool_name": "end_call"}, AgentToolResponse("end_call")),
    (
        {
            "type": "agent_tool_response_full_payload",
            "agent_tool_response_full_payload": {
                "tool_name": "weather",
                "tool_type": "webhook",
                "full_tool_result": "rain",
                "truncated": True,
            },
        },
        AgentToolResponse("weather", "", "webhook", full_result="rain", truncated=True),
    ),
    (
        {"type": "agent_tool_response_full_payload", "tool_name": "weather"},
        AgentToolResponse("weather", full_result=""),
    ),
    (
        {
            "type": "mcp_tool_call",
            "mcp_tool_call": {
                "service_id": "s1",
                "tool_call_id": "c3",
                "tool_name": "search",
                "tool_description": None,
                "parameters": {"q": "x"},
                "timestamp": "2026-11-21T10:00:00Z",
                "state": "awaiting_approval",
                "approval_timeout_secs": 300,
            },
        },
        McpToolCall(
            "search",
            "c3",
            "awaiting_approval",
            "s1",
            {"q": "x"},
            "2026-11-21T10:00:00Z",
            approval_timeout_s=300,
        ),
    ),
    (
        {
            "type": "mcp_tool_call",
            "tool_call_id": "c3",
            "state": "success",
            "result": [{"type": "text", "text": "found"}],
        },
        McpToolCall("", "c3", "success", result=[{"type": "text", "text": "found"}]),
    ),
    (
        {
            "type": "mcp_tool_call",
            "mcp_tool_call": {"tool_call_id": "c3", "state": "failure", "error_message": "no"},
        },
        McpToolCall("", "c3", "failure", error_message="no"),
    ),
    (
        {
            "type": "mcp_connection_status",
            "mcp_connection_status": {
                "integrations": [
                    {
                        "integration_id": "i1",
                        "integration_type": "mcp_integration",
                        "is_connected": True,
                        "tool_count": 4,
                    },
                    {"integration_id": "i2"},
                    "no integration",
                ]
            },
        },
        McpConnectionStatus(
            (McpIntegration("i1", "mcp_integration", True, 4), McpIntegration("i2"))
        ),
    ),
    ({"type": "mcp_connection_status"}, McpConnectionStatus()),
    (
        {
            "type": "error",
            "error_event": {
                "code": 1002,
                "message": "slow",
                "error_type": "llm_timeout",
                "reason": "no",
                "debug_message": "d",
                "details": {},
            },
        },
        ErrorReport(1002, "slow", "llm_timeout", "no"),
    ),
    ({"type": "error", "error_event": {"code": 1011}}, ErrorReport(1011)),
    (
        {"type": "error", "message": "received 1002 quota"},
        ErrorReport(None, "received 1002 quota"),
    ),
    (
        {"type": "client_error", "error_event": {"code": 1008, "error_name": "x", "message": "y"}},
        ClientError(1008, "x", "y"),
    ),
    ({"type": "client_error", "code": 1008}, ClientError(1008)),
]
