"""Configs: YAML text to a frozen, validated `Config`, with every problem named and placed."""
