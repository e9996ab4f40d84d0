"""Whether a preset's artifacts agree with each other.  Knows tables and rules; makes and changes nothing."""
