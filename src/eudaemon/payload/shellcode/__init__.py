"""What bytes of machine code would do: connect back, listen, download, execute. The real CPU never runs them.

    bytes ─► signatures  patterns that tell without running       (standard library: sensors)
         └─► scan        where code may begin, and for which CPU  (standard library)
              └─► emulation   runs it on an emulated CPU, in a pretended Windows and Linux  (the farm: unicorn)
                   └─► Report: behaviours, the trace of calls, the listing

`examine` puts it together; `apart` does the same in a process of its own, which may hang or die without harm.
"""
