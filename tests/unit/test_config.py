import os
import re
import tomllib
from pathlib import Path

import pytest
from pydantic import BaseModel

from kiosk.config import (
    DEVICE_TOKEN_CREDENTIAL,
    Settings,
    compat_api_key,
    control_socket,
    device_token,
    load_settings,
    state_dir,
)
from kiosk.config.tables import KeyTable, ToolTable
from kiosk.errors import ConfigError

EXAMPLE = Path(__file__).parents[2] / "config.example.toml"
TABLES: dict[str, type[BaseModel]] = {
    name: type(field.default)
    for name, field in Settings.model_fields.items()
    if isinstance(field.default, BaseModel)
}
# Of these there may be any number, and by default there is none.
ARRAYS: dict[str, type[BaseModel]] = {"keys": KeyTable, "tools": ToolTable}
# The one table that holds a table.
TABLES["convai.compat"] = type(TABLES.pop("convai").model_fields["compat"].default)


_OF_THE_SERVICE = ("CREDENTIALS_DIRECTORY", "STATE_DIRECTORY")


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the machine's own configuration reaches a test."""
    for name in list(os.environ):
        if name.upper().startswith("KIOSK_") or name in _OF_THE_SERVICE:
            monkeypatch.delenv(name)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return tmp_path / "config.toml"


def refusal(path: Path | None) -> str:
    with pytest.raises(ConfigError) as caught:
        load_settings(path)
    assert caught.value.exit_code == 78
    return str(caught.value)


# --- the example --------------------------------------------------------------------------------


def test_the_example_is_the_defaults() -> None:
    assert load_settings(EXAMPLE) == load_settings(None)


@pytest.mark.parametrize("table", [*TABLES, *ARRAYS])
def test_the_example_has_every_setting(table: str) -> None:
    heading = r"^(?:# \[)?\[([\w.]+)\]\]?$"
    sections = re.split(heading, EXAMPLE.read_text("utf-8"), flags=re.MULTILINE)
    section = dict(zip(sections[1::2], sections[2::2], strict=True))[table]
    set_, commented = (
        set(re.findall(p, section, re.MULTILINE)) for p in (r"^(\w+) *=", r"^# (\w+) *=")
    )
    if table in ARRAYS:
        assert (set_, commented) == (set(), set(ARRAYS[table].model_fields))
        return
    fields = TABLES[table].model_fields
    assert set_ | commented == set(fields)
    # A comment stands only for what TOML cannot say.
    assert all(fields[name].default is None for name in commented)


def test_the_example_has_every_table() -> None:
    assert set(tomllib.loads(EXAMPLE.read_text("utf-8"))) == {t.split(".")[0] for t in TABLES}
    assert {*TABLES, *ARRAYS} - {"convai.compat"} | {"convai"} == set(Settings.model_fields)


# --- what is read -------------------------------------------------------------------------------


def test_a_file_changes_the_defaults(config: Path) -> None:
    config.write_text('[capture]\ndevice = "plughw:CARD=Mic"\n')
    settings = load_settings(config)
    assert settings.capture.device == "plughw:CARD=Mic"
    assert settings.playback == load_settings(None).playback


