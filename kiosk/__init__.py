"""A voice kiosk: press a button, speak, and talk with an ElevenLabs ConvAI agent."""

__version__ = "0.1.0"
