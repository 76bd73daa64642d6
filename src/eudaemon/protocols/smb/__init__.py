"""Windows' file sharing: SMB 1, 2.0.2 and 2.1 on TCP 445, and behind NetBIOS on 139.

`room` is the framing, `smb1` and `smb2` the dialects with `files1` and `files2`, `connection` what they share,
`transactions` and `doublepulsar` what EternalBlue and its heirs do, `opens` and `disk` what is opened. The services
behind the pipes are `_dcerpc`'s."""

from eudaemon.protocols.smb.room import Smb

__all__ = ["Smb"]