def test_the_environment_overrides_the_file(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config.write_text('[capture]\ndevice = "plughw:CARD=Mic"\nrate_hz = 44100\n')
    monkeypatch.setenv("KIOSK_CAPTURE__DEVICE", "default")
    capture = load_settings(config).capture
    assert (capture.device, capture.rate_hz) == ("default", 44_100)


def test_a_whole_table_may_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KIOSK_AGENT__VARIABLES", '{"floor": 2}')
    assert load_settings(None).agent.variables == {"floor": 2}


def test_settings_cannot_be_changed() -> None:
    settings = load_settings(None)
    with pytest.raises(ValueError, match="frozen"):
        settings.capture.device = "other"
    with pytest.raises(ValueError, match="frozen"):
        settings.capture = settings.capture


# --- mistakes -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "line", "named"),
    [
        ("[capture]\nrate = 48000", 2, "capture.rate: no such setting"),
        ("\n[captures]\nrate_hz = 48000", 2, "captures: no such setting"),
        ("loose = 1", 1, "loose: no such setting"),
        ("# a\n\n[capture]\n# rate_hz = 1\nrate_hz = 'fast'", 5, "capture.rate_hz:"),
        ("[capture]\nrate_hz = 100", 2, "capture.rate_hz:"),
        ("[capture]\nchannels = 0", 2, "capture.channels:"),
        ("[playback]\n\nbuffer_ms = 500", 3, "playback.buffer_ms:"),
        ("[kiosk]\nname = 7", 2, "kiosk.name:"),
        ("[kiosk]\nname = 'a b'", 2, "kiosk.name:"),
        ("[kiosk]\nlanguage = 'tlh'", 2, "kiosk.language: 'tlh' is no code of a language"),
        ("[button]\nmode = 'shout'", 2, "button.mode:"),
        ("[gate]\nroom_tone_ms = 300", 2, "gate.room_tone_ms:"),
        ("[visit]\nidle_s = 0", 2, "visit.idle_s:"),
        ("[visit]\nmax_s = nan", 2, "visit.max_s:"),
        ("[visit]\nvoice = 'x; rm -rf /'", 2, "visit.voice:"),
        ("[agent]\nurl = 'https://api.elevenlabs.io'", 2, "agent.url:"),
        ("[agent]\nvariables = {a = {b = 1}}", 2, "agent.variables.a"),
        ("[agent]\n[agent.variables]\na = {b = 1}", 3, "agent.variables.a"),
        ("[credentials]\nbackend_url = 'ftp://x'", 2, "credentials.backend_url:"),
        ("[credentials]\nleases = 4", 2, "credentials.leases:"),
        ("[credentials]\npolicy = 'cold'", 2, "credentials.policy:"),
        ("[credentials]\napi_key = 'x'", 2, "credentials.api_key: no such setting"),
        ("capture.rate_hz = 1", 1, "capture.rate_hz:"),
        ("[visit]\nmax_s = 20\nwarning_s = 20", 1, "warning_s must be less than max_s"),
        ("\ncapture = 3", 2, "capture:"),
    ],
)
def test_a_mistake_names_its_key_and_line(config: Path, text: str, line: int, named: str) -> None:
    config.write_text(text)
    told = refusal(config)
    assert f"{config}, line {line}: " in told
    assert named in told


def test_every_mistake_is_told_at_once(config: Path) -> None:
    config.write_text("[capture]\nrate = 1\nchannels = 0\n[gate]\nmode = 'shut'\n")
    told = refusal(config).splitlines()
    assert [re.search(r"line (\d)", line) is not None for line in told] == [True] * 3


def test_bad_syntax_has_its_line(config: Path) -> None:
    config.write_text("[kiosk]\nname = \n")
    told = refusal(config)
    assert str(config) in told
    assert "line 2" in told


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("KIOSK_CAPTURE__RATE_HZ", "fast"),
        ("KIOSK_CAPTURE__RATE_HZ", "1"),
        ("KIOSK_CAPTURE__RATE", "48000"),
        ("KIOSK_CAPTURE", "nonsense"),
        ("KIOSK_CAPTURE", "[1]"),
        ("KIOSK_AGENT__VARIABLES", "{floor"),
        ("KIOSK_BUTTON__MODE", ""),
    ],
)
def test_a_mistake_in_the_environment_names_its_variable(
    config: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    config.write_text("[capture]\nrate_hz = 44100\n")
    monkeypatch.setenv(variable, value)
    assert f"environment {variable}: " in refusal(config)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    told = refusal(tmp_path / "nowhere.toml")
    assert str(tmp_path / "nowhere.toml") in told
    assert "No such file" in told


def test_a_directory_is_no_file(tmp_path: Path) -> None:
    assert str(tmp_path) in refusal(tmp_path)


def test_a_file_that_is_not_utf_8_is_refused(config: Path) -> None:
    config.write_bytes(b"[kiosk]\nsite = 'caf\xe9'\n")
    assert "not UTF-8" in refusal(config)


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("[button]\npin = 27", ("button.pin", "indicator.pin", "27")),
        ("[indicator]\npin = 22", ("indicator.pin", "indicator.recording_pin", "22")),
        ("[button]\npin = 22", ("button.pin", "indicator.recording_pin", "22")),
    ],
)
def test_two_settings_cannot_have_one_pin(config: Path, text: str, keys: tuple[str, ...]) -> None:
    config.write_text(text)
    told = refusal(config)
    assert all(key in told for key in keys)


