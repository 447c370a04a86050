"""Read YAML configs into a frozen, validated `Config`, and report every problem with its place in the file."""
