"""The pretended Windows: modules with exports to walk, functions that answer, exceptions that are handled.

functions  which function lies in which module, and what arguments it takes: data
layout     TEB, PEB, the loader's lists and the modules' images in memory
system     the call: from the hook to the handler and back, threads, structured exceptions
process, files, network   what the functions do
"""