def test_a_pin_nobody_uses_is_free(config: Path) -> None:
    config.write_text("[button]\ndriver = 'none'\npin = 27\n")
    assert load_settings(config).button.pin == 27


def test_a_public_agent_needs_its_id(config: Path) -> None:
    config.write_text("[credentials]\nmode = 'public'\n")
    assert "agent.id" in refusal(config)
    config.write_text("[credentials]\nmode = 'public'\n[agent]\nid = 'agent_1'\n")
    assert load_settings(config).agent.id == "agent_1"


def test_what_was_written_is_not_repeated(config: Path) -> None:
    config.write_text("[credentials]\napi_key = 's3cret'\nmode = 's3cret'\n")
    assert "s3cret" not in refusal(config)


# --- overrides of the agent ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[agent.overrides.tts]\nspeed = 1.5", 2),
        ("[agent]\nid = 'a'\n\n[agent.overrides.tts]\nvoice_id = 'v'\nspeed = 1.5", 6),
        ("[agent.overrides]\ntts.speed = 1.5", 2),
        ("[agent.overrides]\ntts = { speed = 1.5 }", 2),
        ("[agent]\nid = 'a'\noverrides.tts.speed = 1.5", 3),
        ("[agent]\noverrides.tts = { voice_id = 'v', speed = 1.5 }", 2),
        ("[agent]\nid = 'a'\noverrides = { tts = { speed = 1.5 } }", 3),
        ("agent.overrides.tts.speed = 1.5", 1),
    ],
)
def test_an_override_out_of_range_is_named_however_it_is_written(
    config: Path, text: str, line: int
) -> None:
    config.write_text(text)
    told = refusal(config)
    assert f"{config}, line {line}: agent.overrides.tts.speed: " in told
    assert "1.2" in told


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("[agent.overrides.tts]\nspeed = 0.69", "tts.speed"),
        ("[agent.overrides.tts]\nspeed = nan", "tts.speed"),
        ("[agent.overrides.tts]\nstability = 1.01", "tts.stability"),
        ("[agent.overrides.tts]\nsimilarity_boost = -0.1", "tts.similarity_boost"),
        ("[agent.overrides.tts]\npitch = 1", "tts.pitch"),
        ("[agent.overrides.agent]\nlanguage = 'English'", "agent.language"),
        ("[agent.overrides.agent.prompt]\ntemperature = 1", "agent.prompt.temperature"),
        (
            "[agent.overrides.conversation]\nmax_duration_seconds = 59",
            "conversation.max_duration_seconds",
        ),
        ("[agent.overrides.conversation]\nclient_events = []", "conversation.client_events"),
        ("[agent.overrides.asr]\nkeywords = 'dinosaur'", "asr.keywords"),
    ],
)
def test_a_mistake_in_an_override_names_its_key_and_line(config: Path, text: str, key: str) -> None:
    config.write_text(f"[kiosk]\n{text}")
    assert f"{config}, line 3: agent.overrides.{key}: " in refusal(config)


@pytest.mark.parametrize("name", ["style", "use_speaker_boost"])
@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[agent.overrides.tts]\n{} = 1", 1),
        ("[agent.overrides]\n\ntts = {{ {} = 1 }}", 3),
        ("[agent]\noverrides = {{ tts = {{ {} = 1 }} }}", 2),
    ],
)
def test_a_control_that_conversations_do_not_have_is_refused_with_the_reason(
    config: Path, name: str, text: str, line: int
) -> None:
    config.write_text(text.format(name))
    told = refusal(config)
    assert f"{config}, line {line}: agent.overrides.tts: {name} does not exist" in told
    assert "text-to-speech" in told


