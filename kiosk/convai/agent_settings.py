"""The agent's settings as the REST API spells them. Pure: no I/O.

`GET /v1/convai/agents/{id}` answers with them, and `PATCH` merges what it is given: objects key by
key, everything else, lists too, as a whole.
"""

# Where things stand, as "a.b.c".
ENABLE_AUTH = "platform_settings.auth.enable_auth"
ORIGIN_REQUIRED = "platform_settings.auth.require_origin_header"
ALLOWED_HOSTS = "platform_settings.auth.allowlist"
# One switch for each override, under the override's own name.
OVERRIDES = "platform_settings.overrides.conversation_config_override"
RECORD_VOICE = "platform_settings.privacy.record_voice"
RETENTION_DAYS = "platform_settings.privacy.retention_days"
ZERO_RETENTION = "platform_settings.privacy.zero_retention_mode"
CONCURRENCY_LIMIT = "platform_settings.call_limits.agent_concurrency_limit"
DAILY_LIMIT = "platform_settings.call_limits.daily_limit"
BURSTING = "platform_settings.call_limits.bursting_enabled"

INPUT_FORMAT = "conversation_config.asr.user_input_audio_format"
OUTPUT_FORMAT = "conversation_config.tts.agent_output_audio_format"
TEXT_ONLY = "conversation_config.conversation.text_only"
MAX_DURATION_S = "conversation_config.conversation.max_duration_seconds"
CLIENT_EVENTS = "conversation_config.conversation.client_events"
TURN_TIMEOUT_S = "conversation_config.turn.turn_timeout"
SILENCE_TIMEOUT_S = "conversation_config.turn.silence_end_call_timeout"
EAGERNESS = "conversation_config.turn.turn_eagerness"
LANGUAGE = "conversation_config.agent.language"
LANGUAGE_PRESETS = "conversation_config.language_presets"
FIRST_MESSAGE = "conversation_config.agent.first_message"
PROMPT = "conversation_config.agent.prompt.prompt"
LAST_MESSAGE = "conversation_config.agent.max_conversation_duration_message"
SOFT_TIMEOUT_MESSAGE = "conversation_config.turn.soft_timeout_config.message"
PLACEHOLDERS = "conversation_config.agent.dynamic_variables.dynamic_variable_placeholders"
SYSTEM_TOOLS = "conversation_config.agent.prompt.built_in_tools"
TOOLS = "conversation_config.agent.prompt.tools"

# What may be chosen (contract: `turn_eagerness`).
EAGERNESSES = ("patient", "normal", "eager")
# What `max_duration_seconds` may be.
SHORTEST_S, LONGEST_S = 60, 7200
