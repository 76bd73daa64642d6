"""The emulated CPU and the pretended systems around it. For the farm alone: it needs unicorn, and capstone to list.

cpu      what differs between CPUs, as a table           machine  memory, registers, limits; one run
deeds    sockets, files and handles; notes behaviours    windows/ modules with exports, functions, exceptions
linux/   system calls                                    trial    the runs: which start tells most
"""
