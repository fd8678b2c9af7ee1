"""Dataflow style: one engine per layer, streams between them, a schedule fixed at compile time."""
