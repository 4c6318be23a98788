"""Laboratory, not in service: kiosks tried in virtual time."""
