"""The command line: one file a subcommand.  A project's own command line may offer the same subcommands."""
