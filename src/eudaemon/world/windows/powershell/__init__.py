"""PowerShell, as far as loaders use it: see `command` for how it is called, `evaluator` for what it understands."""
