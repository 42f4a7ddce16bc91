"""Build of specs: passes -> plan -> write -> read back -> publish."""
