"""The weighting rules, one file a rule or family.  Files whose name starts with _ hold what several rules share."""
