"""One engine for cmd.exe and PowerShell that executes nothing, for every room behind which Windows stands.

    line --> percent expansion --> parser --> syntax tree --> evaluator --> acts (Print, Download, Kept, Pause)

Owns what commands mean on the pretended Windows (`machine`), and what they print. Refuses what `world.shell` refuses:
to run, open, connect or wait. Text is `str` of Latin-1, one character a byte, so that payloads pass through unharmed.
Nothing here is imported before a room needs it; `machine` alone is light.
"""

# What is imported then. The rest comes with it, but for the codecs, which Python looks for when it is told their names.
ENGINE = ("eudaemon.world.windows.engine", "eudaemon.world.windows.powershell.command")
CODECS = ("encodings.utf_16_be", "encodings.utf_16_le", "encodings.utf_32_le")
