"""The training loop and what it stands on: device, optimisers, schedules, checkpoints."""
