"""Whether a mirrored image still shows its class: measured, not guessed from names."""
