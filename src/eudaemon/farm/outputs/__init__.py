"""Telling others: each output of the settings is a format (what is said) and a peer (to whom, and how it answers).

    store's loader ──block──► journal (SQLite) ──entry──► feeder ──► format ──items──► peer
                                 a mark for each output      one for each output, in a thread of its own

At least once: an output's mark moves past an entry when the peer has taken all of it, and a crash in between tells it
again. What must not be told twice (a sample, a report) has a key, which is remembered with the mark.
"""
