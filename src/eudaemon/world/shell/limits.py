"""What a line of shell may cost. All numbers of the engine stand here, so that a test can go one past each."""

LINE_BYTES_MAX = 64 * 1024  # one line as given, and what an unfinished one may grow to without its here-documents
SCRIPT_BYTES_MAX = 256 * 1024  # a script file; what a download's head may hold
CONTINUATION_LINES_MAX = 4096  # lines of one unfinished command, besides those of here-documents
DOCUMENT_BYTES_MAX = 16 * 1024 * 1024  # here-documents of one command: a binary of 10 MB in base64, and a little
LARGE_READ_AGAIN_MAX = 8  # lines that may end a command whose here-documents are longer than a line may be
NESTING_LEVELS_MAX = 32  # brackets, quotes and compound commands in the text
CALL_LEVELS_MAX = 64  # compound commands, functions, substitutions and scripts that are being evaluated
STEPS_MAX = 20_000  # commands, loop turns and expansions of one line
SLEEPS_MAX = 32  # of one line
SLEPT_S_MAX = 60.0  # of one line that sleeps, in all; further sleeps pass at once
WORK_BYTES_MAX = 16 * 1024 * 1024  # bytes that one line reads, writes and compares
OUTPUT_BYTES_MAX = 1024 * 1024  # what one line prints
TYPED_BYTES_MAX = 16 * 1024 * 1024  # that a command was given and has not read
PIPE_BYTES_MAX = 4 * 1024 * 1024  # what one command hands to the next, or to a substitution
WORD_BYTES_MAX = 128 * 1024  # one word after expansion
WORDS_MAX = 4096  # words of one command after expansion
OFFERED_MAX = 32  # files of what commands print, at a time
VARIABLES_MAX = 512
ARRAYS_MAX = 64
FUNCTIONS_MAX = 128
EXHAUSTED_LINES_MAX = 16  # lines of one session that may run into a limit, before the session ends
KEPT_MAX = 512  # artefacts of one session
NOTE_BYTES_MAX = 63  # text so short is no artefact, unless something is made of it
