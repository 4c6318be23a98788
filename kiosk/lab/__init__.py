"""What is not in service: kiosks tried in virtual time."""
