"""The official Python client with its own sound, as a process: `python -m tests.bench.peer URL`.

It talks through ALSA's default device until its input ends. `--input-frames` is the block of its
microphone; without, everything is as it comes.
"""

import argparse
import sys
import warnings

with warnings.catch_warnings():
    # The client's module names a type that websockets keeps in a deprecated part of itself.
    warnings.filterwarnings("ignore", r"websockets\.\w+ is deprecated", DeprecationWarning)
    from elevenlabs.client import ElevenLabs
    from elevenlabs.conversational_ai.conversation import Conversation
    from elevenlabs.conversational_ai.default_audio_interface import DefaultAudioInterface


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--input-frames", type=int)
    args = parser.parse_args()
    sound = DefaultAudioInterface()  # type: ignore[no-untyped-call]
    if args.input_frames is not None:
        sound.INPUT_FRAMES_PER_BUFFER = args.input_frames
    conversation = Conversation(
        ElevenLabs(base_url=args.url, api_key="none", timeout=10),
        "agent_local",
        requires_auth=False,
        audio_interface=sound,
    )
    conversation.start_session()  # type: ignore[no-untyped-call]
    sys.stdin.read()
    conversation.end_session()  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    main()