@pytest.mark.parametrize(
    "text",
    [
        "[agent.overrides.conversation]\ntext_only = true",
        "[agent]\noverrides.conversation.text_only = true",
        "[agent]\noverrides = { conversation = { text_only = true } }",
    ],
)
def test_a_kiosk_cannot_do_without_the_voice(config: Path, text: str) -> None:
    config.write_text(text)
    told = refusal(config)
    assert "agent: overrides.conversation.text_only: " in told
    assert "voice" in told
    config.write_text(text.replace("true", "false"))
    assert load_settings(config).agent.overrides.conversation is not None


def test_overrides_come_from_the_environment_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KIOSK_AGENT__OVERRIDES", '{"tts": {"speed": 1.1}}')
    assert load_settings(None).agent.overrides.on_the_wire() == {"tts": {"speed": 1.1}}
    monkeypatch.setenv("KIOSK_AGENT__OVERRIDES", '{"tts": {"speed": 1.5}}')
    assert "agent.overrides.tts.speed" in refusal(None)


@pytest.mark.parametrize(
    ("max_s", "limit_s", "fits"),
    [(570, 571, True), (570, 570, False), (570, 300, False), (299.5, 300, True), (600, 7200, True)],
)
def test_the_kiosk_ends_a_visit_before_the_agent_would(
    config: Path, max_s: float, limit_s: int, fits: bool
) -> None:
    config.write_text(
        f"[visit]\nmax_s = {max_s}\n"
        f"[agent.overrides.conversation]\nmax_duration_seconds = {limit_s}\n"
    )
    if fits:
        assert load_settings(config).visit.max_s == max_s
    else:
        told = refusal(config)
        assert "visit.max_s" in told
        assert "agent.overrides.conversation.max_duration_seconds" in told
        assert f"{limit_s} s" in told


# --- what servers want that were written after popular guides -----------------------------------


def test_nothing_beside_the_contract_is_sent_unless_it_is_asked_for() -> None:
    compat = load_settings(None).convai.compat
    assert (compat.keep_alive, compat.end_of_stream, compat.api_key_file) == ("off", False, None)
    assert compat_api_key(load_settings(None)) is None


def test_what_guides_want_can_be_asked_for(config: Path) -> None:
    config.write_text(
        "[convai.compat]\nkeep_alive = 'space'\nkeep_alive_s = 20\nend_of_stream = true\n"
    )
    compat = load_settings(config).convai.compat
    assert (compat.keep_alive, compat.keep_alive_s, compat.end_of_stream) == ("space", 20.0, True)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[convai.compat]\nkeep_alive = 'ping'", "convai.compat.keep_alive: "),
        ("[convai]\ncompat.keep_alive = 'ping'", "convai.compat.keep_alive: "),
        ("[convai]\ncompat = { keep_alive = 'ping' }", "convai.compat.keep_alive: "),
        ("[convai.compat]\nkeep_alive_s = 0", "convai.compat.keep_alive_s: "),
        ("[convai.compat]\nend_of_stream = 'maybe'", "convai.compat.end_of_stream: "),
        ("[convai.compat]\neos = true", "convai.compat.eos: no such setting"),
        ("[convai.compat]\napi_key = 'sk_s3cret'", "convai.compat.api_key: no such setting"),
        ("[convai]\nkeep_alive = 'off'", "convai.keep_alive: no such setting"),
    ],
)
def test_a_mistake_in_what_guides_want_names_its_key_and_line(
    config: Path, text: str, named: str
) -> None:
    config.write_text(text)
    told = refusal(config)
    assert f"{config}, line 2: {named}" in told
    assert "s3cret" not in told


def with_api_key(tmp_path: Path, mode: str) -> Path:
    config, key = tmp_path / "config.toml", tmp_path / "key"
    config.write_text(
        f"[credentials]\nmode = '{mode}'\n[agent]\nid = 'a'\n"
        f"[convai.compat]\napi_key_file = '{key}'\n"
    )
    return config


