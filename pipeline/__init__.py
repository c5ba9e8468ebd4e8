"""The delivery library: commit -> image -> release -> live. See docs/architecture.md."""
