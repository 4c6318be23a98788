"""Ground that every room stands on."""
