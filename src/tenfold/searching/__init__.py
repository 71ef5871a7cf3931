"""The search over settings: what is searched, how Optuna is driven, and the trials."""