def test_an_api_key_is_for_public_agents_only(tmp_path: Path) -> None:
    told = refusal(with_api_key(tmp_path, "backend"))
    assert "convai.compat.api_key_file" in told
    assert 'credentials.mode = "public"' in told


def test_an_api_key_is_read_from_its_file_and_is_not_a_setting(tmp_path: Path) -> None:
    settings = load_settings(with_api_key(tmp_path, "public"))
    with pytest.raises(ConfigError, match="cannot read") as caught:
        compat_api_key(settings)
    assert str(tmp_path / "key") in str(caught.value)
    (tmp_path / "key").write_text("sk_s3cret\n")
    assert compat_api_key(settings) == "sk_s3cret"
    assert "s3cret" not in repr(settings)


# --- the device token ---------------------------------------------------------------------------


def with_token(tmp_path: Path, data: bytes) -> Settings:
    (tmp_path / "token").write_bytes(data)
    config = tmp_path / "config.toml"
    config.write_text(f"[credentials]\ndevice_token_file = '{tmp_path / 'token'}'\n")
    return load_settings(config)


def test_the_token_is_read_from_the_named_file(tmp_path: Path) -> None:
    assert device_token(with_token(tmp_path, b"kdk_1_abc\n")) == "kdk_1_abc"


def test_without_a_file_it_is_the_systemd_credential(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / DEVICE_TOKEN_CREDENTIAL).write_text("kdk_2_def")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert device_token(load_settings(None)) == "kdk_2_def"
    assert device_token(with_token(tmp_path, b"kdk_1_abc")) == "kdk_1_abc"


def test_without_either_the_next_step_is_told() -> None:
    with pytest.raises(ConfigError, match="device_token_file") as caught:
        device_token(load_settings(None))
    assert caught.value.exit_code == 78


@pytest.mark.parametrize("data", [b"", b"\n", b"two words", "tök".encode(), b"\xff\xfe"])
def test_what_is_no_token_is_refused_and_not_shown(tmp_path: Path, data: bytes) -> None:
    settings = with_token(tmp_path, data)
    with pytest.raises(ConfigError, match=re.escape(str(tmp_path / "token"))) as caught:
        device_token(settings)
    assert "words" not in str(caught.value)


def test_a_token_file_that_is_gone_is_named(tmp_path: Path) -> None:
    settings = with_token(tmp_path, b"x")
    (tmp_path / "token").unlink()
    with pytest.raises(ConfigError, match="cannot read"):
        device_token(settings)


@pytest.mark.parametrize(
    "line",
    [
        "custom_llm_extra_body = {since = 2026-01-01}",
        "custom_llm_extra_body = {limit = nan}",
        "variables = {limit = inf}",
    ],
)
def test_what_no_frame_can_hold_is_refused_before_a_visitor_comes(config: Path, line: str) -> None:
    config.write_text(f"[agent]\n{line}\n")
    assert "cannot be sent as JSON" in refusal(config)


# --- what outlives the process ------------------------------------------------------------------


def test_state_is_kept_where_the_file_or_the_service_says(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert state_dir(load_settings(None)) is None
    monkeypatch.setenv("STATE_DIRECTORY", "/var/lib/kiosk:/var/lib/other")
    assert state_dir(load_settings(None)) == Path("/var/lib/kiosk")
    config.write_text(f"[credentials]\nstate_dir = '{tmp_path}'\n")
    assert state_dir(load_settings(config)) == tmp_path
    config.write_text(f"[credentials]\nstate_dir = '{tmp_path}/gone'\n")
    with pytest.raises(ConfigError, match=r"credentials\.state_dir: .*gone is not a directory"):
        state_dir(load_settings(config))


# --- a file that is being edited ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "socket"),
    [
        ('[captuer]\n[control]\nsocket = "/run/a.sock"\n', "/run/a.sock"),
        (
            "[control]\n# see [journal]\n  socket = '/run/a.sock'  # here\nthis is no TOML",
            "/run/a.sock",
        ),
        ('control.socket = "/run/a.sock"\n[captuer]\n', "/run/a.sock"),
        ('[captuer]\n[other]\nsocket = "/run/b.sock"\n', "/run/kiosk/control.sock"),
        ("[captuer]\n", "/run/kiosk/control.sock"),
        ('[control]\nsocket = "/run/a.sock"\n', "/run/a.sock"),
    ],
)
def test_the_running_kiosk_is_found_by_a_file_with_a_mistake(
    config: Path, text: str, socket: str
) -> None:
    config.write_text(text)
    assert control_socket(config) == Path(socket)


