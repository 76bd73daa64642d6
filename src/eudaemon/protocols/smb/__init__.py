"""Windows' file sharing: SMB 1, 2.0.2 and 2.1 on TCP 445, and behind NetBIOS on 139.

room          the framing
smb1, smb2    the dialects; `files1` and `files2` are what they do with files, `connection` what they share
transactions  what comes in several parts; with `doublepulsar`, what EternalBlue and its heirs do
opens, disk   files, folders and pipes; the services behind the pipes are `_dcerpc`'s
commands      what somebody wants run
"""

from eudaemon.protocols.smb.room import Smb

__all__ = ["Smb"]
