"""Another machine, by the system's own ssh."""