# --- languages and keys -------------------------------------------------------------------------


def test_languages_are_the_sites_own_the_named_and_those_of_keys(config: Path) -> None:
    config.write_text(
        '[kiosk]\nlanguage = "de"\nlanguages = ["fr", "de"]\n'
        '[[keys]]\npin = 5\nlanguage = "en"\n[[keys]]\npin = 6\nlanguage = "fr"\n'
        '[[keys]]\npin = 12\nask = "Why?"\n'
    )
    assert load_settings(config).languages == ("de", "fr", "en")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[[keys]]\npin = 17\nlanguage = 'de'", "button.pin and [[keys]] 1 pin are both GPIO 17"),
        ("[[keys]]\npin = 5\n", "a key has one of language, ask and volume"),
        (
            "[[keys]]\npin = 5\nlanguage = 'de'\nask = 'Why?'",
            "a key has one of language, ask and volume",
        ),
        ("[[keys]]\npin = 5\nask = ''", "line 3: keys.0.ask: "),
        ("[[keys]]\npin = 5\nvolume = 'loud'", "line 3: keys.0.volume: "),
        ("[[keys]]\npin = 5\nlanguage = 'German'", "line 3: keys.0.language: 'German' is no code"),
        ("[[keys]]\npin = 99\nlanguage = 'de'", "line 2: keys.0.pin: "),
        ("[kiosk]\nlanguages = ['Deutsch']", "line 2: kiosk.languages.0: 'Deutsch' is no code"),
        (
            "[[keys]]\npin = 5\nlanguage = 'de'\n[[keys]]\npin = 6\nlanguage = 'de'",
            "[[keys]]: there are several of language 'de'",
        ),
        (
            "[[keys]]\npin = 5\nlanguage = 'de'\n[[keys]]\npin = 5\nlanguage = 'fr'",
            "[[keys]] 1 pin and [[keys]] 2 pin are both GPIO 5",
        ),
    ],
)
def test_a_key_that_makes_no_sense_is_refused(config: Path, text: str, complaint: str) -> None:
    config.write_text(text)
    assert complaint in refusal(config)


# --- tools --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("name = 'x'\ncommand = ['lights']", "'lights': a whole path is wanted"),
        ("name = 'x y'\ncommand = ['/l']", "tools.0.name: "),
        ("name = 'x'\ncommand = []", "tools.0.command: "),
        ("name = 'kiosk_info'\ncommand = ['/l']", "[[tools]]: there are several of the name"),
        (
            "name = 'x'\ncommand = ['/l']\nparameters = {p = {type = 'text'}}",
            "tools.0.parameters.p.type: ",
        ),
    ],
)
def test_a_tools_mistake_is_named(config: Path, text: str, told: str) -> None:
    config.write_text(f"[[tools]]\n{text}\n", encoding="utf-8")
    assert told in refusal(config)


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        (
            "KIOSK_VISIT",
            '{"queue_s": "x"}',
            "environment KIOSK_VISIT: visit.queue_s: must be a number",
        ),
        ("kiosk_visit__queue_s", "x", "environment kiosk_visit__queue_s: must be a number"),
        ("KIOSK_KIOSK__LANGUAGES", "de,en", "environment KIOSK_KIOSK__LANGUAGES: tables and lists"),
        ("KIOSK_AGENT__VARIABLES", "x", "environment KIOSK_AGENT__VARIABLES: tables and lists"),
    ],
)
def test_the_environment_is_blamed_for_what_is_wrong_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, said: str
) -> None:
    path = tmp_path / "config.toml"
    path.write_text("[visit]\nqueue_s = 60\n")
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigError) as error:
        load_settings(path)
    assert str(error.value).startswith(said)
