"""CHARACTERS: who the agent is at a kiosk, one TOML file each."""
