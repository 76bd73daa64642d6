"""What a line of cmd.exe or PowerShell may cost, besides what `world.shell.limits` says of every shell."""

LEVELS_MAX = 24  # blocks, calls, batch files and shells inside each other that are being evaluated
NESTING_LEVELS_MAX = 24  # brackets in the text
CONTINUATION_LINES_MAX = 128  # typed lines of one unfinished block
VALUE_CHARS_MAX = 32 * 1024  # of one variable
EXPANDED_CHARS_MAX = 128 * 1024  # one line after expansion; what cmd.exe itself takes is less
LOOP_WORDS_MAX = 4096  # of the set of one `for`
ANSWERS_MAX = 64  # commands of one script for ftp.exe
POWERSHELL_TEXT_CHARS_MAX = 1024 * 1024  # one text or array of bytes that PowerShell works with
POWERSHELL_ITEMS_MAX = 64 * 1024  # of one array
POWERSHELL_LAYERS_MAX = 8  # scripts that scripts decode and run
POWERSHELL_EXPRESSION_LEVELS_MAX = 24
REGISTRY_VALUES_MAX = 256  # that one session writes
