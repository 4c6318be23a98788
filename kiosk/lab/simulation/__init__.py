"""THE SIMULATION: a fleet that does not exist. It asks a real backend what so many kiosks would ask
in a busy hour, and tells how the backend took it. Provider and visitors are played too."""
