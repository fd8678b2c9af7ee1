"""What each command does, step by step, out of the other rooms. See docs/architecture.md."""
