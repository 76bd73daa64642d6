"""A git daemon on TCP 9418 (gitprotocol-pack): what is cloned and pushed; a pack that is pushed is kept.

room         the dialogue, in lines with their length before them
repository   what one may clone: a commit of two files, drawn
pack         where a pack ends that comes, and what one is made of
"""

from eudaemon.protocols.git.room import Git as Git
